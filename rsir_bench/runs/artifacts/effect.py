"""The effect of a method's front end on a target: what it does to the scenes, and the row's scores without it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from rsir_bench.ranking.doubts import degenerate
from rsir_bench.records.schema import EffectPart
from rsir_bench.runs.artifacts.describing import Describing
from rsir_bench.runs.artifacts.descriptors import Descriptors
from rsir_bench.runs.artifacts.network import Network
from rsir_bench.runs.artifacts.scores import RowScores
from rsir_bench.runs.plan import ResultSpec


class Effect:
    """The effect of the front end on a row's target. Its file is the result's record.

    Making it describes the target once more, with the front end switched off.
    """

    def __init__(
        self, cell: ResultSpec, network: Network, descriptors: Descriptors, scores: RowScores, describing: Describing
    ) -> None:
        self.cell = cell
        self._network, self._descriptors, self._scores, self._describing = network, descriptors, scores, describing

    def make(self) -> EffectPart:
        """Measure the front end over the scenes that count, and score the row without it.

        Raises:
            RunError: The target cannot be described, or the front end gives no scenes or no displacement.
            UserError: A file cannot be read or written.
        """
        counted = self._scores.counted()
        effects = self._describing.without_front_end(self._network, self.cell.target).effects
        part = EffectPart(
            metrics=self._scores.of(self._descriptors.without_front_end()).overall,
            displacement=None if effects.displacement is None else float(np.mean(effects.displacement[counted])),
            change=float(np.mean(effects.change[counted])),
            lost=int(effects.lost[counted].sum()),
        )
        for doubt in doubts_of(part, int(counted.sum())):
            logging.getLogger(__name__).warning("%s on %s: %s", self._describing.run.title, self.cell.target, doubt)
        return part


def doubts_of(effect: EffectPart, scenes: int) -> Iterator[str]:
    """Yield why scores behind a front end do not measure retrieval: nothing is left of more than a fifth of scenes."""
    if degenerate(effect.lost, scenes):
        where = f"{effect.lost} of {scenes} scenes are blank, out of the frame or far out of range"
        yield f"the front end has run away: {where}"
