"""From a board to its documents: its tables, front ends, post-processing, costs, and robustness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsir_bench.leaderboard import costs, robustness, significance, variants
from rsir_bench.leaderboard.after import document as after
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.costs import COSTS
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
from rsir_bench.leaderboard.tables import (
    DOUBT,
    ENCODERS,
    GRADED_TARGETS,
    METRICS,
    OTHER_TARGETS,
    Block,
    MethodRow,
    MetricCell,
    Table,
    tables,
)
from rsir_bench.ranking.names import shown_name
from rsir_bench.records.paper import PUBLISHED_COLUMNS
from rsir_bench.records.schema import Record


def documents(board: Board, known: Sequence[Table] | None = None, metrics: Sequence[str] = METRICS) -> list[Document]:
    """Return every document that can be made from the records of a board.

    Args:
        board: The board.
        known: Its tables, where they are made already.
        metrics: The columns of tables that are made here.
    """
    found = [table_document(table) for table in (tables(board, metrics=metrics) if known is None else known)]
    builders = (variants.document, after.document, costs.document, robustness.document)
    return found + [document for build in builders if (document := build(board))]


def table_document(table: Table) -> Document:
    """Return a table as a document, one grid per target."""
    return Document(
        board=table.board.name,
        name=table.name,
        heading=heading(table),
        grids=tuple(_grid(table, block) for block in table.blocks),
        data=tuple(fields for block in table.blocks for fields in _block_fields(table, block)),
        notes=table.notes,
        footnotes=table.footnotes,
    )


def heading(table: Table) -> str:
    """Return for example ``"Table I, board patternnet: ... on RS19, UCM, RSSCN"``."""
    others = {OTHER_TARGETS.name: "Further targets", ENCODERS.name: "Encoders", GRADED_TARGETS.name: "Several labels"}
    name = others.get(table.name, f"Table {table.name}")
    targets = ", ".join(block.title for block in table.blocks)
    return f"{name}, board {table.board.name}: {table.caption} on {targets}"


def block_title(block: Block) -> str:
    """Return for example ``"UCM (2100 scenes, 21 classes)"``."""
    return f"{block.title} ({block.extent})" if block.extent else block.title


def paper_header(metric: str) -> str:
    """Return the header of the published values; what the paper prints as "mAP" is compared with AP@10h only."""
    return 'paper "mAP"' if metric == "AP@10h" else f"paper {metric}"


def metric_cell(cell: MetricCell) -> GridCell:
    """Return our value of a metric with its mark, and its standard deviation where there are several seeds."""
    return GridCell(
        plain_number(cell.mean),
        cell.mark,
        superscript=significance.SIGN if cell.not_worse else "",
        suffix=" ".join(["" if cell.sd is None else f"± {plain_number(cell.sd)}", DOUBT * cell.doubtful]).strip(),
        measured=True,
    )


def encoder_columns(records: Sequence[Record]) -> dict[str, str]:
    """Return by header what else tables print of an encoder; empty where the records are of none."""
    first = next((record for record in records if record.encoder is not None), None)
    if first is None or first.encoder is None or first.pixels is None:
        return {}
    read, seen = first.pixels, first.encoder
    crop = f" {seen.crop:g}" if seen.crop < 1 else ""
    bands = "" if len(read.bands) == 3 else f", {len(read.bands)} bands"
    known = {cost.header: cost.show(value) for cost in COSTS[:2] if (value := first.cost.get(cost.key)) is not None}
    return {"Input": f"{read.size} px {read.filter}, {seen.fit}{crop}{bands}", **known}


def encoder_headers(table: Table) -> tuple[str, ...]:
    """Return the headers of ``encoder_columns``; none for a table of methods."""
    trains = table.board.protocol.settings["data"]["source"] is not None
    return () if trains else ("Input", *(cost.header for cost in COSTS[:2]))


def _grid(table: Table, block: Block) -> Grid:
    headers = ["Method", "Row", *encoder_headers(table), "Seeds"]
    for metric in table.metrics:
        name = shown_name(metric)
        headers += [name, paper_header(metric), "Δ"] if _compared(table, metric) else [name]
    rows = [GridRow(tuple(_cells(table, row)), row.records) for row in block.rows]
    words = 3 if encoder_headers(table) else 2
    return Grid(block_title(block), tuple(headers), words, (*rows, *reference_rows(table, block)))


def reference_rows(table: Table, block: Block) -> Iterator[GridRow]:
    """Yield the rows of chance and oracle, where a block has them."""
    for reference in block.references:
        about = [""] * (len(encoder_headers(table)) + 2)
        values = (GridCell(plain_number(reference.values.get(metric))) for metric in table.metrics)
        yield GridRow((*word_cells(reference.title, *about), *values), ())


def _cells(table: Table, row: MethodRow) -> list[GridCell]:
    footnote = str(row.footnote) if row.footnote else ""
    signs = significance.APART * row.apart + significance.ELSEWHERE * bool(row.origin)
    seeds = GridCell(str(row.seeds or EMPTY), superscript=signs)
    about = encoder_columns(row.records)
    cells = [GridCell(row.name.title, superscript=footnote), GridCell(row.name.row)]
    cells += [*word_cells(*(about.get(header, "") for header in encoder_headers(table))), seeds]
    for metric in table.metrics:
        cell = row.cells[metric]
        cells.append(metric_cell(cell))
        if _compared(table, metric):
            cells += [GridCell(plain_number(cell.paper)), GridCell(signed_number(cell.difference))]
    return cells


def _compared(table: Table, metric: str) -> bool:
    return table.shows_paper and metric in PUBLISHED_COLUMNS


def _block_fields(table: Table, block: Block) -> Iterator[dict[str, str | int]]:
    """Yield the rows of the CSV file of one block."""
    rows = [_fields(table, block, row) for row in block.rows]
    yield from rows
    for reference in block.references if rows else ():
        values = {metric: plain_number(reference.values.get(metric), empty="") for metric in table.metrics}
        start = {name: rows[0][name] for name in ("board", "protocol_hash", "table", "target")}
        yield {**dict.fromkeys(rows[0], ""), **start, "method": reference.title.lower(), **values}


def _fields(table: Table, block: Block, row: MethodRow) -> dict[str, str | int]:
    """Return one row of the CSV file."""
    fields: dict[str, str | int] = {
        "board": table.board.name,
        "protocol_hash": table.board.protocol.hash,
        "table": table.name,
        "target": block.target,
        "method": row.name.label or row.name.title,
        "row": row.name.row,
        "seeds": row.seeds,
        **encoder_columns(row.records),
    }
    for metric, cell in row.cells.items():
        fields |= {metric: plain_number(cell.mean, empty=""), f"{metric} sd": plain_number(cell.sd, empty="")}
        fields[f"{metric} not worse"] = {True: "yes", False: "no", None: ""}[cell.not_worse]
        if _compared(table, metric):
            fields[paper_header(metric)] = plain_number(cell.paper, empty="")
            fields[f"{metric} difference"] = plain_number(cell.difference, empty="")
    if any(each.doubts for every in table.blocks for each in every.rows):
        fields["doubts"] = "; ".join(row.doubts)
    if any(each.origin for every in table.blocks for each in every.rows):
        fields["origin"] = row.origin
    if table.shows_paper:
        fields["slip"] = table.footnotes[row.footnote - 1] if row.footnote else ""
    return fields | provenance(row.records)
