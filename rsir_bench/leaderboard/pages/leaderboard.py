"""The leaderboard of a board: all targets side by side, best first, with differences from the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TypeVar

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.leaderboard.grids import (
    EMPTY,
    Document,
    Grid,
    GridCell,
    GridRow,
    plain_number,
    provenance,
    signed_number,
    word_cells,
)
from rsir_bench.leaderboard.pages.board_rows import BoardRow, Part, best_first, parts_of
from rsir_bench.leaderboard.pages.cells import (
    encoder_columns,
    encoder_headers,
    metric_cell,
    metric_fields,
    short_titles,
)
from rsir_bench.leaderboard.pages.differences import Difference
from rsir_bench.leaderboard.pages.intervals import DIGITS, intervals
from rsir_bench.leaderboard.pages.leaderboard_notes import notes
from rsir_bench.leaderboard.tables.parts import MethodRow, MetricCell, Table
from rsir_bench.ranking.names import shown_name
from rsir_bench.records.schema import in_edition

Made = TypeVar("Made")

MEAN = "mean over targets"
"""The target of those rows of the CSV file that hold mean differences."""


def document(board: Board, tables: Sequence[Table], metrics: Sequence[str] | None = None) -> Document | None:
    """Return the leaderboard of a board; None if nothing was run on undistorted scenes.

    Args:
        board: The board.
        tables: Its tables.
        metrics: One grid for each of them, those that the tables have; None: ``SHOWN``.
    """
    parts = [part for part in parts_of(tables, metrics) if part.rows]
    if not parts:
        return None
    shown = [table for table in tables if not table.ablation]
    return Document(
        board=board.name,
        name="leaderboard",
        heading=f"Leaderboard of {board.name}",
        grids=(*_of_each(parts, partial(_grid, board)), *filter(None, _of_each(parts, intervals))),
        data=tuple(_data(board, shown, parts)),
        notes=tuple(notes(board, parts)),
    )


def _of_each(parts: Sequence[Part], make: Callable[[Part, str], Made]) -> list[Made]:
    return [make(part, metric) for part in parts for metric in part.metrics]


def _grid(board: Board, part: Part, metric: str) -> Grid:
    compared = any(part.differences(metric))
    ordered = best_first(part.rows, metric, part.blocks)
    about = encoder_headers(board)
    headers = ["Method", "Row", *about, "Seeds"]
    for title in short_titles(part.blocks):
        headers += [title, *(["Δ"] if compared else [])]
    best = [_best_texts(part, place, metric) for place in range(len(part.blocks))]
    rows = []
    for row in ordered:
        known = encoder_columns(row.records)
        cells = [*word_cells(row.name.title, row.name.row, *(known.get(header, "") for header in about))]
        cells.append(GridCell(row.seeds, superscript=row.signs))
        for place, on in enumerate(row.on):
            cells.append(_value(on, metric, best[place]))
            cells += [_change(part.difference(row, place, metric))] if compared else []
        rows.append(GridRow(tuple(cells), row.records))
    rows += _references(part, metric, len(about), compared=compared)
    return Grid(shown_name(metric), tuple(headers), 2 + len(about), tuple(rows))


def _best_texts(part: Part, place: int, metric: str) -> set[str]:
    """Return how the best value of a target is printed, so that what looks equal is marked equally."""
    cells = [row.cells[metric] for board_row in part.rows if (row := board_row.on[place]) is not None]
    return {plain_number(cell.mean, digits=DIGITS) for cell in cells if cell.mark == "best"}


def _value(row: MethodRow | None, metric: str, best: set[str]) -> GridCell:
    if row is None or not row.records:
        return GridCell(EMPTY)
    cell = metric_cell(row.cells[metric], DIGITS)
    return replace(cell, mark="best") if cell.mark and cell.text in best else cell


def _change(found: Difference | None) -> GridCell:
    if found is None:
        return GridCell(EMPTY)
    return GridCell(signed_number(found.mean, DIGITS))


def _references(part: Part, metric: str, about: int, *, compared: bool) -> Iterator[GridRow]:
    """Yield the rows of chance and oracle, where the targets have them."""
    for title in dict.fromkeys(one.title for block in part.blocks for one in block.references):
        cells = [*word_cells(title, *[""] * (about + 2))]
        for block in part.blocks:
            values = {one.title: one.values.get(metric) for one in block.references}
            cells.append(GridCell(plain_number(values.get(title), digits=DIGITS)))
            cells += [GridCell(EMPTY)] if compared else []
        yield GridRow(tuple(cells), ())


def _data(board: Board, tables: Sequence[Table], parts: Sequence[Part]) -> Iterator[dict[str, str | int]]:
    """Yield the rows of the CSV file: one for each row and target, with all metrics of the tables."""
    scored = dict.fromkeys(chain.from_iterable(table.metrics for table in tables))
    compared = dict.fromkeys(chain.from_iterable(part.metrics for part in parts))
    about = encoder_headers(board)
    for part in parts:
        for row in part.rows:
            for place, on in enumerate(row.on):
                if on is not None and on.records:
                    known = encoder_columns(on.records)
                    fields = _start(board, part.blocks[place].target, row, on.seeds)
                    fields |= {header: known.get(header, "") for header in about} | _scores(on, scored)
                    fields |= _changes({name: part.difference(row, place, name) for name in compared})
                    yield fields | {"doubts": "; ".join(on.doubts), "origin": on.origin} | provenance(on.records)
            for suite, words in part.suites.items():
                means = {name: part.mean_difference(row, name, suite) for name in part.metrics}
                if any(means.values()):
                    first = next(on for block, on in zip(part.blocks, row.on, strict=True) if block.suite == suite)
                    target = in_edition(MEAN, words)
                    yield _start(board, target, row, first.seeds if first else 0) | _changes(means)
        for block in part.blocks:
            for reference in block.references:
                values = {name: plain_number(reference.values.get(name), empty="") for name in scored}
                yield {"board": board.name, "target": block.target, "method": reference.title.lower(), **values}


def _start(board: Board, target: str, row: BoardRow, seeds: int) -> dict[str, str | int]:
    return {
        "board": board.name,
        "protocol_hash": board.protocol.hash,
        "target": target,
        "method": row.name.label,
        "row": row.name.row,
        "seeds": seeds,
    }


def _scores(row: MethodRow, metrics: Iterable[str]) -> dict[str, str | int]:
    fields: dict[str, str | int] = {}
    for metric in metrics:
        fields |= metric_fields(metric, row.cells.get(metric, MetricCell()))
    return fields


def _changes(found: Mapping[str, Difference | None]) -> dict[str, str | int]:
    """Return the columns of differences by metric."""
    fields: dict[str, str | int] = {}
    for metric, one in found.items():
        values = (one.mean, one.low, one.high) if one else (None, None, None)
        names = (f"{metric} minus {REFERENCE}{end}" for end in ("", " low", " high"))
        fields |= {name: plain_number(value, empty="") for name, value in zip(names, values, strict=True)}
    return fields
