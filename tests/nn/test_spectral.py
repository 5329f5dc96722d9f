from __future__ import annotations

import math

import torch
from torch.autograd import gradcheck

from rsir_bench.nn.transformation import DARKEST, gamma, linear


def test_by_hand():
    scenes = torch.tensor([[[[0.5]], [[0.25]], [[1.0]]], [[[0.1]], [[0.2]], [[0.3]]]])
    theta = torch.tensor([[2.0, 4.0, 0.5, -0.25], [1.0, 0.0, -1.0, 0.5]])
    expected = torch.tensor([[0.75, 0.75, 0.25], [0.6, 0.5, 0.2]])
    torch.testing.assert_close(linear(scenes, theta).flatten(1), expected)


def test_identity_changes_nothing():
    scenes = torch.rand(3, 3, 4, 5)
    assert torch.equal(linear(scenes, torch.tensor([[1.0, 1.0, 1.0, 0.0]]).expand(3, -1)), scenes)


def test_every_band_has_its_gain_and_all_share_one_bias():
    scenes = torch.ones(1, 13, 2, 2)
    theta = torch.arange(14.0)[None]  # gains 0..12, bias 13
    assert linear(scenes, theta)[0, :, 1, 0].tolist() == [13.0 + band for band in range(13)]


def test_values_are_not_clamped():
    out = linear(torch.ones(1, 3, 1, 1), torch.tensor([[2.0, -3.0, 1.0, 0.5]]))
    assert out.flatten().tolist() == [2.5, -2.5, 1.5]


def test_gradients():
    torch.manual_seed(0)
    scenes = torch.rand(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    theta = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(linear, (scenes, theta))


def test_gamma_of_each_band_by_hand():
    scenes = torch.rand(2, 3, 4, 4)
    logarithms = torch.tensor([[0.0, 0.5, -0.5], [1.0, 0.0, 0.2]])
    found = gamma(scenes, logarithms)
    for n in range(2):
        for band in range(3):
            expected = scenes[n, band].clamp(DARKEST, 1) ** math.exp(logarithms[n, band])
            torch.testing.assert_close(found[n, band], expected)


def test_gamma_of_each_place():
    """Far from the border between two cells, the power is that of the cell."""
    scenes = torch.full((1, 1, 8, 8), 0.5)
    found = gamma(scenes, torch.tensor([[0.0, math.log(2), 0.0, math.log(2)]]), cells=2)
    torch.testing.assert_close(found[0, 0, :, 0], torch.full((8,), 0.5))
    torch.testing.assert_close(found[0, 0, :, -1], torch.full((8,), 0.25))


def test_gamma_has_a_gradient_at_black():
    theta = torch.zeros(1, 1, requires_grad=True)
    gamma(torch.zeros(1, 1, 2, 2), theta).sum().backward()
    assert theta.grad.isfinite().all()
