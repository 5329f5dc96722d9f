"""Find the results that the report shows with scenes, and the runs behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import is_intact, page_name
from rsir_bench.base.progress import track
from rsir_bench.ranking.graded.names import HEADLINE
from rsir_bench.ranking.queries import choose_queries
from rsir_bench.records.cells import is_plain, row_label
from rsir_bench.records.editions import with_editions
from rsir_bench.records.metrics import main_metric
from rsir_bench.records.schema import Record, in_edition
from rsir_bench.records.store import read_records
from rsir_bench.report.names import board_title, short_names
from rsir_bench.report.scenes.neighbours import Neighbours, find_neighbours
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.locate import LocatedResult, locate
from rsir_bench.runs.request import UserFiles
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.labelling.labels_of_scenes import SceneLabels

Log = Callable[[str], None]
Find = Callable[[list[Record]], dict[str, LocatedResult]]
OUTDATED = "the method, protocol or scenes no longer match its records; run it again"


@dataclass(frozen=True, eq=False)
class RetrievalRun:
    """One method's retrieval on one target.

    Attributes:
        record: The record of the method's preferred row and first seed.
        recorded: The run behind it.
        found: The retrieved scenes, as positions in ``Target.kept``.
    """

    record: Record
    recorded: LocatedResult
    found: Neighbours

    @property
    def title(self) -> str:
        """The method as boards and ``--methods`` name it."""
        return self.record.method.label

    @property
    def row(self) -> str:
        """The row as tables print it."""
        return row_label(self.record)

    @property
    def measure(self) -> str:
        """The name of the measure in ``found.similarities``."""
        if self.record.row.kind == "code":
            return "Hamming distance in bits"
        similarity = self.recorded.plan.protocol.score.similarity
        return {"pearson": "Pearson correlation", "euclidean": "Euclidean distance"}.get(similarity, similarity)


@dataclass(eq=False)
class Target:
    """The scenes of one target on one board, with the methods that retrieve them.

    Attributes:
        board: The board's name.
        index: The scenes.
        kept: (M,) int64, the indices of the scored scenes; the others are duplicates of source scenes.
        methods: The methods, sorted by ``metric``, best first; those with a doubt come last.
        edition: Its edition, in words; empty if the runs have only one.
    """

    board: str
    index: SceneIndex
    kept: npt.NDArray[np.int64]
    methods: list[RetrievalRun] = field(default_factory=list)
    edition: str = ""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(M,) int64, the classes of the scored scenes."""
        return self.index.labels[self.kept]

    @property
    def several(self) -> SceneLabels | None:
        """The labels of the scored scenes where they have several; None: each has one, its class."""
        labels = self.index.several
        return None if labels is None else SceneLabels(labels.names, labels.members[self.kept])

    @property
    def kinds(self) -> str:
        """The number of classes or labels, in words."""
        return f"{len(self.index.classes)} classes" if self.several is None else f"{len(self.several.names)} labels"

    @property
    def metric(self) -> str:
        """The metric that methods are ranked by."""
        return "mAP" if self.several is None else HEADLINE

    @property
    def board_title(self) -> str:
        """The board's name in words."""
        return board_title(self.methods[0].record.protocol) if self.methods else self.board

    @property
    def short(self) -> dict[str, str]:
        """The methods' short names, by title."""
        return short_names(method.title for method in self.methods)

    def is_right(self, query: int, scene: int) -> bool:
        """Whether a scored scene is of a query's class, or shares a label with it."""
        if self.several is not None:
            return bool((self.several.members[query] & self.several.members[scene]).any())
        return bool(self.labels[query] == self.labels[scene])

    def words(self, scene: int) -> str:
        """Return the class of a scored scene, or its labels."""
        if self.several is not None:
            return ", ".join(self.several.of(scene))
        return self.index.classes[int(self.labels[scene])]

    @property
    def title(self) -> str:
        """The dataset's full name, with its edition if the runs have several."""
        return in_edition(self.index.card.title if self.index.card else self.index.name, self.edition)

    @property
    def label(self) -> str:
        """The name of the target on boards."""
        return in_edition(self.index.name, self.edition)

    @property
    def name(self) -> str:
        """The name to use in file names."""
        return f"{page_name(self.board)}+{page_name(self.label)}"  # no board has a "+"


def find_targets(runs: Sequence[Path], files: UserFiles, log: Log) -> list[Target]:
    """Return every target of the runs whose scenes and descriptors exist, with its methods ranked.

    One row of each method represents it, with its first seed and on undistorted scenes; see ``preferred``.

    Args:
        runs: Folders that ``rsir-bench run --out`` wrote.
        files: What the runs were made with.
        log: Called with one line for each thing that is missing.

    Raises:
        UserError: A folder of runs does not exist.
    """
    read = [(folder, one) for folder in runs for one in read_records([folder], log) if _is_shown(one)]
    records = with_editions(one for _, one in read)
    located: dict[str, LocatedResult] = {}
    for folder in runs:
        found = [record for (place, _), record in zip(read, records, strict=True) if place == folder]
        located |= _located(found, lambda some, folder=folder: locate(some, folder, files), log)  # type: ignore[misc]
    targets: dict[tuple[str, str], Target] = {}
    for record, recorded in track(preferred(records, located), "ranking scenes"):
        _add(targets, record, recorded, log)
    for target in targets.values():
        target.methods.sort(
            key=lambda shown: (
                bool(shown.record.doubts),
                -shown.record.metrics[main_metric(shown.record)],
                shown.record.method.label,
            )
        )
    return [targets[place] for place in sorted(targets)]


def preferred(records: Iterable[Record], located: dict[str, LocatedResult]) -> list[tuple[Record, LocatedResult]]:
    """Return one record for each board, target and method.

    It is the record of the first seed and of the PCA or code row, or of the first row if there is neither. If several
    training rounds have such a row, it is the row of the last round.
    """
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.key in located:
            groups[record.protocol.board, record.target.label, record.method.label].append(record)

    def rank(record: Record) -> tuple[int, bool, bool, int]:
        recorded = located[record.key]
        order = [cell.key for cell in recorded.run.cells].index(record.key)
        return record.seed, record.row.kind not in ("pca", "code"), recorded.cell.row.round is not None, order

    chosen = [min(group, key=rank) for _, group in sorted(groups.items())]
    return [(record, located[record.key]) for record in chosen]


def _is_shown(record: Record) -> bool:
    return is_plain(record) and record.row.fit != "target"


def _located(records: list[Record], find: Find, log: Log) -> dict[str, LocatedResult]:
    """Return the runs behind the records; problems with one target or method do not affect the others."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.protocol.board, record.target.label].append(record)
    located: dict[str, LocatedResult] = {}
    for (board, target), group in sorted(groups.items()):
        problems: list[str] = []
        found = _found(group, find, problems)
        for problem in dict.fromkeys(problems):
            log(f"{target} on board {board} not shown: {problem}")
        lost = {record.method.label for record in group if record.key not in found}
        if lost and not problems:
            log(f"{target} on board {board} not shown for {', '.join(sorted(lost))}: {OUTDATED}")
        located |= found
    return located


def _found(records: list[Record], find: Find, problems: list[str]) -> dict[str, LocatedResult]:
    """Locate all records at once, or method by method if that fails."""
    try:
        return find(records)
    except UserError as error:
        methods = dict.fromkeys(record.method.name for record in records)
        if len(methods) == 1:
            problems += str(error).splitlines()
            return {}
    parts = [[record for record in records if record.method.name == name] for name in methods]
    return {key: recorded for part in parts for key, recorded in _found(part, find, problems).items()}


def _add(targets: dict[tuple[str, str], Target], record: Record, recorded: LocatedResult, log: Log) -> None:
    """Rank the scenes of one result and add the result to its target."""
    place = record.protocol.board, record.target.label
    path = recorded.cell.descriptors
    if not is_intact(path):
        problem = "damaged" if path.is_file() else "no descriptors"
        log(f"{record.method.label} on {place[1]} not shown: {path}: {problem}; delete its record and run again")
        return
    if place not in targets:
        index = recorded.plan.datasets[recorded.cell.target]
        kept = np.flatnonzero(RunArtifacts(recorded.plan, recorded.run).counted(recorded.cell.target))
        targets[place] = Target(place[0], index, kept, edition=record.target.edition)
    target = targets[place]
    targets[place].methods.append(RetrievalRun(record, recorded, _ranked(np.load(path), target, record, recorded)))


def _ranked(
    descriptors: npt.NDArray[np.generic], target: Target, record: Record, recorded: LocatedResult
) -> Neighbours:
    settings = recorded.plan.protocol.score
    several = target.several
    return find_neighbours(
        descriptors[target.kept],
        target.labels if several is None else several.members,
        similarity=settings.similarity,
        bits=record.row.dimensions if record.row.kind == "code" else None,
        queries=choose_queries(target.labels, settings.queries, settings.query_seed),
    )
