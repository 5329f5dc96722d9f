"""The Wallis filter: local mean and contrast of a scene moved towards targets."""

from __future__ import annotations

import torch
from torch import Tensor

FLATTEST = 1e-3  # least standard deviation: a quarter of a grey level


def wallis(
    scenes: Tensor, radius: tuple[int, int], mean: float, deviation: float, brightness: float, contrast: float
) -> Tensor:
    """Scenes x with local mean m and standard deviation s become r (x - m) + b M + (1 - b) m.

    M and S are the targets, b and c the weights of brightness and contrast, and r = c S / (c s + (1 - c) S): with
    b = c = 1 every place gets mean M and deviation S, with b = 0 it keeps its mean. A flat place is amplified by
    c / (1 - c) at most.

    Args:
        scenes: (N, B, H, W).
        radius: The window reaches so many pixels up and down, and left and right; it is cut at the edges.
        mean: M.
        deviation: S, above 0.
        brightness: b in [0, 1].
        contrast: c in [0, 1]; with 0 everything is flattened to its local mean.

    Returns:
        (N, B, H, W), not clamped.
    """
    local = local_mean(scenes, radius)
    spread = (local_mean(scenes.square(), radius) - local.square()).clamp_min(FLATTEST**2).sqrt()
    gain = contrast * deviation / (contrast * spread + (1 - contrast) * deviation)
    return gain * (scenes - local) + brightness * mean + (1 - brightness) * local


def local_mean(scenes: Tensor, radius: tuple[int, int]) -> Tensor:
    """The mean (N, B, H, W) of the window around each pixel, as far as it lies within the scene."""
    height, width = scenes.shape[-2:]
    # The products cost less than pooling as soon as windows are wide; in bf16 deviations would drown.
    with torch.autocast(scenes.device.type, enabled=False):
        return _averages(height, radius[0], scenes) @ scenes @ _averages(width, radius[1], scenes).T


def _averages(side: int, radius: int, like: Tensor) -> Tensor:
    """(side, side): each row averages the places within the radius of its own."""
    place = torch.arange(side, device=like.device)
    near = ((place[:, None] - place).abs() <= radius).to(like.dtype)
    return near / near.sum(1, keepdim=True)
