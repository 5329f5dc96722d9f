"""Runs a function in a process of its own and measures its time and peak memory."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WARMING = 200  # scenes of the first call, which loads libraries and compiles what they compile


@dataclass(frozen=True)
class Measurement:
    """The result and the cost of a call.

    Attributes:
        value: What the function returned.
        seconds: Wall time.
        gigabytes: Peak memory above what was held before the call (libraries, descriptors).
    """

    value: Any
    seconds: float
    gigabytes: float


def measured(work: Callable[[np.ndarray, np.ndarray], Any], n: int, dimensions: int) -> Measurement:
    """Calls ``work``, a function of a module, with n descriptors and labels in a fresh process, after a small call."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (work, n, dimensions))


def _measure(work: Callable[[np.ndarray, np.ndarray], Any], n: int, dimensions: int) -> Measurement:
    work(*scenes(WARMING, dimensions))
    given = scenes(n, dimensions)
    # A process inherits the peak of the one that started it, so reset it first.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _peak()
    start = time.perf_counter()
    value = work(*given)
    seconds = time.perf_counter() - start
    return Measurement(value, seconds, (_peak() - before) / 1e9)


def _peak() -> int:
    """Most bytes held at a time since the peak was reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def scenes(n: int, dimensions: int, classes: int = 45) -> tuple[np.ndarray, np.ndarray]:
    """Noisy float32 descriptors of length 1, (n, dimensions), around class centres, and their labels, shuffled."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(n) % classes)
    rows = rng.standard_normal((n, dimensions), dtype=np.float32)
    rows += 0.2 * rng.standard_normal((classes, dimensions), dtype=np.float32)[labels]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, labels
