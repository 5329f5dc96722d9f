"""The artifacts of one run in order: network, descriptors, components, scores, records."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from rsir_bench.base.errors import Problems, RunError
from rsir_bench.base.files import PARTIAL, locked, remove_files
from rsir_bench.method.composition import Composed
from rsir_bench.records.store import RUN_NOTES
from rsir_bench.runs.artifacts.code import note_code
from rsir_bench.runs.artifacts.components import Components
from rsir_bench.runs.artifacts.describing import DescribeOrder, Describing
from rsir_bench.runs.artifacts.descriptors import Descriptors
from rsir_bench.runs.artifacts.effect import Effect
from rsir_bench.runs.artifacts.network import ROUND_FILES, Network, TrainOrder
from rsir_bench.runs.artifacts.record import ResultRecord
from rsir_bench.runs.artifacts.scores import RowScores
from rsir_bench.runs.own_weights import note_own_weights
from rsir_bench.runs.plan import Plan, ResultSpec, Run
from rsir_bench.scenes.distortions import Distortion

ERROR = "error.txt"
"""File of the traceback of a run that failed."""


@dataclass(frozen=True)
class Missing:
    """The missing artifacts of a run.

    Attributes:
        networks: Rounds that are not trained.
        cells: Results without descriptors.
        passes: Dataset, distortion and round of each pass over scenes that these descriptors take.
        plain_passes: Dataset and round of each pass with the front end switched off.
    """

    networks: list[int]
    cells: list[ResultSpec]
    passes: set[tuple[str, Distortion | None, int]]
    plain_passes: set[tuple[str, int]]

    @property
    def needs_network(self) -> bool:
        """Whether anything must be trained or described; otherwise what is there is only scored."""
        return bool(self.networks or self.passes or self.plain_passes)


class RunArtifacts:
    """The artifacts of a run. Creating this object changes nothing on disk or in torch.

    Args:
        plan: The campaign's plan.
        run: One of its runs.
    """

    def __init__(self, plan: Plan, run: Run) -> None:
        self.plan, self.run = plan, run
        self.describing = Describing(plan, run)
        self._networks: dict[int, Network] = {}
        self._counted: dict[str, np.ndarray] = {}

    def network(self, round_index: int | None = None) -> Network:
        """Return the network of a round, the last by default."""
        round_index = round_index or self.run.method.method_class.rounds
        if round_index not in self._networks:
            previous = self.network(round_index - 1) if round_index > 1 else None
            self._networks[round_index] = Network(self.plan, self.run, round_index, previous)
        return self._networks[round_index]

    def components(self, cell: ResultSpec) -> Components | None:
        """Return the source-fitted components of a cell's row; None if it has none."""
        if cell.components is None:
            return None
        return Components(cell.components, cell.row.descriptor, self.network(cell.round), self.describing)

    def descriptors(self, cell: ResultSpec) -> Descriptors:
        """Return the artifact that holds a row's descriptors on its target, (N, D) float32 or (N, bytes) uint8."""
        return Descriptors(cell, self.network(cell.round), self.components(cell), self.describing)

    def scores(self, cell: ResultSpec) -> RowScores:
        """Return the scores of a cell."""
        return RowScores(self.plan, cell, self.descriptors(cell), self.describing, self.counted)

    def record(self, cell: ResultSpec) -> ResultRecord:
        """Return the record of a cell."""
        return ResultRecord(
            self.plan,
            self.run,
            cell,
            network=self.network(cell.round),
            descriptors=self.descriptors(cell),
            scores=self.scores(cell),
            describing=self.describing,
            effect=self.effect(cell),
        )

    def effect(self, cell: ResultSpec) -> Effect | None:
        """Return the effect of the method's front end on a cell's target; None without one, and on distorted scenes."""
        if not self._has_effect(cell):
            return None
        return Effect(cell, self.network(cell.round), self.descriptors(cell), self.scores(cell), self.describing)

    def counted(self, target: str) -> np.ndarray:
        """Return which scenes of a target count, (N,) bool: all, or those without a duplicate in the source."""
        if target not in self._counted:
            index = self.plan.datasets[target]
            if self.plan.protocol.data.leaked == "keep":
                self._counted[target] = np.ones(len(index), np.bool_)
            else:
                from rsir_bench.scenes.inspect.duplicates import (
                    duplicates_of_source,  # its packages are needed in this case only
                )

                self._counted[target] = ~duplicates_of_source(self.plan.source, index)
        return self._counted[target]

    def missing(self) -> Missing:
        """Return what is missing, as far as that shows without reading a file."""
        rounds = self.run.rounds if self.run.todo else ()
        networks = [round_index for round_index in rounds if not self.network(round_index).exists()]
        cells = [cell for cell in _of_each_file(self.run.todo) if not cell.descriptors.is_file()]
        passes = {(cell.target, cell.distortion, cell.round) for cell in cells}
        unfitted = (cell for cell in cells if cell.components and not cell.components.is_file())
        passes |= {(self.plan.protocol.source, None, cell.round) for cell in unfitted}
        plain_passes = {(cell.target, cell.round) for cell in self.run.todo if self._has_effect(cell)}
        return Missing(networks, cells, passes, plain_passes)

    def make(self) -> None:
        """Make every missing result, after any other process on the same run.

        Post-processing that does not go with some descriptors costs only its own results.

        Raises:
            RunError: The training failed, or some rankings could not be post-processed.
            UserError: A file of the run cannot be read or written.
        """
        with locked(self.run.folder / ".lock"):
            self._sweep()
            note_code(self.run)
            note_own_weights(self.run.folder, self.run.weights)
            unfit = Problems()
            for _, cells in groupby(self.run.todo, lambda cell: (cell.target, cell.distortion)):
                self._make(list(cells), unfit)
        if unfit.lines:
            raise RunError("; ".join(dict.fromkeys(unfit.lines)))

    def remove(self) -> None:
        """Remove everything that the run has made; files of other kinds in its folders stay."""
        with locked(self.run.folder / ".lock"):
            for folder in ("results", "search", *(f"round{index}" for index in (*self.run.rounds, 1))):
                remove_files(self.run.folder / folder, (*ROUND_FILES, ".faiss"))
            for name in (*RUN_NOTES, ERROR):
                for path in self.run.folder.glob(f"{name}*"):
                    path.unlink()

    def make_descriptors(self, cell: ResultSpec) -> np.ndarray:
        """Return the descriptors of a cell; make them first if they are missing, in one process at a time.

        Returns:
            (N, D) float32, or (N, bytes) uint8 for a code of eight bits to the byte.
        """
        descriptors = self.descriptors(cell)
        if descriptors.exists():
            return descriptors.load()
        with locked(self.run.folder / ".lock"):
            return descriptors.get()

    def take_part(self, order: TrainOrder | DescribeOrder) -> None:
        """Do the work that the first rank orders, without writing anything."""
        network = self.network(order.round_index)
        if isinstance(order, TrainOrder):
            earlier = network.previous.copy(order.previous).eval() if network.previous and order.previous else None
            network.fit(earlier)
        else:
            copy = network.copy(order.state).eval()
            if order.without_front_end:
                self.describing.see_without_front_end(copy, order.dataset, order.names)
            else:
                self.describing.see(copy, order.dataset, order.names, order.distortion)

    def _make(self, cells: list[ResultSpec], unfit: Problems) -> None:
        """Make the results on one target; each round's network passes over it only once.

        Args:
            cells: The results.
            unfit: Takes why some of their rankings cannot be post-processed.
        """
        missing = [cell for cell in _of_each_file(cells) if not self.descriptors(cell).exists()]
        for round_index in dict.fromkeys(cell.round for cell in missing):
            self._release_all_but(round_index)
            of_round = [self.descriptors(cell) for cell in missing if cell.round == round_index]
            for descriptors in of_round:  # the source first: of two passes only the last is kept in memory
                if descriptors.components:
                    descriptors.components.get()
            for descriptors in of_round:
                descriptors.make()
        self.describing.forget()
        for cell in sorted(cells, key=lambda cell: (cell.round, cell.after is not None)):
            self._release_all_but(cell.round)
            with unfit.collecting() if cell.after else nullcontext():
                self.record(cell).make()
        self.describing.forget()

    def _has_effect(self, cell: ResultSpec) -> bool:
        plain = cell.distortion is None and cell.after is None
        return plain and issubclass(self.run.method.method_class, Composed)

    def _release_all_but(self, round_index: int) -> None:
        """Free the memory of the networks of other rounds."""
        for network in self._networks.values():
            if network.round_index != round_index:
                network.release()

    def _sweep(self) -> None:
        """Remove what a killed process left, and the checkpoints of finished rounds."""
        for rest in self.run.folder.rglob(f"{PARTIAL}*"):
            rest.unlink()
        for round_index in self.run.rounds:
            self.network(round_index).remove_checkpoints()


def _of_each_file(cells: Iterable[ResultSpec]) -> list[ResultSpec]:
    """Return one result for each file of descriptors; post-processing shares those of the plain rankings."""
    return list({cell.descriptors: cell for cell in cells}.values())
