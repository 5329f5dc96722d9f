"""The record of one result."""

from __future__ import annotations

from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_record, write_record
from rsir_bench.runs.artifacts.describing import Describing
from rsir_bench.runs.artifacts.descriptors import Descriptors
from rsir_bench.runs.artifacts.effect import Effect
from rsir_bench.runs.artifacts.network import Network
from rsir_bench.runs.artifacts.provenance import Circumstances, make_record
from rsir_bench.runs.artifacts.scores import RowScores
from rsir_bench.runs.plan import Plan, ResultSpec, Run


class ResultRecord:
    """The record of a result, in the run's folder ``results/``.

    Attributes:
        key: The result's key.
        path: The file.
    """

    def __init__(
        self,
        plan: Plan,
        run: Run,
        cell: ResultSpec,
        *,
        network: Network,
        descriptors: Descriptors,
        scores: RowScores,
        describing: Describing,
        effect: Effect | None,
    ) -> None:
        self.plan, self.run, self.cell = plan, run, cell
        self.key, self.path = cell.key, cell.record
        self._network, self._descriptors, self._scores, self._describing = network, descriptors, scores, describing
        self._effect = effect

    def exists(self) -> bool:
        """Return whether the result is done, here or among the published ones."""
        return self.cell.done

    def load(self) -> Record:
        """Return the record, the one made here before a published one.

        Raises:
            UserError: It is damaged or missing.
        """
        return read_record(self.cell.finished)

    def make(self) -> Record:
        """Score the row, and write down the scores with everything that led to them.

        Raises:
            RunError: The network cannot be trained, or the target cannot be described.
            UserError: A file cannot be read or written.
        """
        scores = self._scores.make()
        circumstances = Circumstances(
            trainings=self._network.notes(),
            described=self._describing.note_on(self.cell.target),
            dimensions=self._descriptors.dimensions(),
            kept=int(self._scores.counted().sum()),
            effect=self._effect.make() if self._effect else None,
        )
        record = make_record(self.plan, self.run, self.cell, scores, circumstances)
        write_record(self.path, record, sealed=True)
        return record
