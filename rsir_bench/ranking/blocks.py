"""Rankings block by block: product, sort in place, bisection; nothing of the size of all pairs is ever held."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from rsir_bench.errors import UserError
from rsir_bench.ranking.inputs import Task
from rsir_bench.ranking.positives import TieGroups, tie_groups
from rsir_bench.ranking.similarity import duplicate_rows

BLOCK_ELEMENTS = 2**25
BLOCK_QUERIES = 512
SLICE_ELEMENTS = 2**17


def rank_blocks(task: Task, block: int | None) -> Iterator[tuple[slice, TieGroups]]:
    """Ranks the gallery for every query.

    Args:
        task: queries and gallery, sorted by class.
        block: queries per block; None: as many as fit into 128 MiB, at most 512.

    Yields:
        tuple: a slice of queries of one class, and the tie groups of their positives.
    """
    rows, columns = block_queries(task, block), task.gallery_size
    buffer = torch.empty(rows, columns, dtype=task.gallery.rows.dtype, device=task.device)
    repeats, originals = duplicate_rows(task.gallery.rows)
    with torch.inference_mode(), full_precision(), ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for start in range(0, len(task.queries), rows):
            block_rows = slice(start, min(start + rows, len(task.queries)))
            distances = block_distances(task, block_rows, buffer)
            distances[:, repeats] = distances[:, originals]
            if task.own_columns is not None:
                own = task.own_columns[block_rows].to(task.device)
                distances.scatter_(1, own[:, None], torch.inf)
            segments = [
                (part, distances[part.start - start : part.stop - start, columns_of_class].clone())
                for part, columns_of_class in class_slices(task, block_rows)
            ]
            sort_rows(distances, threads)
            for part, positives in segments:
                sort_rows(positives, threads)
                finite = positives if task.own_columns is None else positives[:, :-1].contiguous()
                yield part, tie_groups(distances[part.start - start : part.stop - start], finite)


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


def block_distances(task: Task, rows: slice, buffer: Tensor) -> Tensor:
    """(rows, N) distances of a block of queries to the whole gallery, written to the front of ``buffer``."""
    if task.query_rows is not None:
        queries = task.query_rows[rows]
    else:
        assert task.own_columns is not None
        queries = task.gallery.rows[task.own_columns[rows].to(task.device)]
    distances = buffer[: len(queries)]
    if distances.is_cuda:
        torch.mm(-queries, task.gallery.rows.T, out=distances)
    else:  # NumPy's BLAS is the faster one on processors that torch's MKL does not know
        np.matmul((-queries).numpy(), task.gallery.rows.numpy().T, out=distances.numpy())
    if task.gallery.offset is not None:
        distances += task.gallery.offset
    return distances


def sort_rows(rows: Tensor, threads: ThreadPoolExecutor) -> None:
    """Sorts each row in place, ascending. NumPy sorts values several times faster than torch, which sorts indices too."""
    if rows.is_cuda:
        rows.copy_(rows.sort(dim=1).values)
        return
    parts = np.array_split(rows.numpy(), torch.get_num_threads())
    list(threads.map(lambda part: part.sort(axis=1), parts))


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
