"""What front ends do: scores with and without them in one network, and how far they move and change scenes."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.leaderboard.grids import (
    EMPTY,
    Grid,
    GridCell,
    GridRow,
    mean_of_all,
    plain_number,
    printed_difference,
    signed_number,
    word_cells,
)
from rsir_bench.leaderboard.tables.parts import DOUBT
from rsir_bench.records.cells import cell_of, is_plain, row_label
from rsir_bench.records.metrics import compared_metrics, main_metric
from rsir_bench.records.schema import Record


@dataclass(frozen=True)
class Effect:
    """The effect of a front end on one row and target, as means over seeds.

    Attributes:
        seeds: The number of seeds.
        on: Scores with the front end, by metric; None if a record lacks the metric.
        off: Scores with it switched off in the same networks.
        displacement: Mean distance in pixels by which it moves the content of scenes; None: not defined.
        change: Mean absolute change of values, in units of [0, 1].
    """

    seeds: int
    on: dict[str, float | None]
    off: dict[str, float | None]
    displacement: float | None
    change: float

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are compared."""
        return tuple(self.on)

    def difference(self, metric: str) -> float | None:
        """Return the printed score with the front end minus the printed one without it."""
        return printed_difference(self.on[metric], self.off[metric])

    @property
    def moved(self) -> str:
        """The displacement as tables print it."""
        return EMPTY if self.displacement is None else f"{self.displacement:.2f}"

    @property
    def changed(self) -> str:
        """The change of values as tables print it."""
        return plain_number(self.change)


def effect_of(records: Iterable[Record]) -> Effect | None:
    """Return the effect of the front end of one row on one target; None if no record has one."""
    measured = [(record, record.effect) for record in records if record.effect is not None]
    if not measured:
        return None
    metrics = compared_metrics(measured[0][0])
    moved = [effect.displacement for _, effect in measured if effect.displacement is not None]
    return Effect(
        seeds=len(measured),
        on={name: mean_of_all([record.metrics.get(name) for record, _ in measured]) for name in metrics},
        off={name: mean_of_all([effect.metrics.get(name) for _, effect in measured]) for name in metrics},
        displacement=statistics.fmean(moved) if len(moved) == len(measured) else None,
        change=statistics.fmean(effect.change for _, effect in measured),
    )


@dataclass(frozen=True)
class VariantRow:
    """One row of a method behind a front end, or of the plain network, on one target; the latter has no effect."""

    records: tuple[Record, ...]
    effect: Effect | None

    @property
    def first(self) -> Record:
        """One of its records."""
        return self.records[0]

    @property
    def doubtful(self) -> bool:
        """Whether its values do not measure retrieval."""
        return any(record.doubts for record in self.records)

    def score(self, metric: str) -> float | None:
        """Return the mean over seeds; None if a record lacks the metric."""
        return mean_of_all([record.metrics.get(metric) for record in self.records])


def variants(board: Board) -> dict[str, list[VariantRow]]:
    """Return the rows with an effect by target, the best first, beside those of the plain network.

    Seeds from before effects were measured are left out of a row. A target without any effect is left out.
    """
    cells: dict[str, dict[tuple[str, str, str], list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in board.records:
        if is_plain(record):
            cells[record.target.label][cell_of(record)].append(record)
    found = {}
    for target, rows in cells.items():
        behind = [[one for one in records if one.effect is not None] for records in rows.values()]
        plain = [records for records in rows.values() if records[0].method.label == REFERENCE]
        if any(behind):
            made = [VariantRow(tuple(records), effect_of(records)) for records in [*filter(None, behind), *plain]]
            found[target] = sorted(made, key=_best_first)
    return found


def _best_first(row: VariantRow) -> tuple[bool, float, str, str]:
    mean = statistics.fmean(record.metrics[main_metric(record)] for record in row.records)
    return row.doubtful, -mean, row.first.method.label, row_label(row.first)


def grids(board: Board, caption: str = "{}") -> list[Grid]:
    """Return one grid per target.

    Args:
        board: The board.
        caption: The caption of each grid; ``{}`` in it becomes the title of the target.
    """
    return [_grid(board, rows, caption) for rows in variants(board).values()]


def _grid(board: Board, rows: Sequence[VariantRow], caption: str) -> Grid:
    compared = [header for metric in compared_metrics(rows[0].first) for header in (metric, f"{metric} off", "Δ")]
    target = rows[0].first.target
    return Grid(
        caption=caption.format(f"{target.heading} ({target.scenes} scenes, {target.classes} classes)"),
        headers=("Method", "Row", "Seeds", *compared, "Moved (px)", "Changed"),
        words=2,
        rows=tuple(GridRow(tuple(_cells(board, row)), row.records) for row in rows),
    )


def _cells(board: Board, row: VariantRow) -> list[GridCell]:
    cells = [*word_cells(board.title_of(row.first), row_label(row.first)), GridCell(str(len(row.records)))]
    for metric in compared_metrics(row.first):
        cells.append(GridCell(plain_number(row.score(metric)), suffix=DOUBT * row.doubtful, measured=True))
        off = row.effect.off[metric] if row.effect else None
        cells.append(GridCell(plain_number(off), measured=row.effect is not None))
        cells.append(GridCell(signed_number(row.effect.difference(metric) if row.effect else None)))
    texts = (row.effect.moved, row.effect.changed) if row.effect else (EMPTY, EMPTY)
    return cells + [GridCell(text, measured=row.effect is not None) for text in texts]
