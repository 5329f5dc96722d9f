"""Show how much of its mAP a method retains when a target's scenes are distorted, by kind and severity."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.grids import (
    EMPTY,
    Document,
    Grid,
    GridCell,
    GridRow,
    mean_of_all,
    plain_number,
    provenance,
    seeds_in_words,
    word_cells,
)
from rsir_bench.records.cells import can_compete, cell_of, row_label
from rsir_bench.records.metrics import main_metric
from rsir_bench.records.schema import Record
from rsir_bench.scenes.distortions import GROUPS

Condition = tuple[str, int]
"""The kind of a distortion and its severity."""


@dataclass(frozen=True)
class RobustnessRow:
    """One method and row on one target.

    Attributes:
        label: The method as ``--methods`` takes it.
        title: The method as tables print it.
        row: The row, with the details of its PCA.
        seeds: Number of seeds scored both with and without a distortion; other seeds are left out.
        clean: Mean mAP without a distortion over these seeds.
        distorted: Mean mAP under each condition over the seeds of that condition.
        retained: ``distorted`` divided by the mean clean mAP of the same seeds; without those whose clean mAP is 0.
        records: The records without a distortion and under each condition.
    """

    label: str
    title: str
    row: str
    seeds: int
    clean: float
    distorted: dict[Condition, float]
    retained: dict[Condition, float]
    records: tuple[Record, ...]

    @property
    def competes(self) -> bool:
        """Whether it may be marked as the best.

        Its rankings are not post-processed, it is not fitted on the target, and it was made here, or again here.
        """
        first = self.records[0]
        return first.after is None and first.row.fit != "target" and can_compete(self.records)

    @property
    def seeds_in_words(self) -> str:
        """The number of seeds: ``"5"``, or ``"1-5"`` where conditions differ."""
        return seeds_in_words(Counter(_condition(record) for record in self.records if record.distortion).values())

    def records_of(self, condition: Condition | None) -> list[Record]:
        """Return the records behind the values of one condition; None means without a distortion."""
        found = [record for record in self.records if _condition(record) == condition]
        seeds = {record.seed for record in found}
        clean = [record for record in self.records if record.distortion is None and record.seed in seeds]
        return found if condition is None else clean + found

    def mean_retained(self, conditions: Iterable[Condition]) -> float | None:
        """Return the mean retained share over the conditions, or None if one of them was not run or has no share."""
        return mean_of_all([self.retained.get(condition) for condition in conditions])


@dataclass(frozen=True)
class Block:
    """All rows of one target, most robust first, and every condition that at least one of them was run under.

    ``metric`` is what is retained: mAP, or where scenes have several labels the metric that methods are ranked by.
    """

    target: str
    title: str
    metric: str
    conditions: tuple[Condition, ...]
    rows: tuple[RobustnessRow, ...]

    @property
    def kinds(self) -> dict[str, list[Condition]]:
        """The conditions of each kind of distortion."""
        found: dict[str, list[Condition]] = defaultdict(list)
        for condition in self.conditions:
            found[condition[0]].append(condition)
        return found


def blocks(board: Board) -> list[Block]:
    """Return one block for each target with distorted results.

    A method without a clean result, or with a doubtful one, has no row: equal descriptors keep all of their mAP.
    """
    cells: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in board.records:
        cells[cell_of(record)].append(record)
    rows: dict[str, list[RobustnessRow]] = defaultdict(list)
    titles, metrics = {}, {}
    for (target, _, _), records in cells.items():
        row = _row(board, records)
        if row is not None and not _doubtful(records):
            rows[target].append(row)
            titles[target], metrics[target] = records[0].target.heading, main_metric(records[0])
    return [_block(target, titles[target], metrics[target], found) for target, found in sorted(rows.items())]


def _doubtful(records: Iterable[Record]) -> bool:
    return any(record.doubts for record in records if record.distortion is None)


def _condition(record: Record) -> Condition | None:
    return (record.distortion.name, record.distortion.severity) if record.distortion else None


def _row(board: Board, records: list[Record]) -> RobustnessRow | None:
    metric = main_metric(records[0])
    clean = {record.seed: record.metrics[metric] for record in records if record.distortion is None}
    by_condition: dict[Condition, list[Record]] = defaultdict(list)
    for record in records:
        if record.distortion is not None and record.seed in clean:
            by_condition[record.distortion.name, record.distortion.severity].append(record)
    if not by_condition:
        return None
    distorted = {
        condition: statistics.fmean(r.metrics[metric] for r in found) for condition, found in by_condition.items()
    }
    retained = {
        condition: distorted[condition] / whole
        for condition, found in by_condition.items()
        if (whole := statistics.fmean(clean[record.seed] for record in found))
    }
    first, seeds = records[0], {record.seed for found in by_condition.values() for record in found}
    mean = statistics.fmean(clean[seed] for seed in seeds)
    used = tuple(record for record in records if record.seed in seeds)
    return RobustnessRow(
        first.method.label, board.title_of(first), row_label(first), len(seeds), mean, distorted, retained, used
    )


def _block(target: str, title: str, metric: str, rows: list[RobustnessRow]) -> Block:
    conditions = tuple(sorted({condition for row in rows for condition in row.distorted}))

    def best_first(row: RobustnessRow) -> tuple[float, str, str]:
        return -(row.mean_retained(conditions) or 0.0), row.label, row.row

    return Block(target, title, metric, conditions, tuple(sorted(rows, key=best_first)))


FEW = 6
"""Kinds of distortions that have a column each; more are shown by group."""


def _columns(block: Block) -> dict[str, list[Condition]]:
    """Return the conditions of each column by its header: a kind, or where there are many kinds a group of them."""
    if len(block.kinds) <= FEW:
        return {f"{kind} {_span(conditions)}": conditions for kind, conditions in block.kinds.items()}
    return {
        group.capitalize(): [condition for condition in block.conditions if condition[0] in kinds]
        for group, kinds in GROUPS.items()
        if any(condition[0] in kinds for condition in block.conditions)
    }


def grids(board: Board, caption: str = "{}") -> list[Grid]:
    """Return one grid per target, with the largest share of each column marked.

    Args:
        board: The board.
        caption: The caption of each grid; ``{}`` in it becomes the title of the target, a second one the metric.
    """
    return [
        Grid(
            caption.format(block.title, block.metric),
            _headers(block),
            2,
            tuple(GridRow(tuple(_cells(block, row)), row.records) for row in block.rows),
        )
        for block in blocks(board)
    ]


def document(board: Board) -> Document | None:
    """Return the retained mAP of a board, or None if nothing was run on distorted scenes."""
    found = blocks(board)
    if not found:
        return None
    return Document(
        board=board.name,
        name="robustness",
        heading=f"Retained mAP under distortions on {board.name}",
        grids=tuple(grids(board)),
        data=tuple(
            fields for block in found for row in block.rows for fields in _fields(board, block, row, _metrics(found))
        ),
        notes=(*_notes(board, found), *_metric_notes(found)),
    )


def _headers(block: Block) -> tuple[str, ...]:
    """Return the headers of a grid; each kind of distortion shows the severities that were run."""
    return ("Method", "Row", "Seeds", f"Clean {block.metric}", "Mean retained", *_columns(block))


def _span(conditions: list[Condition]) -> str:
    """Return a range such as ``"1-5"``, or a list of the severities if some in between are missing."""
    return _range([severity for _, severity in conditions])


def _range(severities: list[int]) -> str:
    whole = len(severities) > 1 and severities == list(range(severities[0], severities[-1] + 1))
    return f"{severities[0]}-{severities[-1]}" if whole else ",".join(map(str, severities))


def _cells(block: Block, row: RobustnessRow) -> list[GridCell]:
    cells = [*word_cells(row.title, row.row, row.seeds_in_words), GridCell(plain_number(row.clean), measured=True)]
    for conditions in (list(block.conditions), *_columns(block).values()):
        shares = [other.mean_retained(conditions) for other in block.rows if other.competes]
        best = max((share for share in shares if share is not None), default=None)
        cells.append(_percent(row.mean_retained(conditions), best if row.competes else None))
    return cells


def _percent(share: float | None, best: float | None) -> GridCell:
    text = EMPTY if share is None else f"{100 * share:.1f}%"
    return GridCell(text, "best" if share == best else "", measured=True)


def _metrics(found: Iterable[Block]) -> list[str]:
    return list(dict.fromkeys(block.metric for block in found))


def _metric_notes(found: Iterable[Block]) -> Iterator[str]:
    """Yield a sentence on the targets where the metric is not mAP."""
    if others := [block for block in found if block.metric != "mAP"]:
        titles = ", ".join(block.title for block in others)
        yield f"On {titles}, where scenes have several labels, the metric is {others[0].metric}."


def _groups(found: Iterable[Block]) -> str:
    """Return what the groups hold, where a table has them."""
    wide = [block for block in found if len(block.kinds) > FEW]
    run = {kind for block in wide for kind in block.kinds}
    known = {group: [kind for kind in kinds if kind in run] for group, kinds in GROUPS.items()}
    words = "; ".join(f"{group}: {', '.join(kinds)}" for group, kinds in known.items() if kinds)
    severities = sorted({severity for block in wide for _, severity in block.conditions})
    severity = "severity" if len(severities) == 1 else "severities"
    return f" {words.capitalize()}; {severity} {_range(severities)}." if wide else ""


def _fields(board: Board, block: Block, row: RobustnessRow, metrics: Sequence[str]) -> Iterator[dict[str, str | int]]:
    """Yield the curve of a row for the CSV file, one condition at a time; severity 0 means no distortion."""
    start: dict[str, str | int] = {"board": board.name, "protocol_hash": board.protocol.hash, "target": block.target}
    start |= {"method": row.label, "row": row.row}
    for condition in (None, *block.conditions):
        kind, severity = condition or ("", 0)
        value = row.distorted.get(condition) if condition else row.clean
        share = row.retained.get(condition) if condition else 1.0
        yield {
            **start,
            "distortion": kind,
            "severity": severity,
            **{name: plain_number(value if name == block.metric else None, empty="") for name in metrics},
            "retained": plain_number(share, empty=""),
            **provenance(tuple(row.records_of(condition))),
        }


def _notes(board: Board, found: Sequence[Block]) -> tuple[str, ...]:
    distorted = {cell_of(record) for record in board.records if record.distortion}
    doubtful = [record for record in board.records if _doubtful([record]) and cell_of(record) in distorted]
    left_out = sorted({f"{record.method.label}, {row_label(record)}" for record in doubtful})
    doubts = (f"Left out, as their values on undistorted scenes are doubtful: {'; '.join(left_out)}.",)
    return (
        *(doubts if left_out else ()),
        f"Protocol {board.name} (hash {board.protocol.hash}). Each value is mAP on the distorted target divided by mAP "
        "on the undistorted target, with the same trained network, averaged over the conditions of its column; the "
        f"mean is over all conditions of the table.{_groups(found)} A dash: not all of them were run.",
        "Views and spectral responses vary from scene to scene, at most as strongly as the severity says; queries "
        "and gallery are distorted alike. A share of a low mAP is easily retained: read it together with the clean "
        "mAP.",
    )
