"""Histograms of scenes, and what is found on them."""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.nn.spectral import DARKEST

LEVELS = 256
HALVINGS = 40


def histograms(values: Tensor) -> Tensor:
    """How many values of each row lie on each of 256 levels.

    Args:
        values: (N, P); the nearest level of [0, 1] is counted, the ends for what lies outside.

    Returns:
        (N, 256) int64.
    """
    levels = (values.clamp(0, 1) * (LEVELS - 1)).round().long()
    rows = torch.arange(len(values), device=values.device)[:, None] * LEVELS
    return torch.bincount((levels + rows).flatten(), minlength=len(values) * LEVELS).view(-1, LEVELS)


def gamma_for_mean(counts: Tensor, mean: float, limit: float) -> Tensor:
    """The power that brings the mean of a row of values to a target, by bisection in its logarithm.

    The mean falls strictly with the power but for values of 0 and 1, so that there is one solution or none. Levels
    count as `rsir_bench.nn.spectral.gamma` takes them, at `DARKEST` or above.

    Args:
        counts: (N, 256) histograms.
        mean: The target, in (0, 1).
        limit: Largest power; the smallest is its inverse.

    Returns:
        (N,) float64; at an end of the range where the target lies beyond it.
    """
    levels = torch.linspace(0, 1, LEVELS, dtype=torch.float64, device=counts.device).clamp_min(DARKEST)
    shares = counts / counts.sum(1, keepdim=True, dtype=torch.float64)
    high = torch.full((len(counts),), limit, dtype=torch.float64, device=counts.device).log()
    low = -high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        bright = (shares * levels ** middle.exp()[:, None]).sum(1) > mean
        low, high = torch.where(bright, middle, low), torch.where(bright, high, middle)
    return ((low + high) / 2).exp()
