"""Turn an image file into a query: its pixels, and whether it is a scene of the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import file_digest
from rsir_bench.scenes.decode import UNREADABLE, Pixels, decode_scene, why_unreadable
from rsir_bench.scenes.fingerprint import hash_scenes
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.pixel_cache import Transform
from rsir_bench.scenes.reading.content import read_content
from rsir_bench.scenes.reading.scene_file import open_scene
from rsir_bench.scenes.reading.unreadable import DamagedError, OtherBandsError, RefusedError


@dataclass(frozen=True)
class Query:
    """An image to search for.

    Attributes:
        path: The file.
        pixels: (1, size, size, bands) uint8, as the scenes of the target are read.
        scene: Its number in the target if it is one of its scenes, else None.
    """

    path: Path
    pixels: Pixels
    scene: int | None


def read_query(path: Path, index: SceneIndex, transform: Transform) -> Query:
    """Read an image as a scene of the target is read.

    Args:
        path: An image file from anywhere.
        index: The target.
        transform: How scenes become pixels.

    Raises:
        UserError: It is not a file or not an image, is damaged, or has other bands than the target.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {what}; name an image file")
    pixels = read_pixels(path, index, transform)
    return Query(path, pixels[None], _scene_number(path, index))


def read_pixels(path: Path, index: SceneIndex, transform: Transform) -> Pixels:
    """Return an image as (size, size, bands) uint8, read as the scenes of the index are.

    Raises:
        UserError: The image cannot be read, or has other bands.
    """
    return _decoded(path, partial(read_content, path), index, transform)


def scene_pixels(number: int, index: SceneIndex, transform: Transform) -> Pixels:
    """Return a scene of the index as (size, size, bands) uint8.

    Raises:
        UserError: The scene can no longer be read, or has other bands.
    """
    path = index.paths[number]
    return _decoded(index.root / path, partial(index.store.read, path), index, transform)


def _decoded(path: Path, read: Callable[[], bytes], index: SceneIndex, transform: Transform) -> Pixels:
    bands = transform.kept_bands(index)
    try:
        content = read()
        if index.card is None and index.value_range is None:
            _refuse_deep(content, index)
        return decode_scene(content, transform.resizing, index.bands, bands, index.value_range)
    except OtherBandsError as error:
        raise UserError(f"{path}: {error} as the scenes of {index.name} do; give an image of the same bands") from None
    except UNREADABLE as error:
        advice = "give an undamaged image" if isinstance(error, DamagedError) else "give another image"
        raise UserError(f"{path}: cannot be read ({why_unreadable(error)}); {advice}") from error


def _refuse_deep(content: bytes, index: SceneIndex) -> None:
    """Refuse an image that nothing says how to scale: all scenes of a user's folder are 8-bit, and it is not."""
    scene = open_scene(content)
    scene.values(index.bands)  # other bands are told first
    if not (facts := scene.facts).is_8_bit:
        raise RefusedError(f"holds {facts.type} values, and all scenes of {index.name} are 8-bit; convert it to 8 bits")


def _scene_number(path: Path, index: SceneIndex) -> int | None:
    """Return the scene that is this file, else the first one with the same bytes, else None."""
    digest = file_digest(path)
    hashes = hash_scenes(index.store, index.paths, f"hashing the scenes of {index.name}")
    same = [number for number, scene in enumerate(hashes) if scene == digest]
    return min(same, key=lambda number: not _is_same(path, index.root / index.paths[number]), default=None)


def _is_same(path: Path, scene: Path) -> bool:
    return scene.exists() and path.samefile(scene)  # scenes in shards have no file
