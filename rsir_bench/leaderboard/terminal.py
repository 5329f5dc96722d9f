"""The leaderboard that a run prints at its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType

from rsir_bench.base.terminal.screen import PLAIN, Screen
from rsir_bench.base.terminal.tables import Cell, Column, text_table
from rsir_bench.base.text import visible
from rsir_bench.leaderboard import robustness, variants
from rsir_bench.leaderboard.after import document as after
from rsir_bench.leaderboard.boards import Board, boards
from rsir_bench.leaderboard.grids import EMPTY, Grid, GridCell, GridRow, word_cells
from rsir_bench.leaderboard.pages.cells import (
    block_title,
    encoder_columns,
    encoder_headers,
    metric_cell,
    reference_rows,
)
from rsir_bench.leaderboard.significance import may_be_best
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.notes import doubt_notes
from rsir_bench.leaderboard.tables.parts import GRADED_TARGETS, METRICS, Block, Table, competes
from rsir_bench.ranking.names import shown_name
from rsir_bench.records.cells import is_plain
from rsir_bench.records.editions import with_editions
from rsir_bench.records.metrics import main_metric
from rsir_bench.records.schema import Record


def terminal_table(
    records: Iterable[Record],
    metrics: Sequence[str] = METRICS,
    screen: Screen = PLAIN,
    failed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return our values as plain text: a grid per board and target, the best of each metric marked with ``*``.

    Args:
        records: Records of any boards.
        metrics: The columns.
        screen: Where it is shown.
        failed: Why encoders have no values, by name: each gets a row, and its reason a line below.

    Raises:
        UserError: The records cannot share a board; see ``rsir_bench.leaderboard.boards.boards``.
    """
    return "\n\n".join(_board(board, metrics, screen, failed) for board in boards(records))


def _board(board: Board, metrics: Sequence[str], screen: Screen, failed: Mapping[str, str]) -> str:
    found = [table for table in tables(board, metrics=metrics) if not table.ablation]
    blocks = [(table, block) for table in found for block in table.blocks if _ran(block)]
    rows = [row for _, block in blocks for row in block.rows]
    remarks = ["* best of the column" + (", target fits aside" if any(row.name.target_fit for row in rows) else "")]
    if any(row.seeds > 1 for row in rows):
        remarks.append("mean ± standard deviation over seeds")
    plain = [table for table, _ in blocks if table.name != GRADED_TARGETS.name]
    if plain and not any(table.shows_paper for table in plain):
        remarks.append("not comparable with the paper's values")
    grids = [_grid(table, block, failed) for table, block in blocks]
    grids += variants.grids(board, "{}: front ends on and off") + after.grids(board, "{}: post-processing")
    grids += robustness.grids(board, "{}: retained {}")
    text = [f"{screen.styled(visible(grid.caption), 'strong')}\n{grid_text(grid, screen)}" for grid in grids]
    failures = [f"failed: {name}: {reason}" for name, reason in failed.items()]
    doubts = "\n".join([*doubt_notes([block for _, block in blocks]), *failures])
    last = f"Board {board.name}: {'; '.join(remarks)}."
    return "\n\n".join([*text, *map(screen.folded, [*([doubts] if doubts else []), last])])


def grid_text(grid: Grid, screen: Screen = PLAIN) -> str:
    """Return a grid as plain text, the best of each column marked with ``*``."""
    columns = [Column(header) for header in grid.headers[: grid.words]]
    columns += [Column(header, "number") for header in grid.headers[grid.words :]]
    return text_table(columns, [list(map(_cell, row.cells)) for row in grid.rows], screen, grid.words)


def _cell(cell: GridCell) -> Cell:
    best = cell.mark == "best" and cell.text != EMPTY
    return Cell(f"{'*' if best else ''}{cell.text}{f' {cell.suffix}' if cell.suffix else ''}", "best" if best else "")


def leaders(records: Iterable[Record]) -> list[str]:
    """Return for each target which method is best by its main metric, and by how much, in one line.

    Means over seeds are compared, of undistorted scenes and of rows that are not fitted on the target; each method goes
    by its best row. As in the table, a row with a doubt on any seed is left out (that score does not measure retrieval,
    and the mean of the others would be too good), and so are rows of fewer than five seeds beside one of five.
    """
    lines: dict[tuple[str, str, str], dict[tuple[str, str], list[Record]]] = defaultdict(lambda: defaultdict(list))
    headings = {}
    for record in with_editions(records):
        metric = main_metric(record)
        if is_plain(record) and record.row.fit != "target" and metric in record.metrics:
            place = record.protocol.board, record.target.label, metric
            headings[place] = record.target.heading
            lines[place][record.method.label, record.row.name].append(record)
    best: dict[tuple[str, str, str], dict[str, tuple[float, str]]] = defaultdict(dict)
    for place, rows in lines.items():
        known = {name: found for name, found in rows.items() if competes(found)}
        for ((method, row), found), may in zip(known.items(), may_be_best(list(known.values())), strict=True):
            if may:
                line = fmean(record.metrics[place[-1]] for record in found), row
                best[place][method] = max(line, best[place].get(method, line))
    return [_leader(headings[place], place[-1], methods) for place, methods in best.items()]


def _leader(target: str, metric: str, methods: dict[str, tuple[float, str]]) -> str:
    (value, row), name = max((line, name) for name, line in methods.items())
    others = sorted(((line, other) for other, line in methods.items() if other != name), reverse=True)
    said = f"{target}: {name} {row}, {metric} {value:.4f}"
    if not others:
        return said
    (second, second_row), other = others[0]
    return f"{said}, {value - second:.4f} above {other} {second_row}"


def _ran(block: Block) -> bool:
    return any(row.seeds for row in block.rows)


def _grid(table: Table, block: Block, failed: Mapping[str, str]) -> Grid:
    """Return the rows of a target that were run, with methods named as ``--methods`` takes them, and what failed."""
    about = encoder_headers(table.board)
    rows = [
        GridRow(
            (
                *word_cells(row.name.label, row.name.row),
                *word_cells(*(encoder_columns(row.records).get(header, "") for header in about)),
                GridCell(str(row.seeds)),
                *(metric_cell(row.cells[metric]) for metric in table.metrics),
            ),
            row.records,
        )
        for row in block.rows
        if row.seeds
    ]
    headings = [shown_name(metric) for metric in table.metrics]
    empty = [""] * (len(about) + 1 + len(table.metrics))
    rows += [GridRow(word_cells(name, "failed", *empty), ()) for name in failed]
    rows += reference_rows(table, block)
    return Grid(block_title(block), ("method", "row", *about, "seeds", *headings), 3 if about else 2, tuple(rows))
