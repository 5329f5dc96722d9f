"""The tables of the paper: published values, and ours next to them."""

from __future__ import annotations

from rsir_bench.leaderboard import significance
from rsir_bench.leaderboard.grids import (
    EMPTY,
    Document,
    Grid,
    GridCell,
    GridRow,
    plain_number,
    provenance,
    signed_number,
)
from rsir_bench.leaderboard.pages.cells import block_title, heading, metric_cell, metric_fields, paper_header
from rsir_bench.leaderboard.pages.fill import commands_to_fill, method_for
from rsir_bench.leaderboard.tables.parts import Block, MethodRow, MetricCell, Table
from rsir_bench.ranking.names import shown_name
from rsir_bench.records.paper import PUBLISHED_COLUMNS


def document(table: Table) -> Document:
    """Return a table of the paper, one grid per target; its empty cells lead to the commands that fill them."""
    fills = commands_to_fill(table)
    return Document(
        board=table.board.name,
        name=table.name,
        heading=heading(table),
        grids=tuple(_grid(table, block) for block in table.blocks),
        data=tuple(_fields(table, block, row, fills) for block in table.blocks for row in block.rows),
        notes=table.notes,
        footnotes=table.footnotes,
        fills=fills,
    )


def _grid(table: Table, block: Block) -> Grid:
    differs = any(
        cell.difference is not None for each in table.blocks for row in each.rows for cell in row.cells.values()
    )
    headers = ["Method", "Row", "Seeds"]
    for metric in table.metrics:
        headers.append(shown_name(metric))
        headers += [paper_header(metric), *(["Δ"] if differs else [])] if metric in PUBLISHED_COLUMNS else []
    rows = (GridRow(tuple(_cells(table, row, differs=differs)), row.records) for row in block.rows)
    return Grid(block_title(block), tuple(headers), 2, tuple(rows))


def _cells(table: Table, row: MethodRow, *, differs: bool) -> list[GridCell]:
    signs = significance.APART * row.apart + significance.ELSEWHERE * bool(row.origin)
    fill = method_for(row)
    cells = [GridCell(row.name.title, superscript=str(row.footnote or "")), GridCell(row.name.row)]
    cells.append(GridCell(str(row.seeds), superscript=signs) if row.seeds else GridCell(EMPTY, fill=fill))
    for metric in table.metrics:
        cell = row.cells[metric]
        cells.append(metric_cell(cell) if cell.mean is not None else GridCell(EMPTY, fill=fill))
        if metric in PUBLISHED_COLUMNS:
            cells += [GridCell(plain_number(cell.paper)), *([_difference(cell)] if differs else [])]
    return cells


def _difference(cell: MetricCell) -> GridCell:
    return GridCell(signed_number(cell.difference))


def _fields(table: Table, block: Block, row: MethodRow, fills: dict[str, str]) -> dict[str, str | int]:
    """Return one row of the CSV file; where it was not run, its command is that which fills it."""
    fields: dict[str, str | int] = {
        "board": table.board.name,
        "protocol_hash": table.board.protocol.hash,
        "table": table.name,
        "target": block.target,
        "method": row.name.label or row.name.title,
        "row": row.name.row,
        "seeds": row.seeds,
    }
    for metric, cell in row.cells.items():
        fields |= metric_fields(metric, cell)
        if metric in PUBLISHED_COLUMNS:
            fields[paper_header(metric)] = plain_number(cell.paper, empty="")
            fields[f"{metric} difference"] = plain_number(cell.difference, empty="")
    if any(each.doubts for every in table.blocks for each in every.rows):
        fields["doubts"] = "; ".join(row.doubts)
    if any(each.origin for every in table.blocks for each in every.rows):
        fields["origin"] = row.origin
    fields["slip"] = table.footnotes[row.footnote - 1] if row.footnote else ""
    found = provenance(row.records)
    return fields | found | ({"command": fills[method]} if (method := method_for(row)) else {})
