"""The commands that fill the empty cells of the paper's tables."""

from __future__ import annotations

import shlex
from functools import cache

from rsir_bench.leaderboard.tables.parts import Block, MethodRow, Table
from rsir_bench.method.contract import FrontEndCard
from rsir_bench.method.registry import discover, shipped_methods
from rsir_bench.records.paper import paper_row
from rsir_bench.records.schema import PaperRow
from rsir_bench.scenes.card import load_cards


def method_for(row: MethodRow) -> str:
    """Return the shipped method that gives a row which was not run; empty if it was run, or none gives it."""
    if row.records or row.name.paper is None:
        return ""
    method = _methods().get(row.name.paper, "")
    return method if row.name.label in ("", method) else ""


def commands_to_fill(table: Table) -> dict[str, str]:
    """Return by method the command that fills its empty cells of a table, in the order of the rows."""
    targets: dict[str, list[str]] = {}
    for block in table.blocks:
        for row in block.rows:
            if method := method_for(row):
                targets.setdefault(method, []).append(_dataset(block))
    protocol = table.board.protocol.name
    return {
        method: shlex.join(
            ["rsir-bench", "run", "--protocol", protocol, "--methods", method, "--targets", ",".join(dict.fromkeys(of))]
        )
        for method, of in targets.items()
    }


def _dataset(block: Block) -> str:
    """Return the name of a target, which has the paper's as long as nothing was run on it."""
    if block.dataset:
        return block.dataset
    return next(card.name for card in load_cards().values() if card.paper_name == block.target)


@cache
def _methods() -> dict[PaperRow, str]:
    """Return which shipped method gives each published row."""
    found = discover(strict=False)
    methods: dict[PaperRow, str] = {}
    for name in sorted(found.keys() & shipped_methods().keys()):
        card = found[name].method_class.card
        if isinstance(card, FrontEndCard):
            papers = dict(card.published)
        else:
            papers = {row: known.paper for row, known in card.rows.items() if known.paper is not None}
        methods |= {paper_row(row, paper): name for row, paper in papers.items()}
    return methods
