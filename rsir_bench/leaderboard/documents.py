"""From a board to its documents: the paper's tables, leaderboard, variants, post-processing, costs, robustness."""

from __future__ import annotations

from collections.abc import Sequence

from rsir_bench.leaderboard import robustness
from rsir_bench.leaderboard.after import document as after
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.grids import Document
from rsir_bench.leaderboard.pages import costs, leaderboard, paper, variants
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.parts import METRICS, Table


def documents(
    board: Board, known: Sequence[Table] | None = None, metrics: Sequence[str] | None = None
) -> list[Document]:
    """Return every document that can be made from the records of a board.

    Args:
        board: The board.
        known: Its tables, where they are made already.
        metrics: The columns of tables that are made here, and the grids of the leaderboard; None: the usual ones.
    """
    found = list(tables(board, metrics=METRICS if metrics is None else metrics) if known is None else known)
    result = [paper.document(table) for table in found if table.shows_paper]
    overview = leaderboard.document(board, found, metrics)
    builders = (variants.document, after.document, costs.document, robustness.document)
    others = [document for build in builders if (document := build(board))]
    return [*result, *([overview] if overview else []), *others]
