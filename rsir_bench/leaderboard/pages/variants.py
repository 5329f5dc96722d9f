"""Variants of the paper's method, question by question, and front ends on and off in the same network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.leaderboard.grids import Document, Grid, GridCell, GridRow, plain_number, provenance, word_cells
from rsir_bench.leaderboard.pages.board_rows import BoardRow
from rsir_bench.leaderboard.pages.cells import metric_cell, short_titles, signs
from rsir_bench.leaderboard.tables.build import ablations
from rsir_bench.leaderboard.tables.notes import origin_notes
from rsir_bench.leaderboard.tables.parts import DOUBT, MethodRow, MetricCell, Table
from rsir_bench.leaderboard.variants import VariantRow, grids, variants
from rsir_bench.records.cells import row_label
from rsir_bench.records.metrics import compared_metrics
from rsir_bench.records.schema import Record

METRICS = ("mAP", "P@5")
DIGITS = 3
ON_AND_OFF = "front end on and off"


def document(board: Board) -> Document | None:
    """Return the variants of a board; None if it has none, and no record has the effect of a front end."""
    questions, effects = ablations(board, METRICS), variants(board)
    if not questions and not effects:
        return None
    on_and_off = [row for rows in effects.values() for row in rows]
    data = [fields for table in questions for fields in _variant_fields(board, table)]
    data += [_effect_fields(board, row) for row in on_and_off]
    columns = dict.fromkeys(name for fields in data for name in fields)
    return Document(
        board=board.name,
        name="variants",
        heading=f"Variants on {board.name}",
        grids=(*map(_grid, questions), *grids(board, f"{{}}: {ON_AND_OFF}")),
        data=tuple({name: fields.get(name, "") for name in columns} for fields in data),
        notes=(*_notes(board, questions), *_effect_notes(board, on_and_off)),
    )


def _grid(table: Table) -> Grid:
    names = dict.fromkeys((row.name.label, row.name.row) for block in table.blocks for row in block.rows if row.seeds)
    headers = ["Method", "Row", "Seeds"]
    headers += [f"{title} {metric}" for title in short_titles(table.blocks) for metric in table.metrics]
    of = [{(row.name.label, row.name.row): row for row in block.rows} for block in table.blocks]
    return Grid(table.caption, tuple(headers), 2, tuple(_row(table, [rows[name] for rows in of]) for name in names))


def _row(table: Table, on: Sequence[MethodRow]) -> GridRow:
    row = BoardRow(on[0].name, tuple(on))
    cells = [*word_cells(row.name.title, row.name.row), GridCell(row.seeds, superscript=row.signs)]
    cells += [metric_cell(row.cells[metric], DIGITS) for row in on for metric in table.metrics]
    return GridRow(tuple(cells), row.records)


def _variant_fields(board: Board, table: Table) -> Iterator[dict[str, str | int]]:
    """Yield the rows of the CSV file for one question."""
    for block in table.blocks:
        for row in block.rows:
            if row.records:
                fields = _start(board, table.caption, row.records)
                for metric in table.metrics:
                    cell = row.cells.get(metric, MetricCell())
                    fields[metric] = plain_number(cell.mean, empty="")
                    fields[f"{metric} sd"] = plain_number(cell.sd, empty="")
                fields["doubts"] = "; ".join(row.doubts)
                yield fields | provenance(row.records)


def _effect_fields(board: Board, row: VariantRow) -> dict[str, str | int]:
    """Return one row of the CSV file for a front end on and off."""
    effect = row.effect
    fields = _start(board, ON_AND_OFF, row.records)
    for metric in compared_metrics(row.first):
        fields[metric] = plain_number(row.score(metric), empty="")
        fields[f"{metric} off"] = plain_number(effect.off.get(metric) if effect else None, empty="")
    fields["moved px"] = "" if effect is None or effect.displacement is None else f"{effect.displacement:.6g}"
    fields["changed"] = "" if effect is None else f"{effect.change:.6g}"
    fields["doubts"] = "; ".join(doubt for record in row.records for doubt in record.doubts)
    return fields | provenance(row.records)


def _start(board: Board, question: str, records: Sequence[Record]) -> dict[str, str | int]:
    first = records[0]
    return {
        "board": board.name,
        "protocol_hash": board.protocol.hash,
        "question": question,
        "target": first.target.label,
        "method": first.method.label,
        "row": row_label(first),
        "seeds": len(records),
    }


def _notes(board: Board, questions: Sequence[Table]) -> Iterator[str]:
    rows = [row for table in questions for block in table.blocks for row in block.rows]
    if questions:
        yield (
            f"Protocol {board.name} (hash {board.protocol.hash}). Each table answers a question that the paper asks "
            "about its method in Tables III to VII, with the variants that were run here. ± is the standard deviation "
            f"over seeds; the leaderboard has the differences from {REFERENCE}."
        )
    if any(cell.mark for row in rows for cell in row.cells.values()):
        yield (
            "Bold and underlined are the best and second best, among lines of five seeds or more where there are any. "
            + signs(rows)
        ).strip()
    yield from origin_notes([block for table in questions for block in table.blocks])


def _effect_notes(board: Board, rows: Sequence[VariantRow]) -> Iterator[str]:
    if not rows:
        return
    size = board.protocol.settings["data"]["size"] or "its own size"
    yield (
        f"On and off (protocol {board.name}, hash {board.protocol.hash}), means over seeds: off is the same trained "
        "network and components, with the target's scenes described without the front end; Δ is with it minus without."
    )
    yield (
        "Moved: the mean distance by which the content of a scene is moved, in pixels of the network's input of "
        f"{size}; a dash where that is not defined. Changed: the mean absolute change of a value at the same pixel, "
        "where values run from 0 to 1. A front end that moves and changes next to nothing is judged by nothing."
    )
    yield from sorted(set(_doubts(rows)))


def _doubts(rows: Iterable[VariantRow]) -> Iterator[str]:
    for row in rows:
        for one in row.records:
            if one.doubts:
                name = f"{row.first.method.label}, {row_label(row.first)}, on {row.first.target.heading}"
                yield f"{DOUBT} {name}, seed {one.seed}: {'; '.join(one.doubts)}."
