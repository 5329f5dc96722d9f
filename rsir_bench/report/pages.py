"""The pages that need records only: leaderboard, boards, methods and datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsir_bench.leaderboard.after.rows import AfterGroup, after_groups
from rsir_bench.leaderboard.costs import COSTS
from rsir_bench.leaderboard.variants import Effect, effect_of
from rsir_bench.method.registry import RegisteredMethod
from rsir_bench.records import commands
from rsir_bench.records.schema import in_edition
from rsir_bench.report.board_view import (
    BoardView,
    Column,
    Standing,
    Target,
    environment_in_words,
    page_of_dataset,
    page_of_method,
)
from rsir_bench.report.differences import Compared, differences
from rsir_bench.report.figures import ClassValues, class_values
from rsir_bench.report.names import short_names
from rsir_bench.report.plot_style import Drawing
from rsir_bench.report.renderer import Frame
from rsir_bench.report.tiles import Scenes
from rsir_bench.scenes.card import DatasetCard


@dataclass(frozen=True)
class Content:
    """The content of the pages.

    Attributes:
        views: The boards, in the order of the pages.
        drawings: Figures by board and target.
        tables: Files of each board's tables, by table and then by format, relative to the report's folder.
        methods: The installed methods, with or without records.
        datasets: The dataset cards.
        scenes: Scenes, and links to pages of scenes.
    """

    views: list[BoardView]
    drawings: dict[tuple[str, str], list[Drawing]]
    tables: dict[str, dict[str, dict[str, str]]]
    methods: dict[str, RegisteredMethod]
    datasets: dict[str, DatasetCard]
    scenes: Scenes


@dataclass(frozen=True)
class MethodCard:
    """A card as a page shows it; ``settings`` are defaults by name."""

    name: str
    paper: str
    year: int
    tables: list[str]
    stated: list[str]
    choices: list[str]
    settings: dict[str, str]


@dataclass(frozen=True)
class EffectRow:
    """What the front end of a method does on one target, and the row's scores without it."""

    target: Target
    standing: Standing
    effect: Effect


@dataclass(frozen=True)
class Processed:
    """A row of a method on a target, before and after post-processing."""

    target: Target
    group: AfterGroup


@dataclass(frozen=True)
class MethodResult:
    """A method's rows on one board, its difference from the baseline, what its front end does, costs, and commands."""

    view: BoardView
    standings: list[Standing]
    differences: list[Compared]
    effects: list[EffectRow]
    processed: list[Processed]
    costs: str
    commands: list[str]


@dataclass(frozen=True)
class MethodPage:
    """One method; ``cards`` has several for a front end before a method, and none if its code is not installed."""

    name: str
    title: str
    year: int | None
    cards: list[MethodCard]
    results: list[MethodResult]

    @property
    def short(self) -> str:
        """Its name, shortened where it is long."""
        return short_names([self.name])[self.name]

    @property
    def compared(self) -> list[MethodResult]:
        """The boards where it is compared with the baseline."""
        return [result for result in self.results if result.differences]

    @property
    def reach(self) -> float:
        """How far the longest bar of a difference goes."""
        return max((one.reach for result in self.results for one in result.differences), default=0.0)


@dataclass(frozen=True)
class DatasetPart:
    """A dataset's results on one board."""

    view: BoardView
    columns: list[Column]
    standings: list[Standing]
    drawings: list[Drawing]


@dataclass(frozen=True)
class DatasetPage:
    """One dataset; no card for a folder that only records know. ``figures`` are classes, labels, scenes and pixels."""

    name: str
    title: str
    card: DatasetCard | None
    figures: tuple[int, int, int, int]
    source_of: list[BoardView]
    parts: list[DatasetPart]

    @property
    def views(self) -> list[BoardView]:
        """The boards that it is a target of."""
        return [part.view for part in self.parts]


@dataclass(frozen=True)
class BoardPart:
    """One target on a board's page; ``missing`` says which figures are missing, and why."""

    target: Target
    drawings: list[Drawing]
    missing: list[str]
    by_class: ClassValues | None
    processed: list[Processed]


MISSING = {
    "classes": "No figure by class: these records hold no values by class.",
    "costs": "No figure of costs: these records have no costs.",
    "seeds": "No figure of seeds: no method has two on this target, so how far they spread is not known.",
    "robustness": "No figure of distortions: nothing was run on distorted scenes of this target (--distort all).",
}


def write_pages(frame: Frame, content: Content) -> None:
    """Render every page that needs records only."""
    _write_leaderboard(frame, content)
    for view in content.views:
        _write_board(frame, content, view)
    methods = method_pages(content)
    frame.render("methods.html", "methods/index.html", pages=methods)
    for method in methods:
        names = {method.name, *_labels(method)}
        found = [link for link in content.scenes.links if names & {*link.methods}]
        path = page_of_method(method.name)
        frame.render("method.html", path, page=method, links=found, again=commands.AGAIN)
    datasets = dataset_pages(content)
    frame.render("datasets.html", "datasets/index.html", pages=datasets)
    for dataset in datasets:
        found = [link for link in content.scenes.links if link.target == dataset.name]
        strip = content.scenes.strips.get(dataset.name)
        frame.render("dataset.html", page_of_dataset(dataset.name), page=dataset, links=found, strip=strip)


def _write_leaderboard(frame: Frame, content: Content) -> None:
    labels = {record.method.label for view in content.views for record in view.board.records}
    targets = {target.name for view in content.views for target in view.targets}
    number = sum(len(view.board.records) for view in content.views)
    sizes = [(number, "result"), (len(labels), "method"), (len(targets), "target"), (len(content.views), "board")]
    counts = ", ".join(f"{size:,} {what}{'s' * (size != 1)}" for size, what in sizes)
    metrics = list(dict.fromkeys(metric for view in content.views for metric in view.metrics))
    frame.render(
        "leaderboard.html",
        "index.html",
        views=content.views,
        counts=counts,
        metrics=metrics,
        links=content.scenes.links,
        showcase=content.scenes.showcase,
    )


def _write_board(frame: Frame, content: Content, view: BoardView) -> None:
    parts = []
    for target in view.targets:
        drawings = content.drawings[view.name, target.name]
        kinds = {drawing.name.rpartition("-")[2] for drawing in drawings}
        missing = [words for kind, words in MISSING.items() if kind not in kinds]
        processed = [each for each in processed_rows(view) if each.target == target]
        parts.append(BoardPart(target, drawings, missing, class_values(view, target), processed))
    frame.render(
        "board.html",
        view.page,
        view=view,
        parts=parts,
        tables=content.tables.get(view.name, {}),  # none of distorted scenes alone
        settings=dict(_flat(view.board.protocol.settings)),
        links=[link for link in content.scenes.links if link.board == view.name],
    )


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def method_pages(content: Content) -> list[MethodPage]:
    """Return one page for each method that has results or a card, by name."""
    recorded = {record.method.name for view in content.views for record in view.board.records}
    pages = []
    for name in sorted(recorded | content.methods.keys()):
        words = name.partition(":")[0].split("+")
        cards = [_card(content.methods[word]) for word in words if word in content.methods]
        results = [_method_result(view, name) for view in content.views]
        found = [result for result in results if result.standings]
        years = [card.year for card in cards]
        pages.append(MethodPage(name, _title(content, name, found), max(years, default=None), cards, found))
    return pages


def _title(content: Content, name: str, results: list[MethodResult]) -> str:
    """Return the title as the boards print it; without results, that of the card."""
    titles = [line.name.title for result in results for line in result.standings if line.label == name]
    if titles or name not in content.methods:
        return ", ".join(dict.fromkeys(titles)) or name
    return content.methods[name].title


def _card(entry: RegisteredMethod) -> MethodCard:
    card = entry.method_class.card
    fields = entry.method_class.Settings.model_fields.items()
    settings = {key: "(required)" if field.is_required() else repr(field.default) for key, field in fields}
    return MethodCard(card.name, card.paper, card.year, card.tables, card.stated, card.choices, settings)


def _method_result(view: BoardView, name: str) -> MethodResult:
    standings = [standing for standing in view.standings if standing.method == name]
    records = [record for record in view.board.records if record.method.name == name]
    effects = [
        EffectRow(target, standing, effect)
        for target in view.targets
        for standing in standings
        if (effect := effect_of(view.records(target.name, standing))) is not None
    ]
    processed = [each for each in processed_rows(view) if each.group.name == name]
    costs = _costs_in_words(standings, view.short)
    return MethodResult(
        view, standings, differences(view, standings), effects, processed, costs, commands.commands(records)
    )


def processed_rows(view: BoardView) -> list[Processed]:
    """Return the rows of a board that were post-processed, target by target, the best plain ones first."""
    groups = after_groups(view.board)
    return [Processed(target, group) for target in view.targets for group in groups.get(target.name, [])]


def _costs_in_words(standings: list[Standing], short: dict[str, str]) -> str:
    """Return ``"jsst: Parameters (M) 7.69 (1.018 times the reference), ..."``; empty if no cost is known."""
    sentences = []
    known = {(one.label, suite): cost for one in standings for suite, cost in one.costs_by_suite.items()}
    for (label, _), cost in known.items():
        words = []
        for kind in COSTS:
            value, ratio = cost.values[kind.key], cost.ratios[kind.key]
            if value is not None:
                relative = f" ({ratio:.3f} times the reference)" if ratio is not None else ""
                words.append(f"{kind.header} {kind.show(value)}{relative}")
        if words:
            name = in_edition(short[label], cost.editions)
            sentences.append(f"{name}: {', '.join(words)}; {environment_in_words(cost.environment)}.")
    return " ".join(sentences)


def _labels(page: MethodPage) -> set[str]:
    return {standing.label for result in page.results for standing in result.standings}


def dataset_pages(content: Content) -> list[DatasetPage]:
    """Return one page for each dataset that has a card or is a target, by name."""
    targets = [target for view in content.views for target in view.targets]
    titles = {target.dataset: target.title.removesuffix(in_edition("", target.edition)) for target in targets}
    pages = []
    for name in sorted(titles.keys() | content.datasets.keys()):
        card = content.datasets.get(name)
        figures = _figures(card) if card else (0, 0, 0, 0)
        sources = [view for view in content.views if view.board.protocol.settings["data"]["source"] == name]
        parts = [_dataset_part(content, view, name) for view in content.views]
        found = [part for part in parts if part.columns]
        pages.append(DatasetPage(name, card.title if card else titles[name], card, figures, sources, found))
    return pages


def _figures(card: DatasetCard) -> tuple[int, int, int, int]:
    """Return the numbers of classes, or of labels where scenes have several, and of scenes, and their pixels."""
    if card.labels is not None:
        return 0, len(card.labels.names), card.scenes, card.pixels
    return len(card.classes), 0, card.scenes, card.pixels


def _dataset_part(content: Content, view: BoardView, name: str) -> DatasetPart:
    columns = [column for column in view.columns if column.dataset == name]
    if not columns:
        return DatasetPart(view, [], [], [])
    known = [line for line in view.ranked(columns[0]) if any(_has_value(line, column) for column in columns)]
    targets = [target for target in view.targets if target.dataset == name]
    drawings = [one for target in targets for one in content.drawings[view.name, target.name]]
    return DatasetPart(view, columns, known, drawings)


def _has_value(line: Standing, column: Column) -> bool:
    cell = line.cells[column.target, column.metric]
    return cell.mean is not None or cell.paper is not None


def tables_of(files: Iterable[Path], out: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Return the files of rendered tables by board, table and format, relative to the report's folder."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for file in files:
        name = file.stem.removeprefix("table_")
        title = f"Table {name}" if name.isupper() else name.capitalize()
        formats = found.setdefault(file.parent.name, {}).setdefault(title, {})
        formats[file.suffix[1:]] = file.relative_to(out).as_posix()
    return found
