"""Leaderboards: pure functions of result records."""

from rsir_bench.leaderboard.boards import Board, boards
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.parts import Table
from rsir_bench.leaderboard.terminal import terminal_table
from rsir_bench.leaderboard.write import check, render_leaderboards, write_tables

__all__ = [
    "Board",
    "Table",
    "boards",
    "check",
    "render_leaderboards",
    "tables",
    "terminal_table",
    "write_tables",
]
