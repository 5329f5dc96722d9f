"""Scenes before and after conversion, with the parameters that the network gave them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scenery import Scenery, scenery

from rsir_bench.report.scenes.front_ends import affine_outline, convert
from rsir_bench.report.scenes.panels import choose_queries
from rsir_bench.report.scenes.targets import find_targets
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.request import UserFiles


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory)


def test_pictures_and_parameters_are_the_networks(made: Scenery, tmp_path: Path) -> None:
    queries = choose_queries(made.target)
    found = {one.method.record.method.name: one for one in convert(tmp_path, made.target, queries, pytest.fail)}
    assert sorted(found) == ["gamma", "jsst"]
    one = found["jsst"]
    network = RunArtifacts(one.method.recorded.plan, one.method.recorded.run).network().load().eval()
    for pair, query in zip(one.conversions, queries, strict=True):
        with Image.open(made.target.index.root / made.target.index.paths[query]) as image:
            scene = np.asarray(image.convert("RGB"))
        assert (np.asarray(Image.open(tmp_path / pair.before)) == scene).all()
        with torch.inference_mode():
            after, theta = network.front.transformation(torch.from_numpy(scene / 255).float().permute(2, 0, 1)[None])
        expected = after[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
        assert np.abs(np.asarray(Image.open(tmp_path / pair.after)) - expected).max() <= 0.51
        assert [float(value) for _, value in pair.parameters] == pytest.approx(theta[0].tolist(), abs=1e-4)
        assert [name for name, _ in pair.parameters] == [f"s{n}" for n in range(1, 7)] + [f"r{n}" for n in range(1, 5)]
        assert "bias" in pair.words
        assert pair.outline == affine_outline(theta[0, :6].tolist())


def test_a_conversion_without_parameters_is_shown_too(made: Scenery, tmp_path: Path) -> None:
    gamma = next(one for one in convert(tmp_path, made.target, [0], pytest.fail) if "amma" in one.method.title)
    (pair,) = gamma.conversions
    assert (pair.parameters, pair.outline, pair.words) == ([], "", "")
    assert (tmp_path / pair.before).read_bytes() != (tmp_path / pair.after).read_bytes()


def test_the_outline_is_what_the_converted_scene_shows() -> None:
    assert affine_outline([0.5, 0, 0, 0, 0.5, 0]) == "25.0,25.0 75.0,25.0 75.0,75.0 25.0,75.0"
    assert affine_outline([0, -1, 0, 1, 0, 0]) == "100.0,0.0 100.0,100.0 0.0,100.0 0.0,0.0"


def test_a_network_that_is_gone_is_said_and_not_trained_again(made: Scenery, tmp_path: Path) -> None:
    runs = shutil.copytree(made.runs, tmp_path / "runs")
    for note in (runs / "jsst").rglob("trained.json"):
        note.unlink()
    (target,) = find_targets([runs], UserFiles(made.folder, protocol=made.protocol), pytest.fail)
    lines: list[str] = []
    assert [one.method.record.method.name for one in convert(tmp_path, target, [0], lines.append)] == ["gamma"]
    (line,) = lines
    assert line.startswith("jsst on ")
    assert "no network; run it again" in line
    assert not list((runs / "jsst").rglob("trained.json"))


def test_the_page_prints_them(made: Scenery) -> None:
    page = (made.out / f"scenes/{made.target.name}.html").read_text()
    assert page.count("10 parameters") == len(choose_queries(made.target))
    assert "samples " in page
