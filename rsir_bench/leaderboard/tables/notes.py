"""The sentences below a table: what its values are, how its protocol differs from others, and why cells are empty."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rsir_bench.leaderboard import significance
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.graded.references import NOTE
from rsir_bench.leaderboard.tables.parts import DOUBT, ENCODERS, GRADED_TARGETS, Block, MethodRow, is_the_papers
from rsir_bench.protocol import load_protocol
from rsir_bench.records.commands import request_of
from rsir_bench.records.paper import PaperTable
from rsir_bench.records.schema import Record
from rsir_bench.scenes.card import edition_name

SHOWS_FILL = " It leads to the command that fills it."


def table_notes(board: Board, shape: PaperTable, blocks: list[Block], common: str, shows_paper: bool) -> Iterator[str]:
    """Yield the sentences below a table.

    Args:
        board: Its board.
        shape: Which table of the paper it is, or which one of ours.
        blocks: Its blocks.
        common: The slip that all published rows share; empty for none.
        shows_paper: Whether it shows the published values.
    """
    protocol, rows = board.protocol, [row for block in blocks for row in block.rows]
    source = protocol.settings["data"]["source"]
    yield (
        f"Protocol {board.name} (hash {protocol.hash}), {'no source' if source is None else f'source {source}'}; "
        f"metric version {board.metric_version}. Mean over seeds ± sample standard deviation where there are several."
    )
    yield from sibling_notes(board)
    yield from edition_notes(board.records)
    if shows_paper:
        yield (
            'The paper prints AP@10h as "mAP": its "mAP" is compared with AP@10h, never with mAP (whole ranking). '
            "Δ is ours minus the paper's."
        )
        yield from (note for note in (shape.note, common and f"All published rows: {common}.") if note)
    elif shape.name == GRADED_TARGETS.name:
        yield NOTE
    else:
        yield f"Not comparable with the paper: {_why_not(board, shape)}."
    fits = ", among rows that are not fitted on the target" if any(row.name.target_fit for row in rows) else ""
    if any(cell.mark for row in rows for cell in row.cells.values()):
        yield f"Best and second best of our values per target and metric are marked{fits}."
    if any(cell.not_worse is not None for row in rows for cell in row.cells.values()):
        yield significance.NOTE
    if any(row.apart for row in rows):
        yield significance.APART_NOTE
    yield from origin_notes(blocks)
    yield from doubt_notes(blocks)
    yield from weight_notes(rows)
    yield from _empty_cells(blocks, shows_paper)


def weight_notes(rows: Sequence[MethodRow]) -> Iterator[str]:
    """Yield a sentence for the weights of each encoder, of which its name shows the first digits only."""
    records = [record for row in rows for record in row.records]
    known = {(one.method.label, one.encoder.weights, request_of(one).method) for one in records if one.encoder}
    for label, weights, asked in sorted(known):
        if weights.startswith("tensors:"):
            yield f"{label}: weights of SHA-256 {weights.removeprefix('tensors:')}, asked for as {asked}."


def edition_notes(records: Iterable[Record]) -> Iterator[str]:
    """Yield a note with the fingerprint of each edition, if the board has several."""
    known = list(records)
    if any(record.target.edition for record in known):
        parts = [part for record in known for part in (record.target, record.source) if part]
        found = sorted({(part.name, edition_name(part.name, part.fingerprint), part.fingerprint) for part in parts})
        listed = ", ".join(f"{name} ({edition}) {fingerprint[:12]}" for name, edition, fingerprint in found)
        yield f"Editions are separate targets: no line, mark or test mixes them. Fingerprints: {listed}."


def doubt_notes(blocks: Sequence[Block]) -> Iterator[str]:
    """Yield a sentence for each row whose values do not measure retrieval, and are therefore not marked."""
    for block in blocks:
        for row in block.rows:
            if row.doubts:
                yield f"{DOUBT} {row.name.label}, {row.name.row}, on {block.title}: {'; '.join(row.doubts)}."


def origin_notes(blocks: Sequence[Block]) -> Iterator[str]:
    """Yield who made which lines elsewhere, and what that means for them."""
    found = {f"{row.name.label}: {row.origin}": None for block in blocks for row in block.rows if row.origin}
    if found:
        yield (
            f"{significance.ELSEWHERE}: made elsewhere. Such rows are marked and tested only where descriptors of a "
            "seed were recomputed here, from its network."
        )
        yield from (f"{significance.ELSEWHERE} {line}." for line in found)


def _why_not(board: Board, shape: PaperTable) -> str:
    """Return how the board's protocol differs from that of the published tables, setting by setting."""
    name = board.protocol.name
    if shape == ENCODERS:
        return "nothing is trained, and every encoder sees scenes at the input size of its weights"
    if is_the_papers(board, shape.protocol):
        return f"it has no values for these targets under protocol {name}"
    ours = dict(_settings(board.protocol.settings))
    papers = dict(_settings(load_protocol(shape.protocol).settings()))
    # A setting that is newer than the record was at its default, as it is in the paper's protocols.
    papers = {key: value for key, value in papers.items() if key in ours}
    changes = ", ".join(_changes(ours, papers))
    return f"protocol {board.name} is not {shape.protocol}" + (f" ({changes})" if changes else "")


def sibling_notes(board: Board) -> Iterator[str]:
    """Yield how other protocols of the same name differ, whose records are not in the board's tables."""
    for other in board.siblings:
        changes = ", ".join(_changes(dict(_settings(board.protocol.settings)), dict(_settings(other.settings))))
        yield (
            f"Not here: records of {other.board} under hash {other.hash} ({changes or 'no recorded setting differs'})."
        )


def _changes(ours: dict[str, Any], others: dict[str, Any]) -> Iterator[str]:
    """Yield for example ``"train.epochs 10 instead of 40"``, in the order of the other protocol's settings."""
    for key in [*others, *sorted(ours.keys() - others.keys())]:
        if ours.get(key) != others.get(key):
            yield f"{key} {_word(ours.get(key))} instead of {_word(others.get(key))}"


def _settings(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _word(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    return json.dumps(value)


def _empty_cells(blocks: Sequence[Block], shows_paper: bool) -> Iterator[str]:
    """Yield a sentence for each reason why a cell of the blocks is empty."""
    rows = [row for block in blocks for row in block.rows]
    sources = _sources(rows)
    of_source = {block.title for block in blocks if any(_is_source(row, block, sources) for row in block.rows)}
    not_run = [row for block in blocks for row in block.rows if not row.records and not _is_source(row, block, sources)]
    if not_run:
        yield "A dash instead of seeds: not run on that target." + SHOWS_FILL * shows_paper
    for title in sorted(of_source):
        yield f"No values on {title} where it is the source: its labels were seen in training."
    if any(cell.mean is None for row in rows if row.records for cell in row.cells.values()):
        yield "A dash in a row with seeds: at least one of its records lacks that metric."
    if shows_paper and any(_unpublished(row) for row in rows):
        yield "A dash in a column of the paper: the paper has no such row for that target; Δ needs both values."


def _sources(rows: Sequence[MethodRow]) -> dict[str, str]:
    """Return the dataset that each method was trained on, by label."""
    return {row.name.label: one.source.name for row in rows for one in row.records if one.source is not None}


def _is_source(row: MethodRow, block: Block, sources: dict[str, str]) -> bool:
    return not row.records and sources.get(row.name.label) == block.dataset


def _unpublished(row: MethodRow) -> bool:
    return all(cell.paper is None for cell in row.cells.values())
