"""Rank a gallery for queries with several labels and measure the rankings, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from rsir_bench.ranking.blocks import block_queries, over_blocks
from rsir_bench.ranking.counting.codes import packed
from rsir_bench.ranking.graded.counted import count
from rsir_bench.ranking.graded.formulas import CountedMetric, GradedMetric, graded_metrics
from rsir_bench.ranking.graded.levels import levels_between
from rsir_bench.ranking.graded.metrics import Tables
from rsir_bench.ranking.graded.rankings import rank
from rsir_bench.ranking.graded.references import Counts
from rsir_bench.ranking.graded.task import GradedTask
from rsir_bench.ranking.threads import Workers, workers

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Metric = TypeVar("Metric", bound=GradedMetric)

SLICE_ELEMENTS = {"cpu": 2**18, "cuda": 2**22}  # scenes ranked at a time: on the CPU they stay in its cache
CODES_SLICE = 2**21  # codes ranked at a time
COUNTS = 2**21  # of scenes at a distance and a level, held at a time
VALUES = 5
"""Expectation, least and greatest value, chance and oracle."""
Parts = tuple[Iterator[tuple[slice, Tensor]], int]
"""Slices of queries with all values of their metrics, (5, metrics, S) float64, and the most queries of a slice."""


def measure_graded(
    task: GradedTask,
    block: int | None,
    names: Sequence[str],
    show: Callable[[Iterable[Any], str, int], Iterable[Any]],
) -> FloatArray:
    """Rank the gallery for every query of a task and measure the rankings, in this process.

    Args:
        task: Queries and gallery.
        block: Queries per block; None chooses.
        names: The metrics, see ``rsir_bench.ranking.graded.names``.
        show: Shows progress through the parts, given a title and about how many they are.

    Returns:
        (5, metrics, Q) float64: expectation, least and greatest value, chance and oracle, queries in the order of the
        task; NaN if a query has no relevant scene.
    """
    metrics = graded_metrics(names)
    counted = {name: metric for name, metric in metrics.items() if isinstance(metric, CountedMetric)}
    with workers(task.device) as pool:
        if task.gallery.whole is not None and task.device == "cpu" and len(counted) == len(metrics):
            measured, most = measure_codes(task, pool, block, counted)
        else:
            measured, most = measure_distances(task, pool, block, metrics)
        table = torch.empty(VALUES, len(metrics), len(task.queries), dtype=torch.float64)
        for part, values in show(measured, "ranking queries", -(-len(task.queries) // most)):
            table[:, :, part] = values
    return table.numpy()


def measure_distances(task: GradedTask, pool: Workers, block: int | None, metrics: Mapping[str, GradedMetric]) -> Parts:
    """Measure rankings by distances that are computed block by block."""
    columns = task.gallery_size + 1
    tables = Tables.of(columns, task.device)
    most = max(1, SLICE_ELEMENTS[torch.device(task.device).type] // columns)

    def measured(queries: slice, distances: Tensor) -> list[tuple[slice, Tensor]]:
        parts = zip(slices(queries, most), torch.split(distances, most), strict=True)
        return [(part, measure_slice(task.part(part), rows)) for part, rows in parts]

    def measure_slice(part: GradedTask, distances: Tensor) -> Tensor:
        found = levels_of(part)
        levels = torch.nn.functional.pad(found.every(found.of_sets), (0, 1))
        levels[part.every_left_out().cells()] = 0
        rankings, counts = rank(distances, levels.to(task.device)), found.counts.to(task.device)
        return stacked(metrics, counts, tables, lambda metric: metric.values(rankings, counts, tables))

    return over_blocks(task, pool, block, measured), most


def measure_codes(task: GradedTask, pool: Workers, block: int | None, metrics: Mapping[str, CountedMetric]) -> Parts:
    """Measure rankings of codes by counting the scenes at each distance; without post-processing, see ``Task``."""
    gallery, tables = packed(task.gallery.rows), Tables.of(task.gallery_size)
    codes = gallery[np.asarray(task.own_columns)] if task.query_rows is None else packed(task.query_rows)
    bits, kinds = task.gallery.rows.shape[1], 3 * (len(task.label_names) + 1)  # levels at most
    fitting = min(CODES_SLICE // task.gallery_size, COUNTS // ((bits + 1) * kinds))
    most = min(block_queries(task, block, pool.count), max(1, fitting))

    def measured(queries: slice) -> tuple[slice, Tensor]:
        part = task.part(queries)
        found = levels_of(part)
        held = torch.bincount(found.of_sets.flatten()) > 0
        kinds = found.every((held.cumsum(0, dtype=torch.int32) - 1)[found.of_sets])
        levels = held.nonzero()[:, 0].int()
        rankings = count(codes[queries], gallery, kinds, levels, bits, part.every_left_out())
        counts = found.counts
        return queries, stacked(metrics, counts, tables, lambda metric: metric.counted(rankings, counts, tables))

    return pool.map(measured, slices(slice(0, len(task.queries)), most)), most


def slices(queries: slice, most: int) -> Iterator[slice]:
    """Cut a slice into slices of at most ``most``."""
    return (slice(start, min(start + most, queries.stop)) for start in range(queries.start, queries.stop, most))


def stacked(
    metrics: Mapping[str, Metric], counts: Counts, tables: Tables, values: Callable[[Metric], Tensor]
) -> Tensor:
    """Return all values of S queries, (5, metrics, S) float64, given those in random, worst and best order."""
    found = []
    for metric in metrics.values():
        expected, worst, best = values(metric)
        chance, oracle = metric.chance(counts, tables), metric.oracle(counts, tables)
        found.append(torch.stack([expected, worst.minimum(best), worst.maximum(best), chance, oracle]))
    return torch.stack(found, dim=1).cpu()


@dataclass(frozen=True)
class Levels:
    """How relevant the scenes of a gallery are to S queries, and what there is to find.

    Attributes:
        of_sets: (s, C) int32, the level of each label set for each label set of the queries.
        repeats: (s,) int64, how many queries in a row have each of these sets.
        sizes: (C,) int64, scenes of the gallery with each set.
        counts: Without the scenes that rankings leave out.
    """

    of_sets: Tensor
    repeats: Tensor
    sizes: Tensor
    counts: Counts

    def every(self, values: Tensor) -> Tensor:
        """Return values of label sets, (s, C), for every query and scene, (S, N)."""
        return values.repeat_interleave(self.sizes, dim=1).repeat_interleave(self.repeats, dim=0)


def levels_of(task: GradedTask) -> Levels:
    """Return the levels of a gallery for the queries of a task; those with equal label sets are neighbours."""
    sets, repeats = torch.unique_consecutive(task.query_classes, return_counts=True)
    levels, sizes = levels_between(task.members[sets], task.members), task.starts.diff()
    rows, columns = task.every_left_out().cells()
    left_out = torch.searchsorted(task.starts, columns, right=True) - 1
    counts = Counts.of(levels.repeat_interleave(repeats, dim=0), sizes, rows, left_out)
    return Levels(levels, repeats, sizes, counts)
