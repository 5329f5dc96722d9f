"""The correlation of two boards' orders, on values whose order is known."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from by_path import load
from scipy import stats


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("rank_agreement")


def test_the_same_order_and_the_reverse_are_certain(study: ModuleType) -> None:
    values = np.arange(12.0)
    assert study.agreement(values, values**3, 500, 0) == pytest.approx((1, 1, 1))
    assert study.agreement(values, -values, 500, 0) == pytest.approx((-1, -1, -1))


def test_the_interval_covers_the_true_correlation(study: ModuleType) -> None:
    """Drawn from a normal distribution with correlation .8, whose rank correlation is .786."""
    rng, truth, held = np.random.default_rng(0), 6 / np.pi * np.arcsin(0.4), 0
    for seed in range(100):
        one, other = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 25).T
        found, low, high = study.agreement(one, other, 400, seed)
        assert found == pytest.approx(stats.spearmanr(one, other).statistic)
        held += low <= truth <= high
    assert 85 <= held <= 99


def test_published_boards_are_compared(study: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["rank_agreement.py", "aid", "aid-lite", "--draws", "200"])
    study.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [
        ["P@5", "rsscn7", "6"],
        ["P@5", "ucm", "6"],
        ["mAP", "rsscn7", "6"],
        ["mAP", "ucm", "6"],
    ]
