"""What a method retrieves: the nearest scenes of every query, and the precision at each recall, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rsir_bench.ranking.blocks import block_queries, fill_distances, ranked_slices
from rsir_bench.ranking.metrics import RECALL_LEVELS, average_precision, harmonic_numbers
from rsir_bench.ranking.task import Task, scoring_task
from rsir_bench.ranking.threads import workers
from rsir_bench.ranking.ties import PositiveRanks

SHOWN = 10


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The rankings of one method on N scenes, each a query against all others.

    Attributes:
        indices: (N, K) int64, the nearest scenes, nearest first, K at most `SHOWN`; equally near ones by their index.
            -1 in the rows of scenes that are the only ones of their class: those are no queries.
        similarities: (N, K) float64 as the protocol scores; the Hamming distance in bits for codes.
        average_precision: (N,) float64, as the scorer has it; NaN where ``indices`` is -1.
        precision: (101,) float64: precision at recall 0, 0.01, ..., 1, mean over the queries that the protocol scores.
    """

    indices: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float64]
    average_precision: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]


def find_neighbours(
    descriptors: npt.NDArray[np.generic],
    labels: npt.NDArray[np.int64],
    *,
    similarity: str,
    bits: int | None = None,
    queries: npt.NDArray[np.int64] | None = None,
) -> Neighbours:
    """Ranks all scenes for every scene with the scorer's own distances.

    Args:
        descriptors: (N, D) vectors, or packed codes.
        labels: (N,) classes, ascending, as an index of scenes has them.
        similarity: As in the protocol; without effect on codes.
        bits: Bits of packed codes; None for vectors.
        queries: The scenes that enter the mean of ``precision``; None: all.

    Raises:
        UserError: Descriptors that cannot be scored.
        ValueError: Labels that do not ascend.
    """
    if (np.diff(labels) < 0).any():
        raise ValueError("labels must ascend: the scorer sorts scenes by class, and numbers of scenes must stay")
    counted = np.ones(len(labels), np.bool_) if queries is None else np.isin(np.arange(len(labels)), queries)
    with workers("cpu") as pool:
        task = scoring_task(
            descriptors,
            labels,
            similarity="pearson" if bits else similarity,
            codes=bits is not None,
            bits=bits,
            queries=None,
            gallery=None,
            gallery_labels=None,
            class_names=None,
            device="cpu",
            workers=pool,
        )
        shown = min(SHOWN, task.gallery_size - 1)
        found = Neighbours(
            np.full((len(labels), shown), -1, np.int64),
            np.zeros((len(labels), shown)),
            np.full(len(labels), np.nan),
            np.zeros(RECALL_LEVELS),
        )
        _fill(found, task, counted, similarity)
    found.precision[:] /= max(1, (counted & ~np.isnan(found.average_precision)).sum())
    return found


def _fill(found: Neighbours, task: Task, counted: npt.NDArray[np.bool_], similarity: str) -> None:
    rows = block_queries(task, None, 1)
    buffer = torch.empty(rows, task.gallery_size + 1, dtype=task.gallery.rows.dtype)
    harmonic = harmonic_numbers(task.gallery_size)
    for start in range(0, len(task.queries), rows):
        block = slice(start, min(start + rows, len(task.queries)))
        distances = buffer[: block.stop - block.start]
        fill_distances(task, block, distances)
        scenes = task.queries[block].numpy()
        found.indices[scenes], nearest = _nearest(distances.numpy(), found.indices.shape[1])
        found.similarities[scenes] = _similarities(task, block, nearest, similarity)
        for part, ranks in ranked_slices(task, block, distances, count=True):
            scenes = task.queries[part].numpy()
            found.average_precision[scenes] = average_precision(ranks, harmonic)[0].numpy()
            found.precision[:] += precision_at_recall(ranks).numpy()[counted[scenes]].sum(axis=0)


def precision_at_recall(ranks: PositiveRanks) -> Tensor:
    """Precision at recall 0, 0.01, ..., 1 without interpolation: (S, 101) float64.

    At recall l it is the precision at the ceil(l R)-th positive (the first for l = 0): i over the expected rank of the
    i-th positive, so that tied scenes count in no particular order. The scorer's curve takes the greatest such value
    there or later, and lies on this one or above it.

    + - + - -: 1/1 up to recall 0.5, then 2/3.

    >>> from rsir_bench.ranking.ties import ranking
    >>> precision_at_recall(ranking([1, 2, 3, 4, 5], [2, 3]))[0, [0, 50, 51, 100]].tolist()
    [0.5, 0.5, 0.6666666666666666, 0.6666666666666666]
    """
    level = torch.arange(RECALL_LEVELS)
    return (ranks.order / ranks.expected_ranks())[:, ((level * ranks.relevant + 99) // 100 - 1).clamp(min=0)]


def _nearest(distances: npt.NDArray[np.floating], count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
    """The ``count`` nearest columns of each row with their distances, equally near ones by their number."""
    columns = np.empty((len(distances), count), np.int64)
    last = np.partition(distances, count - 1, axis=1)[:, count - 1]
    for number, row in enumerate(distances):
        candidates = np.flatnonzero(row <= last[number])
        columns[number] = candidates[row[candidates].argsort(kind="stable")[:count]]
    return columns, np.take_along_axis(distances, columns, axis=1)


def _similarities(
    task: Task, block: slice, distances: npt.NDArray[np.floating], similarity: str
) -> npt.NDArray[np.float64]:
    """What the scorer's distances mean: the similarity itself, bits that differ, or the length between two vectors."""
    values: npt.NDArray[np.float64] = distances.astype(np.float64)
    if task.gallery.whole is not None:
        values = (task.gallery.whole + values) / 2
    elif similarity == "euclidean":
        squared = task.gallery.rows[task.queries[block]].square().sum(dim=1, keepdim=True).numpy()
        values = np.sqrt(np.maximum(2 * values + squared, 0))
    else:
        values = -values
    return values
