"""The explorer's data agree with the scorer, and it says what is missing."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scenery import EVIL, METHODS, Scenery, scenery

from rsir_bench.ranking import score
from rsir_bench.records.store import read_records
from rsir_bench.report.renderer import Frame
from rsir_bench.report.scenes.explorer import ranking
from rsir_bench.report.scenes.neighbours import find_neighbours
from rsir_bench.report.scenes.pages import add_scenes
from rsir_bench.report.scenes.targets import find_targets
from rsir_bench.report.tiles import Scenes
from rsir_bench.runs.request import UserFiles


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory)


def unpacked(data: dict) -> tuple[np.ndarray, np.ndarray]:
    scenes = np.frombuffer(base64.b64decode(data["scenes"]), f"<u{data['bytes']}").reshape(-1, data["shown"])
    similarities = np.frombuffer(base64.b64decode(data["similarities"]), "<i2").reshape(scenes.shape)
    return scenes.astype(np.int64), similarities * data["step"]


def catalogue(made: Scenery) -> dict:
    (target,) = made.data("explorer/catalogue.js")["targets"]
    return target


def test_one_row_and_the_first_seed_of_each_method(made: Scenery) -> None:
    methods = {method["label"]: method for method in catalogue(made)["methods"]}
    assert sorted(methods) == sorted(METHODS)
    assert {label: method["row"] for label, method in methods.items()} == {
        **dict.fromkeys(("baseline", "jsst", "gamma"), "PCA"),
        "dhn": "Hashing",
    }
    assert {method["seed"] for method in methods.values()} == {0}
    values = [dict(method["metrics"])["mAP"] for method in catalogue(made)["methods"]]
    assert values == sorted(values, reverse=True)


def test_precision_at_ten_of_the_data_is_that_of_the_record(made: Scenery) -> None:
    labels = np.searchsorted(catalogue(made)["starts"], np.arange(120), side="right") - 1
    for method, shown in zip(catalogue(made)["methods"], made.target.methods, strict=True):
        scenes, _ = unpacked(made.data(method["data"]))
        assert scenes.shape == (120, 10)
        precision = float((labels[scenes] == labels[:, None]).mean())
        low, high = shown.record.tie_bounds["P@10"]
        if low == high:
            assert precision == pytest.approx(shown.record.metrics["P@10"], abs=1e-12)
        assert low - 1e-12 <= precision <= high + 1e-12
        assert method["label"] == "dhn" or low == high  # only codes are tied here


def test_similarities_are_the_protocols(made: Scenery) -> None:
    for method, shown in zip(catalogue(made)["methods"], made.target.methods, strict=True):
        scenes, similarities = unpacked(made.data(method["data"]))
        descriptors = np.load(shown.recorded.cell.descriptors)
        if method["label"] == "dhn":
            bits = np.unpackbits(descriptors, axis=1)[:, : shown.record.row.dimensions].astype(int)
            expected = np.abs(bits[:, None] - bits[None]).sum(axis=2)
            assert method["measure"] == "Hamming distance in bits"
        else:
            expected = np.corrcoef(descriptors)
            assert method["measure"] == "Pearson correlation"
        assert np.abs(np.take_along_axis(expected, scenes, axis=1) - similarities).max() <= 1e-4
        assert not (scenes == np.arange(120)[:, None]).any()


def test_equally_near_scenes_stand_in_the_order_of_their_index() -> None:
    descriptors = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0.0]])
    found = find_neighbours(descriptors, np.array([0, 0, 0, 1, 1]), similarity="cosine")
    assert found.indices.tolist() == [[2, 4, 1, 3], [3, 0, 2, 4], [0, 4, 1, 3], [1, 0, 2, 4], [0, 2, 1, 3]]
    assert found.similarities[0].tolist() == [1, 1, 0, 0]


def test_distances_are_lengths_under_euclidean() -> None:
    points = np.array([[0.0, 0], [3, 4], [0, 1], [10, 0]])
    found = find_neighbours(points, np.array([0, 0, 1, 1]), similarity="euclidean")
    assert found.indices[0].tolist() == [2, 1, 3]
    assert found.similarities[0] == pytest.approx([1, 5, 10])


def test_a_scene_alone_in_its_class_is_no_query_and_stays_in_the_gallery() -> None:
    points = np.array([[0.0], [1], [2.5]])
    labels = np.array([0, 0, 1])
    found = find_neighbours(points, labels, similarity="euclidean")
    assert found.indices.tolist() == [[1, 2], [0, 2], [-1, -1]]
    assert np.isnan(found.measured[2])
    scores = score(points, labels, similarity="euclidean")
    assert np.nanmean(found.measured) == pytest.approx(scores.overall["mAP"])


@pytest.mark.parametrize(("count", "width"), [(50, 2), (70_000, 4)])
def test_numbers_are_those_of_the_index_also_where_scenes_do_not_count(count: int, width: int) -> None:
    kept = np.array([1, 2, count - 1])
    found = SimpleNamespace(
        indices=np.array([[1, 2], [2, 0], [-1, -1]]), similarities=np.array([[0.5, -1], [1, 0], [0, 0]])
    )
    shown = SimpleNamespace(found=found, record=SimpleNamespace(row=SimpleNamespace(kind="pca")))
    data = ranking(SimpleNamespace(kept=kept, index=range(count)), shown)
    scenes, similarities = unpacked(data)
    nothing = 2 ** (8 * width) - 1
    assert data["bytes"] == width
    assert scenes[[0, 1, 2, count - 1]].tolist() == [[nothing] * 2, [2, count - 1], [count - 1, 1], [nothing] * 2]
    assert similarities[[1, 2]].ravel() == pytest.approx([0.5, -1, 1, 0], abs=1e-4)


def test_names_are_escaped(made: Scenery) -> None:
    for page in made.out.rglob("*.html"):
        text = page.read_text()
        assert "<i>" not in text
        assert "&lt;i&gt;class2&amp;amp;" in text or page.name == "explorer.html"
    assert EVIL in catalogue(made)["classes"]


def test_links_say_what_they_are(made: Scenery) -> None:
    explorer, page = made.links
    assert explorer.href == "explorer.html"
    assert (page.board, page.target) == (made.target.board, made.target.index.name)
    assert all((made.out / link.href).is_file() for link in made.links)


def again(made: Scenery, runs: Path, out: Path) -> Scenes:
    frame = Frame(out)
    return add_scenes(out, [runs], UserFiles(made.folder, protocol=made.protocol), frame.render)


def test_missing_descriptors_are_said_and_leave_the_rest(
    made: Scenery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = shutil.copytree(made.runs, tmp_path / "runs")
    for path in (runs / "gamma").rglob("*.npy"):
        path.unlink()
    assert len(again(made, runs, tmp_path / "out").links) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gamma" in line
    assert "no descriptors" in line
    page = (tmp_path / "out/explorer.html").read_text()
    assert "no descriptors" in page
    assert "jsst" in (tmp_path / "out/explorer/catalogue.js").read_text()


def test_damaged_descriptors_are_said_and_leave_the_rest(
    made: Scenery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = shutil.copytree(made.runs, tmp_path / "runs")
    for path in (runs / "gamma").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-7])
    assert len(again(made, runs, tmp_path / "out").links) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gamma on folder-target not shown: ")
    assert line.endswith(".npy: damaged; delete its record and run again")
    assert "jsst" in (tmp_path / "out/explorer/catalogue.js").read_text()


def test_of_seeds_in_two_folders_the_first_is_shown_once(made: Scenery, tmp_path: Path) -> None:
    first, second = sorted((made.runs / "baseline").iterdir())
    folders = [tmp_path / "later", tmp_path / "earlier"]
    for folder, run in zip(folders, (second, first), strict=True):
        shutil.copytree(run, folder / "baseline" / run.name)
    seeds = [{record.seed for record in read_records([folder])} for folder in folders]
    assert seeds == [{1}, {0}]
    (target,) = find_targets(folders, UserFiles(made.folder, protocol=made.protocol), pytest.fail)
    (shown,) = target.methods
    assert shown.record.seed == 0
    assert shown.recorded.cell.descriptors.is_relative_to(folders[1])


def test_missing_scenes_are_one_line_and_no_page(
    made: Scenery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = tmp_path / "tiny.toml"
    protocol.write_text(Path(made.protocol).read_text().replace("/source", "/gone"))
    frame = Frame(tmp_path / "out")
    assert (
        add_scenes(tmp_path / "out", [made.runs], UserFiles(made.folder, protocol=str(protocol)), frame.render)
        == Scenes()
    )
    lines = capsys.readouterr().err.splitlines()
    assert any("gone" in line for line in lines)
    assert lines[-1].startswith("no retrieved scenes shown")
    assert not (tmp_path / "out/explorer.html").exists()
