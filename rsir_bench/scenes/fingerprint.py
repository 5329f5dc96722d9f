"""The content fingerprint of a dataset, and the file hashes behind it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rsir_bench.base.errors import SceneError
from rsir_bench.base.files import is_intact, locked, write_sealed
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import kept_at, worker_count, written_at
from rsir_bench.scenes.reading.store import SceneStore
from rsir_bench.scenes.reading.unreadable import UnreadableError

FileState = tuple[int, int, int, int, str]
"""The state of a file when it was read, and the SHA-256 of its bytes."""

SPOT_CHECKS = 8
"""Files, evenly spaced, whose bytes are compared although their states are unchanged."""


def content_fingerprint(class_names: Sequence[str], paths: Sequence[str], hashes: Sequence[str]) -> str:
    """Return the SHA-256 over the sorted list of (class, file name, SHA-256 of the bytes), in hexadecimal.

    It depends on neither the place of the dataset nor the names of its class folders.
    """
    rows = sorted(
        (name, path.rsplit("/", 1)[-1], digest) for name, path, digest in zip(class_names, paths, hashes, strict=True)
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def labelled_fingerprint(
    content: str,
    class_names: Sequence[str],
    paths: Sequence[str],
    labels: Sequence[Sequence[str]],
    hashes: Sequence[str],
) -> str:
    """Return the SHA-256 over a content fingerprint and the sorted list of (class, file name, labels of the scene).

    Where scenes of one class and file name differ in both bytes and labels, the SHA-256 of the bytes follows: without,
    it would not be seen which of them has which labels.
    """
    names = [(name, path.rsplit("/", 1)[-1]) for name, path in zip(class_names, paths, strict=True)]
    texts = [";".join(sorted(found)) for found in labels]
    several = _with_several(names, texts) & _with_several(names, hashes)
    rows = sorted(
        (*name, text, *([sha256] if name in several else []))
        for name, text, sha256 in zip(names, texts, hashes, strict=True)
    )
    return hashlib.sha256(json.dumps([content, rows]).encode()).hexdigest()


def _with_several(names: Sequence[tuple[str, str]], values: Sequence[str]) -> set[tuple[str, str]]:
    """Return the names that come with different values."""
    found: dict[tuple[str, str], str] = {}
    return {name for name, value in zip(names, values, strict=True) if found.setdefault(name, value) != value}


def hash_scenes(store: SceneStore, paths: Sequence[str], what: str, *, again: bool = False) -> list[str]:
    """Return the SHA-256 of each scene's file; where its state is unchanged it is not read again, but for a few.

    A file replaced by another of the same size and time has another inode, or its inode another time. Where a file
    system knows neither, the few files that are read all the same may tell; ``again`` does tell.

    Args:
        store: The dataset's.
        paths: Scenes of it.
        what: Text before the progress bar.
        again: Read all of them: a disk that loses bits changes no state.

    Raises:
        SceneError: A file cannot be read.
    """
    place = _place(store)
    known = {} if again else _known(store)
    states = store.states(paths)
    stale = [path for path in paths if known.get(path, ())[:4] != states[path]]
    if not stale and _is_replaced(store, paths, known):
        stale = list(paths)
    if stale:
        stale = [stale[position] for position in store.reading_order(stale)]
        digests = track(_digests(store, stale), what, len(stale))
        read = {path: (*states[path], digest) for path, digest in zip(stale, digests, strict=True)}
        known = {**known, **read}
        _save(written_at(*place), {path: known[path] for path in paths})
    return [known[path][4] for path in paths]


def known_hashes(store: SceneStore, paths: Sequence[str]) -> list[str] | None:
    """Return the SHA-256 of each scene's file without reading it; None unless all were hashed and are unchanged."""
    known, states = _known(store), store.states(paths)
    if any(known.get(path, ())[:4] != states[path] for path in paths):
        return None
    return [known[path][4] for path in paths]


def content_digest(content: bytes) -> str:
    """Return the SHA-256 of the bytes of a file, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _place(store: SceneStore) -> tuple[str, str]:
    """Return where the hashes of a dataset are kept, below the cache folder."""
    return "hashes", f"{hashlib.sha256(store.identity).hexdigest()[:24]}.json"


def _known(store: SceneStore) -> dict[str, FileState]:
    return {path: state for kept in kept_at(*_place(store)) for path, state in _load(kept).items()}


def _is_replaced(store: SceneStore, paths: Sequence[str], known: dict[str, FileState]) -> bool:
    """Return whether one of a few evenly spaced files has other bytes than are known of it."""
    step = max(1, -(-len(paths) // SPOT_CHECKS))
    changed = [path for path in paths[::step] if _sha256(store, path) != known[path][4]]
    if changed:
        line = "%s: other bytes under the same size and time; all scenes of the dataset are read again"
        logging.getLogger(__name__).warning(line, store.root / changed[0])
    return bool(changed)


def _digests(store: SceneStore, paths: Sequence[str]) -> Iterator[str]:
    with ThreadPoolExecutor(worker_count()) as pool:
        yield from pool.map(partial(_sha256, store), paths)


def _sha256(store: SceneStore, path: str) -> str:
    try:
        return content_digest(store.read(path))
    except UnreadableError as error:
        raise SceneError(f"cannot read {store.root / path}: {error}") from error
    except OSError as error:
        remedy = "restore the file or its permissions"
        raise SceneError(f"cannot read {store.root / path}: {error.strerror}; {remedy}") from error


def _load(store: Path) -> dict[str, FileState]:
    try:
        states = json.loads(store.read_text()) if is_intact(store) else {}
        return {path: (*map(int, state), digest) for path, (*state, digest) in states.items() if len(state) == 4}
    except (OSError, ValueError, TypeError, AttributeError):  # the hashes are derived: a damaged list is made anew
        return {}


def _save(store: Path, states: dict[str, FileState]) -> None:
    with locked(store.with_name(f"{store.name}.lock")):
        write_sealed(store, lambda unfinished: unfinished.write_text(json.dumps(states)))
