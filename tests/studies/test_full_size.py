"""Drawn scenes have the folders, names, counts, sizes and formats of the originals; stages are done once."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from by_path import load
from PIL import Image

from rsir_bench.scenes.card import SceneClass, load_cards


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("full_size")


@pytest.mark.parametrize(("dataset", "ending"), [("ucm", "tif"), ("rs19", "jpg")])
def test_a_class_is_drawn_as_its_card_says(study: ModuleType, tmp_path: Path, dataset: str, ending: str) -> None:
    card = load_cards()[dataset].model_copy(
        update={"classes": (SceneClass(name="beach", scenes=3), SceneClass(name="port", scenes=2)), "pixels": 96}
    )
    for position in range(2):
        study.draw_class(tmp_path, card, position)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    numbers = {"beach": 3, "port": 2}
    assert files == [
        f"{name}/{name}_{number:04d}.{ending}" for name, count in numbers.items() for number in range(count)
    ]
    scenes = [np.asarray(Image.open(tmp_path / file)) for file in files]
    assert {(scene.shape, scene.dtype.name) for scene in scenes} == {((96, 96, 3), "uint8")}
    assert all(not np.array_equal(scenes[0], other) for other in scenes[1:])


def test_a_stage_that_is_done_is_not_repeated(study: ModuleType, tmp_path: Path) -> None:
    done: list[str] = []

    def work() -> int:
        done.append("once")
        (tmp_path / "file").write_bytes(bytes(1000))
        return 123

    for _ in range(2):
        study.Rehearsal(tmp_path, epochs=1).stage("write", work)
    assert done == ["once"]
    (stage,) = study.Rehearsal(tmp_path, epochs=1).done.values()
    assert (stage.name, stage.peak_bytes, stage.disk_bytes) == ("write", 123, 1000)


def test_a_command_that_fails_is_named(study: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(study.RunError, match=r"datasets show nothing: failed; see .*datasets.txt"):
        study.Rehearsal(tmp_path, epochs=1).command("datasets", "show", "nothing")
