"""The folder of derived files: decoded pixels, file hashes and synthetic scenes.

The folder may be shared. What another user keeps there is read; where it cannot be written, the files that are missing
go to the same places below this user's own cache folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
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


def kept_at(*parts: str) -> Iterator[Path]:
    """Yield where a derived file or folder may be: first in the cache folder, then beside it in the user's own.

    Args:
        parts: Its place below the cache folder.
    """
    root = cache_root()
    yield root.joinpath(*parts)
    if not _is_writable(root.joinpath(*parts)):
        yield _beside(root).joinpath(*parts)


def written_at(*parts: str) -> Path:
    """Return where a derived file or folder is written: the last place that ``kept_at`` yields."""
    *_, last = kept_at(*parts)
    return last


def _is_writable(path: Path) -> bool:
    """Return whether this user can make or replace a file, with its lock; the folders above may be missing."""
    lock = path.with_name(f"{path.name}.lock")
    if any(place.exists() and not os.access(place, os.W_OK) for place in (lock, path)):
        return False
    above = next(folder for folder in path.parents if folder.exists())
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def _beside(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    return Path(platformdirs.user_cache_dir("rsir-bench")) / "beside" / name


def worker_count() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
