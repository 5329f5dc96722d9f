"""The content fingerprint of a dataset, and the file hashes behind it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rsir_bench.base.errors import SceneError
from rsir_bench.base.files import file_digest, is_intact, locked, write_sealed
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import cache_root, worker_count

FileState = tuple[int, int, str]
"""Size in bytes, time of the last change in ns, SHA-256 of the bytes."""


def content_fingerprint(class_names: Sequence[str], paths: Sequence[str], hashes: Sequence[str]) -> str:
    """Return the SHA-256 over the sorted list of (class, file name, SHA-256 of the bytes), in hexadecimal.

    It depends on neither the place of the dataset nor the names of its class folders.
    """
    rows = sorted(
        (name, path.rsplit("/", 1)[-1], digest) for name, path, digest in zip(class_names, paths, hashes, strict=True)
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def hash_files(root: Path, paths: Sequence[str], what: str, *, again: bool = False) -> list[str]:
    """Return the SHA-256 of each file; files whose size and modification time are unchanged are not read again.

    Args:
        root: The folder of the dataset.
        paths: Files relative to it.
        what: Text before the progress bar.
        again: Read all of them: a disk that loses bits changes neither size nor time.

    Raises:
        SceneError: A file cannot be read.
    """
    store = cache_root() / "hashes" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]}.json"
    known = {} if again else _load(store)
    try:
        stats = [os.stat(f"{root}/{path}") for path in paths]  # noqa: PTH116 - making 30,000 Paths takes longer than this
    except OSError as error:
        raise SceneError(f"cannot read {error.filename}: {error.strerror}; restore the scenes of {root}") from error
    states = {path: (stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats, strict=True)}
    stale = [path for path, state in states.items() if known.get(path, ())[:2] != state]
    if stale:
        with ThreadPoolExecutor(worker_count()) as pool:
            digests = track(pool.map(_sha256, (root / path for path in stale)), what, len(stale))
            known = {**known, **{path: (*states[path], digest) for path, digest in zip(stale, digests, strict=True)}}
        _save(store, {path: known[path] for path in paths})
    return [known[path][2] for path in paths]


def _sha256(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise SceneError(f"cannot read {path}: {error.strerror}; restore the file or its permissions") from error


def _load(store: Path) -> dict[str, FileState]:
    try:
        states = json.loads(store.read_text()) if is_intact(store) else {}
        return {path: (size, changed, digest) for path, (size, changed, digest) in states.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # the hashes are derived: a damaged list is made again
        return {}


def _save(store: Path, states: dict[str, FileState]) -> None:
    with locked(store.with_name(f"{store.name}.lock")):
        write_sealed(store, lambda unfinished: unfinished.write_text(json.dumps(states)))
