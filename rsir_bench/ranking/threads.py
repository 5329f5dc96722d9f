"""Run pieces of a computation in parallel threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """A pool of ``count`` threads."""

    pool: ThreadPoolExecutor
    count: int

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``work`` of each item, in order."""
        return self.pool.map(work, items)


@contextmanager
def workers(device: str) -> Iterator[Workers]:
    """Yield as many workers as torch has threads (one on a GPU), each with a single thread for its own operations.

    Threads within operations wait for each other after every operation; workers on separate pieces never do. Products
    are in true float32, whatever the process has chosen for training (TF32, bf16).
    """
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    count = threads if device == "cpu" else 1
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            threadpool_limits(1, user_api="blas"),
            ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            yield Workers(pool, count)
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
