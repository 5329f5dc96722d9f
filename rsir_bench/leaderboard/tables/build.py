"""The tables of a board, independent of any format."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from rsir_bench.leaderboard import significance
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.graded.references import columns_for, references
from rsir_bench.leaderboard.grids import DIGITS
from rsir_bench.leaderboard.tables.notes import table_notes
from rsir_bench.leaderboard.tables.parts import (
    ENCODERS,
    GRADED_TARGETS,
    METRICS,
    OTHER_TARGETS,
    Block,
    MethodRow,
    MetricCell,
    RowName,
    Table,
    competes,
    is_the_papers,
)
from rsir_bench.protocol import load_protocol, shipped
from rsir_bench.ranking.names import LOWER_IS_BETTER
from rsir_bench.records.cells import cell_of, is_plain, row_label
from rsir_bench.records.paper import PAPER_TABLES, PaperTable, Published, own_rows, published
from rsir_bench.records.schema import PaperRow, Record

Results = dict[tuple[str, str, str], list[Record]]
"""The records of each target, method and row."""


def tables(board: Board, shapes: Sequence[PaperTable] = PAPER_TABLES, metrics: Sequence[str] = METRICS) -> list[Table]:
    """Return the tables of a board.

    A board of an unmodified protocol of the paper has the paper's tables, with the published values and even without a
    result. Targets that these do not have come last, in the table ``targets``, which holds all targets of any other
    board; ``encoders`` is its name where nothing is trained. Targets whose scenes have several labels are in a table
    of their own, ``labels``. Tables of ours without a record are left out.
    """
    clean = [record for record in board.records if is_plain(record)]
    one_label = [record for record in clean if record.graded is None]
    several = [record for record in clean if record.graded is not None]
    result = _tables_of_classes(board, shapes, one_label, columns_for(metrics, METRICS, graded=False))
    result.append(_table(board, GRADED_TARGETS, several, columns_for(metrics, METRICS, graded=True)))
    return [
        table for table in result if table.shows_paper or any(row.seeds for block in table.blocks for row in block.rows)
    ]


def ablations(board: Board, metrics: Sequence[str] = METRICS) -> list[Table]:
    """Return for each question that the paper asks about its method the rows that answer it here, on every target.

    A question for which this board has no results is left out, and so are all where the paper's tables show
    them.
    """
    records = [record for record in board.records if is_plain(record) and record.graded is None]
    if _shapes_of(board, PAPER_TABLES):
        return []
    found = {record.row.paper for record in records}
    asked = [shape for shape in PAPER_TABLES if not shape.every_row and own_rows(shape) & found]
    return [_table(board, shape, records, metrics) for shape in asked]


def _shapes_of(board: Board, shapes: Sequence[PaperTable]) -> list[PaperTable]:
    return [shape for shape in shapes if is_the_papers(board, shape.protocol)]


def _tables_of_classes(
    board: Board, shapes: Sequence[PaperTable], records: list[Record], metrics: Sequence[str]
) -> list[Table]:
    """Return the tables of targets whose scenes have one label, perhaps without a record."""
    if board.protocol.settings["data"]["source"] is None:
        return [_table(board, ENCODERS, records, metrics)]
    chosen = _shapes_of(board, shapes)
    placed = {target for shape in chosen for target in shape.targets}
    result = [
        _table(board, shape, [one for one in records if one.target.paper_name in shape.targets], metrics)
        for shape in chosen
    ]
    others = [record for record in records if record.target.paper_name not in placed]
    known = {shape.protocol for shape in shapes}
    like = board.protocol.name if board.protocol.name in known else "patternnet"
    return [*result, _table(board, replace(OTHER_TARGETS, protocol=like), others, metrics)]


def _table(board: Board, shape: PaperTable, records: list[Record], metrics: Sequence[str]) -> Table:
    entries = published(shape)
    shows_paper = is_the_papers(board, shape.protocol) and bool(entries)
    values = {(entry.target, entry.row): entry for entry in entries} if shows_paper else {}
    common, footnotes = _slips(list(values.values()))
    cells: Results = {}
    for record in records:
        cells.setdefault(cell_of(record), []).append(record)
    targets = _targets(board, shape, records, shows_paper)
    names = _names(board, shape, records, entries, shows_paper)
    if shape.every_row and not shows_paper:
        names = _best_first(names, [target for target, _ in targets], cells, metrics[0])

    blocks = []
    for target, paper_target in targets:
        rows = []
        for name in names:
            results = cells.get((target, name.label, name.row), [])
            entry = values.get((paper_target, name.paper)) if name.paper else None
            footnote = footnotes.index(entry.slip) + 1 if entry and entry.slip in footnotes else None
            rows.append(MethodRow(name, tuple(results), _cells(results, entry, metrics), footnote))
        competing = [found for (of, *_), found in cells.items() if of == target and competes(found)]
        blocks.append(_block(target, records, rows, metrics, significance.usual_machine(competing)))
    return Table(
        name=shape.name,
        caption=shape.caption,
        board=board,
        shows_paper=shows_paper,
        blocks=tuple(blocks),
        notes=tuple(table_notes(board, shape, blocks, common, shows_paper)),
        footnotes=tuple(footnotes),
        metrics=tuple(metrics),
        ablation=not shape.every_row,
    )


def _best_first(names: list[RowName], targets: Sequence[str], cells: Results, metric: str) -> list[RowName]:
    """Sort by a metric on the first target, then on the next; what was not run there, or is doubtful, comes last."""
    sign = 1 if metric in LOWER_IS_BETTER else -1

    def rank(name: RowName) -> tuple[list[float], str, str]:
        found = [_cells(cells.get((target, name.label, name.row), []), None, (metric,))[metric] for target in targets]
        values = [math.inf if cell.mean is None or cell.doubtful else sign * cell.mean for cell in found]
        return values, name.label, name.row

    return sorted(names, key=rank)


def _names(
    board: Board, shape: PaperTable, records: list[Record], entries: list[Published], shows_paper: bool
) -> list[RowName]:
    """Return the rows of every block: the paper's rows in the paper's order, then ours by label."""
    order = {row: position for position, row in enumerate(dict.fromkeys(entry.row for entry in entries))}
    names = list({cell_of(record)[1:]: _name(board, record) for record in records}.values())
    if not shape.every_row:
        names = [name for name in names if name.paper in order]
    if shows_paper:
        ours = {name.paper for name in names}
        names += [_paper_name(row) for row in order if row not in ours]

    def paper_order(name: RowName) -> tuple[int, str, str]:
        return (order.get(name.paper, len(order)) if name.paper else len(order)), name.label, name.row

    return sorted(names, key=paper_order)


def _name(board: Board, record: Record) -> RowName:
    target_fit = record.row.fit == "target"
    return RowName(record.method.label, board.title_of(record), row_label(record), target_fit, record.row.paper)


def _paper_name(row: PaperRow) -> RowName:
    title = f"{row.method} ({row.variant})" if row.variant else row.method
    return RowName("", title, row.pooling, target_fit=False, paper=row)


def _targets(board: Board, shape: PaperTable, records: list[Record], shows_paper: bool) -> list[tuple[str, str]]:
    """Return each block's target and the paper's name of it: the paper's order, the protocol's, then by name."""
    named = load_protocol(board.protocol.name).data.targets if board.protocol.name in shipped() else ()
    asked = {name: place for place, name in enumerate(named)}
    every = {(one.name, one.suite, one.label, one.paper_name or "") for one in (record.target for record in records)}
    ordered = sorted(every, key=lambda target: (asked.get(target[0], len(asked)), target))
    found = [(label, paper_name) for _, _, label, paper_name in ordered]
    if not shows_paper:
        return found
    targets = []
    for paper_target in shape.targets:
        ours = [(name, paper_name) for name, paper_name in found if paper_name == paper_target]
        targets += ours or [(paper_target, paper_target)]
    return targets + [(name, paper_name) for name, paper_name in found if paper_name not in shape.targets]


def _block(
    target: str, records: list[Record], rows: list[MethodRow], metrics: Sequence[str], usual: str | None
) -> Block:
    on_target = [record for record in records if record.target.label == target]
    if not on_target:
        return Block(target, target, "", tuple(rows))
    of, graded = on_target[0].target, on_target[0].graded
    kinds = f"{len(graded.labels)} labels" if graded else f"{of.classes} classes"
    excluded = f", {of.excluded} duplicates of source scenes excluded" if of.excluded else ""
    return Block(
        target=target,
        title=of.heading,
        extent=f"{of.scenes} scenes, {kinds}{excluded}",
        rows=_marked(rows, metrics, usual),
        references=references(on_target),
        dataset=of.name,
        edition=of.edition,
        suite=of.suite,
    )


def _cells(results: list[Record], entry: Published | None, metrics: Sequence[str]) -> dict[str, MetricCell]:
    cells = {}
    for metric in metrics:
        values = [result.metrics[metric] for result in results if metric in result.metrics]
        complete = bool(values) and len(values) == len(results)
        cells[metric] = MetricCell(
            mean=statistics.fmean(values) if complete else None,
            sd=statistics.stdev(values) if complete and len(values) > 1 else None,
            paper=entry.values.get(metric) if entry else None,
            doubtful=any(result.doubts for result in results),
        )
    return cells


def _marked(rows: list[MethodRow], metrics: Sequence[str], usual: str | None) -> tuple[MethodRow, ...]:
    """Mark the best, second best and not worse values of each metric.

    Rows that are fitted on the target are left out, and among rows of five seeds those of fewer are not the best.

    Args:
        rows: Those of one target.
        metrics: The columns.
        usual: How most rows of the target were made, see ``significance.usual_machine``.
    """
    rows = [replace(row, cells=dict(row.cells), apart=significance.is_apart(row.records, usual)) for row in rows]
    for metric in metrics:
        records = [row.records if row.competes else () for row in rows]
        for row, not_worse in zip(rows, significance.not_worse(records, metric, usual), strict=True):
            row.cells[metric] = replace(row.cells[metric], not_worse=not_worse)
        known = [row.records if row.competes and row.cells[metric].mean is not None else () for row in rows]
        best = significance.may_be_best(known)
        means = [row.cells[metric].mean if of and may else None for row, of, may in zip(rows, known, best, strict=True)]
        ranked = sorted(
            {round(mean, DIGITS) for mean in means if mean is not None}, reverse=metric not in LOWER_IS_BETTER
        )
        if sum(mean is not None for mean in means) < 2:
            continue
        for row, mean in zip(rows, means, strict=True):
            if mean is not None and (rank := ranked.index(round(mean, DIGITS))) < 2:
                row.cells[metric] = replace(row.cells[metric], mark="second" if rank else "best")
    return tuple(rows)


def _slips(entries: list[Published]) -> tuple[str, list[str]]:
    """Return the slip that all published rows share, or else the different slips in the order of their rows."""
    slips = [entry.slip for entry in entries]
    if slips and len(set(slips)) == 1:
        return slips[0], []
    return "", list(dict.fromkeys(slip for slip in slips if slip))
