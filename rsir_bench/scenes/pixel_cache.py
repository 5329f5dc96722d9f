"""The pixel cache: every scene decoded and resized once, then memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Literal

import numpy as np
from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.files import discard, is_intact, locked, seal_of, write_text
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import cache_root, worker_count
from rsir_bench.scenes.decode import (
    DECODING_VERSION,
    Pixels,
    Resize,
    decoder_versions,
    read_scene,
    why_unreadable,
)
from rsir_bench.scenes.index import SceneIndex

BLOCK = 256
"""Scenes decoded before they are written: bounds the memory of the build."""


@dataclass(frozen=True)
class Transform:
    """How a scene becomes pixels: a direct resize to ``size`` x ``size``, no crop.

    Attributes:
        size: Side in pixels.
        resize: Name of a Pillow filter, such as ``bilinear``, ``bicubic`` or ``lanczos``.
        bands: ``rgb``, or ``all`` bands of the dataset.
        antialias: See ``rsir_bench.scenes.decode.Resize``.
    """

    size: int
    resize: str = "bilinear"
    bands: Literal["rgb", "all"] = "rgb"
    antialias: bool = True

    def __post_init__(self) -> None:
        """Refuse an unknown filter before any scene is read."""
        known = [filter_.name.lower() for filter_ in Image.Resampling]
        if self.resize not in known:
            raise UserError(f"unknown resize filter {self.resize!r}; known: {', '.join(known)}")

    @property
    def resizing(self) -> Resize:
        """The resize of each image."""
        return Resize(self.size, Image.Resampling[self.resize.upper()], self.antialias)

    def kept_bands(self, index: SceneIndex) -> tuple[int, ...]:
        """Return the bands of a dataset that the transform keeps, in order."""
        return tuple(index.rgb) if self.bands == "rgb" else tuple(range(index.bands))


def open_pixels(index: SceneIndex, transform: Transform) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the pixels of all scenes, read-only; they are decoded on the first call.

    Two processes that ask at once decode once: the second waits for the first.

    Returns:
        (scenes, size, size, bands) uint8, in the order of the index.

    Raises:
        SceneError: Scenes cannot be read; the line counts them and names up to five.
        UserError: The cache cannot be written.
    """
    path = _cache_file(index, transform)
    if not _is_whole(path, index, transform):
        with locked(path.with_name(f"{path.name}.lock")):
            if not _is_whole(path, index, transform):
                _build(path, index, transform)
    return np.memmap(path, np.uint8, "r", shape=_shape(index, transform))


def is_cached(index: SceneIndex, transform: Transform) -> bool:
    """Return whether the pixels exist in full; ``open_pixels`` checks whether they are intact."""
    path = _cache_file(index, transform)
    return path.is_file() and path.stat().st_size == estimated_bytes(index, transform)


def _is_whole(path: Path, index: SceneIndex, transform: Transform) -> bool:
    if not path.is_file():
        return False
    state = path.stat()
    intact = is_cached(index, transform) and _is_intact(path, state.st_ino, state.st_mtime_ns)
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
    """Name the file after everything that changes a pixel or its place."""
    settings = {
        "content": index.fingerprint,
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
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]
    return cache_root() / "pixels" / f"{key}.u8"


def _build(path: Path, index: SceneIndex, transform: Transform) -> None:
    """Write the cache file under another name and move it into place when it is complete."""
    unreadable: list[str] = []
    unfinished = path.with_suffix(".tmp")  # a lock keeps other builders away
    sha256 = hashlib.sha256()
    try:
        with unfinished.open("wb") as file:
            for scene, pixels in zip(index.paths, _decoded(index, transform), strict=True):
                if isinstance(pixels, str):
                    unreadable.append(f"{index.root / scene} ({pixels})")
                elif not unreadable:
                    content = pixels.tobytes()
                    sha256.update(content)
                    file.write(content)
            _raise_unreadable(index, unreadable)
            _flush(file)
        write_text(seal_of(path), sha256.hexdigest() + "\n")
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


def _decoded(index: SceneIndex, transform: Transform) -> Iterator[Pixels | str]:
    """Yield the pixels of each scene in order, or why it cannot be read. Pillow decodes without the GIL."""
    bands = transform.kept_bands(index)

    def decode(scene: str) -> Pixels | str:
        try:
            return read_scene(index.root / scene, transform.resizing, index.bands, bands, index.value_range)
        except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on damaged files; it is reported
            return why_unreadable(error)

    def blocks() -> Iterator[Pixels | str]:
        with ThreadPoolExecutor(worker_count()) as pool:
            for start in range(0, len(index), BLOCK):
                yield from pool.map(decode, index.paths[start : start + BLOCK])

    return track(blocks(), f"decoding {index.name} at {transform.size} px", len(index))


def _raise_unreadable(index: SceneIndex, unreadable: list[str]) -> None:
    if unreadable:
        rest = f" and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
        listed = f"{', '.join(unreadable[:5])}{rest}"
        raise SceneError(f"{index.name}: {len(unreadable)} unreadable: {listed}; restore them from the archive")
