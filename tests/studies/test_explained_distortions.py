from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from by_path import load


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("explained_distortions")


def test_another_gauge_explains_as_much(study: ModuleType) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(240, 6))
    theta = truth @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    assert study.explained(theta, truth) == pytest.approx(1)


def test_half_the_variance(study: ModuleType) -> None:
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(2000, 4))
    assert study.explained(theta, theta + rng.normal(size=theta.shape)) == pytest.approx(0.5, abs=0.05)


def test_what_does_not_depend_on_the_scene_explains_nothing(study: ModuleType) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(240, 4))
    assert study.explained(np.ones((240, 10)), truth) <= 0
    assert study.explained(rng.normal(size=(240, 10)), truth) < 0.02


def test_only_what_varies_is_asked_for(study: ModuleType) -> None:
    truth = np.random.default_rng(0).normal(size=(60, 2))
    with_constant = np.column_stack([truth, np.ones(60)])
    assert study.explained(truth, with_constant) == pytest.approx(1)
    assert np.isnan(study.explained(truth, np.ones((60, 2))))
