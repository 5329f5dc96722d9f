"""The tables of a board, independent of any format: rows, cells, marks and notes."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rsir_bench.leaderboard import significance
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.graded.references import NOTE, Reference, columns_for, references
from rsir_bench.leaderboard.grids import DIGITS, Mark
from rsir_bench.protocol import load_protocol, shipped
from rsir_bench.ranking.names import LOWER_IS_BETTER
from rsir_bench.records.cells import can_compete, cell_of, is_plain, row_label
from rsir_bench.records.commands import request_of
from rsir_bench.records.paper import PAPER_TABLES, PaperTable, Published, own_rows, published
from rsir_bench.records.schema import PaperRow, Record
from rsir_bench.scenes.card import edition_name

METRICS = ("mAP", "AP@10h", "P@5", "P@10", "P@50", "P@100")
"""The columns of a table unless others are asked for."""

Results = dict[tuple[str, str, str], list[Record]]
"""The records of each target, method and row."""

DOUBT = "!"
"""Stands beside values that do not measure retrieval."""

SHOWS_FILL = " It leads to the command that fills it."

OTHER_TARGETS = PaperTable("targets", "Retrieval results of different methods", protocol="", targets=())
ENCODERS = PaperTable("encoders", "Retrieval results of encoders as they come", protocol="", targets=())
GRADED_TARGETS = PaperTable("labels", "Retrieval results on scenes with several labels", protocol="", targets=())


@dataclass(frozen=True)
class MetricCell:
    """One metric of one row; every value is None if there is none.

    Attributes:
        mean: Over the seeds.
        sd: Sample standard deviation over the seeds; None for a single seed.
        paper: The published value of the same quantity.
        mark: Whether the mean is the best or second best of its block.
        not_worse: Whether it is not shown to be worse than the best tested value of its block; None: not tested.
        doubtful: Whether it is no value of a retrieval, see ``MethodRow.doubts``; it is neither marked nor tested.
    """

    mean: float | None = None
    sd: float | None = None
    paper: float | None = None
    mark: Mark = ""
    not_worse: bool | None = None
    doubtful: bool = False

    @property
    def difference(self) -> float | None:
        """Our printed value minus the paper's printed value, so that a reader who subtracts gets the same."""
        if self.mean is None or self.paper is None:
            return None
        return round(round(self.mean, DIGITS) - self.paper, DIGITS)


@dataclass(frozen=True)
class RowName:
    """The name of a row.

    Attributes:
        label: The method as ``--methods`` takes it; empty if only the paper has the row.
        title: The method as it is printed.
        row: The row, with the particulars of its PCA.
        target_fit: Whether its PCA was fitted on the target.
        paper: The published row that it is compared with.
    """

    label: str
    title: str
    row: str
    target_fit: bool
    paper: PaperRow | None


@dataclass(frozen=True)
class MethodRow:
    """One method and row on one target; no ``records`` where only the paper has it or where it was not run.

    ``apart`` says that it was not made as most rows of the target were, see ``significance.is_apart``.
    """

    name: RowName
    records: tuple[Record, ...]
    cells: dict[str, MetricCell]
    footnote: int | None = None
    apart: bool = False

    @property
    def seeds(self) -> int:
        """The number of seeds that the values are means over."""
        return len(self.records)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the values do not measure retrieval, by seed; empty if nothing is known against them."""
        return tuple(f"seed {one.seed}: {'; '.join(one.doubts)}" for one in self.records if one.doubts)

    @property
    def counts(self) -> bool:
        """Whether the row competes with others, see ``competes``."""
        return competes(self.records)

    @property
    def origin(self) -> str:
        """Who made the row elsewhere, in words; empty for what was made here."""
        return origin_in_words(self.records)


@dataclass(frozen=True)
class Block:
    """All rows of one target.

    Attributes:
        target: Its label, or its name in the paper where nothing of ours was run on it.
        title: Its title, with its edition if the board has several.
        extent: Its scenes and classes, in words; empty if nothing of ours was run on it.
        rows: The rows.
        references: The chance and the oracle of a target whose scenes have several labels.
        dataset: The name of its dataset; empty if nothing of ours was run on it.
        edition: Its edition, in words; empty if the board has only one.
        suite: The number of its suite.
    """

    target: str
    title: str
    extent: str
    rows: tuple[MethodRow, ...]
    references: tuple[Reference, ...] = ()
    dataset: str = ""
    edition: str = ""
    suite: int = 0


@dataclass(frozen=True)
class Table:
    """One table of one board.

    Attributes:
        name: ``"I"``, ``"II"``, ... of the paper, ``"targets"``, ``"encoders"`` or ``"labels"``.
        caption: What it shows.
        board: The board that its values come from.
        shows_paper: Whether the published values are shown next to ours.
        blocks: One per target.
        notes: Whole sentences below the table.
        footnotes: The slips of the paper; ``MethodRow.footnote`` counts them from 1.
        metrics: Its columns.
        ablation: Whether its rows are those of a question about one method, which other tables have too.
    """

    name: str
    caption: str
    board: Board
    shows_paper: bool
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...]
    metrics: tuple[str, ...] = METRICS
    ablation: bool = False


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
    return [shape for shape in shapes if _is_the_papers(board, shape.protocol)]


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
    shows_paper = _is_the_papers(board, shape.protocol) and bool(entries)
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
        notes=tuple(_notes(board, shape, blocks, common, shows_paper)),
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


def _is_the_papers(board: Board, protocol: str) -> bool:
    return board.protocol.paper and not board.protocol.modified and board.protocol.name == protocol


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


def competes(records: Sequence[Record]) -> bool:
    """Return whether a row competes with others.

    It is not fitted on the target, nothing speaks against its values, and it was made here, or again here.
    """
    return can_compete(records) and not any(record.row.fit == "target" or record.doubts for record in records)


def _block(
    target: str, records: list[Record], rows: list[MethodRow], metrics: Sequence[str], usual: str | None
) -> Block:
    for record in records:
        if record.target.label == target:
            of = record.target
            excluded = f", {record.target.excluded} duplicates of source scenes excluded" * (record.target.excluded > 0)
            kinds = f"{len(record.graded.labels)} labels" if record.graded else f"{record.target.classes} classes"
            extent = f"{record.target.scenes} scenes, {kinds}{excluded}"
            found = references([one for one in records if one.target.label == target])
            marked = _marked(rows, metrics, usual)
            return Block(target, of.heading, extent, marked, found, of.name, of.edition, of.suite)
    return Block(target, target, "", tuple(rows))


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
        records = [row.records if row.counts else () for row in rows]
        for row, not_worse in zip(rows, significance.not_worse(records, metric, usual), strict=True):
            row.cells[metric] = replace(row.cells[metric], not_worse=not_worse)
        known = [row.records if row.counts and row.cells[metric].mean is not None else () for row in rows]
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


def _notes(board: Board, shape: PaperTable, blocks: list[Block], common: str, shows_paper: bool) -> Iterator[str]:
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


def origin_in_words(records: Sequence[Record]) -> str:
    """Return who made a line elsewhere and whether it was recomputed; empty for a line that was made here."""
    origin = next((record.origin for record in records if record.origin), None)
    if origin is None:
        return ""
    where = ", ".join(word for word in (origin.made_on, origin.url) if word)
    who = f"{origin.by} ({where})" if where else origin.by
    if origin.kind == "descriptors":
        return f"descriptors submitted by {who}, scored here" + (f"; {origin.training}" if origin.training else "")
    again = [f"seed {one.seed}: {one.origin.remade}" for one in records if one.origin and one.origin.remade]
    return f"made by {who}; " + (f"recomputed here, {'; '.join(again)}" if again else "not recomputed here")


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
    if _is_the_papers(board, shape.protocol):
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
