"""The paper's line, and how far records lie from it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from by_path import load

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "leaderboard"))
from factory import record

from rsir_bench.results import DistortionPart, Record


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("paper_line")


def with_scores(label: str, seed: int, **scores: float) -> Record:
    metrics = {name.replace("AP10h", "AP@10h").replace("P5", "P@5"): value for name, value in scores.items()}
    one = record(label, seed=seed)
    return one.model_copy(update={"metrics": {**one.metrics, **metrics}})


def test_the_papers_line_is_close_to_what_it_prints(study: ModuleType) -> None:
    intercept, slope, deviation = study.papers_line()
    assert 0 < intercept < 0.3
    assert 0.7 < slope < 0.9
    assert deviation == pytest.approx(0.0055, abs=0.0005)
    # The plain network with FC on RS19, Table I.
    assert intercept + slope * 0.8469 == pytest.approx(0.8867, abs=2 * deviation)


def test_distances_from_a_line(study: ModuleType) -> None:
    records = [
        with_scores("baseline", 0, AP10h=0.65, P5=0.5, mAP=0.3),
        with_scores("baseline", 1, AP10h=0.56, P5=0.4, mAP=0.2),
    ]
    ((board, rows, lowest, highest, rms, farthest, mean, whole, whole_mean),) = study.lines(records, 0.2, 0.8)
    assert (rows, lowest, highest) == (2, 0.4, 0.5)
    assert board
    assert farthest == pytest.approx(0.05)  # .65 - .2 - .8 * .5
    assert mean == pytest.approx(0.045)  # the other: .56 - .2 - .8 * .4 = .04
    assert rms == pytest.approx(((0.05**2 + 0.04**2) / 2) ** 0.5)
    assert whole_mean == pytest.approx(-0.31)  # -.3 and -.32
    assert whole == pytest.approx(((0.3**2 + 0.32**2) / 2) ** 0.5)


def test_distorted_targets_stay_out(study: ModuleType) -> None:
    dark = DistortionPart(name="gain", severity=1, version=1)
    distorted = with_scores("baseline", 0, AP10h=0.65, P5=0.5).model_copy(update={"distortion": dark})
    assert study.lines([distorted], 0.2, 0.8) == []
