from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rsir_bench.nn.contrast import FLATTEST, local_mean, wallis


def some(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_wallis(scene: np.ndarray, radius: tuple[int, int], M: float, S: float, b: float, c: float) -> np.ndarray:
    """Wallis' formula, pixel by pixel, for one band."""
    result = np.empty_like(scene)
    for y in range(scene.shape[0]):
        for x in range(scene.shape[1]):
            window = scene[max(0, y - radius[0]) : y + radius[0] + 1, max(0, x - radius[1]) : x + radius[1] + 1]
            m, s = window.mean(), max(window.std(), FLATTEST)
            gain = c * S / (c * s + (1 - c) * S)
            result[y, x] = scene[y, x] * gain + b * M + (1 - b - gain) * m
    return result


@pytest.mark.parametrize("radius", [(1, 1), (2, 3), (4, 1), (9, 9)])
@pytest.mark.parametrize("weights", [(0.8, 0.8), (0.0, 1.0), (1.0, 0.3)])
def test_against_a_loop(radius, weights):
    scenes = some((2, 3, 9, 8))
    scenes[0, 1] = 0.25  # flat
    filtered = wallis(scenes, radius, 0.5, 0.2, *weights)
    for scene, result in zip(scenes.flatten(0, 1), filtered.flatten(0, 1), strict=True):
        expected = slow_wallis(scene.numpy(), radius, 0.5, 0.2, *weights)
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_windows_are_cut_at_the_edges():
    torch.testing.assert_close(local_mean(torch.ones(1, 2, 6, 7), (2, 3)), torch.ones(1, 2, 6, 7))
    whole = some((1, 1, 5, 5))
    torch.testing.assert_close(local_mean(whole, (5, 5)), whole.mean().expand(1, 1, 5, 5))


def test_local_means_are_not_taken_in_bf16():
    scenes = some((2, 3, 32, 32)).float()
    with torch.autocast("cpu", torch.bfloat16):
        filtered = wallis(scenes, (4, 4), 0.5, 0.2, 0.8, 0.8)
    assert filtered.dtype == torch.float32
    torch.testing.assert_close(filtered, wallis(scenes, (4, 4), 0.5, 0.2, 0.8, 0.8))


def test_full_weights_give_the_targets_everywhere():
    # One window for the whole scene, so that mean and deviation of the result are those of its windows.
    filtered = wallis(some((2, 2, 8, 8)), (8, 8), mean=0.4, deviation=0.1, brightness=1, contrast=1)
    torch.testing.assert_close(filtered.mean((2, 3)), torch.full((2, 2), 0.4, dtype=torch.float64))
    torch.testing.assert_close(filtered.std((2, 3), correction=0), torch.full((2, 2), 0.1, dtype=torch.float64))


def test_a_flat_scene_stays_flat_in_32_bit():
    flat = torch.full((1, 1, 16, 16), 0.3)
    filtered = wallis(flat, (4, 4), 0.5, 0.2, brightness=0.0, contrast=1.0)
    torch.testing.assert_close(filtered, flat, atol=1e-4, rtol=0)


def test_gradients():
    scenes = some((1, 1, 5, 4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: wallis(x, (1, 2), 0.5, 0.2, 0.7, 0.8), (scenes,))
    flat = torch.full((1, 1, 5, 5), 0.5, requires_grad=True)
    wallis(flat, (1, 1), 0.5, 0.2, 0.8, 1.0).sum().backward()
    assert torch.isfinite(flat.grad).all()
