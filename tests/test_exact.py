"""The exact stage: it passes as it is, and each way in which scores shift silently turns it red at its step."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import InProcess
from PIL import Image

from rsir_bench import ranking
from rsir_bench.base.errors import UserError
from rsir_bench.cli.drift import exact_report
from rsir_bench.method import Method
from rsir_bench.nn.trunk import Trunk
from rsir_bench.ranking.ties import TieGroups
from rsir_bench.records.verdict import Verdict
from rsir_bench.runs import golden
from rsir_bench.runs.artifacts import describing, scores
from rsir_bench.runs.golden.golden import FOLDER
from rsir_bench.scenes import index, pixel_cache
from rsir_bench.scenes.decode import Resize, decode_scene
from rsir_bench.scenes.own_folder import FolderSettings, OwnScenes, own_scenes
from rsir_bench.scenes.pixel_cache import Transform
from rsir_bench.training import describe as describe_module
from rsir_bench.training.describe import Reduction, describe

Patch = pytest.MonkeyPatch
score, in_orders = ranking.score, TieGroups.in_orders


def _report() -> dict[str, Any]:
    report = exact_report(golden.check())
    assert report.values["passed"] is report.passed
    return report.values


def test_as_it_is_nothing_drifts() -> None:
    report = _report()
    assert report["passed"]
    assert {finding["verdict"] for finding in report["findings"]} <= {"OK", "OKish"}
    assert {finding["step"] for finding in report["findings"]} == set(golden.STEPS)


def resize_filter(patch: Patch) -> None:
    def bicubic(self: Transform) -> Resize:
        return Resize(self.size, Image.Resampling.BICUBIC, self.antialias)

    patch.setattr(Transform, "resizing", property(bicubic))


def antialias(patch: Patch) -> None:
    patch.setattr(Transform, "resizing", property(lambda self: Resize(self.size, Image.Resampling.BILINEAR, False)))


def channels_of_files(patch: Patch) -> None:
    patch.setattr(pixel_cache, "decode_scene", lambda *arguments: decode_scene(*arguments)[..., ::-1])


def shift_of_classes(patch: Patch) -> None:
    def rolled(folder: Path, settings: FolderSettings) -> OwnScenes:
        found = own_scenes(folder, settings)
        first, second = list(found.files)[:2]
        moved = {first: [*found.files[first], found.files[second][0]], second: found.files[second][1:]}
        return replace(found, files={**found.files, **moved})

    patch.setattr(index, "own_scenes", rolled)


def channels_of_batches(patch: Patch) -> None:
    patch.setattr(describe_module, "unit_range", lambda pixels: (pixels.float() / 255).flip(1))


def unit_range(patch: Patch) -> None:
    patch.setattr(describe_module, "unit_range", lambda pixels: pixels.float() / 256)


def normalisation(patch: Patch) -> None:
    patch.setattr(Trunk, "forward", lambda self, scenes: self.backbone(scenes))


def training_mode(patch: Patch) -> None:
    patch.setattr(Method, "eval", Method.train)
    patch.setattr(describing, "multiply_accumulates", lambda *_: 0.0)  # batch norm refuses its single scene


def dropout(patch: Patch) -> None:
    def left_on(self: Method) -> Method:
        network = self.train(False)
        network.trunk.backbone.training = True  # batch norm below it is in evaluation mode
        return network

    patch.setattr(Method, "eval", left_on)


def centring(patch: Patch) -> None:
    patch.setattr(Reduction, "__call__", lambda self, rows: (rows @ self.components.T).astype(np.float32))


def self_match(patch: Patch) -> None:
    def with_itself(rows: Any, labels: Any, queries: Any, **options: Any) -> Any:
        return score(rows, labels, gallery=rows, gallery_labels=labels, **options)

    patch.setattr(scores, "score", with_itself)


def shift_of_labels(patch: Patch) -> None:
    patch.setattr(
        scores,
        "score",
        lambda rows, labels, **options: score(rows, np.roll(labels, 1), **options),
    )


def order_of_ties(patch: Patch) -> None:
    """Positives first among the scenes at one distance."""

    def positives_first(groups: TieGroups) -> TieGroups:
        orders = {name: values[[2, 1, 2]] for name, values in vars(in_orders(groups)).items() if name != "query"}
        return TieGroups(groups.query, **orders)

    patch.setattr(TieGroups, "in_orders", positives_first)


MUTATIONS: dict[Callable[[Patch], None], str] = {
    shift_of_classes: "scenes",
    resize_filter: "pixels",
    antialias: "pixels",
    channels_of_files: "pixels",
    channels_of_batches: "descriptors",
    unit_range: "descriptors",
    normalisation: "descriptors",
    training_mode: "descriptors",
    dropout: "descriptors",
    centring: "components",
    self_match: "scores",
    shift_of_labels: "scores",
    order_of_ties: "scores",
}


@pytest.mark.parametrize(("mutate", "step"), MUTATIONS.items(), ids=[mutate.__name__ for mutate in MUTATIONS])
def test_a_silent_change_fails_at_its_step(
    mutate: Callable[[Patch], None], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    report = _report()
    assert not report["passed"]
    assert report["begins"] == step
    assert any(finding["step"] == "scores" and finding["verdict"] == "FAIL" for finding in report["findings"])


def test_the_rounding_of_another_processor_is_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)

    def rounded(*arguments: Any) -> Any:
        described = describe(*arguments)
        return {
            name: rows + 2e-6 * np.abs(rows).max() * chance.uniform(-1, 1, rows.shape).astype(np.float32)
            for name, rows in described.items()
        }

    monkeypatch.setattr(describing, "describe", rounded)
    findings = golden.check()
    assert golden.first_drift(findings) is None
    assert any(finding.deviation > 0 for finding in findings)


def test_an_accepted_change_is_the_expected_from_then_on_and_its_reason_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("expected.json", "expected.npz"):
        shutil.copy(FOLDER / name, tmp_path)
    before = json.loads((tmp_path / "expected.json").read_text())["accepted"]
    centring(monkeypatch)
    moved = [
        finding for finding in golden.accept("no centring any more", tmp_path) if finding.verdict is not Verdict.OK
    ]
    assert moved
    assert golden.first_drift(golden.check(tmp_path)) is None
    notes = json.loads((tmp_path / "expected.json").read_text())["accepted"]
    assert notes[:-1] == before
    assert notes[-1]["reason"] == "no centring any more"
    assert notes[-1]["moved"][0] == "components: baseline PCA"
    monkeypatch.undo()
    drifted = golden.first_drift(golden.check(tmp_path))
    assert drifted is not None
    assert drifted.step == "components"


def test_an_empty_reason_is_refused_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # where the stage would be run
    with pytest.raises(UserError, match="--accept: empty reason"):
        golden.accept(" ", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_whose_run_fails_is_told_in_one_line(cli: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trunk, "forward", lambda self, scenes: self.backbone(scenes) * torch.nan)
    ended = cli("drift", "--exact")
    assert ended.code == 1
    source = FOLDER / "scenes" / "source"
    told = f"baseline seed 0: descriptors of folder:{source} contain NaN or infinity; fix the method"
    assert ended.err == f"rsir-bench: {told}\n"


def test_what_is_missing_or_of_another_shape_fails(tmp_path: Path) -> None:
    for name in ("expected.json", "expected.npz"):
        shutil.copy(FOLDER / name, tmp_path)
    with np.load(tmp_path / "expected.npz") as file:
        arrays = dict(file)
    arrays["descriptors/baseline FC"] = arrays["descriptors/baseline FC"][:, :2]
    del arrays["pixels/bands"]
    np.savez(tmp_path / "expected.npz", **arrays)
    failed = [finding.what for finding in golden.check(tmp_path) if finding.verdict is Verdict.FAIL]
    assert failed == ["bands", "baseline FC"]
