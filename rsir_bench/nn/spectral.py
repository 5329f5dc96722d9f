"""Spectral conversion: the values of a scene's bands changed by parameters (JSST paper, equation 5)."""

from __future__ import annotations

from torch import Tensor


def linear(scenes: Tensor, theta: Tensor) -> Tensor:
    """Every band stretched by its own gain and shifted by a shared bias.

    Args:
        scenes: (N, B, H, W).
        theta: (N, B + 1): a gain per band, then the bias.

    Returns:
        (N, B, H, W), not clamped.
    """
    gains, bias = theta[:, :-1], theta[:, -1:]
    return scenes * gains[:, :, None, None] + bias[:, :, None, None]
