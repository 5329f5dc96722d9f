"""Rank block by block: product, then the ranks of the positives. The matrix of all pairs is never held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Integral
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.counting.codes import RADIUS, counted_ranks, packed
from rsir_bench.ranking.counting.distances import counts_before
from rsir_bench.ranking.task import Task
from rsir_bench.ranking.threads import Workers
from rsir_bench.ranking.ties import PositiveRanks, collect_ties, positive_ranks

Measured = TypeVar("Measured")

TOTAL_ELEMENTS = 2**26  # distances held at a time, all workers together: 256 MiB of float32
BLOCK_QUERIES = 768  # more rows make a product no faster
SLICE_ELEMENTS = {"cpu": 2**23, "cuda": 2**26}  # distances ranked at a time


def measure_blocks(
    task: Task, workers: Workers, block: int | None, measure: Callable[[PositiveRanks], Measured]
) -> Iterator[tuple[slice, Measured]]:
    """Rank the gallery for every query and measure the rankings, one block of queries per worker.

    Args:
        task: Queries and gallery, sorted by class.
        workers: See ``rsir_bench.ranking.threads``.
        block: Queries per block; None chooses.
        measure: Measures the ranks of the positives of some queries of one class; called in several threads.

    Yields:
        A slice of queries of one class, and the result of ``measure`` for them.
    """
    if task.gallery.whole is not None and task.device == "cpu":
        return _measure_codes(task, workers, block, measure)
    counting = Lock()

    def measured(queries: slice, distances: Tensor) -> list[tuple[slice, Measured]]:
        # Counting makes short calls that hold the interpreter, so only one worker counts at a time. With two workers,
        # the other one computes its product meanwhile, or waits. With more, the others sort, which takes longer but
        # runs in parallel.
        count = task.device == "cpu" and counting.acquire(blocking=workers.count <= 2)
        try:
            return [(part, measure(ranks)) for part, ranks in ranked_slices(task, queries, distances, count)]
        finally:
            if count:
                counting.release()

    return over_blocks(task, workers, block, measured)


def _measure_codes(
    task: Task, workers: Workers, block: int | None, measure: Callable[[PositiveRanks], Measured]
) -> Iterator[tuple[slice, Measured]]:
    gallery, rows = packed(task.gallery.rows), block_queries(task, block, workers.count)
    codes = gallery[np.asarray(task.own_columns)] if task.query_rows is None else packed(task.query_rows)
    bits, left_out, relevant = task.gallery.rows.shape[1], task.every_left_out(), task.relevant

    def measured(start: int) -> list[tuple[slice, Measured]]:
        found = []
        for part, columns in class_slices(task, slice(start, min(start + rows, len(task.queries)))):
            count = int(relevant[part.start])
            ranks = counted_ranks(codes[part], gallery, columns, count, bits, left_out.part(part))
            found.append((part, measure(ranks)))
        return found

    for parts in workers.map(measured, range(0, len(task.queries), rows)):
        yield from parts


def over_blocks(
    task: Task, workers: Workers, block: int | None, measured: Callable[[slice, Tensor], list[tuple[slice, Measured]]]
) -> Iterator[tuple[slice, Measured]]:
    """Compute the distances of every query to the gallery, one block of queries per worker, and measure them.

    Args:
        task: Queries and gallery.
        workers: See ``rsir_bench.ranking.threads``.
        block: Queries per block; None chooses.
        measured: Given the queries of a block and their distances as ``fill_distances`` writes them, which it may
            reorder, returns results for slices of them; called in several threads.

    Yields:
        What ``measured`` returns, slice by slice.
    """
    rows = block_queries(task, block, workers.count)
    buffers: SimpleQueue[Tensor] = SimpleQueue()
    for _ in range(workers.count):
        buffers.put(torch.empty(rows, task.gallery_size + 1, dtype=task.gallery.rows.dtype, device=task.device))

    def work(start: int) -> list[tuple[slice, Measured]]:
        queries = slice(start, min(start + rows, len(task.queries)))
        buffer = buffers.get()
        try:
            distances = buffer[: queries.stop - queries.start]
            fill_distances(task, queries, distances)
            return measured(queries, distances)
        finally:
            buffers.put(buffer)  # also after a failure: other workers wait for it

    for parts in workers.map(work, range(0, len(task.queries), rows)):
        yield from parts


def block_queries(task: Task, block: int | None, workers: int) -> int:
    """Return the number of queries per block: ``block``, or as many as the reserved memory allows.

    Raises:
        UserError: ``block`` is not a whole number of at least 1.
    """
    if block is None:
        fitting = TOTAL_ELEMENTS // workers // task.gallery_size
        most = BLOCK_QUERIES if task.device == "cpu" else TOTAL_ELEMENTS
        return max(1, min(most, fitting, -(-len(task.queries) // workers)))
    if not isinstance(block, Integral) or block < 1:
        raise UserError(f"block {block!r}: give the number of queries per block, at least 1")
    return min(block, len(task.queries))


def ranked_slices(task: Task, queries: slice, distances: Tensor, count: bool) -> Iterator[tuple[slice, PositiveRanks]]:
    """Rank the positives of a block of queries, slice by slice.

    Args:
        task: Queries and gallery.
        queries: The queries of the block.
        distances: (S, N + 1) float, as ``fill_distances`` writes them; they may be reordered.
        count: Count the scenes before the positives instead of sorting all scenes; the ranks are the same.
    """
    relevant = task.relevant
    for part, columns in class_slices(task, queries):
        rows = distances[part.start - queries.start : part.stop - queries.start]
        positives = sorted_rows(rows[:, columns].clone())[:, : int(relevant[part.start])]  # behind them: left out, +inf
        near = None if task.gallery.whole is None else counts_near(rows, positives, task.gallery.whole)
        if rows.is_cuda:
            ranks = positive_ranks(sorted_rows(rows), positives)
        else:
            counts = counts_before(rows.numpy(), np.ascontiguousarray(positives), count)
            ranks = collect_ties(*map(torch.from_numpy, counts))
        yield part, replace(ranks, near=near)


def counts_near(rows: Tensor, positives: Tensor, bits: int) -> Tensor:
    """Return how many scenes and how many positives are within Hamming distance 2 of each query, (2, S) int64.

    Args:
        rows: (S, N + 1) float, negated products of codes of -1 and +1: twice the Hamming distance, less the bits.
        positives: (S, R) float, those of the positives.
        bits: Bits of the codes.
    """
    return torch.stack([(values <= 2 * RADIUS - bits).sum(dim=1) for values in (rows, positives)])


def class_slices(task: Task, queries: slice) -> Iterator[tuple[slice, slice]]:
    """Cut a block of queries where the class or the number of positives changes, or the distances grow too many.

    Yields:
        A slice of queries, and the slice of the gallery that holds their class.
    """
    kinds = torch.stack([task.query_classes[queries], task.relevant[queries]])
    found, counts = torch.unique_consecutive(kinds, dim=1, return_counts=True)
    first, most = queries.start, SLICE_ELEMENTS[task.gallery.rows.device.type]
    for number, count in zip(found[0].tolist(), counts.tolist(), strict=True):
        columns = slice(int(task.starts[number]), int(task.starts[number + 1]))
        step = max(1, most // task.gallery_size)
        for start in range(first, first + count, step):
            yield slice(start, min(start + step, first + count)), columns
        first += count


def fill_distances(task: Task, rows: slice, buffer: Tensor) -> None:
    """Write the distances of a block of queries to the whole gallery.

    Args:
        task: Queries and gallery.
        rows: The queries of the block.
        buffer: (S, N + 1) float, to fill; +inf in the last column and to what a ranking leaves out: the query itself in
            the gallery, and ``task.left_out``.
    """
    gallery = task.gallery.rows
    own = None if task.own_columns is None else task.own_columns[rows].to(task.device)
    queries = -(gallery[own] if task.query_rows is None else task.query_rows[rows])
    buffer[:, -1] = torch.inf
    distances = buffer[:, :-1]
    if distances.is_cuda:
        torch.mm(queries, gallery.T, out=distances)
    else:  # NumPy's BLAS is faster on processors that torch's MKL is not made for
        np.matmul(queries.numpy(), gallery.numpy().T, out=distances.numpy())
    if task.gallery.offset is not None:
        distances += task.gallery.offset
    if len(task.gallery.repeats):
        distances[:, task.gallery.repeats] = distances[:, task.gallery.originals]
    if task.correction is not None:
        task.correction(task.positions[rows], distances)
    if own is not None:
        distances.scatter_(1, own[:, None], torch.inf)
    if task.left_out is not None:
        distances[task.left_out.part(rows).cells()] = torch.inf


def sorted_rows(rows: Tensor) -> Tensor:
    """Return rows (n, N) float sorted in ascending order; on the CPU, in place.

    NumPy sorts values alone, several times faster than torch.
    """
    if rows.is_cuda:
        return rows.sort(dim=1).values
    rows.numpy().sort(axis=1)
    return rows
