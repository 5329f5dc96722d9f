"""The sentences below a leaderboard: what it is about, how to read it, and what is particular about some rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsir_bench.leaderboard import significance
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.leaderboard.graded.references import NOTE as GRADED_NOTE
from rsir_bench.leaderboard.pages.board_rows import Part
from rsir_bench.leaderboard.pages.cells import short_titles, signs
from rsir_bench.leaderboard.tables.notes import doubt_notes, edition_notes, origin_notes, sibling_notes, weight_notes
from rsir_bench.leaderboard.tables.parts import Block, MethodRow


def notes(board: Board, parts: Sequence[Part]) -> Iterator[str]:
    """Yield the sentences below the leaderboard of a board."""
    blocks = [block for part in parts for block in part.blocks]
    rows = [row for part in parts for board_row in part.rows for row in board_row.on if row is not None]
    yield _subject(board, blocks)
    yield from sibling_notes(board)
    yield from edition_notes(board.records)
    yield _reading(parts, rows)
    if changes := _changes(parts):
        yield changes
    if any(part.blocks[0].references for part in parts):
        yield GRADED_NOTE
    if marks := signs(rows):
        yield marks
    yield from origin_notes(blocks)
    yield from doubt_notes(blocks)
    yield from weight_notes(rows)


def _subject(board: Board, blocks: Sequence[Block]) -> str:
    source = board.protocol.settings["data"]["source"]
    changed = f", with {', '.join(board.protocol.overrides)}" if board.protocol.overrides else ""
    titles = map(_named, blocks, short_titles(blocks))
    targets = "; ".join(f"{title} ({block.extent})" for title, block in zip(titles, blocks, strict=True))
    trained = (
        "nothing is trained, and every encoder sees scenes at the input size of its weights"
        if source is None
        else f"trained on {source}"
    )
    other = "" if board.protocol.paper else " Not comparable with the paper's tables."
    return (
        f"Protocol {board.protocol.name}{changed} (hash {board.protocol.hash}): {trained}. Scored on {targets}; metric "
        f"version {board.metric_version}.{other}"
    )


def _named(block: Block, short: str) -> str:
    """Return a target as its header calls it, with its title where that says more."""
    return short if block.title.startswith(short) else f"{short}, {block.title},"


def _reading(parts: Sequence[Part], rows: Sequence[MethodRow]) -> str:
    several = any(len(part.blocks) > 1 for part in parts)
    order = "Best first by the mean over the targets" if several else "Best first"
    if any(words for part in parts for words in part.suites.values()):
        order += " of the edition with the most results, then of the next"
    seeds = "; ± is the standard deviation over seeds" if any(row.seeds > 1 for row in rows) else ""
    enough = any(
        not may
        for block in parts[0].blocks
        for may in significance.may_be_best([row.records for row in block.rows if row.competes])
    )
    among = " of the lines of five seeds or more" if enough else ""
    aside = ", fits on the target aside" if any(row.name.target_fit for row in rows) else ""
    marks = f"; bold and underlined are the best and second best{among}{aside}"
    lacking = any(
        on.cells[metric].mean is None
        for part in parts
        for row in part.rows
        for on in row.on
        if on is not None and on.records
        for metric in part.metrics
    )
    unknown = ", or its records lack the metric" if lacking else ""
    empty = f" A dash: not run there{unknown}." if lacking or any(not row.records for row in rows) else ""
    marked = any(cell.mark for row in rows for cell in row.cells.values())
    return f"{order}{seeds}{marks if marked else ''}.{empty}"


def _changes(parts: Sequence[Part]) -> str:
    """Return what differences are, with the words for intervals only where there are some; empty for no difference."""
    found = [one for part in parts for metric in part.metrics for one in part.differences(metric)]
    what = f"Δ is the difference from {REFERENCE} in the same row, or in its PCA where it has no such row"
    if all(one.low is None for one in found):
        needs = "five seeds on one kind of machine, and records that hold the number of queries of each class"
        return f"{what}; no line has what an interval needs: {needs}." if found else ""
    return (
        f"{what}. The last tables have its 95 % interval over seeds and classes, for lines of five seeds or more that "
        f"were made as {REFERENCE} was, on one kind of device in one precision. One in twenty misses 0 by chance."
    )
