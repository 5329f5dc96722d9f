"""Synthetic scenes have the folders, names, counts, sizes and formats of the originals; stages are done once."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from by_path import load
from conftest import Tiny
from PIL import Image

from rsir_bench.runs import estimate
from rsir_bench.runs.plan import make_plan
from rsir_bench.scenes.card import SceneClass, load_cards
from rsir_bench.training import loop


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


def test_an_interrupted_stage_keeps_what_it_has_cost(study: ModuleType, tmp_path: Path) -> None:
    def cut_off() -> int:
        (tmp_path / "half").write_bytes(bytes(1000))
        time.sleep(0.2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.Rehearsal(tmp_path, epochs=1).stage("write", cut_off)
    study.Rehearsal(tmp_path, epochs=1).stage("write", lambda: (tmp_path / "rest").write_bytes(bytes(10)))
    (stage,) = study.Rehearsal(tmp_path, epochs=1).done.values()
    assert (stage.ended, stage.title, stage.disk_bytes) == ("well", "write (2 attempts)", 1010)
    assert stage.seconds > 0.2


def test_a_stage_that_fails_does_not_stop_the_others(study: ModuleType, tmp_path: Path) -> None:
    def fail() -> int:
        raise study.RunError("no such thing")

    rehearsal = study.Rehearsal(tmp_path, epochs=1)
    rehearsal.stage("first", fail)
    rehearsal.stage("second", lambda: 7)
    assert [stage.title for stage in rehearsal.done.values()] == ["first (failed)", "second"]
    rehearsal.stage("first", lambda: 5)  # the same command tries again
    assert rehearsal.done["first"].title == "first (2 attempts)"


def test_memory_is_that_of_the_process_without_files_that_it_maps(study: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "mapped").write_bytes(bytes(300_000_000))
    code = "import mmap, sys, time; held = bytearray(b'1') * 100_000_000\n"
    code += f"opened = open({str(tmp_path / 'mapped')!r}, 'rb')\n"
    code += "file = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)\n"
    code += "read = sum(file[at] for at in range(0, len(file), 4096)); time.sleep(1)"
    peak = study.Rehearsal(tmp_path, epochs=1)._process([sys.executable, "-c", code], "map", tmp_path / "said")
    assert 100_000_000 < peak < 150_000_000


def test_a_command_that_fails_is_named(study: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(study.RunError, match=r"datasets show nothing: failed; see .*datasets.txt"):
        study.Rehearsal(tmp_path, epochs=1).command("datasets", "show", "nothing")


def test_a_tenth_of_the_only_epoch_is_trained_and_estimated(
    study: ModuleType, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in ((loop, "epoch_batches"), (estimate, "kept_epochs"), (sys, "argv")):
        monkeypatch.setattr(place, name, getattr(place, name))  # as before when the test ends
    changes = ["train.epochs=1", "train.batch=2"]
    plan = make_plan(tiny.request(overrides=changes, seeds=[1]))
    costs: estimate.Costs = {}
    whole = estimate.estimate(plan, plan.runs[0], costs)
    words = ["run", "--methods", "baseline", "--targets", "all", "--protocol", str(tiny.protocol), "--device", "cpu"]
    words += [word for change in changes for word in ("--set", change)]
    with pytest.raises(SystemExit, match="0"):
        study.run_on_a_tenth([*words, "--data-root", str(tiny.folder), "--out", str(tiny.folder / "runs")])
    (log,) = (tiny.folder / "runs").rglob("log.csv")
    (epoch,) = csv.DictReader(log.read_text().splitlines())
    assert float(epoch["images"]) == 4  # 2 of the 12 batches
    tenth = estimate.estimate(plan, plan.runs[0], costs)
    step = costs["baseline"]
    assert whole is not None
    assert tenth is not None
    assert isinstance(step, estimate.StepCost)
    assert whole.seconds - tenth.seconds == pytest.approx(0.9 * 24 * step.training)
