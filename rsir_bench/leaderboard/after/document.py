"""The table of post-processing: every row before and after it, side by side, and none marked as the best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rsir_bench.leaderboard.after.rows import AfterGroup, AfterRow, after_groups
from rsir_bench.leaderboard.boards import Board
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
from rsir_bench.leaderboard.tables.parts import DOUBT

PLAIN = "none"


def document(board: Board) -> Document | None:
    """Return a board's rows before and after post-processing; None if no ranking was post-processed."""
    found = after_groups(board)
    if not found:
        return None
    metrics = dict.fromkeys(metric for groups in found.values() for group in groups for metric in group.metrics)
    return Document(
        board=board.name,
        name="postprocessing",
        heading=f"Post-processing, before and after, board {board.name}",
        grids=tuple(grids(board)),
        data=tuple(_fields(board, target, named, metrics) for target, named in _rows(found)),
        notes=_notes(board, [row for _, (_, row) in _rows(found)]),
    )


def _rows(found: dict[str, list[AfterGroup]]) -> Iterator[tuple[str, tuple[AfterGroup, AfterRow]]]:
    for target, groups in found.items():
        for group in groups:
            for row in group.rows:
                yield target, (group, row)


def grids(board: Board, caption: str = "{}") -> list[Grid]:
    """Return one grid per target.

    Args:
        board: The board.
        caption: The caption of each grid; ``{}`` in it becomes the title of the target.
    """
    return [_grid(groups, caption) for groups in after_groups(board).values()]


def _grid(groups: Sequence[AfterGroup], caption: str) -> Grid:
    target = groups[0].rows[0].records[0].target
    compared = [header for metric in groups[0].metrics for header in (metric, "Δ")]
    return Grid(
        caption=caption.format(f"{target.heading} ({target.scenes} scenes, {target.classes} classes)"),
        headers=("Method", "Row", "Post-processing", "Seeds", *compared, "CPU s"),
        words=3,
        rows=tuple(GridRow(tuple(_cells(group, row)), row.records) for group in groups for row in group.rows),
    )


def _cells(group: AfterGroup, row: AfterRow) -> list[GridCell]:
    cells = [*word_cells(group.title, group.row, row.label or PLAIN), GridCell(str(len(row.records)))]
    for metric in group.metrics:
        cells.append(GridCell(plain_number(row.score(metric)), suffix=DOUBT * row.doubtful, measured=True))
        cells.append(GridCell(signed_number(row.difference(metric))))
    return [*cells, GridCell(EMPTY if row.seconds is None else f"{row.seconds:.2f}", measured=row.seconds is not None)]


def _fields(
    board: Board, target: str, named: tuple[AfterGroup, AfterRow], metrics: Iterable[str]
) -> dict[str, str | int]:
    """Return one row of the CSV file."""
    group, row = named
    fields: dict[str, str | int] = {
        "board": board.name,
        "protocol_hash": board.protocol.hash,
        "target": target,
        "method": group.label,
        "row": group.row,
        "post-processing": row.label or PLAIN,
        "seeds": len(row.records),
    }
    for metric in metrics:
        difference = row.difference(metric)
        fields[metric] = plain_number(row.score(metric), empty="")
        fields[f"{metric} difference"] = "" if difference is None else f"{difference:.4f}"
    fields["after seconds"] = "" if row.seconds is None else f"{row.seconds:.6g}"
    return fields | provenance(row.records)


def _notes(board: Board, rows: Sequence[AfterRow]) -> tuple[str, ...]:
    doubts = {
        f"{DOUBT} {one.method.label}, {row.label or PLAIN}, on {one.target.heading}, seed {one.seed}: "
        f"{'; '.join(one.doubts)}."
        for row in rows
        for one in row.records
        if one.doubts
    }
    return (
        f"Protocol {board.name} (hash {board.protocol.hash}). Means over seeds. {PLAIN}: the rankings of the tables of "
        "results, here over the seeds that were also post-processed; Δ is a row minus that one, over the same seeds.",
        "Transductive: a ranking depends on the whole gallery, not on query and scene alone. Such values are compared "
        "with plain ones here alone, and none is marked as the best. The numbers behind a name are fixed, not "
        "chosen on a target; docs/postprocessing.md defines each of them, and what is masked of the query.",
        "CPU s: processor time of post-processing all rankings of a target, ranking aside; machines differ.",
        *sorted(doubts),
    )
