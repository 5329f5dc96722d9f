"""Spatial conversion: scenes resampled on a grid that parameters describe (JSST paper, equations 2 to 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def affine(scenes: Tensor, theta: Tensor, padding: str = "border") -> Tensor:
    """Scenes seen through a six-parameter affine map.

    Args:
        scenes: (N, B, H, W).
        theta: (N, 6), the rows of A in equation 3: coordinates of the output, in [-1, 1] with pixels as areas, to
            coordinates of the input.
        padding: What lies outside the scene, as in ``grid_sample``: ``"border"`` or ``"zeros"``.

    Returns:
        (N, B, H, W), bilinearly interpolated.
    """
    # A grid in bf16 would be off by a tenth of a pixel.
    with torch.autocast(scenes.device.type, enabled=False):
        grid = functional.affine_grid(theta.to(scenes.dtype).view(-1, 2, 3), list(scenes.shape), align_corners=False)
        return functional.grid_sample(scenes, grid, mode="bilinear", padding_mode=padding, align_corners=False)
