"""The scores of one row on one target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rsir_bench.protocol import Score as ScoreSettings
from rsir_bench.ranking import GradedScores, Scores, score
from rsir_bench.ranking.after import PostProcessing
from rsir_bench.ranking.names import OF_CODES, RECORDED
from rsir_bench.ranking.queries import choose_queries
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_record
from rsir_bench.runs.artifacts.describing import Describing
from rsir_bench.runs.artifacts.descriptors import Descriptors
from rsir_bench.runs.plan import Plan, ResultSpec
from rsir_bench.scenes.index import SceneIndex


class RowScores:
    """The scores of a row on a target. Their file is the result's record.

    Attributes:
        key: The result's key.
        path: The record.
    """

    def __init__(
        self,
        plan: Plan,
        cell: ResultSpec,
        descriptors: Descriptors,
        describing: Describing,
        counted: Callable[[str], np.ndarray],
    ) -> None:
        self.plan, self.cell = plan, cell
        self.key, self.path = cell.key, cell.record
        self._descriptors, self._describing, self._counted = descriptors, describing, counted

    def exists(self) -> bool:
        """Return whether a record holds them."""
        return self.cell.done

    def load(self) -> Record:
        """Return the record that holds them, the one made here before a published one.

        Raises:
            UserError: It is damaged or missing.
        """
        return read_record(self.cell.finished)

    def counted(self) -> np.ndarray:
        """Return which scenes of the target count, (N,) bool."""
        return self._counted(self.cell.target)

    def make(self) -> Scores | GradedScores:
        """Rank and measure the descriptors.

        Raises:
            RunError: The target cannot be described.
            UserError: A file cannot be read or written.
        """
        return self.of(self._descriptors.get())

    def of(self, descriptors: np.ndarray) -> Scores | GradedScores:
        """Rank and measure other descriptors of the target in the same way.

        Args:
            descriptors: Of all its scenes, (N, D) float32 or packed codes (N, bytes) uint8.
        """
        bits = None
        if self.cell.row.kind == "code":
            bits = self._describing.note()["lengths"][self.cell.row.descriptor]
        index, settings = self.plan.datasets[self.cell.target], self.plan.protocol.score
        after = self.cell.after.processing if self.cell.after else None
        return protocol_scores(index, self.counted(), settings, descriptors, bits, after)


def protocol_scores(
    index: SceneIndex,
    counted: np.ndarray,
    settings: ScoreSettings,
    descriptors: np.ndarray,
    bits: int | None,
    after: PostProcessing | None = None,
) -> Scores | GradedScores:
    """Score descriptors of a target as a protocol says.

    Args:
        index: The target.
        counted: (N,) bool, which of its scenes count.
        settings: The protocol's section ``score``.
        descriptors: Of all its scenes, (N, D) numbers or codes, packed or of 0 and 1.
        bits: The length of a code; None: they are no codes.
        after: Post-processing of the rankings; None: there is none.
    """
    rows = descriptors[counted]
    inputs: dict[str, Any] = {"similarity": settings.similarity} if bits is None else {"codes": True, "bits": bits}
    inputs["after"] = after
    if index.several is not None:
        return score(rows, index.several.members[counted], class_names=index.several.names, **inputs)
    labels = index.labels[counted]
    queries = choose_queries(labels, settings.queries, settings.query_seed)
    metrics = RECORDED if bits is None or after else (*RECORDED, *OF_CODES)
    return score(rows, labels, queries=queries, metrics=metrics, class_names=list(index.classes), **inputs)
