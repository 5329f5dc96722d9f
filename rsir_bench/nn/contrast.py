"""Fixed contrast filters: histograms, gamma correction and the Wallis filter."""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.base.compute.devices import widest
from rsir_bench.nn.transformation import DARKEST

LEVELS = 256
HALVINGS = 40


def histograms(values: Tensor) -> Tensor:
    """Count the values of each row on each of 256 levels.

    Args:
        values: (N, P) float; each value counts for its nearest level in [0, 1]. Values outside count for the nearest
            end.

    Returns:
        (N, 256) int64.
    """
    levels = (values.clamp(0, 1) * (LEVELS - 1)).round().long()
    rows = torch.arange(len(values), device=values.device)[:, None] * LEVELS
    return torch.bincount((levels + rows).flatten(), minlength=len(values) * LEVELS).view(-1, LEVELS)


def gamma_for_mean(counts: Tensor, mean: float, limit: float) -> Tensor:
    """Return the power that maps the mean of a row of values to a target, by bisection over its logarithm.

    The mean strictly decreases with the power unless all values are 0 or 1, so there is one solution or none. Levels
    are clamped to ``DARKEST`` or above, as ``rsir_bench.nn.transformation.gamma`` does.

    Args:
        counts: (N, 256) int64 histograms.
        mean: The target, in (0, 1).
        limit: Largest power; the smallest power is its inverse.

    Returns:
        (N,) float64 in [1 / limit, limit]; an end of the range if the target is beyond it.
    """
    wide = widest(counts.device)
    levels = torch.linspace(0, 1, LEVELS, dtype=wide, device=counts.device).clamp_min(DARKEST)
    shares = counts / counts.sum(1, keepdim=True, dtype=wide)
    high = torch.full((len(counts),), limit, dtype=wide, device=counts.device).log()
    low = -high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        bright = (shares * levels ** middle.exp()[:, None]).sum(1) > mean
        low, high = torch.where(bright, middle, low), torch.where(bright, high, middle)
    return ((low + high) / 2).exp()


FLATTEST = 1e-3  # least standard deviation: a quarter of a grey level


def wallis(
    scenes: Tensor, radius: tuple[int, int], mean: float, deviation: float, brightness: float, contrast: float
) -> Tensor:
    """Return r (x - m) + b M + (1 - b) m for scenes x with local mean m and standard deviation s.

    M and S are the targets, b and c the weights of brightness and contrast, and r = c S / (c s + (1 - c) S): with
    b = c = 1 every region gets mean M and deviation S, with b = 0 it keeps its mean. A flat region is amplified by
    c / (1 - c) at most.

    Args:
        scenes: (N, B, H, W) float in [0, 1].
        radius: Pixels that the window extends up and down, and left and right; it is cut at the edges.
        mean: M.
        deviation: S, above 0.
        brightness: b in [0, 1].
        contrast: c in [0, 1]; with 0 everything is flattened to its local mean.

    Returns:
        (N, B, H, W) float, not clamped.
    """
    local = local_mean(scenes, radius)
    spread = (local_mean(scenes.square(), radius) - local.square()).clamp_min(FLATTEST**2).sqrt()
    gain = contrast * deviation / (contrast * spread + (1 - contrast) * deviation)
    return gain * (scenes - local) + brightness * mean + (1 - brightness) * local


def local_mean(scenes: Tensor, radius: tuple[int, int]) -> Tensor:
    """Return the mean, (N, B, H, W) float, of the window around each pixel, within the scene."""
    height, width = scenes.shape[-2:]
    # Matrix products cost less than pooling for wide windows; bf16 would round deviations away.
    with torch.autocast(scenes.device.type, enabled=False):
        return _averages(height, radius[0], scenes) @ scenes @ _averages(width, radius[1], scenes).T


def _averages(side: int, radius: int, like: Tensor) -> Tensor:
    """Return a matrix (side, side) whose rows average the positions within the radius of each position."""
    place = torch.arange(side, device=like.device)
    near = ((place[:, None] - place).abs() <= radius).to(like.dtype)
    return near / near.sum(1, keepdim=True)
