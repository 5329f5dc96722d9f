"""The paper's line, and how far records lie from it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from by_path import load

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "leaderboard"))
from factory import record

from rsir_bench.records.schema import DistortionPart, Record


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("paper_line")


def with_scores(label: str, seed: int, **scores: float) -> Record:
    metrics = {name.replace("AP10h", "AP@10h").replace("P5", "P@5"): value for name, value in scores.items()}
    one = record(label, seed=seed)
    return one.model_copy(update={"metrics": {**one.metrics, **metrics}})


def test_the_papers_line_is_close_to_what_it_prints(study: ModuleType) -> None:
    line = study.papers_line()
    assert 0 < line.intercept < 0.3
    assert 0.7 < line.slope < 0.9
    assert line.deviation == pytest.approx(0.0055, abs=0.0005)
    assert 0.4 < line.lowest < 0.6
    # The plain network with FC on RS19, Table I.
    assert line.intercept + line.slope * 0.8469 == pytest.approx(0.8867, abs=2 * line.deviation)


@pytest.fixture
def line(study: ModuleType) -> Any:
    return study.Line(intercept=0.2, slope=0.8, deviation=0.01, lowest=0.4)


def test_distances_from_a_line(study: ModuleType, line: Any) -> None:
    scores = [{"AP10h": 0.65, "P5": 0.5, "mAP": 0.3}, {"AP10h": 0.56, "P5": 0.4, "mAP": 0.2}]
    records = [with_scores("baseline", seed, **each) for seed, each in enumerate(scores)]
    ((_, place, results, rms, mean, farthest, whole, whole_mean),) = study.lines(records, line)
    assert (place, results) == ("from 0.400", 2)
    assert farthest == pytest.approx(0.05)  # .65 - .2 - .8 * .5
    assert mean == pytest.approx(0.045)  # the other: .56 - .2 - .8 * .4 = .04
    assert rms == pytest.approx(((0.05**2 + 0.04**2) / 2) ** 0.5)
    assert whole_mean == pytest.approx(-0.31)  # -.3 and -.32
    assert whole == pytest.approx(((0.3**2 + 0.32**2) / 2) ** 0.5)


def test_results_below_the_papers_range_stand_apart(study: ModuleType, line: Any) -> None:
    records = [with_scores("baseline", seed, AP10h=0.5, P5=p5) for seed, p5 in enumerate((0.5, 0.39, 0.1))]
    assert [found[1:3] for found in study.lines(records, line)] == [["from 0.400", 1], ["below 0.400", 2]]


def test_codes_and_distorted_targets_stay_out(study: ModuleType, line: Any) -> None:
    dark = DistortionPart(name="gain", severity=1, version=1)
    distorted = with_scores("baseline", 0, AP10h=0.65, P5=0.5).model_copy(update={"distortion": dark})
    assert study.lines([distorted, record("dhn", kind="code", fit=None)], line) == []
