"""Spatial conversion: resample scenes on a grid that parameters describe (JSST paper, equations 2 to 4).

Coordinates run over [-1, 1] from outer edge to outer edge of a scene, x to the right, y down (align_corners=False).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.base.compute.devices import widest

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PERSPECTIVE_IDENTITY = (*IDENTITY, 0.0, 0.0)
NEAREST = 0.1  # smallest denominator of a perspective map: the horizon is beyond


def affine(scenes: Tensor, theta: Tensor, padding: str = "border", mode: str = "bilinear") -> Tensor:
    """Return scenes transformed by a six-parameter affine map.

    Args:
        scenes: (N, B, H, W) float.
        theta: (N, 6) float, the rows of A in equation 3: coordinates of the output to coordinates of the input.
        padding: Values outside the scene, as in ``grid_sample``: ``"border"`` or ``"zeros"``.
        mode: Interpolation: ``"bilinear"`` (the paper's) or ``"bicubic"``.

    Returns:
        (N, B, H, W) float.
    """
    return sample(scenes, affine_grid(theta.view(-1, 2, 3), scenes), padding, mode)


def affine_grid(theta: Tensor, scenes: Tensor) -> Tensor:
    """Return points, (N, H, W, 2) float, of the input for affine maps (N, 2, 3) and scenes (N, B, H, W)."""
    # A grid in bf16 would be off by a tenth of a pixel.
    with torch.autocast(scenes.device.type, enabled=False):
        return functional.affine_grid(theta.to(scenes.dtype), list(scenes.shape), align_corners=False)


def perspective_grid(theta: Tensor, scenes: Tensor) -> Tensor:
    """Return points, (N, H, W, 2) float, of the input for perspective maps.

    Args:
        theta: (N, 8) float: an affine map as in ``affine``, and the two slopes of the denominator 1 + p x + q y,
            which is kept at ``NEAREST`` or above.
        scenes: (N, B, H, W) float.
    """
    numerator = affine_grid(theta[:, :6].view(-1, 2, 3), scenes)
    flat = torch.zeros_like(theta[:, :6]).view(-1, 2, 3)
    flat[:, 0] = torch.cat([theta[:, 6:], torch.ones_like(theta[:, :1])], dim=1)
    return numerator / affine_grid(flat, scenes)[..., :1].clamp_min(NEAREST)


class ThinPlateSpline(nn.Module):
    """The smoothest map from a fixed grid of control points to predicted points (Bookstein, 1989).

    With fixed control points in the output, the map's coefficients are linear in the predicted points of the input, so
    the system is solved only once.

    Args:
        side: Control points along each side (6 in the JSST paper's Table IV).
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        axis = torch.linspace(-1, 1, side, dtype=torch.float64)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        points = torch.stack([x.flatten(), y.flatten()], dim=1)
        count = len(points)
        system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
        system[:count, :count] = radial(points, points)
        system[:count, count:] = homogeneous(points)
        system[count:, :count] = homogeneous(points).T
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("solution", torch.linalg.inv(system)[:, :count].contiguous(), persistent=False)
        self.points: Tensor
        self.solution: Tensor

    @property
    def identity(self) -> tuple[float, ...]:
        """The control points themselves, (x, y) after (x, y): parameters that change nothing."""
        return tuple(self.points.flatten().tolist())

    def forward(self, targets: Tensor, scenes: Tensor) -> Tensor:
        """Return points, (N, H, W, 2) float, of the input for targets (N, side^2, 2) of the control points."""
        height, width = scenes.shape[-2:]
        with torch.autocast(scenes.device.type, enabled=False):
            grid: Tensor = (self.basis(height, width).to(targets.dtype) @ targets).view(-1, height, width, 2)
        return grid

    def basis(self, height: int, width: int) -> Tensor:
        """Return (H W, side^2) float64, on mps float32: the weight of each control point's target in each pixel."""
        device, wide = self.points.device, self.points.dtype
        columns, rows = ((torch.arange(n, device=device, dtype=wide) * 2 + 1) / n - 1 for n in (width, height))
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        pixels = torch.stack([x.flatten(), y.flatten()], dim=1)
        shares: Tensor = torch.cat([radial(pixels, self.points), homogeneous(pixels)], dim=1) @ self.solution
        return shares


def radial(first: Tensor, second: Tensor) -> Tensor:
    """Return r^2 log r^2, (N, M) float, of the distances r between points (N, 2) and (M, 2); 0 where r is 0."""
    squared = (first[:, None] - second[None]).square().sum(dim=2)
    return torch.xlogy(squared, squared)


def homogeneous(points: Tensor) -> Tensor:
    """Return 1, x and y, (N, 3) float, of points (N, 2)."""
    return functional.pad(points, (1, 0), value=1.0)


def distances(grid: Tensor) -> Tensor:
    """Return the mean distance in pixels, (N,) float64, of the points (N, H, W, 2) of a grid from their pixels.

    >>> distances(torch.tensor([[[[0.5, 0.0]]]]))  # one pixel, sampled a quarter of its side to the right
    tensor([0.2500], dtype=torch.float64)
    """
    count, height, width = grid.shape[:3]
    identity = torch.tensor(IDENTITY, dtype=grid.dtype, device=grid.device).view(1, 2, 3)
    places = functional.affine_grid(identity, [1, 1, height, width], align_corners=False)
    wide = widest(grid.device)
    half = torch.tensor([width / 2, height / 2], dtype=wide, device=grid.device)
    away = (grid.to(wide) - places.to(wide)) * half
    return away.square().sum(3).sqrt().reshape(count, -1).mean(1)


def sample(scenes: Tensor, grid: Tensor, padding: str = "border", mode: str = "bilinear") -> Tensor:
    """Return scenes, (N, B, H, W) float, interpolated at the points (N, H, W, 2) of a grid."""
    with torch.autocast(scenes.device.type, enabled=False):
        return functional.grid_sample(
            scenes, grid.to(scenes.dtype), mode=mode, padding_mode=padding, align_corners=False
        )
