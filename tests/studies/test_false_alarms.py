"""Simulated boards: variances are recovered, and equal methods are rarely called different."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from by_path import STUDIES, load

SEED, RESIDUAL, METHOD = 0.01**2, 0.03**2, 0.02**2


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(STUDIES), *sys.path])
    return load("false_alarms")


def test_variances_are_recovered(study: ModuleType) -> None:
    rng = np.random.default_rng(0)
    truth = study.Variances(SEED, RESIDUAL, METHOD)
    found = []
    for _ in range(300):
        board = truth.draw(4, 19, rng) + rng.normal(0.5, 0.2, 19)  # the classes themselves differ more than all else
        found.append(vars(study.fitted(board[0], list(board[1:]))))
    means = {name: np.mean([each[name] for each in found]) for name in found[0]}
    assert means["seed"] == pytest.approx(SEED, rel=0.25)
    assert means["residual"] == pytest.approx(RESIDUAL, rel=0.05)
    assert means["method_in_class"] == pytest.approx(METHOD, rel=0.25)


@pytest.mark.parametrize("apart", [0.0, METHOD])
def test_boards_of_equal_methods_claim_a_difference_in_about_five_percent_at_most(
    study: ModuleType, apart: float
) -> None:
    rates = study.alarms(study.Variances(0.0, RESIDUAL, apart), lines=8, classes=7, draws=300, seed=0)
    assert all(rate <= 0.08 for rate in rates)


def test_a_better_method_would_be_claimed(study: ModuleType) -> None:
    """The tests detect a real difference: few false alarms do not mean that they are blind."""
    board = study.Variances(SEED, RESIDUAL, 0.0).draw(8, 7, np.random.default_rng(0))
    board[3] += 0.2
    marks = study.not_worse_than_best({str(number): table for number, table in enumerate(board)})
    assert marks["3"] is True
    assert False in marks.values()
