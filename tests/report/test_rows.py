"""Rows of scenes on other pages: one of each class, and a query with what methods find, each tile the right scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_scenes
from PIL import Image
from scenery import Scenery, scenery

from rsir_bench.report.scenes.panels import choose_queries
from rsir_bench.report.scenes.rows import METHODS, MOST, SHOWN, SIDE, write_showcase, write_strip
from rsir_bench.report.scenes.targets import Target
from rsir_bench.report.scenes.thumbnails import Colours, Sheets, small_picture
from rsir_bench.report.tiles import Tile
from rsir_bench.scenes.index import SceneIndex, index_folder
from rsir_bench.scenes.labelling.labels_of_scenes import SceneLabels

SHEETS = Sheets("thumbnails/some", Colours((0, 1, 2), None), ())


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory)


def shown(out: Path, tile: Tile, index: SceneIndex) -> str:
    """The path of the scene that a browser shows in a tile."""
    with Image.open(out / tile.row) as row:
        left = round(tile.position / 100 * (row.width - SIDE))  # what object-position means
        found = np.asarray(row.crop((left, 0, left + SIDE, SIDE))).astype(int)
    scenes = {path: small_picture(index, path, SHEETS.colours, SIDE) for path in index.paths}
    return min(scenes, key=lambda path: np.abs(found - scenes[path]).mean())


def all_of(index: SceneIndex) -> Target:
    return Target("board", index, np.arange(len(index)))


def test_a_strip_shows_the_first_scene_of_each_class(tmp_path: Path) -> None:
    index = index_folder(write_scenes(tmp_path / "scenes", 5, 3, seed=1))
    strip = write_strip(tmp_path, all_of(index), SHEETS)
    assert strip.names == list(index.classes)
    assert [tile.words for tile in strip.tiles] == list(index.classes)
    assert [tile.path for tile in strip.tiles] == [index.paths[3 * label] for label in range(5)]
    assert [shown(tmp_path, tile, index) for tile in strip.tiles] == [tile.path for tile in strip.tiles]
    assert strip.tiles[2].href.startswith("explorer.html#board=board&target=")


def test_a_strip_of_many_classes_is_bounded(tmp_path: Path) -> None:
    index = index_folder(write_scenes(tmp_path / "scenes", MOST + 12, 1, seed=1))
    strip = write_strip(tmp_path, all_of(index), SHEETS)
    assert len(strip.tiles) == MOST
    assert (strip.names[0], strip.names[-1]) == (index.classes[0], index.classes[-1])
    assert strip.kinds == f"{MOST + 12} classes"


def test_a_strip_of_labels_shows_another_scene_for_each(tmp_path: Path) -> None:
    index = index_folder(write_scenes(tmp_path / "scenes", 2, 2, seed=1))
    members = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], bool)
    strip = write_strip(tmp_path, all_of(replace(index, several=SceneLabels(("a", "b", "c"), members))), SHEETS)
    assert strip.names == ["a", "b", "c"]
    assert [tile.path for tile in strip.tiles] == [index.paths[scene] for scene in (0, 1, 2)]
    assert [tile.words for tile in strip.tiles] == ["a, b", "b", "c"]


def test_a_showcase_is_what_the_methods_found(made: Scenery, tmp_path: Path) -> None:
    target = made.target
    showcase = write_showcase(tmp_path, [(target, SHEETS)])
    queries = choose_queries(target)
    query = queries[(len(queries) - 1) // 2]
    assert showcase.query.path == target.index.paths[query]
    assert len(showcase.found) == METHODS
    by_title = {method.title: method for method in target.methods}
    labels = [by_title[found.title].record.method.label for found in showcase.found]
    assert "baseline" in labels
    assert labels == [label for label in (one.record.method.label for one in target.methods) if label in labels]
    for found in showcase.found:
        expected = by_title[found.title].found.indices[query][:SHOWN].tolist()
        assert [tile.path for tile in found.tiles] == [target.index.paths[scene] for scene in expected]
        assert [tile.right for tile in found.tiles] == (target.labels[expected] == target.labels[query]).tolist()
        assert found.verdict == f"{sum(tile.right for tile in found.tiles)} of {SHOWN} right"
        for tile in found.tiles:
            assert shown(tmp_path, tile, target.index) == tile.path


def test_other_pages_get_the_strip_of_their_dataset(made: Scenery) -> None:
    strip = made.scenes.strips[made.target.index.name]
    assert strip.names == list(made.target.index.classes)
    assert (made.out / strip.tiles[0].row).stat().st_size < 100_000
    assert made.scenes.showcase is not None
