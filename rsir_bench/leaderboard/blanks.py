"""What an empty cell means: only the reasons that a table has, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsir_bench.leaderboard.tables import Block, Line


def notes(blocks: Sequence[Block], beside_paper: bool) -> Iterator[str]:
    """One sentence for each reason why a cell of the blocks is empty."""
    lines = [line for block in blocks for line in block.lines]
    sources = _sources(lines)
    of_source = {block.title for block in blocks if any(_is_source(line, block, sources) for line in block.lines)}
    not_run = [
        line for block in blocks for line in block.lines if not line.records and not _is_source(line, block, sources)
    ]
    if not_run:
        yield "A dash in the place of seeds: no record of that method and row on that target; it was not run."
    for title in sorted(of_source):
        yield f"No values on {title} where it is the source: its labels were seen in training."
    if any(cell.mean is None for line in lines if line.records for cell in line.cells.values()):
        yield "A dash in a line with seeds: the record of at least one of them lacks that metric."
    if beside_paper and any(_unpublished(line) for line in lines):
        yield "A dash in a column of the paper: it has no such row for that target; Δ needs both values."


def _sources(lines: Sequence[Line]) -> dict[str, str]:
    """The dataset that each method was trained on, by label."""
    return {line.name.label: one.source.name for line in lines for one in line.records if one.source is not None}


def _is_source(line: Line, block: Block, sources: dict[str, str]) -> bool:
    return not line.records and sources.get(line.name.label) == block.target


def _unpublished(line: Line) -> bool:
    return all(cell.paper is None for cell in line.cells.values())
