"""The scenes of a target, as one row of a run describes them, ready for search."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import faiss
import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import digest, file_digest
from rsir_bench.ranking.nearest import Array, VectorSpace
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.artifacts.code import changed_since
from rsir_bench.runs.plan import ResultSpec, Run, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.search import index as indices
from rsir_bench.search.index import RecallReport
from rsir_bench.search.index_cache import kept_index
from rsir_bench.search.query import Query


@dataclass(frozen=True)
class Hit:
    """A scene that was found.

    Attributes:
        scene: Its number in the target.
        value: Similarity, or distance, to the query.
        itself: Whether it is the query itself.
    """

    scene: int
    value: float
    itself: bool


class Gallery:
    """The scenes of a target that count, compared as the protocol does; they are described first if necessary.

    Args:
        artifacts: The artifacts of the run.
        cell: The row and the target.
        log: Shows a line about what takes long or is rebuilt.

    Raises:
        RunError: The target had to be described, and its descriptors are not finite.
        UserError: The descriptors cannot be read or written.
    """

    def __init__(self, artifacts: RunArtifacts, cell: ResultSpec, log: Callable[[str], object]) -> None:
        self.artifacts, self.cell, self.log = artifacts, cell, log
        self.scenes: SceneIndex = artifacts.plan.datasets[cell.target]
        if not cell.descriptors.is_file():
            log(f"{cell.target} is described first; this happens only once")
        self.descriptors = artifacts.make_descriptors(cell)
        self.rows = np.flatnonzero(artifacts.counted(cell.target))
        code = cell.row.kind == "code"
        self.space = VectorSpace.of(self._counting, "hamming" if code else artifacts.plan.protocol.score.similarity)
        self._indices: dict[str, Any] = {}

    def __len__(self) -> int:
        """Return the number of scenes that are searched."""
        return len(self.rows)

    @cached_property
    def _counting(self) -> Array:
        everything = len(self.rows) == len(self.descriptors)
        return self.descriptors if everything else self.descriptors[self.rows]

    @cached_property
    def _content(self) -> list[str]:
        """Digests and settings that identify the content of every index."""
        return [file_digest(self.cell.descriptors), digest(self.rows.tolist()), self.space.similarity]

    def index(self, kind: str) -> Any:
        """Return the index of a kind (see ``rsir_bench.search.index.build``); it is stored in the run's folder.

        Raises:
            UserError: It cannot be written, or this kind cannot search codes.
        """
        if kind not in self._indices:
            key = digest([*self._content, kind, indices.settings(kind), faiss.__version__])
            path = self.artifacts.run.folder / "search" / f"{kind}-{key[:16]}.faiss"
            self._indices[kind] = kept_index(path, self.space.binary, partial(self._build, kind), self.log)
        return self._indices[kind]

    def _build(self, kind: str) -> Any:
        return indices.build(self.space.rows(self._counting), self.space, kind)

    def find(self, query: Query, top: int, kind: str = "flat") -> list[Hit]:
        """Return the nearest scenes, nearest first.

        A scene of the target is searched for with the descriptor that it was scored with; it comes first, before
        ``top`` others.

        Args:
            query: What to search for.
            top: How many scenes to find, not counting the query.
            kind: The kind of index.
        """
        row = self.space.rows(self._descriptor(query))
        own = self.place(query.scene)
        values, found = indices.nearest_others(self.index(kind), row, np.array([own]), top)
        shown = self.space.shown(values[0])
        others = [Hit(int(self.rows[at]), float(shown[rank]), False) for rank, at in enumerate(found[0]) if at >= 0]
        return others if own < 0 else [Hit(int(self.rows[own]), self._to_itself(row), True), *others]

    def _descriptor(self, query: Query) -> Array:
        """Return the descriptor of a query, (1, D) float32 or (1, bytes) uint8; a scene has that of its scores."""
        if query.scene is None:
            return self.artifacts.descriptors(self.cell).of_pixels(query.pixels)
        return self.descriptors[query.scene : query.scene + 1]

    def compared(self, query: Query) -> tuple[Array, Array]:
        """Return the descriptors of a query (1, D) and of all scenes that are searched (N, D); codes as -1 and +1."""
        both = self._descriptor(query), self._counting
        if not self.space.binary:
            return both
        bits = self.artifacts.describing.note()["lengths"][self.cell.row.descriptor]
        asked, scenes = (2 * np.unpackbits(codes, axis=1, count=bits).astype(np.float32) - 1 for codes in both)
        return asked, scenes

    def place(self, scene: int | None) -> int:
        """Return the row of a scene in the index; -1 if it is not in the index."""
        place = int(np.searchsorted(self.rows, -1 if scene is None else scene))
        return place if place < len(self.rows) and self.rows[place] == scene else -1

    def _to_itself(self, row: Array) -> float:
        return 0.0 if self.space.smaller_is_nearer else float(row[0] @ row[0])

    def compare(self, kind: str, top: int) -> RecallReport:
        """Return recall and time of an approximate index; see ``rsir_bench.search.index.compare``."""
        return indices.compare(self.index(kind), self.index("flat"), self._rows_at, top)

    def _rows_at(self, places: Array) -> Array:
        return self.space.rows(self._counting[places])


def find_run(request: Request, row: str | None) -> tuple[RunArtifacts, ResultSpec]:
    """Return the trained run that a request names, and the row to search. Nothing is trained.

    Args:
        request: One method, one seed, one target.
        row: Name of the row; None: the row of principal components, else of codes, else the first one, of the last
            round of training.

    Raises:
        UserError: The run is not trained (the message has the command that trains it), there is no such row, or the
            request names something that does not exist.
    """
    plan = make_plan(request)
    run = plan.runs[0]
    cell = _choose_cell(run, row)
    if run.card.trained and not run.is_trained(cell.round):
        former = changed_since(run)
        why = f"; the method's code has changed since {former}" if former else ""
        raise UserError(f"{run.title}: not trained in {run.folder}{why}; run `{training_command(request)}`")
    return RunArtifacts(plan, run), cell


def _choose_cell(run: Run, row: str | None) -> ResultSpec:
    if row is None:
        kinds = ("pca", "code", "real")
        return min(run.cells, key=lambda cell: (kinds.index(cell.row.kind), cell.row.round is not None))
    for cell in run.cells:
        if cell.row_name == row:
            return cell
    names = ", ".join(dict.fromkeys(cell.row_name for cell in run.cells))
    raise UserError(f"--row {row}: {run.method.label} has no such row; choose from {names}")


def training_command(request: Request) -> str:
    """Return the command that trains the request's run, with the folders as they were given."""
    words = ["rsir-bench", "run", "--protocol", request.protocol, "--methods", *request.methods]
    words += ["--seeds", *map(str, request.seeds), "--targets", *request.targets]
    words += ["--data-root", str(request.data_root), "--out", str(request.out)]
    words += [word for override in request.overrides for word in ("--set", override)]
    words += [word for plugin in request.plugins for word in ("--plugin", str(plugin))]
    words += [word for card in request.cards for word in ("--card", str(card))]
    return shlex.join(words)
