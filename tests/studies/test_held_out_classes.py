"""A source split by class: every scene once, and a protocol that trains on one part and retrieves in the other."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from by_path import load
from conftest import write_scenes

import rsir_bench
from rsir_bench.base.errors import UserError
from rsir_bench.scenes.index import index_folder


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("held_out_classes")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Seven classes of six scenes."""
    return write_scenes(tmp_path / "source", classes=7, scenes=6, seed=0)


def test_every_third_class_is_held_out_and_no_scene_is_lost_or_in_both(study: ModuleType, source: Path) -> None:
    index = index_folder(source)
    trained, retrieved = (index_folder(part) for part in study.split(index, source.parent / "held-out"))
    assert retrieved.classes == (index.classes[2], index.classes[5])
    assert sorted((*trained.classes, *retrieved.classes)) == sorted(index.classes)
    linked = [(part.root / path).resolve() for part in (trained, retrieved) for path in part.paths]
    assert sorted(linked) == sorted((source / path).resolve() for path in index.paths)


def test_another_share(study: ModuleType, source: Path) -> None:
    _, retrieved = study.split(index_folder(source), source.parent / "held-out", every=2)
    assert len(index_folder(retrieved).classes) == 3


def test_scenes_of_one_name_in_two_folders_of_a_class_are_both_there(study: ModuleType, tmp_path: Path) -> None:
    for corner in ("north", "south"):
        write_scenes(tmp_path / "source" / corner, classes=4, scenes=2, seed=0)
    index = index_folder(tmp_path / "source")
    parts = study.split(index, tmp_path / "held-out", every=2)
    assert sum(len(index_folder(part)) for part in parts) == len(index) == 16


@pytest.mark.parametrize("every", [-1, 0, 1, 4, 8])
def test_a_part_of_fewer_than_two_classes_is_refused(study: ModuleType, source: Path, every: int) -> None:
    with pytest.raises(UserError, match=f"--every {every}: of 7 classes each part needs two"):
        study.split(index_folder(source), source.parent / "held-out", every)
    assert not (source.parent / "held-out").exists()


def test_what_is_there_is_left_alone(study: ModuleType, source: Path) -> None:
    study.split(index_folder(source), source.parent / "held-out")
    with pytest.raises(UserError, match="is there already"):
        study.split(index_folder(source), source.parent / "held-out")


def test_the_printed_command_trains_on_one_part_and_retrieves_in_the_other(
    study: ModuleType, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(source.parent)
    monkeypatch.setattr(sys, "argv", ["held_out_classes.py", "folder:source"])
    study.main()
    words = capsys.readouterr().out.split()
    setting, target = words[words.index("--set") + 1], words[words.index("--targets") + 1]
    overrides = [setting, "data.size=32", "trunk.name=test_resnet", "train.epochs=1", "describe.pca=8"]
    record, _ = rsir_bench.run(["baseline"], [target], protocol="demo", overrides=overrides)
    assert record.target.scenes == 12
    assert len(record.per_class) == 2
    assert record.source is not None
    assert record.source.scenes == 30
