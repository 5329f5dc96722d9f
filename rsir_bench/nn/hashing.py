"""Losses on the real values whose signs are a code."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def pairwise_loss(codes: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of "same class" over all pairs of the batch (Zhu et al., AAAI 2016, equation 3).

    A pair costs ``log(1 + exp(t)) - s * t`` with ``t = <z_i, z_j> / 2`` and s one for a pair of one class, else zero.
    There are few pairs of one class, so these pairs and all other pairs are averaged separately and added, which
    corresponds to the class imbalance weights of Cao et al. (HashNet, ICCV 2017).

    Args:
        codes: (N, K) float, one value per bit.
        labels: (N,) int64 classes.

    Returns:
        A scalar, at least 0; 0 for a single scene.
    """
    with torch.autocast(codes.device.type, enabled=False):
        products = codes @ codes.T / 2
    same = (labels[:, None] == labels).triu(1)
    other = (labels[:, None] != labels).triu(1)
    likely = functional.softplus(torch.where(same, -products, products))  # stable form of both cases
    return _mean(likely, same) + _mean(likely, other)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp_min(1)


def quantisation_loss(codes: Tensor) -> Tensor:
    """Return the mean of ``log cosh(|z| - 1)``, a smooth distance to -1 or 1 (Zhu et al., AAAI 2016, equation 7).

    Args:
        codes: (N, K) float.
    """
    away = codes.abs() - 1
    return (away + functional.softplus(-2 * away) - math.log(2)).mean()


def push_loss(shares: Tensor) -> Tensor:
    """Return the negative mean squared distance of ``shares`` from one half, which pushes bits towards 0 or 1.

    This is MiLaN's ``||s - 0.5||^2 / K``, averaged over the scenes (Roy et al., GRSL 2021).

    Args:
        shares: (N, K) float in [0, 1], one value per bit.

    Returns:
        A scalar in [-0.25, 0].
    """
    return -(shares - 0.5).square().mean()


def balance_loss(shares: Tensor) -> Tensor:
    """Return the squared distance of the share of set bits from one half, averaged over scenes.

    Like MiLaN's code, it takes the mean over the K bits of a scene, not over the scenes for each bit.

    Args:
        shares: (N, K) float in [0, 1], one value per bit.

    Returns:
        A scalar in [0, 0.25].
    """
    return (shares.mean(1) - 0.5).square().mean()
