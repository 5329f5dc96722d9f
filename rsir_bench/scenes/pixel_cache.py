"""The pixel cache: every scene decoded and resized once, then memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.files import discard, file_digest, is_intact, locked, seal_of, write_text
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import kept_at, worker_count, written_at
from rsir_bench.scenes.decode import (
    DECODING_VERSION,
    PADDING_VERSION,
    UNREADABLE,
    Fit,
    Pixels,
    Resize,
    decode_scene,
    decoder_versions,
    remedy,
    why_unreadable,
)
from rsir_bench.scenes.fingerprint import content_digest, content_fingerprint
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.readers.settings import SETTINGS_FILE

BLOCK, BLOCKS_AHEAD = 8, 2
"""Scenes in a block, which one worker decodes; blocks per worker that may wait to be written."""


@dataclass(frozen=True)
class Transform:
    """How a scene becomes pixels: by default, a direct resize to ``size`` x ``size`` without a crop.

    Attributes:
        size: Side in pixels.
        resize: Name of a Pillow filter, such as ``bilinear``, ``bicubic`` or ``lanczos``.
        bands: ``rgb``, ``all`` bands of the dataset, or the names of bands on its card, in the order to keep.
        antialias: See ``rsir_bench.scenes.decode.Resize``.
        fit: Likewise.
        scale: Likewise.
    """

    size: int
    resize: str = "bilinear"
    bands: str | tuple[str, ...] = "rgb"
    antialias: bool = True
    fit: Fit = "squash"
    scale: int | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown filter before any scene is read."""
        known = [filter_.name.lower() for filter_ in Image.Resampling]
        if self.resize not in known:
            raise UserError(f"unknown resize filter {self.resize!r}; known: {', '.join(known)}")

    @property
    def resizing(self) -> Resize:
        """The resize of each image."""
        return Resize(self.size, Image.Resampling[self.resize.upper()], self.antialias, self.fit, self.scale)

    def kept_bands(self, index: SceneIndex) -> tuple[int, ...]:
        """Return the bands of a dataset that the transform keeps, in order.

        Raises:
            SceneError: It names bands, and the dataset's card does not have them.
        """
        if self.bands == "rgb":
            return tuple(index.rgb)
        return tuple(range(index.bands)) if self.bands == "all" else tuple(map(index.band_named, self.bands))


class CachedPixels(np.memmap[tuple[int, ...], np.dtype[np.uint8]]):
    """Mapped pixels that check their file at each reading: a file cut short would end the process by a signal."""

    def __getitem__(self, rows: Any) -> Any:
        """Return rows; a copy where they are no slice.

        Raises:
            UserError: The file was cut short.
        """
        mapped = self._mmap  # type: ignore[attr-defined]
        if mapped is not None and mapped.size() < len(mapped):
            remedy = "run the same command again, the scenes are decoded again"
            raise UserError(f"{self.filename}: the pixel cache was cut short while in use; {remedy}")
        found = super().__getitem__(rows)
        copied = isinstance(found, CachedPixels) and found._mmap is None  # type: ignore[attr-defined]
        return found.view(np.ndarray) if copied else found


def open_pixels(index: SceneIndex, transform: Transform) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the pixels of all scenes, read-only; they are decoded on the first call.

    Two processes that ask at once decode once: the second waits for the first.

    Returns:
        (scenes, size, size, bands) uint8, in the order of the index.

    Raises:
        SceneError: Scenes cannot be read, and the line counts them and names up to five; or they are no longer those
            of the index.
        UserError: The cache cannot be written.
    """
    path = _cache_file(index, transform)
    if not _is_whole(path, index, transform):
        path = written_at("pixels", path.name)
        with locked(path.with_name(f"{path.name}.lock")):
            if not _is_whole(path, index, transform):
                _build(path, index, transform)
    return CachedPixels(path, np.uint8, "r", shape=_shape(index, transform))


def is_cached(index: SceneIndex, transform: Transform) -> bool:
    """Return whether the pixels exist in full; ``open_pixels`` checks whether they are intact."""
    return _is_full(_cache_file(index, transform), index, transform)


def _is_full(path: Path, index: SceneIndex, transform: Transform) -> bool:
    return path.is_file() and path.stat().st_size == estimated_bytes(index, transform)


def _is_whole(path: Path, index: SceneIndex, transform: Transform) -> bool:
    if not path.is_file():
        return False
    state = path.stat()
    intact = _is_full(path, index, transform) and _is_intact(path, state.st_ino, state.st_mtime_ns)
    if not intact:
        logging.getLogger(__name__).warning("%s: damaged; the scenes of %s are decoded again", path, index.name)
    return intact


@cache
def _is_intact(path: Path, _file: int, _changed: int) -> bool:
    """Compare the checksum once per process, as long as the file is unchanged."""
    return is_intact(path)


def estimated_bytes(index: SceneIndex, transform: Transform) -> int:
    """Return the size of the pixels in bytes."""
    return int(np.prod(_shape(index, transform), dtype=np.int64))


def _shape(index: SceneIndex, transform: Transform) -> tuple[int, int, int, int]:
    return len(index), transform.size, transform.size, len(transform.kept_bands(index))


def _cache_file(index: SceneIndex, transform: Transform) -> Path:
    """Return the file that has the pixels, or will; it is named after everything that changes a pixel or its place."""
    settings = {
        "content": index.content_fingerprint,
        "order": index.classes,
        "size": transform.size,
        "resize": transform.resize,
        "antialias": transform.antialias,
        "bands": transform.kept_bands(index),
        "of": index.bands,
        "value_range": index.value_range,
        "decoding": DECODING_VERSION,
        "decoders": decoder_versions(),
    }
    if (transform.fit, transform.scale) != ("squash", None):
        settings |= {"fit": transform.fit, "scale": transform.scale}
    if transform.fit == "pad":
        settings["padding"] = PADDING_VERSION
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]
    places = list(kept_at("pixels", f"{key}.u8"))
    return next((place for place in places if _is_full(place, index, transform)), places[-1])


def _build(path: Path, index: SceneIndex, transform: Transform) -> None:
    """Write the cache file under another name and move it into place when it is complete."""
    unreadable: list[_Decoded] = []
    digests = [""] * len(index)
    written, in_order = hashlib.sha256(), 0  # hashed while workers decode; archives are read in another order
    unfinished = path.with_suffix(".tmp")  # a lock keeps other builders away
    try:
        with unfinished.open("wb") as file:
            for scene in _decoded(index, transform):
                digests[scene.row] = scene.digest
                if scene.pixels is None:
                    unreadable.append(scene)
                elif not unreadable:
                    content = scene.pixels.tobytes()
                    file.seek(scene.row * len(content))
                    file.write(content)
                    if scene.row == in_order:
                        written.update(content)
                        in_order += 1
            _raise_unreadable(index, unreadable)
            _raise_changed(index, digests)
            _flush(file)
        seal = written.hexdigest() if in_order == len(index) else file_digest(unfinished)
        write_text(seal_of(path), f"{seal}\n")
        unfinished.replace(path)
    except OSError as error:
        needed = estimated_bytes(index, transform) / 1e9
        raise UserError(
            f"{path.parent}: the pixels of {index.name} ({needed:.1f} GB) cannot be written ({error.strerror}); "
            "free some space or set RSIR_BENCH_CACHE to another disk"
        ) from error
    finally:
        discard(unfinished)


def _flush(file: IO[bytes]) -> None:
    """Ensure that a power cut cannot leave a file of the right size without its content."""
    file.flush()
    os.fsync(file.fileno())


@dataclass(frozen=True)
class _Decoded:
    """One scene: its row, the SHA-256 of the bytes that were decoded, and its pixels or why there are none."""

    row: int
    digest: str
    pixels: Pixels | None = None
    error: Exception | None = None


def _decoded(index: SceneIndex, transform: Transform) -> Iterator[_Decoded]:
    """Yield each scene, as they lie, decoded from the very bytes that are hashed. Pillow decodes without the GIL."""
    bands = transform.kept_bands(index)
    order = index.store.reading_order(index.paths)

    def decode(row: int) -> _Decoded:
        digest = ""
        try:
            content = index.store.read(index.paths[row])
            digest = content_digest(content)
            pixels = decode_scene(content, transform.resizing, index.bands, bands, index.value_range)
        except UNREADABLE as error:
            return _Decoded(row, digest, error=error)
        return _Decoded(row, digest, pixels)

    def scenes() -> Iterator[_Decoded]:
        workers = worker_count()
        waiting: deque[Future[list[_Decoded]]] = deque()  # bounded, as all pixels may not fit in memory
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(index), BLOCK):
                waiting.append(pool.submit(lambda rows: [decode(row) for row in rows], order[start : start + BLOCK]))
                if len(waiting) > BLOCKS_AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    return track(scenes(), f"decoding {index.name} at {transform.size} px", len(index))


def _raise_changed(index: SceneIndex, digests: Sequence[str]) -> None:
    """Refuse pixels of other bytes than those of the index: they would pass for its scenes ever after."""
    rows = [
        (int(label), path.rsplit("/", 1)[-1], digest)
        for label, path, digest in zip(index.labels, index.paths, digests, strict=True)
    ]
    found = content_fingerprint([index.classes[label] for label in index.labels], index.paths, digests)
    if found != index.content_fingerprint or rows != sorted(rows):
        raise SceneError(f"{index.name}: scenes in {index.root} changed while they were read; run the command again")


def _raise_unreadable(index: SceneIndex, unreadable: Sequence[_Decoded]) -> None:
    if not unreadable:
        return
    ordered = sorted(unreadable, key=lambda scene: scene.row)
    named = [(index.root / index.paths[scene.row], scene.error) for scene in ordered if scene.error is not None]
    listed = ", ".join(f"{path} ({why_unreadable(error)})" for path, error in named[:5])
    rest = f" and {len(named) - 5} more" if len(named) > 5 else ""
    archived = index.card is not None and index.card.download is not None
    settings = SETTINGS_FILE if index.card is None else "the dataset card"
    remedies = "; ".join(dict.fromkeys(remedy(error, archived=archived, settings=settings) for _, error in named))
    raise SceneError(f"{index.name}: {len(named)} unreadable: {listed}{rest}; {remedies}")
