"""Spectral conversion: the values of a scene's bands changed by parameters (JSST paper, equation 5 and Table V)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

DARKEST = 1e-3  # a power of zero has no derivative


def linear(scenes: Tensor, theta: Tensor) -> Tensor:
    """Every band stretched by its own gain and shifted by a shared bias (inter-channel, equation 5).

    Args:
        scenes: (N, B, H, W).
        theta: (N, B + 1): a gain per band, then the bias.

    Returns:
        (N, B, H, W), not clamped.
    """
    gains, bias = theta[:, :-1], theta[:, -1:]
    return scenes * gains[:, :, None, None] + bias[:, :, None, None]


def gamma(scenes: Tensor, theta: Tensor, cells: int = 1) -> Tensor:
    """Every value raised to a power exp(p) of its band and place (intra-channel, Table V).

    Args:
        scenes: (N, B, H, W); clamped to [0.001, 1] first.
        theta: (N, B * cells * cells): the logarithms p of the powers, band after band, on a grid over the scene.
        cells: Cells of that grid along each side; between their centres the logarithms are interpolated. With 1 there
            is one power for all places.

    Returns:
        (N, B, H, W) in [0, 1].
    """
    logarithms = theta.view(len(scenes), scenes.shape[1], cells, cells)
    if cells > 1:
        logarithms = functional.interpolate(logarithms, size=scenes.shape[-2:], mode="bilinear", align_corners=False)
    return scenes.clamp(DARKEST, 1) ** logarithms.exp()
