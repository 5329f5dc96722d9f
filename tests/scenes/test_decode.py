"""Tifs of every layout, by whichever tifffile: size, bands and pixels are those that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.decode import OtherBandsError, Resize, decode_scene, scene_bands
from rsir_bench.scenes.reading.scene_file import open_scene
from rsir_bench.scenes.reading.store import FolderStore

HEIGHT, WIDTH = 10, 12  # not square, so that no axis passes for the other
GEOGRAPHIC = [  # Sentinel-2 scenes have such tags, and tifffile takes files with them for a kind of their own
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632), True),
    (33550, "d", 3, (10.0, 10.0, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 500_000.0, 5_000_000.0, 0.0), True),
]
RGB, GREY = {"photometric": "rgb"}, {"photometric": "minisblack"}
CONTIGUOUS, PLANAR = {"planarconfig": "contig"}, {"planarconfig": "separate"}
LAYOUTS = {  # bands written, bands of the scene, whether bands come first, options of tifffile.imwrite
    "grey": (1, 3, True, GREY),
    "rgb contiguous": (3, 3, False, RGB | CONTIGUOUS),
    "rgb planar": (3, 3, True, RGB | PLANAR),
    "rgb and alpha": (4, 3, False, RGB | {"extrasamples": ["unassalpha"]}),
    "rgb and infrared": (4, 4, False, RGB | {"extrasamples": ["unspecified"]}),
    "4 bands contiguous": (4, 4, False, GREY | CONTIGUOUS),
    "13 bands contiguous": (13, 13, False, GREY | CONTIGUOUS),
    "13 bands planar": (13, 13, True, GREY | PLANAR),
    "13 bands tiled": (13, 13, False, GREY | CONTIGUOUS | {"tile": (16, 16)}),
    "13 bands zlib": (13, 13, False, GREY | CONTIGUOUS | {"compression": "zlib"}),
    "13 bands with places": (13, 13, False, GREY | CONTIGUOUS | {"extratags": GEOGRAPHIC, "metadata": None}),
    "2 pages": (2, 2, True, GREY),
    "3 pages": (3, 3, True, GREY),
    "13 pages": (13, 13, True, GREY),
    "13 pages that nothing describes": (13, 13, True, GREY | {"metadata": None}),
    "13 pages with places": (13, 13, True, GREY | {"extratags": GEOGRAPHIC, "metadata": None}),
}


def write_tif(path: Path, layout: str, kind: type[np.unsignedinteger]) -> np.ndarray:
    """Returns what was written as (height, width, bands of the scene)."""
    written, bands, first, options = LAYOUTS[layout]
    values = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (HEIGHT, WIDTH, written), kind, endpoint=True)
    stored = np.moveaxis(values, 2, 0) if first else values
    tifffile.imwrite(path, stored[0] if written == 1 else stored, **options)
    return np.repeat(values, 3, axis=2) if written == 1 else values[..., :bands]


def as_read(values: np.ndarray) -> np.ndarray:
    """Returns a square of the values' width, as ``Resize(WIDTH, nearest)`` gives it, mapped to 0..255."""
    rows = ((np.arange(WIDTH) + 0.5) * HEIGHT / WIDTH).astype(int)
    return np.rint(values[rows].astype(np.float64) * 255 / np.iinfo(values.dtype).max)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height that the head of a file states."""
    facts = open_scene(path.read_bytes()).facts
    return facts.width, facts.height


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tifs_are_read_as_they_were_written(layout: str, kind: type[np.unsignedinteger], tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    values = write_tif(path, layout, kind)
    bands = values.shape[2]
    assert size_of(path) == (WIDTH, HEIGHT)
    assert scene_bands(FolderStore(tmp_path), path.name) == bands
    every, backwards = list(range(bands)), list(range(bands))[::-1]
    resize = Resize(WIDTH, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(decode_scene(path.read_bytes(), resize, bands, every, None), as_read(values))
    if bands != 3:  # pictures are always red, green, blue
        np.testing.assert_array_equal(
            decode_scene(path.read_bytes(), resize, bands, backwards, None), as_read(values[..., ::-1])
        )
    with pytest.raises(OtherBandsError, match=f"bands, not {bands + 5}"):
        decode_scene(path.read_bytes(), resize, bands + 5, every, None)


@pytest.mark.parametrize("shape", [(1, 12), (12, 1), (1, 1)])
@pytest.mark.parametrize("bands", [1, 3, 13])
def test_sides_of_one_pixel_are_sides(shape: tuple[int, int], bands: int, tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    values = np.arange(1, 1 + np.prod(shape) * bands, dtype=np.uint16).reshape(*shape, bands)
    tifffile.imwrite(path, values[..., 0] if bands == 1 else values, **GREY, **(CONTIGUOUS if bands > 1 else {}))
    assert size_of(path) == shape[::-1]
    assert scene_bands(FolderStore(tmp_path), path.name) == max(bands, 3)
    pixels = decode_scene(path.read_bytes(), Resize(12, Image.Resampling.NEAREST), max(bands, 3), [0, 1, 2], (0, 255))
    expected = np.broadcast_to(np.minimum(values[..., : min(bands, 3)], 255), (12, 12, 3))
    np.testing.assert_array_equal(pixels, expected)


def test_names_that_tifffile_gives_to_axes_are_not_relied_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of ``sizes`` were "height" and "width" up to tifffile 2026.4 and are "Y" and "X" from 2026.5 on."""
    monkeypatch.setattr(tifffile.TiffPageSeries, "sizes", property(lambda series: {}))
    path = tmp_path / "scene.tif"
    values = write_tif(path, "13 bands planar", np.uint16)
    assert (size_of(path), scene_bands(FolderStore(tmp_path), path.name)) == ((WIDTH, HEIGHT), 13)
    pixels = decode_scene(path.read_bytes(), Resize(WIDTH, Image.Resampling.NEAREST), 13, list(range(13)), None)
    np.testing.assert_array_equal(pixels, as_read(values))


def test_tifs_without_height_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    with pytest.warns(UserWarning, match="zero-size"):
        tifffile.imwrite(path, np.zeros((0, 5), np.uint16))
    with pytest.raises(SceneError, match=r"cannot read .*scene\.tif"):
        scene_bands(FolderStore(tmp_path), path.name)
