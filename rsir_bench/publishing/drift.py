"""Drift: how far results moved from a baseline, and whether further than seeds and rounding explain."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rsir_bench.records.cells import Place, beside, by_place, describe_place
from rsir_bench.records.schema import Record
from rsir_bench.records.verdict import EXACT, Tolerance, Verdict

# Where no cell of a board has three seeds: as far as seeds of the most restless published cells differ.
UNKNOWN_SPREAD = 0.02
# However alike the seeds: a few neighbours that change places in a few hundred rankings.
LEAST_SPREAD = 0.002
# What a cell's own spread weighs against that of its board: three seeds alone may agree by chance.
PRIOR_FREEDOM = 4
OK_SPREADS, OKISH_SPREADS = 2.0, 5.0


@dataclass(frozen=True)
class Shift:
    """One metric of a cell: its value in the baseline, its value now, and what may lie between."""

    metric: str
    before: float
    now: float
    tolerance: Tolerance

    @property
    def difference(self) -> float:
        """Now minus before."""
        return self.now - self.before

    @property
    def severity(self) -> float:
        """The difference as a share of what is still OKish; above 1 it fails, and so does what is no number."""
        share = abs(self.difference) / self.tolerance.okish
        return share if math.isfinite(share) else math.inf

    @property
    def verdict(self) -> Verdict:
        """OK, OKish or FAIL."""
        return self.tolerance.verdict(self.difference)


@dataclass(frozen=True)
class Cell:
    """A result beside its partner in the baseline, or the means of several.

    Attributes:
        place: Board, method, row, target and distortion.
        seeds: One, or those of the mean.
        shifts: Every metric, the gravest first; empty where the two are not comparable.
        differs: What else differs, as ``"method.version: 1 -> 2"``; the two are not comparable then.
    """

    place: Place
    seeds: tuple[int, ...]
    shifts: tuple[Shift, ...]
    differs: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """That of its gravest metric."""
        return self.shifts[0].verdict if self.shifts else Verdict.NOT_COMPARABLE

    @property
    def severity(self) -> float:
        """That of its gravest metric."""
        return self.shifts[0].severity if self.shifts else math.inf


@dataclass(frozen=True)
class Drift:
    """The outcome of a comparison.

    Attributes:
        cells: All that have a partner, the gravest first.
        new: Results without a partner in the baseline.
        gone: Results of the baseline that a run which was made again no longer has.
    """

    cells: tuple[Cell, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many cells have each verdict."""
        found = Counter(cell.verdict for cell in self.cells)
        return {verdict: found[verdict] for verdict in Verdict}

    @property
    def compared(self) -> int:
        """How many cells were compared; new, gone and incomparable ones were not."""
        return len(self.cells) - self.counts[Verdict.NOT_COMPARABLE]

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing failed."""
        failed = self.counts[Verdict.FAIL] + self.counts[Verdict.NOT_COMPARABLE]
        return self.compared > 0 and failed == 0


def compare(records: Iterable[Record], baseline: Iterable[Record]) -> Drift:
    """Compares results with a baseline, cell by cell and, where there are several seeds, mean by mean.

    The same seed on another processor, or with another number of threads, trains another network: rounding grows in
    training to what another seed would give. The yardstick is therefore the standard deviation over the baseline's
    seeds, and a difference of two independent ones has sqrt(2) times that; it is OK up to 2 of those, OKish up to 5,
    FAIL beyond: with 4, seeds set aside of published results were called FAIL once in a few hundred cells. A cell's
    own deviation is pooled with that of its board, with the weight of four degrees of freedom, since three seeds may
    agree by chance; cells of fewer than three seeds take the board's. For means of n seeds all of it is divided by
    sqrt(n): that is where a small change shows. Nothing is left to chance in untrained methods: 1e-5, and OKish up to
    what two neighbours that change places at a cut-off do to one query.

    Args:
        records: The results now, of any boards.
        baseline: The results before; those of other runs are not looked at, except for how far seeds differ.

    Raises:
        UserError: Two different results claim the same place and seed.
    """
    now = by_place(records, "the runs")
    before = by_place(beside(now.values(), baseline), "the baseline")
    spreads = _Spreads(before.values())
    common = [key for key in now if key in before]
    pairs: dict[Place, list[tuple[Record, Record]]] = defaultdict(list)
    cells = []
    for place, seed in common:
        one, other = before[place, seed], now[place, seed]
        if differs := differences(one, other):
            cells.append(Cell(place, (seed,), (), differs))
        else:
            pairs[place].append((one, other))
    for place, found in pairs.items():
        cells += [spreads.cell(place, [pair]) for pair in found]
        cells += [spreads.cell(place, found)] if len(found) > 1 else []
    made_again = {_run(record) for record in now.values()}
    return Drift(
        tuple(sorted(cells, key=lambda cell: -cell.severity)),
        tuple(describe_place(*key) for key in now if key not in before),
        tuple(describe_place(*key) for key, record in before.items() if key not in now and _run(record) in made_again),
    )


def differences(one: Record, other: Record) -> tuple[str, ...]:
    """What makes two results of one place incomparable: definitions, scenes, settings; not scores, not the machine."""
    left, right = _circumstances(one), _circumstances(other)
    return tuple(
        change
        for name in left
        if left[name] != right[name] and None not in (left[name], right[name])  # an older record did not note it
        for change in _changes(name, left[name], right[name])
    )


def _changes(name: str, before: Any, after: Any) -> list[str]:
    """``"method.settings.jsst.rate: 0.1 -> 0.01"``: of mappings only what differs."""
    if not isinstance(before, dict):
        return [f"{name}: {before} -> {after}"]
    pairs = {key: (before.get(key, "absent"), after.get(key, "absent")) for key in sorted({*before, *after})}
    return [f"{name}.{key}: {old} -> {new}" for key, (old, new) in pairs.items() if old != new]


def _circumstances(record: Record) -> dict[str, Any]:
    source, distortion, pixels = record.source, record.distortion, record.pixels
    return {
        "metrics": sorted(record.metrics),
        "metric_version": record.metric_version,
        "protocol.hash": record.protocol.hash,
        "method.version": record.method.version,
        "method.settings": record.method.settings,
        "row.descriptor": (record.row.descriptor, record.row.kind, record.row.dimensions),
        "source.fingerprint": source.fingerprint[:12] if source else None,
        "target.fingerprint": record.target.fingerprint[:12],
        "target.scenes": (record.target.scenes, record.target.excluded, record.target.classes),
        "queries": (record.queries.count, record.queries.skipped),
        "distortion.version": distortion.version if distortion else None,
        "pixels": pixels.model_dump(include={"size", "filter", "antialias", "bands", "value_range"})
        if pixels
        else None,
        "pixels.mean": pixels.mean if pixels else None,
        "pixels.std": pixels.std if pixels else None,
        "weights": {name: value for name, value in record.weights.items() if name != "trained"},
    }


def _run(record: Record) -> tuple[str, str, int]:
    return record.protocol.board, record.method.label, record.seed


class _Spreads:
    """How far the baseline's seeds differ: of each place and metric, and pooled over each board."""

    def __init__(self, baseline: Iterable[Record]) -> None:
        values: dict[tuple[Place, str], list[float]] = defaultdict(list)
        for record in baseline:
            for metric, value in record.metrics.items():
                values[Place.of(record), metric].append(value)
        self._own = {key: _squares(found) for key, found in values.items() if len(found) >= 3}
        self._pooled: dict[tuple[str, str], tuple[float, int]] = {}
        for (place, metric), (squares, freedom) in self._own.items():
            known = self._pooled.get((place.board, metric), (0.0, 0))
            self._pooled[place.board, metric] = known[0] + squares, known[1] + freedom

    def cell(self, place: Place, pairs: Sequence[tuple[Record, Record]]) -> Cell:
        """One result beside its partner, or the means of several."""
        before, now = _means([one for one, _ in pairs]), _means([other for _, other in pairs])
        first = pairs[0][0]
        shifts = [
            Shift(metric, value, now[metric], self._tolerance(first, place, metric, len(pairs)))
            for metric, value in before.items()
        ]
        seeds = tuple(one.seed for one, _ in pairs)
        return Cell(place, seeds, tuple(sorted(shifts, key=lambda shift: -shift.severity)))

    def _tolerance(self, record: Record, place: Place, metric: str, seeds: int) -> Tolerance:
        if record.source is None:
            return Tolerance(EXACT, max(0.2 / record.queries.count, 2 * EXACT))
        sd = max(self._spread(place, metric), LEAST_SPREAD) * math.sqrt(2 / seeds)
        return Tolerance(OK_SPREADS * sd, OKISH_SPREADS * sd)

    def _spread(self, place: Place, metric: str) -> float:
        if (place.board, metric) not in self._pooled:
            return UNKNOWN_SPREAD
        pooled, all_freedom = self._pooled[place.board, metric]
        squares, freedom = self._own.get((place, metric), (0.0, 0))
        prior = pooled / all_freedom
        return math.sqrt((squares + PRIOR_FREEDOM * prior) / (freedom + PRIOR_FREEDOM))


def _squares(values: Sequence[float]) -> tuple[float, int]:
    """The sum of squared deviations from the mean, and its degrees of freedom."""
    freedom = len(values) - 1
    return statistics.variance(values) * freedom, freedom


def _means(records: Sequence[Record]) -> dict[str, float]:
    return {metric: statistics.fmean(record.metrics[metric] for record in records) for metric in records[0].metrics}
