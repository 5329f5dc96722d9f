"""Descriptors that name their scenes: any order scores the same, and what is missing, unknown or repeated is named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import InProcess
from conftest import write_scenes

from rsir_bench.base.errors import UserError
from rsir_bench.ranking import score
from rsir_bench.ranking.descriptor_files import score_files
from rsir_bench.ranking.files.descriptors import read_descriptors
from rsir_bench.scenes.card import parse_card
from rsir_bench.scenes.index import SceneIndex, index_folder
from rsir_bench.scenes.naming.scene_ids import rows_of_scenes, scene_ids, scene_numbers

NO_HDF5 = "NO HDF5: pip install -e '.[hdf5]' to read descriptors from .h5"
CARD = """
name = "small"
title = "Small"
description = "d"
citation = "c"
licence = "l"
source = "s"
ground_resolution = "1 m"
pixels = 8
folders = ["small"]
classes = [{ name = "dense residential", scenes = 2, folders = ["denseresid"] }, { name = "beach", scenes = 1 }]
download = { by_hand = "ask" }
"""


def index(*paths: str, classes: tuple[str, ...] | None = None, card: bool = False) -> SceneIndex:
    """A dataset of these files, whose folders name the classes unless they are given one by one."""
    names = classes or tuple(path.split("/")[-2] for path in paths)
    known = tuple(dict.fromkeys(names))
    labels = np.array([known.index(name) for name in names])
    found = parse_card(CARD, "small.toml") if card else None
    return SceneIndex("small", Path(), paths, labels, known, "0" * 64, 3, (0, 1, 2), None, found)


@pytest.fixture
def stripes(tmp_path: Path) -> SceneIndex:
    """Three classes of four scenes."""
    return index_folder(write_scenes(tmp_path / "stripes", 3, 4, seed=3, pixels=8))


def rows(scenes: int) -> np.ndarray:
    return np.random.default_rng(scenes).normal(size=(scenes, 5)).astype(np.float32)


def test_an_id_is_class_and_file_name_whatever_folders_and_endings_are() -> None:
    plain = index("Images/beach/x.v2.tif", "Images/lake/x.tif", classes=("beach", "lake"))
    assert scene_ids(plain) == ("beach/x.v2", "lake/x")
    other = index("denseresid/dense00.png", "beach/b.JPG", classes=("dense residential", "beach"))
    assert scene_ids(other) == ("dense residential/dense00", "beach/b")


def test_scenes_that_share_class_and_file_name_have_their_path() -> None:
    years = index("beach/2015/x.png", "beach/2016/x.png", "beach/2016/y.png", classes=("beach",) * 3)
    assert scene_ids(years) == ("beach/2015/x", "beach/2016/x", "beach/y")
    endings = index("beach/x.png", "beach/x.tif", "beach/y.png")
    assert scene_ids(endings) == ("beach/x.png", "beach/x.tif", "beach/y.png")


@pytest.mark.parametrize(
    "name",
    [
        "dense residential/dense00",
        "dense residential/dense00.png",
        "Images/denseresid/dense00.tif",
        "./Images/denseresid/dense00.tif",
        "Images\\denseresid\\dense00.tif",
        "Images/denseresid/dense00",
        "denseresid/dense00.jpg",
        "elsewhere/Dense-Residential/dense00",
        "dense00.tif",
        "dense00",
    ],
)
def test_other_names_of_a_scene(name: str) -> None:
    files = ("Images/denseresid/dense00.tif", "Images/denseresid/dense01.tif", "Images/beach/beach0.tif")
    scenes = index(*files, classes=("dense residential", "dense residential", "beach"), card=True)
    assert scene_numbers([name], scenes, "x.csv").tolist() == [0]


def test_a_file_name_that_two_classes_have_needs_the_class() -> None:
    scenes = index("beach/1.tif", "lake/1.tif", "lake/2.tif")
    assert scene_numbers(["lake/1", "2"], scenes, "x.csv").tolist() == [1, 2]
    with pytest.raises(UserError, match=r"^x.csv: 1 \(1\) of its ids mean several scenes of small; add the class$"):
        scene_numbers(["1"], scenes, "x.csv")


def test_a_wrong_class_is_no_scene() -> None:
    scenes = index("beach/a.tif", "lake/b.tif")
    with pytest.raises(
        UserError, match=r"1 \(beach/b\) of its ids are not scenes of small; an id looks like 'beach/a'"
    ):
        scene_numbers(["beach/b"], scenes, "x.csv")


def test_names_are_compared_in_composed_characters() -> None:
    scenes = index("u\u0308ber/a.tif", "lake/b.tif")
    assert scene_numbers(["\u00fcber/a"], scenes, "x.csv").tolist() == [0]


def test_missing_unknown_and_repeated_ids_are_counted_and_named() -> None:
    scenes = index(*(f"beach/{number}.tif" for number in range(9)), "lake/b.tif")
    given = [*(f"beach/{number}" for number in range(4)), "beach/3.tif", "beach/x", "beach/y", "lake/1", "lake/2"]
    with pytest.raises(UserError) as caught:
        rows_of_scenes(given, scenes, "x.csv")
    assert str(caught.value).splitlines() == [
        "x.csv: 4 (beach/x, beach/y, lake/1, ...) of its ids are not scenes of small; an id looks like 'beach/0'",
        "x.csv: names 1 (beach/3) of the scenes of small more than once; keep one row of each",
        "x.csv: lacks 6 (beach/4, beach/5, beach/6, ...) of the 10 scenes of small",
    ]


def write(path: Path, ids: list[str], values: np.ndarray, labels: list[str] | None = None) -> Path:
    """Descriptors with ids, in the format that the suffix names."""
    if path.suffix == ".npz":
        np.savez(path, ids=np.array(ids), features=values)
    elif path.suffix == ".h5":
        h5py = pytest.importorskip("h5py", reason=NO_HDF5)
        with h5py.File(path, "w") as file:
            file["ids"], file["features"] = ids, values
    elif path.suffix == ".csv":
        frame = pd.DataFrame(values.astype(float)).assign(id=ids)
        frame[["id", *range(values.shape[1])]].to_csv(path, index=False)
    else:
        more = {} if labels is None else {"label": labels}
        pd.DataFrame({"id": ids, "descriptors": list(values), **more}).to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv", ".h5"])
def test_any_order_scores_as_the_dataset_does(tmp_path: Path, stripes: SceneIndex, suffix: str) -> None:
    values, order = rows(len(stripes)), np.random.default_rng(0).permutation(len(stripes))
    ids = np.array(scene_ids(stripes))
    path = write(tmp_path / f"x{suffix}", ids[order].tolist(), values[order])
    expected = score(values, stripes.labels, class_names=list(stripes.classes))
    found = score_files(path, dataset=stripes)
    assert found.overall == pytest.approx(expected.overall, abs=1e-12)
    assert found.per_class.keys() == expected.per_class.keys() == {*stripes.classes}
    # In the order of the file, the classes of the dataset give other scores.
    assert abs(score(values[order], stripes.labels).overall["mAP"] - expected.overall["mAP"]) > 1e-3


def test_queries_by_id(tmp_path: Path, stripes: SceneIndex) -> None:
    values, ids = rows(len(stripes)), scene_ids(stripes)
    path = write(tmp_path / "x.npz", list(ids)[::-1], values[::-1])
    (tmp_path / "q.txt").write_text(f"{ids[7]}\nscene01.png\n".replace("scene01.png", ids[2]))
    expected = score(values, stripes.labels, queries=[7, 2]).overall
    assert score_files(path, dataset=stripes, queries=tmp_path / "q.txt").overall == pytest.approx(expected)
    (tmp_path / "q.txt").write_text("7\n2\n")
    with pytest.raises(UserError, match=r"q.txt: 2 \(7, 2\) of its ids are not scenes of folder-stripes"):
        score_files(path, dataset=stripes, queries=tmp_path / "q.txt")


@pytest.mark.parametrize("heading", ["query", "queries", "id", "filename"])
def test_queries_in_csv_keep_the_zeros_of_their_names(tmp_path: Path, heading: str) -> None:
    numbered = index(*(f"{'ab'[scene % 2]}/{scene:03}.png" for scene in range(8)))
    values, names = rows(8), [f"{scene:03}" for scene in range(8)]
    path = write(tmp_path / "x.npz", names, values)
    (tmp_path / "q.csv").write_text(f"{heading}\n007\n002\n")
    expected = score(values, numbered.labels, queries=[7, 2]).overall
    assert score_files(path, dataset=numbered, queries=tmp_path / "q.csv").overall == pytest.approx(expected)


def test_what_cannot_be_joined_is_refused_in_one_line(tmp_path: Path, stripes: SceneIndex) -> None:
    values, ids = rows(len(stripes)), list(scene_ids(stripes))
    np.save(tmp_path / "none.npy", values)
    np.savez(tmp_path / "fewer.npz", ids=np.array(ids[1:]), features=values)
    np.savez(tmp_path / "real.npz", ids=np.arange(len(ids)) / 2, features=values)
    np.savez(tmp_path / "latin.npz", ids=np.array([b"\xfc"] * len(ids)), features=values)
    np.savez(tmp_path / "both.npz", ids=np.array(ids), id=np.array(ids), features=values)
    for name, words in {
        "none.npy": "holds no ids, so it is unknown which row is which scene of folder-stripes",
        "fewer.npz": "12 descriptors but 11 ids",
        "real.npz": "ids are neither text nor whole numbers",
        "latin.npz": "ids are neither text nor whole numbers",
        "both.npz": "holds ids and id; keep one of them",
    }.items():
        with pytest.raises(UserError) as caught:
            score_files(tmp_path / name, dataset=stripes)
        assert words in str(caught.value)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="the labels are the classes of folder-stripes; omit --labels"):
        score_files(tmp_path / "none.npy", tmp_path / "y.npy", dataset=stripes)


def test_whole_numbers_are_ids_too(tmp_path: Path) -> None:
    scenes = index("beach/0.tif", "beach/1.tif", "lake/2.tif", "lake/3.tif")
    np.savez(tmp_path / "x.npz", id=np.array([3, 1, 2, 0]), features=rows(4))
    expected = score(rows(4)[[3, 1, 2, 0]], scenes.labels).overall
    assert score_files(tmp_path / "x.npz", dataset=scenes).overall == expected
    (tmp_path / "x.csv").write_text("id,0,1\n3,1,2\n1,2,5\n02,4,4\n0,7,8\n")
    contents = read_descriptors(tmp_path / "x.csv")
    assert contents.ids is not None
    assert contents.ids.tolist() == ["3", "1", "02", "0"]
    assert contents.descriptors.tolist() == [[1, 2], [2, 5], [4, 4], [7, 8]]


def test_hdf5_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason=NO_HDF5)
    with h5py.File(tmp_path / "there.h5", "w") as file:
        file["features"] = rows(4)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["features"] = h5py.ExternalLink("there.h5", "/features")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(shape=(4, 5), dtype="f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "there.h5"), "features", shape=(4, 5))
        file.create_virtual_dataset("features", layout)
    (tmp_path / "raw").write_bytes(rows(4).tobytes())
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("features", (4, 5), "f4", external=[(str(tmp_path / "raw"), 0, 80)])
    for name in ("link", "virtual", "raw"):
        with pytest.raises(UserError, match=r"features is in another file; copy it into this one"):
            read_descriptors(tmp_path / f"{name}.h5")
    (tmp_path / "text.h5").write_text("no table")
    with pytest.raises(UserError, match=r"text.h5: cannot be read: OSError"):
        read_descriptors(tmp_path / "text.h5")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setattr("rsir_bench.ranking.files.hdf5.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"x.h5: HDF5 needs h5py; install it with `pip install 'rsir-bench\[hdf5\]'`"):
        read_descriptors(tmp_path / "x.h5")


def test_score_of_a_dataset_on_the_command_line(tmp_path: Path, stripes: SceneIndex, cli: InProcess) -> None:
    values, ids = rows(len(stripes)), list(scene_ids(stripes))
    write(tmp_path / "x.parquet", ids[::-1], values[::-1])
    result = cli("score", "--descriptors", "x.parquet", "--dataset", f"folder:{stripes.root}")
    assert result.code == 0, result.err
    expected = score(values, stripes.labels).overall["mAP"]
    assert f"{expected:.4f}" in result.out
    assert all(name in result.out for name in stripes.classes)
    write(tmp_path / "x.parquet", ids[:-1], values[:-1])
    result = cli("score", "--descriptors", "x.parquet", "--dataset", f"folder:{stripes.root}")
    assert (result.code, result.out) == (2, "")
    assert "lacks 1 (class2/scene03) of the 12 scenes" in result.err


def test_real_scenes_by_id(shared: Path, tmp_path: Path) -> None:
    from rsir_bench.scenes.index import resolve_dataset

    scenes = resolve_dataset("ucm", shared / "data")
    ids = scene_ids(scenes)
    assert ids[0] == "agricultural/agricultural00"
    assert len(set(ids)) == 2100
    files = [path.rpartition("/")[2].rpartition(".")[0] for path in scenes.paths]
    assert scene_numbers(files[::-1], scenes, "x").tolist() == list(range(2100))[::-1]
