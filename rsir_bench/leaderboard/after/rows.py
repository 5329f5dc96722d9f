"""Rows before and after post-processing, as means over the seeds that have both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.grids import mean_of_all, printed_difference
from rsir_bench.records.cells import after_of, descriptor_label
from rsir_bench.records.metrics import compared_metrics
from rsir_bench.records.schema import Record


@dataclass(frozen=True)
class AfterRow:
    """One post-processing of one row; the plain rankings of a row have an ``AfterRow`` without a label.

    Attributes:
        label: ``"aQE 10,3 (transductive)"``; empty: none.
        records: Its records, by seed.
        plain: The records of the plain rankings with the same seeds.
    """

    label: str
    records: tuple[Record, ...]
    plain: tuple[Record, ...]

    @property
    def doubtful(self) -> bool:
        """Whether its values do not measure retrieval."""
        return any(record.doubts for record in self.records)

    @property
    def seconds(self) -> float | None:
        """Mean processor time of post-processing; None without."""
        return mean_of_all([record.cost.get("after_seconds") for record in self.records])

    def score(self, metric: str) -> float | None:
        """Return the mean over seeds; None if a record lacks the metric."""
        return mean_of_all([record.metrics.get(metric) for record in self.records])

    def difference(self, metric: str) -> float | None:
        """Return the printed score minus the printed one of the plain rankings; None without those of every seed."""
        if not self.label or len(self.plain) < len(self.records):
            return None
        return printed_difference(self.score(metric), mean_of_all([one.metrics.get(metric) for one in self.plain]))


@dataclass(frozen=True)
class AfterGroup:
    """A row of a method on a target, plain and after every post-processing.

    Attributes:
        title: The method as tables print it.
        name: The method's name without settings.
        label: The method as ``--methods`` takes it.
        row: The row, without post-processing.
        metrics: What is compared.
        rows: The plain rankings, where their records are there, then the others by name and values.
    """

    title: str
    name: str
    label: str
    row: str
    metrics: tuple[str, ...]
    rows: tuple[AfterRow, ...]


def after_groups(board: Board) -> dict[str, list[AfterGroup]]:
    """Return what is post-processed of undistorted targets, by target; rows with the best plain mAP first."""
    cells: dict[str, dict[tuple[str, str], list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in board.records:
        if record.distortion is None:
            cells[record.target.label][record.method.label, descriptor_label(record)].append(record)
    found = {}
    for target, rows in cells.items():
        groups = [_group(board, records) for records in rows.values() if any(record.after for record in records)]
        if groups:
            found[target] = sorted(groups, key=_best_first)
    return found


def _group(board: Board, records: Sequence[Record]) -> AfterGroup:
    plain = {record.seed: record for record in records if record.after is None}
    processed: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.after is not None:
            processed[after_of(record)].append(record)
    seeds = {record.seed for of_one in processed.values() for record in of_one}
    rows = (
        [AfterRow("", tuple(plain[seed] for seed in sorted(plain.keys() & seeds)), ())] if plain.keys() & seeds else []
    )
    rows += [_row(of_one, plain) for _, of_one in sorted(processed.items())]
    first = records[0]
    names = board.title_of(first), first.method.name, first.method.label, descriptor_label(first)
    return AfterGroup(*names, compared_metrics(first), tuple(rows))


def _row(records: Iterable[Record], plain: dict[int, Record]) -> AfterRow:
    by_seed = sorted(records, key=lambda record: record.seed)
    before = tuple(plain[record.seed] for record in by_seed if record.seed in plain)
    after = by_seed[0].after
    return AfterRow(after.label if after else "", tuple(by_seed), before)


def _best_first(group: AfterGroup) -> tuple[bool, float, str, str]:
    first = group.rows[0]
    return first.doubtful, -(first.score(group.metrics[0]) or 0), group.label, group.row
