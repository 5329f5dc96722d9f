"""What a method gains or loses against the baseline on each target, as leaderboards compute it, and as a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard.pages.differences import Difference, difference, opposite
from rsir_bench.leaderboard.tables.parts import Block, MethodRow
from rsir_bench.report.board_view import BoardView, Standing, Target

LEAST_REACH = 0.02  # a bar is never drawn as if less than this were much


@dataclass(frozen=True)
class Bar:
    """A bar from the middle of its cell, with a line for the interval; all in % of the width."""

    left: float
    width: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """One row of a method minus the baseline on one target.

    Attributes:
        target: The target, with the metric that is compared.
        standing: The row of the method.
        seeds: The number of its seeds.
        against: The row of the baseline.
        against_seeds: The number of the baseline's seeds.
        found: The difference of the means over seeds, with an interval where it is tested.
    """

    target: Target
    standing: Standing
    seeds: int
    against: str
    against_seeds: int
    found: Difference

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval; the difference itself where there is none."""
        mean, low, high = self.found.mean, self.found.low, self.found.high
        return (mean, mean) if low is None or high is None else (low, high)

    @property
    def reach(self) -> float:
        """How far its bar and the line for its interval go from zero."""
        return max(map(abs, (self.found.mean, *self.ends)))

    def bar(self, reach: float) -> Bar:
        """Return the difference as a bar where ``reach`` is half of the width."""

        def place(value: float) -> float:
            return round(50 + 50 * value / max(reach, LEAST_REACH), 1)

        end, (low, high) = place(self.found.mean), self.ends
        return Bar(min(50.0, end), round(abs(end - 50), 1), place(low), place(high))


def differences(view: BoardView, standings: Sequence[Standing]) -> list[Compared]:
    """Return the differences of rows from the baseline, target by target; none for the baseline itself."""
    named = {(standing.name.label, standing.name.row): standing for standing in standings if standing.name.label}
    targets = {target.name: target for target in view.targets}
    return [
        compared
        for table in view.whole
        for block in table.blocks
        for row in block.rows
        if (standing := named.get((row.name.label, row.name.row))) is not None
        for compared in _compared(targets[block.target], standing, block, row)
    ]


def _compared(target: Target, standing: Standing, block: Block, row: MethodRow) -> list[Compared]:
    """Return the difference of a row of a block from the baseline; empty if there is nothing to compare."""
    other, found = opposite(block, row), difference(block, row, target.metric)
    if other is None or found is None:
        return []
    return [Compared(target, standing, row.seeds, other.name.row, other.seeds, found)]
