"""Drift: how far results are from a baseline, and whether seeds and rounding explain it."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rsir_bench.ranking.names import DEFAULT
from rsir_bench.records.cells import CellId, describe_cell, index_by_cell, matching_baseline
from rsir_bench.records.editions import source_edition, target_edition
from rsir_bench.records.schema import Record, SourcePart, TargetPart
from rsir_bench.records.verdict import EXACT, Tolerance, Verdict
from rsir_bench.scenes.card import edition_name, load_cards

UNKNOWN_SPREAD = 0.02
"""The spread if no cell of a board has three seeds: the largest spread of published cells."""

LEAST_SPREAD = 0.002
"""The least spread, however alike the seeds are: a few swapped neighbours in a few hundred rankings."""

PRIOR_FREEDOM = 4
"""The weight of the board's spread relative to a cell's, as degrees of freedom; three seeds may agree by chance."""

OK_SPREADS, OKISH_SPREADS = 2.0, 5.0


@dataclass(frozen=True)
class Shift:
    """One metric of a cell: its value in the baseline, its value now, and the tolerance of the difference."""

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
        """The difference as a share of the OKish tolerance; above 1 it fails, and so does NaN."""
        share = abs(self.difference) / self.tolerance.okish
        return share if math.isfinite(share) else math.inf

    @property
    def verdict(self) -> Verdict:
        """OK, OKish or FAIL."""
        return self.tolerance.verdict(self.difference)


@dataclass(frozen=True)
class CellDrift:
    """A result compared with the baseline, or the means of several seeds.

    Attributes:
        cell: Board, method, row, target and distortion.
        seeds: The seed, or the seeds that the means are over.
        shifts: Every metric, the worst first; empty if the results are not comparable.
        differs: Why they are not comparable, for example ``"method.version: 1 -> 2"``.
        editions: Which editions differ, for example ``"rsscn7: jpeg-256 -> original"``.
    """

    cell: CellId
    seeds: tuple[int, ...]
    shifts: tuple[Shift, ...]
    differs: tuple[str, ...] = ()
    editions: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict on its worst metric."""
        if self.shifts and self.editions:
            return Verdict.ANOTHER_EDITION
        return self.shifts[0].verdict if self.shifts else Verdict.NOT_COMPARABLE

    @property
    def within(self) -> bool:
        """Whether every metric is within what another training would explain: its OKish tolerance."""
        return all(shift.verdict is not Verdict.FAIL for shift in self.shifts)

    @property
    def severity(self) -> float:
        """The severity of its worst metric."""
        return self.shifts[0].severity if self.shifts else math.inf


@dataclass(frozen=True)
class Drift:
    """The outcome of a comparison.

    Attributes:
        cells: The results that the baseline also has, the worst first.
        new: Results that the baseline does not have.
        gone_cells: Results of the baseline that a repeated run no longer has: cell and seed.
    """

    cells: tuple[CellDrift, ...]
    new: tuple[str, ...]
    gone_cells: tuple[tuple[CellId, int], ...]

    @property
    def gone(self) -> tuple[str, ...]:
        """Results of the baseline that a repeated run no longer has, in words."""
        return tuple(cell.describe(seed) for cell, seed in self.gone_cells)

    @property
    def counts(self) -> dict[Verdict, int]:
        """The number of cells with each verdict."""
        counts = Counter(cell.verdict for cell in self.cells)
        return {verdict: counts[verdict] for verdict in Verdict}

    @property
    def of_another_edition(self) -> tuple[int, int]:
        """How many cells on another edition are within the interval, and how many outside."""
        within = [cell.within for cell in self.cells if cell.verdict is Verdict.ANOTHER_EDITION]
        return sum(within), len(within) - sum(within)

    @property
    def compared(self) -> int:
        """The number of cells that were compared, without new, gone and incomparable ones."""
        return len(self.cells) - self.counts[Verdict.NOT_COMPARABLE]

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing failed; results on another edition cannot fail."""
        failed = self.counts[Verdict.FAIL] + self.counts[Verdict.NOT_COMPARABLE]
        return self.compared > 0 and failed == 0


def compare(records: Iterable[Record], baseline: Iterable[Record]) -> Drift:
    """Compare results with a baseline, cell by cell and, where there are several seeds, also mean by mean.

    The same seed on another processor, or with another number of threads, trains another network: rounding differences
    grow during training until they are as large as those between seeds. So the unit of differences is the standard
    deviation over the baseline's seeds, times sqrt(2) for the difference of two independent results: OK up to 2, OKish
    up to 5, FAIL beyond. (With 4, held-out seeds of published results failed once in a few hundred cells.)

    Since three seeds may agree by chance, a cell's own deviation is pooled with its board's, which has the weight of
    four degrees of freedom; cells with fewer than three seeds use the board's alone. For means of n seeds, the
    tolerance is divided by sqrt(n), so that small changes show. Untrained methods are deterministic: OK up to 1e-5,
    OKish up to the effect of two neighbours that swap at a cut-off in one query.

    A result on an edition that the baseline lacks is compared with each edition that it has. Their numbers cannot be
    equal, so the verdict is ``ANOTHER_EDITION``, within the tolerance of another training or outside. This also holds
    for untrained methods, whose cells then use the board's deviation.

    Args:
        records: The results now, of any boards.
        baseline: The results before; results of runs that were not repeated only count for the spread over seeds.

    Raises:
        UserError: Two different results have the same cell and seed.
    """
    now = index_by_cell(records, "the runs")
    before = index_by_cell(matching_baseline(now.values(), baseline), "the baseline")
    spreads = _Spreads(before.values())
    pairs: dict[tuple[CellId, CellId], list[tuple[Record, Record]]] = defaultdict(list)
    opposite = _opposite(now, before)
    drifts = []
    for (cell, seed), keys in opposite.items():
        for other, _ in keys:
            old, new = before[other, seed], now[cell, seed]
            if differs := differences(old, new):
                drifts.append(CellDrift(cell, (seed,), (), differs))
            else:
                pairs[cell, other].append((old, new))
    for (cell, _), of_cell in pairs.items():
        drifts += [spreads.compare(cell, [pair]) for pair in of_cell]
        drifts += [spreads.compare(cell, of_cell)] if len(of_cell) > 1 else []
    repeated = {_run(record) for record in now.values()}
    met = {key for keys in opposite.values() for key in keys}
    here = {_on_any_edition(*key) for key in now}
    return Drift(
        tuple(sorted(drifts, key=lambda drift: -drift.severity)),
        tuple(describe_cell(record) for key, record in now.items() if not opposite[key]),
        tuple(
            key
            for key, record in before.items()
            if key not in met and _on_any_edition(*key) not in here and _run(record) in repeated
        ),
    )


Cells = dict[tuple[CellId, int], Record]


def _opposite(now: Cells, before: Cells) -> dict[tuple[CellId, int], list[tuple[CellId, int]]]:
    """Return the reference of each result: the result on the same scenes, or else results on other editions."""
    others: dict[tuple[CellId, int], list[tuple[CellId, int]]] = defaultdict(list)
    for key in before:
        others[_on_any_edition(*key)].append(key)
    return {key: [key] if key in before else sorted(others[_on_any_edition(*key)], key=str) for key in now}


def _on_any_edition(cell: CellId, seed: int) -> tuple[CellId, int]:
    return replace(cell, scenes=("", "")), seed


def differences(old: Record, new: Record) -> tuple[str, ...]:
    """Return why two results of one cell are not comparable: definitions or settings, but not the machine.

    Another edition does not, see ``_editions``; another number of scenes does, and so do generated scenes that are
    not the same: the code that draws them has changed.
    """
    before, after = _circumstances(old), _circumstances(new)
    if old.key == new.key:  # a setting that one code did not have yet is at the default that changes nothing
        shared = old.method.settings.keys() & new.method.settings.keys()
        for circumstances in (before, after):
            settings = circumstances["method.settings"]
            circumstances["method.settings"] = {name: settings[name] for name in sorted(shared)}
    lost = sorted(old.metrics.keys() & {*DEFAULT} - new.metrics.keys())
    return tuple(f"metrics: lack {name}" for name in lost) + tuple(
        change
        for name in before
        if before[name] != after[name] and None not in (before[name], after[name])  # older records lack some of these
        for change in _changes(name, before[name], after[name])
    )


def _changes(name: str, before: Any, after: Any) -> list[str]:
    """Return for example ``"method.settings.jsst.rate: 0.1 -> 0.01"``; of mappings, only the values that differ."""
    if not isinstance(before, dict):
        return [f"{name}: {before} -> {after}"]
    pairs = {key: (before.get(key, "absent"), after.get(key, "absent")) for key in sorted({*before, *after})}
    return [f"{name}.{key}: {old} -> {new}" for key, (old, new) in pairs.items() if old != new]


def _if_generated(scenes: TargetPart | SourcePart) -> str | None:
    card = load_cards().get(scenes.name)
    return scenes.fingerprint[:12] if card is not None and card.generator is not None else None


def _circumstances(record: Record) -> dict[str, Any]:
    distortion, pixels = record.distortion, record.pixels
    return {
        "metric_version": record.metric_version,
        "protocol.hash": record.protocol.hash,
        "method.version": record.method.version,
        "method.settings": record.method.settings,
        "row.descriptor": (record.row.descriptor, record.row.kind, record.row.dimensions),
        "target.fingerprint": _if_generated(record.target),
        "source.fingerprint": _if_generated(record.source) if record.source else None,
        "source.reading": record.source.reading if record.source else None,
        "target.scenes": (record.target.scenes, record.target.excluded, record.target.classes),
        "queries": (record.queries.count, record.queries.skipped),
        "distortion.version": distortion.version if distortion else None,
        "after.version": record.after.version if record.after else None,
        "pixels": pixels.model_dump(include={"size", "filter", "antialias", "bands", "value_range"})
        if pixels
        else None,
        "pixels.mean": pixels.mean if pixels else None,
        "pixels.std": pixels.std if pixels else None,
        "weights": {name: value for name, value in record.weights.items() if name != "trained"},
    }


def _editions(old: Record, new: Record) -> tuple[str, ...]:
    """Return which editions differ: ``"rsscn7: jpeg-256 -> original"``."""
    target = (old.target.fingerprint, new.target.fingerprint)
    found = [(new.target.name, target, target_edition(old), target_edition(new))]
    if old.source and new.source:
        source = (old.source.fingerprint, new.source.fingerprint)
        found.append((new.source.name, source, source_edition(old), source_edition(new)))
    if (before := old.unlabelled) and (now := new.unlabelled):
        pool = (before.fingerprint, now.fingerprint)
        found.append((now.name, pool, edition_name(before.name, pool[0]), edition_name(now.name, pool[1])))
    return tuple(f"{name}: {before} -> {now}" for name, (first, second), before, now in found if first != second)


def _run(record: Record) -> tuple[str, str, int]:
    return record.protocol.board, record.method.label, record.seed


class _Spreads:
    """How far the baseline's seeds differ, by cell and metric, and pooled over each board."""

    def __init__(self, baseline: Iterable[Record]) -> None:
        values: dict[tuple[CellId, str], list[float]] = defaultdict(list)
        for record in baseline:
            for metric, value in record.metrics.items():
                values[CellId.of(record), metric].append(value)
        self._own = {key: _squares(found) for key, found in values.items() if len(found) >= 3}
        self._pooled: dict[tuple[str, str], tuple[float, int]] = {}
        for (cell, metric), (squares, freedom) in self._own.items():
            pooled = self._pooled.get((cell.board, metric), (0.0, 0))
            self._pooled[cell.board, metric] = pooled[0] + squares, pooled[1] + freedom

    def compare(self, cell: CellId, pairs: Sequence[tuple[Record, Record]]) -> CellDrift:
        """Compare one result with the baseline, or the means of several seeds."""
        before, now = _means([old for old, _ in pairs]), _means([new for _, new in pairs])
        first, last = pairs[0]
        editions, of = _editions(first, last), CellId.of(first)
        exact = first.source is None and not editions
        shifts = [
            Shift(metric, value, now[metric], self._tolerance(first, of, metric, len(pairs), exact=exact))
            for metric, value in before.items()
            if metric in now
        ]
        seeds = tuple(old.seed for old, _ in pairs)
        return CellDrift(cell, seeds, tuple(sorted(shifts, key=lambda shift: -shift.severity)), editions=editions)

    def _tolerance(self, record: Record, cell: CellId, metric: str, seeds: int, *, exact: bool) -> Tolerance:
        if exact:
            return Tolerance(EXACT, max(0.2 / record.queries.count, 2 * EXACT))
        sd = max(self._spread(cell, metric), LEAST_SPREAD) * math.sqrt(2 / seeds)
        return Tolerance(OK_SPREADS * sd, OKISH_SPREADS * sd)

    def _spread(self, cell: CellId, metric: str) -> float:
        if (cell.board, metric) not in self._pooled:
            return UNKNOWN_SPREAD
        pooled, all_freedom = self._pooled[cell.board, metric]
        squares, freedom = self._own.get((cell, metric), (0.0, 0))
        prior = pooled / all_freedom
        return math.sqrt((squares + PRIOR_FREEDOM * prior) / (freedom + PRIOR_FREEDOM))


def _squares(values: Sequence[float]) -> tuple[float, int]:
    """Return the sum of squared deviations from the mean, and its degrees of freedom."""
    freedom = len(values) - 1
    return statistics.variance(values) * freedom, freedom


def _means(records: Sequence[Record]) -> dict[str, float]:
    """Return the mean of each metric that all records hold; older ones hold fewer."""
    shared = [metric for metric in records[0].metrics if all(metric in record.metrics for record in records)]
    return {metric: statistics.fmean(record.metrics[metric] for record in records) for metric in shared}
