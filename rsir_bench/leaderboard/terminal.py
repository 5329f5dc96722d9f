"""The leaderboard that a run prints at its end."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate

from rsir_bench.leaderboard import robustness
from rsir_bench.leaderboard.boards import Board, boards
from rsir_bench.leaderboard.markup import Style
from rsir_bench.leaderboard.render import block_title, plain_number
from rsir_bench.leaderboard.tables import METRICS, Block, Cell, tables
from rsir_bench.records.schema import Record

PLAIN = Style(str, best="*{}", second="{}", superscript="")


def terminal_table(records: Iterable[Record]) -> str:
    """Our values as plain text: a block per board and target, the best of each metric marked with ``*``.

    Raises:
        UserError: The records must not share a board; see :func:`rsir_bench.leaderboard.boards.boards`.
    """
    return "\n\n".join(_board(board) for board in boards(records))


def _board(board: Board) -> str:
    blocks = [(table, block) for table in tables(board) for block in table.blocks if _ran(block)]
    grids = [f"{block_title(block)}\n{_grid(block)}" for _, block in blocks]
    lines = [line for _, block in blocks for line in block.lines]
    remarks = ["* best of the column" + (", target fits aside" if any(line.name.target_fit for line in lines) else "")]
    if any(line.seeds > 1 for line in lines):
        remarks.append("mean ± standard deviation over seeds")
    if not any(table.beside_paper for table, _ in blocks):
        remarks.append("not comparable with the paper's values")
    grids += [f"{block.title}: retained mAP\n{_robustness(block)}" for block in robustness.blocks(board)]
    return "\n\n".join([*grids, f"Board {board.name}: {'; '.join(remarks)}."])


def _ran(block: Block) -> bool:
    return any(line.seeds for line in block.lines)


def _grid(block: Block) -> str:
    lines = [line for line in block.lines if line.seeds]
    headers = ["method", "row", "seeds", *METRICS]
    rows = [
        [line.name.label, line.name.row, str(line.seeds), *(_text(line.cells[metric]) for metric in METRICS)]
        for line in lines
    ]
    align = ["left", "left", *["right"] * (len(METRICS) + 1)]
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)


def _robustness(block: robustness.Block) -> str:
    headers = robustness.headers(block)
    align = ["left", "left", *["right"] * (len(headers) - 2)]
    return tabulate(robustness.rows(block, PLAIN), headers, tablefmt="simple", colalign=align, disable_numparse=True)


def _text(cell: Cell) -> str:
    mean = ("*" if cell.mark == "best" else "") + plain_number(cell.mean)
    return mean if cell.sd is None else f"{mean} ± {plain_number(cell.sd)}"
