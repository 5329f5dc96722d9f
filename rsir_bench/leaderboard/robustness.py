"""Robustness: how much of a method's mAP is left when a target's scenes are distorted, by kind and severity."""

from __future__ import annotations

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from rsir_bench.leaderboard import page
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.markup import EMPTY, ORIGIN, Style
from rsir_bench.leaderboard.render import (
    LATEX,
    MARKDOWN,
    TRACED,
    again,
    latex_frame,
    pipes,
    plain_number,
    traced,
)
from rsir_bench.records.cells import cell_of, printed_title, row_label
from rsir_bench.records.schema import Record

Condition = tuple[str, int]
"""Kind of distortion and severity."""


@dataclass(frozen=True)
class Line:
    """One method and row on one target.

    Attributes:
        label: The method as ``--methods`` takes it.
        title: The method as it is printed.
        row: The row, with the particulars of its PCA.
        seeds: How many were scored both with and without a distortion; others are left out.
        clean: mAP without a distortion, mean over these seeds.
        distorted: mAP under each condition, mean over its seeds.
        retained: ``distorted`` divided by the clean mAP of the same seeds.
        records: Without a distortion and under each condition.
    """

    label: str
    title: str
    row: str
    seeds: int
    clean: float
    distorted: dict[Condition, float]
    retained: dict[Condition, float]
    records: tuple[Record, ...]

    def behind(self, condition: Condition | None) -> list[Record]:
        """The records behind the values of one condition; None: without a distortion."""
        found = [record for record in self.records if _condition(record) == condition]
        seeds = {record.seed for record in found}
        clean = [record for record in self.records if record.distortion is None and record.seed in seeds]
        return found if condition is None else clean + found

    def mean_retained(self, conditions: Iterable[Condition]) -> float | None:
        """The mean over the conditions; None where one of them was not run."""
        shares = [self.retained.get(condition) for condition in conditions]
        known = [share for share in shares if share is not None]
        return statistics.fmean(known) if known and len(known) == len(shares) else None


@dataclass(frozen=True)
class Block:
    """All lines of one target, the most robust first, and the conditions that any of them was run under."""

    target: str
    title: str
    conditions: tuple[Condition, ...]
    lines: tuple[Line, ...]

    @property
    def kinds(self) -> dict[str, list[Condition]]:
        """The conditions of each kind."""
        found: dict[str, list[Condition]] = defaultdict(list)
        for condition in self.conditions:
            found[condition[0]].append(condition)
        return found


def blocks(board: Board) -> list[Block]:
    """One block for each target with distorted results; a method without a clean result has no line."""
    cells: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in board.records:
        cells[cell_of(record)].append(record)
    lines: dict[str, list[Line]] = defaultdict(list)
    titles = {}
    for (target, _, _), records in cells.items():
        line = _line(records)
        if line is not None:
            lines[target].append(line)
            titles[target] = records[0].target.title
    return [_block(target, titles[target], found) for target, found in sorted(lines.items())]


def _condition(record: Record) -> Condition | None:
    return (record.distortion.name, record.distortion.severity) if record.distortion else None


def _line(records: list[Record]) -> Line | None:
    clean = {record.seed: record.metrics["mAP"] for record in records if record.distortion is None}
    by_condition: dict[Condition, list[Record]] = defaultdict(list)
    for record in records:
        if record.distortion is not None and record.seed in clean:
            by_condition[record.distortion.name, record.distortion.severity].append(record)
    if not by_condition:
        return None
    distorted = {
        condition: statistics.fmean(r.metrics["mAP"] for r in found) for condition, found in by_condition.items()
    }
    retained = {
        condition: distorted[condition] / statistics.fmean(clean[record.seed] for record in found)
        for condition, found in by_condition.items()
    }
    first, seeds = records[0], {record.seed for found in by_condition.values() for record in found}
    mean = statistics.fmean(clean[seed] for seed in seeds)
    used = tuple(record for record in records if record.seed in seeds)
    return Line(first.method.label, printed_title(first), row_label(first), len(seeds), mean, distorted, retained, used)


def _block(target: str, title: str, lines: list[Line]) -> Block:
    conditions = tuple(sorted({condition for line in lines for condition in line.distorted}))

    def place(line: Line) -> tuple[float, str, str]:
        return -(line.mean_retained(conditions) or 0.0), line.label, line.row

    return Block(target, title, conditions, tuple(sorted(lines, key=place)))


def markdown(board: Board) -> str:
    """The retained mAP in Markdown, a grid for each target."""
    escape = MARKDOWN.escape
    parts = [f"<!-- {ORIGIN} -->", f"# {escape(_heading(board))}"]
    found = blocks(board)
    for block in found:
        names = [escape(header) for header in headers(block)]
        parts += [f"## {escape(block.title)}", pipes(names, rows(block, MARKDOWN))]
    records = (record for block in found for line in block.lines for record in line.records)
    return "\n\n".join([*parts, *map(escape, _notes(board)), *again(records, "table_robustness")]) + "\n"


def html(board: Board) -> str:
    """The retained mAP in HTML, a grid for each target."""
    grids = []
    for block in blocks(board):
        lines = [page.Line(partial(_row, block, number), line.records) for number, line in enumerate(block.lines)]
        grids.append(page.Grid(block.title, headers(block), 2, lines))
    return page.page(_heading(board), grids, _notes(board))


def latex(board: Board) -> str:
    """The retained mAP in LaTeX: a floating table for each target, whose columns differ."""
    escape = LATEX.escape
    notes = [escape(note) for note in _notes(board)]
    tables = []
    for block in blocks(board):
        names = headers(block)
        body = [r"\midrule", *(" & ".join(row) + r" \\" for row in rows(block, LATEX))]
        caption, label = f"{_heading(board)} on {block.title}", f"{board.name}-robustness-{block.target}"
        tables.append(latex_frame(caption, label, f"ll{'r' * (len(names) - 2)}", names, body, notes))
    return "\n".join(tables)


def comma_separated(board: Board) -> str:
    """The curves in CSV: one line per target, method, row, kind and severity; severity 0 is without distortion."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = ["board", "protocol_hash", "target", "method", "row", "distortion", "severity", "mAP", "retained"]
    writer.writerow([*columns, *TRACED])
    for block in blocks(board):
        for line in block.lines:
            start = [board.name, board.protocol.hash, block.target, line.label, line.row]
            behind = traced(line.behind(None)).values()
            writer.writerow([*start, "", 0, plain_number(line.clean), plain_number(1.0), *behind])
            for condition in block.conditions:
                values = [line.distorted.get(condition), line.retained.get(condition)]
                behind = traced(line.behind(condition)).values()
                writer.writerow([*start, *condition, *(plain_number(value, empty="") for value in values), *behind])
    return stream.getvalue()


def _heading(board: Board) -> str:
    return f"Retained mAP under distortions, board {board.name}"


def headers(block: Block) -> list[str]:
    """The headers of a block's grid; a kind of distortion with the severities that were run."""
    kinds = [f"{kind} {_span(conditions)}" for kind, conditions in block.kinds.items()]
    return ["Method", "Row", "Seeds", "Clean mAP", "Mean retained", *kinds]


def _span(conditions: list[Condition]) -> str:
    """``"1-5"``, or the severities one by one where some between are missing."""
    found = [severity for _, severity in conditions]
    whole = len(found) > 1 and found == list(range(found[0], found[-1] + 1))
    return f"{found[0]}-{found[-1]}" if whole else ",".join(map(str, found))


def rows(block: Block, style: Style) -> list[list[str]]:
    """The lines of a block's grid under :func:`headers`, the largest share of each column marked."""
    return [_row(block, number, style) for number in range(len(block.lines))]


def _row(block: Block, number: int, style: Style) -> list[str]:
    line = block.lines[number]
    row = [style.escape(line.title), style.escape(line.row), str(line.seeds), style.ours(plain_number(line.clean))]
    for group in (list(block.conditions), *block.kinds.values()):
        shares = [other.mean_retained(group) for other in block.lines]
        best = max((share for share in shares if share is not None), default=None)
        row.append(_percent(shares[number], best, style))
    return row


def _percent(share: float | None, best: float | None, style: Style) -> str:
    if share is None:
        return style.escape(EMPTY)
    return style.ours(f"{100 * share:.1f}%", "best" if share == best else "")


def _notes(board: Board) -> list[str]:
    return [
        f"Protocol {board.name} (hash {board.protocol.hash}). Each value is mAP on the distorted target divided by mAP "
        "on the target as it is, with the same trained network, averaged over the severities named in the header; "
        "the mean is over all conditions of the table. A dash: not all of them were run.",
        "Views and spectral responses change from scene to scene, at most as strongly as the severity says; queries "
        "and gallery are distorted alike. A share of a low mAP is easily kept: read it beside the clean mAP.",
    ]
