"""The nearest scenes of every query, and the precision at each recall, in one pass over the rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rsir_bench.ranking import Scores, score
from rsir_bench.ranking.graded.names import HEADLINE
from rsir_bench.ranking.metrics.positions import RECALL_LEVELS
from rsir_bench.ranking.nearest import nearest
from rsir_bench.ranking.scores import measure_queries
from rsir_bench.ranking.ties import PositiveRanks

SHOWN = 10


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The rankings of one method on N scenes, each a query against all others.

    Attributes:
        indices: (N, K) int64, the nearest scenes, nearest first, K at most ``SHOWN``; ties by index. -1 in the rows of
            scenes that are the only ones of their class, or of each of their labels: those are not queries.
        similarities: (N, K) float64 as the protocol scores; the Hamming distance in bits for codes.
        measured: (N,) float64, the metric that methods are ranked by, as the scorer computes it: AP, or with several
            labels per scene nDCG@100(g); NaN if ``indices`` is -1.
        precision: (101,) float64: precision at recall 0, 0.01, ..., 1, mean over the queries that the protocol scores;
            None with several labels per scene.
    """

    indices: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float64]
    measured: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64] | None


def find_neighbours(
    descriptors: npt.NDArray[np.generic],
    labels: npt.NDArray[np.int64] | npt.NDArray[np.bool_],
    *,
    similarity: str,
    bits: int | None = None,
    queries: npt.NDArray[np.int64] | None = None,
) -> Neighbours:
    """Find the nearest scenes of every scene, and measure the rankings with the scorer.

    Args:
        descriptors: (N, D) float vectors, or (N, bytes) uint8 packed codes.
        labels: (N,) int64 classes, or (N, L) bool where scenes have several labels.
        similarity: One of ``rsir_bench.ranking.SIMILARITIES``; without effect on codes.
        bits: Bits of packed codes; None for vectors.
        queries: (Q,) int64 scenes that enter the mean of ``precision``; None: all.

    Raises:
        UserError: The descriptors cannot be scored.
    """
    inputs: dict[str, Any] = {"codes": True, "bits": bits} if bits else {"similarity": similarity}
    if labels.ndim == 2:
        graded, precision = score(descriptors, labels, metrics=[HEADLINE], **inputs), None
        scored, values = graded.query_index, graded.per_query[HEADLINE]
    else:
        of_classes = _with_curve(descriptors, labels, None, inputs)
        scored, values = of_classes.query_index, of_classes.per_query["mAP"]
        precision = (of_classes if queries is None else _with_curve(descriptors, labels, queries, inputs)).curve
    measured = np.full(len(labels), np.nan)
    measured[scored] = values
    similarities, indices = nearest(descriptors, SHOWN, "hamming" if bits else similarity)
    indices[np.isnan(measured)] = -1
    return Neighbours(indices, similarities, measured, precision)


def _with_curve(
    descriptors: npt.NDArray[np.generic],
    labels: npt.NDArray[Any],
    queries: npt.NDArray[np.int64] | None,
    inputs: Mapping[str, Any],
) -> Scores:
    """Return the scores of one label per scene, whose curve is not interpolated."""
    measure = partial(measure_queries, curve=precision_at_recall)
    scores = score(descriptors, labels, queries=queries, measure=measure, **inputs)
    if not isinstance(scores, Scores):
        raise TypeError("labels of several per scene have no curve")
    return scores


def precision_at_recall(ranks: PositiveRanks) -> Tensor:
    """Return the precision at recall 0, 0.01, ..., 1 without interpolation: (S, 101) float64.

    At recall l it is the precision at the ceil(l R)-th positive (the first for l = 0): i over the expected rank of the
    i-th positive, so that the order of tied scenes does not matter. The scorer's curve is interpolated: it takes the
    greatest such value at this recall or a higher one.

    + - + - -: 1/1 up to recall 0.5, then 2/3.

    >>> from rsir_bench.ranking.ties import ranking
    >>> precision_at_recall(ranking([1, 2, 3, 4, 5], [2, 3]))[0, [0, 50, 51, 100]].tolist()
    [0.5, 0.5, 0.6666666666666666, 0.6666666666666666]
    """
    level = torch.arange(RECALL_LEVELS)
    return (ranks.order / ranks.expected_ranks())[:, ((level * ranks.relevant + 99) // 100 - 1).clamp(min=0)]
