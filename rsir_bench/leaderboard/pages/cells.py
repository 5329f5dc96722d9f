"""What pages have in common: how cells, encoders, targets and tables are named and printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsir_bench.leaderboard import significance
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.costs import COSTS
from rsir_bench.leaderboard.grids import DIGITS, GridCell, GridRow, plain_number, word_cells
from rsir_bench.leaderboard.tables.parts import (
    DOUBT,
    ENCODERS,
    GRADED_TARGETS,
    OTHER_TARGETS,
    Block,
    MethodRow,
    MetricCell,
    Table,
)
from rsir_bench.records.schema import Record, in_edition

LONG = 18  # characters of a title


def heading(table: Table) -> str:
    """Return for example ``"Table I, board patternnet: Retrieval results of different methods"``."""
    others = {OTHER_TARGETS.name: "Further targets", ENCODERS.name: "Encoders", GRADED_TARGETS.name: "Several labels"}
    name = others.get(table.name, f"Table {table.name}")
    return f"{name}, board {table.board.name}: {table.caption}"


def block_title(block: Block) -> str:
    """Return for example ``"UCM (2100 scenes, 21 classes)"``."""
    return f"{block.title} ({block.extent})" if block.extent else block.title


def short_titles(blocks: Sequence[Block]) -> list[str]:
    """Return targets as headers: their titles without what is in parentheses, or their names.

    The name replaces a title that is long or that several targets share. If the board has several editions, a header
    names its own.
    """
    titles = [block.title.partition(" (")[0] for block in blocks]
    short = [in_edition(title, block.edition) for title, block in zip(titles, blocks, strict=True)]
    return [
        header if len(title) <= LONG and short.count(header) == 1 else block.target
        for header, title, block in zip(short, titles, blocks, strict=True)
    ]


def paper_header(metric: str) -> str:
    """Return the header of the published values; what the paper prints as "mAP" is compared with AP@10h only."""
    return 'paper "mAP"' if metric == "AP@10h" else f"paper {metric}"


def metric_cell(cell: MetricCell, digits: int = DIGITS) -> GridCell:
    """Return our value of a metric with its mark, and its standard deviation where there are several seeds."""
    return GridCell(
        plain_number(cell.mean, digits=digits),
        cell.mark,
        superscript=significance.SIGN if cell.not_worse else "",
        suffix=" ".join(
            ["" if cell.sd is None else f"± {plain_number(cell.sd, digits=digits)}", DOUBT * cell.doubtful]
        ).strip(),
        measured=True,
    )


def metric_fields(metric: str, cell: MetricCell) -> dict[str, str | int]:
    """Return the columns of a CSV file about our value of a metric."""
    return {
        metric: plain_number(cell.mean, empty=""),
        f"{metric} sd": plain_number(cell.sd, empty=""),
        f"{metric} not worse": {True: "yes", False: "no", None: ""}[cell.not_worse],
    }


def encoder_columns(records: Sequence[Record]) -> dict[str, str]:
    """Return by header what else tables print of an encoder; empty if the records are of none."""
    first = next((record for record in records if record.encoder is not None), None)
    if first is None or first.encoder is None or first.pixels is None:
        return {}
    read, seen = first.pixels, first.encoder
    crop = f" {seen.crop:g}" if seen.crop < 1 else ""
    bands = "" if len(read.bands) == 3 else f", {len(read.bands)} bands"
    known = {cost.header: cost.show(value) for cost in COSTS[:2] if (value := first.cost.get(cost.key)) is not None}
    return {"Input": f"{read.size} px {read.filter}, {seen.fit}{crop}{bands}", **known}


def encoder_headers(board: Board) -> tuple[str, ...]:
    """Return the headers of ``encoder_columns``; none for a board of methods."""
    trains = board.protocol.settings["data"]["source"] is not None
    return () if trains else ("Input", *(cost.header for cost in COSTS[:2]))


def reference_rows(table: Table, block: Block) -> Iterator[GridRow]:
    """Yield the rows of chance and oracle, where a block has them."""
    for reference in block.references:
        about = [""] * (len(encoder_headers(table.board)) + 2)
        values = (GridCell(plain_number(reference.values.get(metric))) for metric in table.metrics)
        yield GridRow((*word_cells(reference.title, *about), *values), ())


def signs(rows: Sequence[MethodRow]) -> str:
    """Return what the signs mean that are there."""
    tested = any(cell.not_worse is not None for row in rows for cell in row.cells.values())
    notes = [significance.NOTE] * tested + [significance.APART_NOTE] * any(row.apart for row in rows)
    return " ".join(notes)
