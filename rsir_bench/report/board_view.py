"""A board as pages show it: a line for each row of each method, a column for each target and metric, and costs."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from rsir_bench.base.files import page_name
from rsir_bench.base.progress import track
from rsir_bench.leaderboard import costs, robustness
from rsir_bench.leaderboard.boards import Board, boards
from rsir_bench.leaderboard.grids import seeds_in_words
from rsir_bench.leaderboard.pages.cells import encoder_columns, heading, paper_header
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.parts import Block, MethodRow, MetricCell, RowName, Table
from rsir_bench.protocol import load_protocol
from rsir_bench.ranking.graded.names import HEADLINE
from rsir_bench.records.cells import cell_of, is_plain
from rsir_bench.records.paper import PAPER_TABLES, PUBLISHED_COLUMNS
from rsir_bench.records.schema import ENVIRONMENT, Record
from rsir_bench.report.names import board_title, short_names
from rsir_bench.scenes.card import load_cards

SPEED = "describe_images_per_second"
NOT_THE_PAPERS = "Not comparable with the paper"


@dataclass(frozen=True)
class Column:
    """One column of values; if ``paper`` is set, columns of published values and of differences follow it.

    ``references`` holds the chance and the oracle of targets whose scenes have several labels, by title; ``dataset`` is
    the name of the target's dataset, and ``edition`` its edition in words, empty if the board has only one.
    """

    target: str
    title: str
    metric: str
    paper: bool
    references: dict[str, float]
    dataset: str
    edition: str

    @property
    def most(self) -> float:
        """The greatest value that there can be, or 1."""
        return self.references.get("Oracle") or 1.0

    @property
    def paper_header(self) -> str:
        """The header of the published values."""
        return paper_header(self.metric)


@dataclass(frozen=True)
class Target:
    """A target of a board.

    Attributes:
        name: Its label, which tells editions apart.
        title: Its title.
        extent: Its size, in words.
        metric: The metric that methods are ranked by there.
        dataset: The name of its dataset.
        edition: Its edition, in words; empty if the board has only one.
        suite: The number of its suite.
    """

    name: str
    title: str
    extent: str
    metric: str
    dataset: str
    edition: str
    suite: int


@dataclass(frozen=True)
class Standing:
    """One row of one method on all targets of a board.

    Attributes:
        name: The name of the row; its label is empty if only the paper has the row.
        method: The method's name without settings; empty if only the paper has the row.
        seeds: The number of seeds on each target.
        cells: The values by target and metric.
        main: Whether figures show this row of the method; see ``main_rows``.
        costs_by_suite: Its costs by suite of targets; empty if no record has them.
        origin: Who made it elsewhere, in words; empty for what was made here.
        input: What an encoder sees, in words; empty for other methods.
        apart: Whether it was not made as most rows of a target were; see ``significance.is_apart``.
    """

    name: RowName
    method: str
    seeds: dict[str, int]
    cells: dict[tuple[str, str], MetricCell]
    main: bool
    costs_by_suite: dict[int, costs.CostRow]
    origin: str = ""
    input: str = ""
    apart: bool = False

    @property
    def label(self) -> str:
        """The method as ``--methods`` takes it, or the paper's name for it."""
        return self.name.label or self.name.title

    @property
    def cost(self) -> costs.CostRow | None:
        """Its costs on the first suite for which they are known; None if no record has them."""
        return self.costs_by_suite[min(self.costs_by_suite)] if self.costs_by_suite else None

    @property
    def seeds_in_words(self) -> str:
        """The number of seeds: ``"5"``, or ``"1-5"`` if targets differ; empty if the method was not run."""
        return seeds_in_words(self.seeds.values())


@dataclass(frozen=True)
class BoardView:
    """A board as its pages show it.

    Attributes:
        board: The board.
        rendered: Its tables, as the leaderboards print them.
        tables: The same with the targets' own names.
        targets: Its targets.
        columns: The columns of values.
        standings: The rows.
    """

    board: Board
    rendered: tuple[Table, ...]
    tables: tuple[Table, ...]
    targets: tuple[Target, ...]
    columns: tuple[Column, ...]
    standings: tuple[Standing, ...]

    @property
    def name(self) -> str:
        """The name of the board and of its folder."""
        return self.board.name

    @property
    def page(self) -> str:
        """The path of its page in the report."""
        return f"boards/{self.name}.html"

    @property
    def title(self) -> str:
        """The name of its protocol, with the settings that make another board of it."""
        return board_title(self.board.protocol)

    @cached_property
    def short(self) -> dict[str, str]:
        """The methods' short names, by label."""
        return short_names(standing.label for standing in self.standings)

    @property
    def shows_paper(self) -> bool:
        """Whether any table shows published values next to ours."""
        return any(table.shows_paper for table in self.tables)

    @property
    def mistakable(self) -> bool:
        """Whether its values could be taken for the paper's: it trains on what the paper trains on, in another way."""
        protocol = self.board.protocol
        papers = _papers_sources()
        trained = protocol.settings["data"]["source"]
        return not self.shows_paper and (protocol.name in papers or trained in papers.values())

    @property
    def metrics(self) -> list[str]:
        """The metrics of its columns, each once."""
        return list(dict.fromkeys(column.metric for column in self.columns))

    def column(self, target: str, metric: str) -> Column | None:
        """Return the column of a target and a metric; None if there is none."""
        return next((one for one in self.columns if (one.target, one.metric) == (target, metric)), None)

    @property
    def synthetic(self) -> bool:
        """Whether all its targets are generated."""
        cards = load_cards()
        return all(target.dataset in cards and cards[target.dataset].generator is not None for target in self.targets)

    @property
    def notes(self) -> list[str]:
        """The notes of its tables, each once; what tells it from the paper's only where that could be doubted."""
        found = dict.fromkeys(note for table in self.whole for note in table.notes)
        kept = self.shows_paper or self.mistakable
        return [note for note in found if kept or not note.startswith(NOT_THE_PAPERS)]

    @property
    def footnotes(self) -> list[str]:
        """The slips of the published rows, with their table."""
        return [f"{heading(table)}: {slip}" for table in self.whole for slip in table.footnotes]

    @property
    def whole(self) -> list[Table]:
        """The tables of all methods: not those of a question about one method, whose rows these have too."""
        return [table for table in self.tables if not table.ablation]

    def ranked(self, column: Column) -> list[Standing]:
        """Return the rows, the best of a column first and those without a value, or with a doubtful one, last."""

        def rank(standing: Standing) -> float:
            cell = standing.cells[column.target, column.metric]
            return math.inf if cell.mean is None or cell.doubtful else -cell.mean

        return sorted(self.standings, key=rank)

    @cached_property
    def main(self) -> list[Standing]:
        """For each method, the row that figures show; the method with the best mean over targets is first.

        Doubtful values count as none. If the targets form several suites, the first decides, then the next.
        """
        suites = sorted({target.suite for target in self.targets})

        def rank(standing: Standing) -> tuple[list[tuple[int, float]], str]:
            ranks = []
            for suite in suites:
                targets = [target for target in self.targets if target.suite == suite]
                cells = [standing.cells[target.name, target.metric] for target in targets]
                known = [cell.mean for cell in cells if cell.mean is not None and not cell.doubtful]
                ranks.append((-len(known), -statistics.fmean(known) if known else 0.0))
            return ranks, standing.label

        return sorted((standing for standing in self.standings if standing.main), key=rank)

    def sound(self, target: Target) -> list[Standing]:
        """Return the rows of ``main`` that measure retrieval on a target, as far as is known; all where none does."""
        return [one for one in self.main if not one.cells[target.name, target.metric].doubtful] or self.main

    def left_out(self, target: Target) -> str:
        """Return a sentence on the rows of ``main`` that figures of a target leave out; empty for none."""
        sound = self.sound(target)
        names = [self.short[one.label] for one in self.main if one not in sound]
        return f" Left out, as their values do not measure retrieval: {', '.join(names)}." if names else ""

    @cached_property
    def robustness(self) -> dict[str, robustness.Block]:
        """The results on distorted scenes by target."""
        return {block.target: block for block in robustness.blocks(self.board)}

    def records(self, target: str, standing: Standing) -> list[Record]:
        """Return the records of a row on an undistorted target, by seed."""
        return self._cells[target, standing.name.label, standing.name.row]

    @cached_property
    def _cells(self) -> dict[tuple[str, str, str], list[Record]]:
        cells: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
        for record in self.board.records:
            if is_plain(record):
                cells[cell_of(record)].append(record)
        return cells


@cache
def _papers_sources() -> dict[str, str | None]:
    """Return the protocols of the paper, with the dataset that each trains on."""
    names = dict.fromkeys(table.protocol for table in PAPER_TABLES)
    return {name: load_protocol(name).data.source for name in names}


def views(records: Iterable[Record]) -> list[BoardView]:
    """Return the boards of the records: those with the paper's values first, then real scenes, then the largest.

    Raises:
        UserError: Records cannot share a board.
    """
    every = [_view(board) for board in track(boards(records), "comparing methods")]

    def rank(view: BoardView) -> tuple[bool, bool, int, str]:
        return not view.shows_paper, view.synthetic, -len(view.board.records), view.name

    return sorted(every, key=rank)


def _view(board: Board) -> BoardView:
    rendered = tables(board)
    found = [_under_own_names(table) for table in rendered]
    whole = [table for table in found if not table.ablation]
    targets = tuple(
        Target(
            name=block.target,
            title=block.title,
            extent=block.extent,
            metric=HEADLINE if block.references else "mAP",
            dataset=block.dataset,
            edition=block.edition,
            suite=block.suite,
        )
        for table in whole
        for block in table.blocks
    )
    columns = tuple(
        Column(
            block.target,
            block.title,
            metric,
            table.shows_paper and metric in PUBLISHED_COLUMNS,
            values_of(block, metric),
            block.dataset,
            block.edition,
        )
        for table in whole
        for block in table.blocks
        for metric in table.metrics
    )
    return BoardView(board, tuple(rendered), tuple(found), targets, columns, tuple(_standings(board, whole)))


def values_of(block: Block, metric: str) -> dict[str, float]:
    """Return the chance and the oracle of a metric by title, where a block has them."""
    return {one.title: one.values[metric] for one in block.references if metric in one.values}


def _under_own_names(table: Table) -> Table:
    """Rename targets without results from the paper's names to the names of their cards."""
    names = {card.paper_name: card.name for card in load_cards().values()}
    blocks = []
    for block in table.blocks:
        name = names.get(block.target, block.target)
        blocks.append(block if block.dataset else replace(block, target=name, dataset=name))
    return replace(table, blocks=tuple(blocks))


def _standings(board: Board, whole: list[Table]) -> list[Standing]:
    rows: dict[tuple[str, str, str], list[tuple[Block, MethodRow]]] = defaultdict(list)
    for table in whole:
        for block in table.blocks:
            for row in block.rows:
                key = (row.name.label, "" if row.name.label else row.name.title, row.name.row)
                rows[key].append((block, row))
    places = [(block.target, metric) for table in whole for block in table.blocks for metric in table.metrics]
    nothing = {place: MetricCell() for place in places}
    method_of = {record.method.label: record.method.name for record in board.records}
    main, cost = main_rows(board.records), _costs(board)
    return [
        Standing(
            name=name,
            method=method_of.get(name.label, ""),
            seeds={block.target: row.seeds for block, row in on},
            cells=nothing | {(block.target, metric): cell for block, row in on for metric, cell in row.cells.items()},
            main=main.get(name.label) == name.row,
            costs_by_suite=cost.get(name.label, {}),
            origin=next((row.origin for _, row in on if row.origin), ""),
            input=next(filter(None, (encoder_columns(row.records).get("Input", "") for _, row in on)), ""),
            apart=any(row.apart for _, row in on),
        )
        for name, on in ((on[0][1].name, on) for on in rows.values())
    ]


def main_rows(records: Iterable[Record]) -> dict[str, str]:
    """Return, for each method, the row that figures show: a PCA fitted on the source, or else its first row by name.

    The choice does not depend on scores. The paper's Fig. 4 also shows PCA.
    """
    ranked: dict[str, tuple[bool, str]] = {}
    for record in records:
        if is_plain(record):
            _, label, row = cell_of(record)
            rank = (not (record.row.kind == "pca" and record.row.fit == "source"), row)
            ranked[label] = min(rank, ranked.get(label, rank))
    return {label: row for label, (_, row) in ranked.items()}


def _costs(board: Board) -> dict[str, dict[int, costs.CostRow]]:
    """Return the costs of each method, by suite, in the first environment that the reference was also measured in."""
    found: dict[str, dict[int, costs.CostRow]] = defaultdict(dict)
    for row in costs.cost_rows(board):
        known = found[row.label].get(row.suite)
        if known is None or (known.ratios[SPEED] is None and row.ratios[SPEED] is not None):
            found[row.label][row.suite] = row
    return found


def environment_in_words(values: Sequence[str]) -> str:
    """Return for example ``"device cpu, threads 1, precision bf16"``; unknown values are left out."""
    return ", ".join(f"{name} {value}" for name, value in zip(ENVIRONMENT, values, strict=True) if value)


def page_of_method(name: str) -> str:
    """Return the path of a method's page in the report."""
    return f"methods/{page_name(name)}.html"


def page_of_dataset(name: str) -> str:
    """Return the path of a dataset's page in the report."""
    return f"datasets/{page_name(name)}.html"
