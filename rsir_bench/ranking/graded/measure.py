"""Rank a gallery for queries with several labels and measure the rankings, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.ranking.blocks import over_blocks
from rsir_bench.ranking.graded.formulas import GradedMetric, graded_metrics
from rsir_bench.ranking.graded.levels import levels_between
from rsir_bench.ranking.graded.metrics import Tables
from rsir_bench.ranking.graded.rankings import rank
from rsir_bench.ranking.graded.references import Counts
from rsir_bench.ranking.graded.task import GradedTask
from rsir_bench.ranking.threads import workers

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

SLICE_ELEMENTS = {"cpu": 2**18, "cuda": 2**22}  # scenes ranked at a time: on the CPU they stay in its cache
VALUES = 5
"""Expectation, least and greatest value, chance and oracle."""


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
        task; NaN where a query has no relevant scene.
    """
    columns = task.gallery_size + 1
    metrics, tables = graded_metrics(names), Tables.of(columns, task.device)
    table = torch.empty(VALUES, len(metrics), len(task.queries), dtype=torch.float64)
    most = max(1, SLICE_ELEMENTS[torch.device(task.device).type] // columns)

    def measured(queries: slice, distances: Tensor) -> list[tuple[slice, Tensor]]:
        parts = zip(slices(queries, most), torch.split(distances, most), strict=True)
        return [(part, measure_slice(task.part(part), rows, tables, metrics)) for part, rows in parts]

    with workers(task.device) as pool:
        ranked = over_blocks(task, pool, block, measured)
        for part, values in show(ranked, "ranking queries", -(-len(task.queries) // most)):
            table[:, :, part] = values
    return table.numpy()


def slices(queries: slice, most: int) -> Iterator[slice]:
    """Cut a slice into slices of at most ``most``."""
    return (slice(start, min(start + most, queries.stop)) for start in range(queries.start, queries.stop, most))


def measure_slice(task: GradedTask, distances: Tensor, tables: Tables, metrics: Mapping[str, GradedMetric]) -> Tensor:
    """Return every metric of S queries, (5, metrics, S) float64.

    Args:
        task: The S queries and the gallery.
        distances: (S, N + 1) float, as ``rsir_bench.ranking.blocks.fill_distances`` writes them.
        tables: Those of N + 1 scenes.
        metrics: By name.
    """
    levels, counts = gallery_levels(task)
    rankings = rank(distances, levels)
    found = []
    for metric in metrics.values():
        expected, worst, best = metric.values(rankings, counts, tables)
        chance, oracle = metric.chance(counts, tables), metric.oracle(counts, tables)
        found.append(torch.stack([expected, worst.minimum(best), worst.maximum(best), chance, oracle]))
    return torch.stack(found, dim=1).cpu()


def gallery_levels(task: GradedTask) -> tuple[Tensor, Counts]:
    """Return the level of each scene for each query, (S, N + 1) int32, 0 where left out, and what there is to find.

    Queries with equal label sets are neighbours, so levels are computed once for each set.
    """
    sets, repeats = torch.unique_consecutive(task.query_classes, return_counts=True)
    levels, sizes = levels_between(task.members[sets], task.members), task.starts.diff()
    rows, columns = left_out_cells(task)
    left_out = torch.searchsorted(task.starts, columns, right=True) - 1
    of_queries = levels.repeat_interleave(repeats, dim=0)
    counts = Counts.of(of_queries, sizes, rows, left_out)
    every = torch.nn.functional.pad(levels.repeat_interleave(sizes, dim=1), (0, 1)).repeat_interleave(repeats, dim=0)
    every[rows, columns] = 0
    return every.to(task.device), counts.to(task.device)


def left_out_cells(task: GradedTask) -> tuple[Tensor, Tensor]:
    """Return query, 0 to S-1, and column of each scene of the gallery that a ranking leaves out, (P,) int64 each."""
    cells = []
    if task.own_columns is not None:
        cells.append((torch.arange(len(task.queries)), task.own_columns))
    if task.left_out is not None:
        cells.append(task.left_out.cells())
    empty = torch.empty(0, dtype=torch.int64)
    rows, columns = zip((empty, empty), *cells, strict=True)
    return torch.cat(rows), torch.cat(columns)
