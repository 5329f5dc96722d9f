"""Runs a function in a process of its own and measures its time and peak memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Measurement:
    """What a call took.

    Attributes:
        value: what the function returned.
        seconds: wall time.
        gigabytes: peak memory above what was held before the call (libraries, descriptors).
    """

    value: Any
    seconds: float
    gigabytes: float


def measured(prepare: Callable[[], Any], work: Callable[[Any], Any]) -> Measurement:
    """Calls ``work`` with what ``prepare`` returns in a fresh process; both must be functions of a module."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (prepare, work))


def _measure(prepare: Callable[[], Any], work: Callable[[Any], Any]) -> Measurement:
    given = prepare()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    before = pages * os.sysconf("SC_PAGE_SIZE")
    start = time.perf_counter()
    value = work(given)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Measurement(value, seconds, (peak - before) / 1e9)


def scenes(n: int, dimensions: int, classes: int = 45) -> tuple[np.ndarray, np.ndarray]:
    """Noisy float32 descriptors around class centres, (n, dimensions), and their labels, in random order."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(n) % classes)
    rows = rng.standard_normal((n, dimensions), dtype=np.float32)
    rows += 0.1 * rng.standard_normal((classes, dimensions), dtype=np.float32)[labels]
    return rows, labels
