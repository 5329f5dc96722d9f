"""Thumbnails of a target's scenes, on sheets of a hundred, in natural or in false colour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rsir_bench.base.files import page_name, write_atomically
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import worker_count
from rsir_bench.scenes.decode import UNREADABLE, Pixels, Resize, decode_scene, why_unreadable
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.reading.scene_file import open_scene

SIDE = 96
ACROSS = 10
SHEET = ACROSS * ACROSS
QUALITY = 72
SAMPLED = 60
PERCENTILES = (2, 98)
WIDEST = (0.0, 65535.0)


@dataclass(frozen=True)
class Colours:
    """How pixels become red, green and blue.

    Attributes:
        bands: Indices of the bands that are shown as red, green and blue.
        limits: (low, high) of each: the values shown as black and full; None for 8-bit images, shown unchanged.
    """

    bands: tuple[int, ...]
    limits: tuple[tuple[float, float], ...] | None

    @property
    def text(self) -> str:
        """The text for the page; bands are counted from 1."""
        if self.limits is None:
            return "Scenes in their own colours."
        bands = ", ".join(str(band + 1) for band in self.bands)
        low, high = PERCENTILES
        return (
            f"False colour: bands {bands} as red, green, blue, each stretched from percentile {low} to {high} of "
            "the dataset's values."
        )


def choose_colours(index: SceneIndex) -> Colours:
    """Choose the card's red, green and blue, or the first three bands; stretched where scenes are not 8-bit images.

    Raises:
        OSError: A scene cannot be opened.
        UnreadableError: A scene cannot be read.
    """
    bands = tuple(index.rgb)
    if index.bands == 3 and open_scene(index.store.read(index.paths[0])).facts.is_8_bit:
        return Colours(bands, None)
    sampled = [index.paths[number] for number in np.linspace(0, len(index) - 1, SAMPLED).astype(int)]
    limits = [index.value_range or WIDEST] * len(bands)
    # Scenes are read as 8 bits between two values; each pass narrows these to the percentiles of the previous one.
    for _ in range(3):
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        values = np.stack([_read(index, path, bands, (low, high), SIDE) for path in sampled])
        found = np.percentile(values.reshape(-1, len(bands)), PERCENTILES, axis=0) + np.array([[-1.0], [1.0]])
        scaled = low + found.clip(0, 255) / 255 * (high - low)
        limits = [(float(first), float(last)) for first, last in scaled.T]
    return Colours(bands, tuple(limits))


def small_picture(index: SceneIndex, path: str, colours: Colours, side: int = SIDE) -> Pixels:
    """Return one scene, (side, side, 3) uint8.

    Raises:
        OSError: It cannot be opened.
        UnreadableError: It cannot be read.
    """
    if colours.limits is None:
        return _read(index, path, colours.bands, None, side)
    low, high = min(low for low, _ in colours.limits), max(high for _, high in colours.limits)
    values = low + _read(index, path, colours.bands, (low, high), side).astype(np.float64) / 255 * (high - low)
    return stretched(values, colours.limits)


def stretched(values: npt.NDArray[np.floating], limits: tuple[tuple[float, float], ...]) -> Pixels:
    """Return values (..., B) float scaled from the limits of each band to [0, 255] and clipped, (..., B) uint8."""
    low, high = np.array(limits).T
    pixels: Pixels = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return pixels


@dataclass(frozen=True)
class Sheets:
    """Sheets of thumbnails of all scenes of a dataset: scene i is on sheet i // 100, row by row.

    Attributes:
        folder: Relative to the report's folder.
        colours: Their colours.
        unreadable: The scenes that could not be read, with the reason; they are grey on the sheet.
    """

    folder: str
    colours: Colours
    unreadable: tuple[str, ...]

    def place(self, scene: int) -> tuple[str, int, int]:
        """Return the sheet of a scene, relative to the report's folder, and its left and top edge there in pixels."""
        number, rest = divmod(scene, SHEET)
        return f"{self.folder}/{number}.jpg", rest % ACROSS * SIDE, rest // ACROSS * SIDE


def write_sheets(out: Path, index: SceneIndex) -> Sheets:
    """Write the sheets of a dataset.

    Raises:
        OSError: A scene that the colours are chosen by cannot be opened.
        UnreadableError: Such a scene cannot be read.
        UserError: A file cannot be written.
    """
    colours, unreadable = choose_colours(index), []
    folder = f"thumbnails/{page_name(index.name)}-{index.fingerprint[:12]}"

    def read(path: str) -> Pixels | str:
        try:
            return small_picture(index, path, colours)
        except UNREADABLE as error:
            return f"{index.root / path} ({why_unreadable(error)})"

    starts = range(0, len(index), SHEET)
    with ThreadPoolExecutor(worker_count()) as pool:
        for number, start in enumerate(track(starts, f"thumbnails of {index.name}", len(starts))):
            path = out / folder / f"{number}.jpg"
            pictures = list(pool.map(read, index.paths[start : start + SHEET]))
            unreadable += [picture for picture in pictures if isinstance(picture, str)]
            sheet = _sheet([None if isinstance(picture, str) else picture for picture in pictures])
            write_atomically(path, lambda path, sheet=sheet: sheet.save(path, "JPEG", quality=QUALITY))  # type: ignore[misc]
    return Sheets(folder, colours, tuple(unreadable))


def _sheet(pictures: list[Pixels | None]) -> Image.Image:
    across, down = min(ACROSS, len(pictures)), -(-len(pictures) // ACROSS)
    sheet = Image.new("RGB", (across * SIDE, down * SIDE), (128, 128, 128))
    for number, picture in enumerate(pictures):
        if picture is not None:
            sheet.paste(Image.fromarray(picture), (number % ACROSS * SIDE, number // ACROSS * SIDE))
    return sheet


def _read(
    index: SceneIndex, path: str, bands: tuple[int, ...], limits: tuple[float, float] | None, side: int
) -> Pixels:
    content = index.store.read(path)
    return decode_scene(content, Resize(side, Image.Resampling.BILINEAR), index.bands, bands, limits)
