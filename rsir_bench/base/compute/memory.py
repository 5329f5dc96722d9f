"""Memory that a computation on the CPU frees and needs again at once."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Parameters of glibc's mallopt(3); the default of the second, and the largest value of the third in all versions.
TRIM_THRESHOLD, MMAP_MAX, MMAP_THRESHOLD = -1, -4, -3
DEFAULT_MMAP_MAX, LARGEST_MMAP_THRESHOLD = 1 << 16, 32 << 20
NEVER = -1


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Keep what is freed within the block for the next tensors, and give it back to the system at the end.

    glibc returns large blocks to Linux as soon as they are freed, and Linux clears every page that it hands out again:
    with an EfficientNet that took more than a third of a training step on a CPU. Nothing happens on other devices, with
    another C library, or, as glibc holds large blocks for the main thread only, in other threads.

    Args:
        device: Where the tensors of the block are.
    """
    libc = ctypes.CDLL(None) if device.type == "cpu" and sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        # glibc's own thresholds move until they are set; these are where large blocks would have moved them.
        libc.mallopt(MMAP_MAX, DEFAULT_MMAP_MAX)
        libc.mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        libc.mallopt(TRIM_THRESHOLD, 2 * LARGEST_MMAP_THRESHOLD)
        libc.malloc_trim(0)
