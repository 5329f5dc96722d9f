"""The folder of derived files: decoded pixels, file hashes and synthetic scenes."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from rsir_bench.base.errors import UserError


def cache_root() -> Path:
    """Return the folder of derived files, created if missing: ``RSIR_BENCH_CACHE`` or the user's cache folder.

    Raises:
        UserError: The folder cannot be made.
    """
    root = Path(os.environ.get("RSIR_BENCH_CACHE") or platformdirs.user_cache_dir("rsir-bench"))
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "set RSIR_BENCH_CACHE to a folder you can write"
        raise UserError(f"cannot make the cache folder {root}: {error.strerror}; {remedy}") from error
    return root


def worker_count() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
