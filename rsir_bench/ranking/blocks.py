"""Rankings block by block: product, sort in place, bisection; nothing of the size of all pairs is ever held."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from rsir_bench.errors import UserError
from rsir_bench.ranking.inputs import Task
from rsir_bench.ranking.positives import PositiveRanks, positive_ranks, with_ties
from rsir_bench.ranking.similarity import duplicate_rows

BLOCK_ELEMENTS = 2**25
BLOCK_QUERIES = 512
SLICE_ELEMENTS = 2**15


def rank_blocks(task: Task, block: int | None) -> Iterator[tuple[slice, PositiveRanks]]:
    """Ranks the gallery for every query.

    Args:
        task: queries and gallery, sorted by class.
        block: queries per block; None: as many as fit into 128 MiB, at most 512.

    Yields:
        tuple: a slice of queries of one class, and the ranks of their positives.
    """
    rows = block_queries(task, block)
    buffer = torch.full((rows, task.gallery_size + 1), torch.inf, dtype=task.gallery.rows.dtype, device=task.device)
    duplicates = duplicate_rows(task.gallery.rows)
    with full_precision(), ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for start in range(0, len(task.queries), rows):
            block_rows = slice(start, min(start + rows, len(task.queries)))
            distances = buffer[: block_rows.stop - start]
            fill_distances(task, block_rows, duplicates, distances[:, :-1])
            parts = list(class_slices(task, block_rows))
            ranks = threads.map(partial(rank_part, task, distances, start), parts)
            yield from zip((queries for queries, _ in parts), ranks, strict=True)


def block_queries(task: Task, block: int | None) -> int:
    """Queries per block."""
    if block is None:
        return max(1, min(BLOCK_QUERIES, BLOCK_ELEMENTS // task.gallery_size, len(task.queries)))
    if block < 1:
        raise UserError(f"block {block}: give the number of queries per block, at least 1")
    return min(block, len(task.queries))


def class_slices(task: Task, rows: slice) -> Iterator[tuple[slice, slice]]:
    """Cuts a block of queries where the class changes and where the positives grow too many for the processor's cache.

    Yields:
        tuple: a slice of queries, and the slice of the gallery that holds their class.
    """
    classes, counts = torch.unique_consecutive(task.query_classes[rows], return_counts=True)
    first = rows.start
    for number, count in zip(classes.tolist(), counts.tolist(), strict=True):
        columns = slice(int(task.starts[number]), int(task.starts[number + 1]))
        step = max(1, SLICE_ELEMENTS // (columns.stop - columns.start))
        for start in range(first, first + count, step):
            yield slice(start, min(start + step, first + count)), columns
        first += count


def fill_distances(task: Task, rows: slice, duplicates: tuple[Tensor, Tensor], distances: Tensor) -> None:
    """Writes the distances of a block of queries to the whole gallery.

    Args:
        task: queries and gallery.
        rows: the queries of the block.
        duplicates: gallery columns that repeat another one, and which, of `duplicate_rows`.
        distances: (S, N) to be filled; +inf from each query to itself where it is in the gallery.
    """
    own = None if task.own_columns is None else task.own_columns[rows].to(task.device)
    queries = -(task.gallery.rows[own] if task.query_rows is None else task.query_rows[rows])
    if distances.is_cuda:
        torch.mm(queries, task.gallery.rows.T, out=distances)
    else:  # NumPy's BLAS is the faster one on processors that torch's MKL was not made for
        np.matmul(queries.numpy(), task.gallery.rows.numpy().T, out=distances.numpy())
    if task.gallery.offset is not None:
        distances += task.gallery.offset
    repeats, originals = duplicates
    if len(repeats):
        distances[:, repeats] = distances[:, originals]
    if own is not None:
        distances.scatter_(1, own[:, None], torch.inf)


def rank_part(task: Task, distances: Tensor, start: int, part: tuple[slice, slice]) -> PositiveRanks:
    """Ranks the positives of queries of one class; sorts their rows of ``distances`` in place.

    Args:
        task: queries and gallery.
        distances: (S, N + 1) of a block of queries, the last column +inf.
        start: the first query of the block.
        part: a slice of queries and the slice of columns that holds their class.
    """
    queries, columns = part
    rows = distances[queries.start - start : queries.stop - start]
    positives = sorted_rows(rows[:, columns].clone())
    if task.own_columns is not None:
        positives = positives[:, :-1]
    return positive_ranks(rows.sort(dim=1).values, positives) if rows.is_cuda else sort_and_rank(rows, positives)


def sorted_rows(rows: Tensor) -> Tensor:
    """Sorts rows, in place where NumPy can: it sorts values several times faster than torch, which sorts indices too."""
    if rows.is_cuda:
        return rows.sort(dim=1).values
    rows.numpy().sort(axis=1)
    return rows


def sort_and_rank(distances: Tensor, positives: Tensor) -> PositiveRanks:
    """`positive_ranks` of unsorted distances, row by row, so that a row is searched while it is in the processor's cache.

    Args:
        distances: (S, N + 1) on the CPU, sorted in place; masked scenes and the last column +inf.
        positives: (S, R) ascending; all finite.
    """
    rows, wanted = distances.numpy(), positives.numpy()
    before = np.empty(wanted.shape, dtype=np.int64)
    tied = np.empty(wanted.shape, dtype=bool)
    for i in range(len(rows)):
        rows[i].sort()
        before[i] = rows[i].searchsorted(wanted[i])
        np.equal(rows[i].take(before[i] + 1), wanted[i], out=tied[i])
    return with_ties(distances, positives, torch.from_numpy(before), torch.from_numpy(tied))


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in true float32 whatever the process has chosen for training (TF32, bf16, autocast)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
