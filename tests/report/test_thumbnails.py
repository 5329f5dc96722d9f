"""Thumbnails: the right scene at the right place, in natural or in false colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import write_scenes
from PIL import Image

from rsir_bench.report.scenes.thumbnails import SIDE, Colours, choose_colours, small_picture, stretched, write_sheets
from rsir_bench.scenes.index import SceneIndex, index_folder


def spectral(folder: Path, bands: int = 13, kind: str = "uint16") -> SceneIndex:
    """Scenes whose band b runs from 1000 b to 1000 b + 400, brighter from scene to scene."""
    ramp = np.linspace(0, 400, 32 * 32).reshape(32, 32)
    for label in range(2):
        (folder / f"class{label}").mkdir(parents=True)
        for scene in range(3):
            values = np.stack([1000 * band + ramp for band in range(bands)], axis=0).astype(kind)
            tifffile.imwrite(folder / f"class{label}/{scene}.tif", values, planarconfig="separate")
    return index_folder(folder)


def test_pictures_of_8_bits_stay_as_they_are(tmp_path: Path) -> None:
    index = index_folder(write_scenes(tmp_path / "scenes", 2, 3, seed=1))
    colours = choose_colours(index)
    assert colours == Colours((0, 1, 2), None)
    with Image.open(index.root / index.paths[4]) as image:
        expected = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    assert (small_picture(index, index.paths[4], colours) == expected).all()


def test_scenes_of_16_bits_and_13_bands_are_stretched_band_by_band(tmp_path: Path) -> None:
    index = spectral(tmp_path / "scenes")
    colours = choose_colours(index)
    assert colours.bands == (0, 1, 2)
    assert colours.limits is not None
    for band, (low, high) in enumerate(colours.limits):
        assert low == pytest.approx(1000 * band + 8, abs=20)
        assert high == pytest.approx(1000 * band + 392, abs=20)
    picture = small_picture(index, index.paths[0], colours)
    assert picture.shape == (SIDE, SIDE, 3)
    assert np.abs(picture.astype(int) - picture[..., :1]).max() <= 20  # all bands fill the range: grey
    assert picture[0].max() < 30
    assert picture[-1].min() > 225
    assert "bands 1, 2, 3 as red, green, blue" in colours.text


def test_the_cards_bands_are_red_green_and_blue(tmp_path: Path) -> None:
    from dataclasses import replace

    index = replace(spectral(tmp_path / "scenes"), rgb=(3, 2, 1), value_range=(0.0, 4000.0))
    colours = choose_colours(index)
    assert colours.bands == (3, 2, 1)
    assert colours.limits is not None
    assert [round(low / 1000) for low, _ in colours.limits] == [3, 2, 1]
    assert "bands 4, 3, 2" in colours.text


def test_stretching_clips() -> None:
    assert stretched(np.array([[-1.0], [0], [5], [10], [99]]), ((0, 10),)).ravel().tolist() == [0, 0, 128, 255, 255]


def test_each_scene_stands_at_its_place_of_its_sheet(tmp_path: Path) -> None:
    index = index_folder(write_scenes(tmp_path / "scenes", 3, 37, seed=1))
    sheets = write_sheets(tmp_path, index)
    for scene in (0, 13, 99, 100, 110):
        name, left, top = sheets.place(scene)
        with Image.open(tmp_path / name) as sheet:
            found = np.asarray(sheet.crop((left, top, left + SIDE, top + SIDE))).astype(int)
        difference = [np.abs(found - small_picture(index, path, sheets.colours)).mean() for path in index.paths]
        assert int(np.argmin(difference)) == scene
    assert sorted(path.name for path in (tmp_path / sheets.folder).iterdir()) == ["0.jpg", "1.jpg"]


def test_a_scene_that_cannot_be_read_is_grey_and_named(tmp_path: Path) -> None:
    index = index_folder(write_scenes(tmp_path / "scenes", 2, 4, seed=1))
    (index.root / index.paths[5]).write_bytes(b"no picture")
    sheets = write_sheets(tmp_path, index)
    (line,) = sheets.unreadable
    assert index.paths[5] in line
    with Image.open(tmp_path / sheets.folder / "0.jpg") as sheet:
        _, left, top = sheets.place(5)
        assert np.asarray(sheet.crop((left + 16, top + 16, left + 80, top + 80))).std() < 3
