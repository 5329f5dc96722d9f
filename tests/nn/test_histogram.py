from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from rsir_bench.nn.contrast import gamma_for_mean, histograms


def test_histograms_against_numpy():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 300))
    pixels[3] = 7
    counts = histograms(torch.from_numpy(pixels).float() / 255)
    assert counts.tolist() == [np.bincount(row, minlength=256).tolist() for row in pixels]


def test_values_beside_the_range_count_at_its_ends():
    counts = histograms(torch.tensor([[-3.0, 0.0, 1.0, 1.5, 0.5]]))[0]
    assert (counts[0], counts[255], counts.sum()) == (2, 2, 5)


@pytest.mark.parametrize("mean", [0.3, 0.5])
def test_the_power_against_a_root_finder(mean):
    pixels = np.random.default_rng(1).beta(2, 3, (4, 500)) * [[0.4], [0.7], [1], [1]] + [[0], [0], [0], [0.1]]
    values = (pixels.clip(0, 1) * 255).round() / 255
    powers = gamma_for_mean(histograms(torch.from_numpy(values)), mean, limit=5)
    for row, power in zip(values, powers.tolist(), strict=True):
        clamped = row.clip(1e-3, 1)
        expected = brentq(lambda p, clamped=clamped: (clamped**p).mean() - mean, 0.01, 100)
        assert power == pytest.approx(expected, rel=1e-8)


def test_beyond_the_range_the_power_is_its_end():
    values = torch.tensor([[0.0, 0.0], [0.01, 0.01], [1.0, 1.0], [0.99, 0.99], [0.5, 0.5]])
    powers = gamma_for_mean(histograms(values), 0.5, limit=3)
    expected = [1 / 3, 1 / 3, 3, 3, np.log(0.5) / np.log(128 / 255)]
    assert powers.tolist() == pytest.approx(expected, rel=1e-8)
