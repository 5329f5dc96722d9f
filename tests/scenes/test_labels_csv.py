"""Images with a CSV of their labels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_data import write_scene
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.index import SceneIndex, index_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Three scenes in one folder."""
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        write_scene(tmp_path / "own" / name, seed=number, size=4)
    return tmp_path / "own"


def classes(index: SceneIndex) -> dict[str, str]:
    """The class of each scene."""
    return {path: index.classes[label] for path, label in zip(index.paths, index.labels, strict=True)}


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        index_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


RIGHT = {"a.png": "sea", "b.png": "land", "c.png": "sea"}


@pytest.mark.parametrize(
    "text",
    [
        "filename,label\na.png,sea\nb.png,land\nc.png,sea\n",
        "filename,label\r\na.png,sea\r\nb.png,land\r\nc.png,sea",
        "\ufefffile_name,width,label\na.png,4,sea\nb.png,4,land\nc.png,4,sea\n",
        "Filename;Label\na.png;sea\nb.png;land\nc.png;sea\n",
        'label, image\n"sea", ./a.png\nland , b.png\n\n sea, c.png\n',
        "path,class\na.png,sea\nb.png,land\nc.png,sea\n",
    ],
)
@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv", "Labels.CSV"])
def test_a_csv_among_the_scenes_gives_their_classes(text: str, name: str, own: Path) -> None:
    (own / name).write_text(text, newline="")
    index = index_folder(own)
    assert classes(index) == RIGHT
    assert index.notes == ()


def test_utf_16_as_spreadsheets_save_it_is_read(own: Path) -> None:
    (own / "labels.csv").write_bytes("filename,label\na.png,sea\nb.png,Küste\nc.png,sea\n".encode("utf-16"))
    assert index_folder(own).classes == ("Küste", "sea")


def test_the_fingerprint_is_that_of_class_folders(own: Path, tmp_path: Path) -> None:
    (own / "labels.csv").write_text("filename,label\na.png,sea\nb.png,land\nc.png,sea\n")
    for name, label in RIGHT.items():
        (tmp_path / "folders" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folders" / label / name).write_bytes((own / name).read_bytes())
    assert index_folder(own).fingerprint == index_folder(tmp_path / "folders").fingerprint


def test_scenes_below_are_named_by_their_paths_or_by_names_of_their_own(own: Path) -> None:
    write_scene(own / "images/x/d.png", seed=9)
    write_scene(own / "images/y/d.png", seed=8)
    (own / "dataset.toml").write_text('labels = "labels.csv"\n')
    (own / "labels.csv").write_text("filename,label\nimages/x/d.png,sea\nimages\\y\\d.png,land\na.png,sea\n")
    index = index_folder(own)
    assert classes(index) == {"images/x/d.png": "sea", "images/y/d.png": "land", "a.png": "sea"}
    assert index.notes == ("left out: 2 scene files that labels.csv does not name",)
    (own / "images/x/d.png").rename(own / "images/x/e.png")
    (own / "labels.csv").write_text("filename,label\nd.png,sea\ne.png,land\n")
    assert classes(index_folder(own)) == {"images/y/d.png": "sea", "images/x/e.png": "land"}


def test_each_part_may_have_its_own_csv(own: Path) -> None:
    for part in ("train", "test"):
        write_scene(own / part / "d.png", seed=len(part))
        (own / part / "metadata.csv").write_text(f"file_name,label\nd.png,{part}ed\n")
    assert classes(index_folder(own)) == {"test/d.png": "tested", "train/d.png": "trained"}


def test_class_folders_count_unless_the_settings_name_the_csv(tmp_path: Path) -> None:
    for number, path in enumerate(("x/a.png", "y/b.png", "y/c.png")):
        write_scene(tmp_path / path, seed=number, size=4)
    (tmp_path / "labels.csv").write_text("filename,label\na.png,sea\nb.png,land\nc.png,sea\n")
    (tmp_path / "other.csv").write_text("filename,kind\na.png,1\nb.png,0\nc.png,1\n")
    index = index_folder(tmp_path)
    assert index.classes == ("x", "y")
    note = 'labels.csv not used: folders name the classes; labels = "labels.csv" in dataset.toml takes it'
    assert note in index.notes
    (tmp_path / "dataset.toml").write_text('labels = "labels.csv"\n')
    assert classes(index_folder(tmp_path)) == {"x/a.png": "sea", "y/b.png": "land", "y/c.png": "sea"}
    (tmp_path / "dataset.toml").write_text('labels = "other.csv"\nlabel = "kind"\nclass_names = ["land", "sea"]\n')
    assert classes(index_folder(tmp_path)) == {"x/a.png": "sea", "y/b.png": "land", "y/c.png": "sea"}
    (tmp_path / "dataset.toml").write_text('labels = "../labels.csv"\n')
    assert "no file '../labels.csv' in it, which dataset.toml names; give its path there" in refused(tmp_path)
    (tmp_path / "dataset.toml").write_text('labels = "labels.csv"\nclasses = "outer"\n')
    assert "the classes come from a CSV (labels) or from folders (classes); give one of them" in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "labels.csv: no column called filename or file_name or file or image or path in its first line ();"),
        (
            "a.png,sea\nb.png,land\n",
            "no column called filename or file_name or file or image or path in its first line",
        ),
        (
            "filename,kind\na.png,sea\n",
            "no column called label or labels or class in its first line (filename, kind); ",
        ),
        ("filename,label,label\na.png,sea,x\n", "several columns called label in its first line"),
        ("filename,label\na.png,sea\nd.png,land\n", "labels.csv: line 3: no scene is called 'd.png'; restore it, or"),
        ("filename,label\n../own/a.png,sea\nb.png,land\n", "line 2: no scene is called '../own/a.png'"),
        ("filename,label\n/etc/passwd,sea\nb.png,land\n", "line 2: no scene is called '/etc/passwd'"),
        ("filename,label\na.png,sea\nb.png,land\na.png,sea\n", "line 4: a.png is listed twice; keep one line"),
        ("filename,label\na.png,sea\nb.png,\n", "1 of 2 scenes have no label: b.png; label them"),
        ("filename,label\na.png,sea\nb.png,sea\n", "needs scenes of at least two classes, found: sea"),
        ("filename,label\na.png,sea\nb.png\n", "line 3: 1 cells, and the first line has 2; correct it"),
        ("filename,label\na.png,sea;coast\nb.png,;\n", "1 of 2 scenes have no label: b.png; label them"),
        ("filename,label\na.png,sea;sea\nb.png,land\n", "a.png has the label 'sea' twice; give each label once"),
        ('filename,label\na.png,"sea\n', "not a CSV of labels: unexpected end of data"),
        (f"filename,label\na.png,{'x' * 200_000}\n", "not a CSV of labels: field larger than field limit (131072)"),
        ("filename,label\na.png,sea\x1b[2J\nb.png,land\n", r"the class name 'sea\x1b[2J' holds control characters"),
        ("filename,label\na.png,s\0a\nb.png,land\n", r"the class name 's\x00a' holds control characters"),
    ],
)
def test_what_a_csv_lacks_or_has_too_much_is_told_in_one_line(text: str, told: str, own: Path) -> None:
    (own / "labels.csv").write_text(text)
    assert told in refused(own)


def test_a_name_of_several_scenes_is_told(own: Path) -> None:
    write_scene(own / "x/d.png")
    write_scene(own / "y/d.png", seed=1)
    (own / "dataset.toml").write_text('labels = "labels.csv"\n')
    (own / "labels.csv").write_text("filename,label\nd.png,sea\na.png,land\n")
    assert "several scenes are called 'd.png': x/d.png, y/d.png; name it with its folder" in refused(own)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_csv(own: Path) -> None:
    os.mkfifo(own / "labels.csv")
    assert "labels.csv: not a CSV of labels: is a pipe, a device or a folder" in refused(own)


@pytest.mark.parametrize("count", [15, pytest.param(2000, marks=pytest.mark.nightly)])
def test_any_text_is_read_or_refused_in_one_line(count: int, own: Path) -> None:
    lines = st.lists(
        st.sampled_from(["a.png", "b.png", "c.png", "sea", ",", ";", '"', "\n", "\r", "\0", "\u2028", "é"])
    )

    @settings(
        max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True
    )
    @given(lines.map("".join) | st.binary())
    def check(text: str | bytes) -> None:
        content = text if isinstance(text, bytes) else f"filename,label\na.png,land\n{text}".encode()
        (own / "labels.csv").write_bytes(content)
        try:
            assert set(classes(index_folder(own))) <= set(RIGHT)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017 - both ends are right

    check()
