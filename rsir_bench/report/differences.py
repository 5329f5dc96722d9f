"""What a method gains or loses against the baseline, seed by seed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.records.schema import Record
from rsir_bench.report.board_view import BoardView, Standing, Target

LEAST_REACH = 0.02  # a bar is never drawn as if less than this were much


@dataclass(frozen=True)
class Bar:
    """A bar from the middle of its cell, with a line for the deviation; all in % of the width."""

    left: float
    width: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One row of a method minus the baseline on one target, over the seeds that both have.

    Attributes:
        target: The target, with the metric that is compared.
        standing: The row of the method.
        against: The row of the baseline: the same, or else the one that figures show.
        seeds: The seeds, at least one.
        mean: The mean difference.
        sd: The sample standard deviation of the differences; None for one seed.
    """

    target: Target
    standing: Standing
    against: Standing
    seeds: tuple[int, ...]
    mean: float
    sd: float | None

    @property
    def reach(self) -> float:
        """How far its bar and the line for its deviation go from zero."""
        return abs(self.mean) + (self.sd or 0)

    def bar(self, reach: float) -> Bar:
        """Return the difference as a bar where ``reach`` is half of the width."""

        def place(value: float) -> float:
            return round(50 + 50 * value / max(reach, LEAST_REACH), 1)

        spread, end = self.sd or 0, place(self.mean)
        return Bar(min(50.0, end), round(abs(end - 50), 1), place(self.mean - spread), place(self.mean + spread))


def differences(view: BoardView, standings: Sequence[Standing]) -> list[Difference]:
    """Return the differences of rows from the baseline, target by target; none for the baseline itself."""
    baseline = [standing for standing in view.standings if standing.label == REFERENCE]
    found = []
    for target in view.targets:
        for standing in standings:
            if standing.label == REFERENCE or standing.cells[target.name, target.metric].doubtful:
                continue
            same = [one for one in baseline if one.name.row == standing.name.row]
            for against in (same or [one for one in baseline if one.main])[:1]:
                found += _difference(view, target, standing, against)
    return found


def _difference(view: BoardView, target: Target, standing: Standing, against: Standing) -> list[Difference]:
    ours, theirs = (_by_seed(view.records(target.name, one), target.metric) for one in (standing, against))
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    if not seeds:
        return []
    values = [ours[seed] - theirs[seed] for seed in seeds]
    sd = statistics.stdev(values) if len(values) > 1 else None
    return [Difference(target, standing, against, seeds, statistics.fmean(values), sd)]


def _by_seed(records: Sequence[Record], metric: str) -> dict[int, float]:
    return {record.seed: record.metrics[metric] for record in records if metric in record.metrics}
