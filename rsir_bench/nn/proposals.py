"""Region proposals without annotated boxes: anchors on feature maps, non-maximum suppression, and crops.

After Yang et al., Learning to navigate for fine-grained classification, ECCV 2018 (sections 3.2 and 3.3). Boxes are
(left, top, right, bottom) in pixels of the scene, with pixels as areas: the whole scene is (0, 0, W, H).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from rsir_bench.base.compute.devices import widest


def anchors(
    positions: tuple[int, int],
    size: tuple[int, int],
    sides: Sequence[float],
    ratios: Sequence[float],
    strides: tuple[float, float] | None = None,
) -> Tensor:
    """Return boxes of every side and ratio around every position of a feature map.

    Args:
        positions: Rows and columns of the map.
        size: Height and width of the scene in pixels.
        sides: Square roots of the boxes' areas, in pixels.
        ratios: Widths over heights.
        strides: Distance between two positions down and across, in pixels; the first lies half a stride from the
            border.
            None: each position is the centre of its equal share of the scene.

    Returns:
        (A * rows * columns, 4) float64 with A = sides * ratios, in the order of a map (A, rows, columns) flattened;
        some boxes reach beyond the scene.
    """
    side, ratio = torch.cartesian_prod(_doubles(sides), _doubles(ratios)).unbind(1)
    half = torch.stack([side * ratio.sqrt(), side / ratio.sqrt()], 1)[:, None] / 2
    covered = size if strides is None else (positions[0] * strides[0], positions[1] * strides[1])
    down, across = (
        _doubles(range(count)).add(0.5) * extent / count for count, extent in zip(positions, covered, strict=True)
    )
    middle = torch.cartesian_prod(down, across).flip(1)
    return torch.cat([middle - half, middle + half], 2).flatten(0, 1)


def _doubles(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def placed(boxes: Tensor, device: torch.device) -> Tensor:
    """Return boxes, (..., 4) float64, on a device: as float64 if the device supports it, else as float32."""
    return boxes.to(device, widest(device))


@torch.no_grad()
def best_boxes(boxes: Tensor, scores: Tensor, count: int, overlap: float) -> Tensor:
    """Return the boxes with the highest scores of each scene after non-maximum suppression.

    If fewer than ``count`` boxes survive, the best suppressed ones follow. Equal scores are ordered by index.

    Args:
        boxes: (A, 4) float, the same in all scenes.
        scores: (N, A) float.
        count: M, at most A.
        overlap: A box is suppressed by a better one that it overlaps by more (intersection over union).

    Returns:
        (N, M) int64 indices of boxes, the best first.
    """
    from torchvision.ops import batched_nms  # torchvision takes seconds to load

    scenes, number = scores.shape
    scene = torch.arange(scenes, device=scores.device).repeat_interleave(number)
    # Torchvision may separate scenes by moving their boxes away from each other, which needs coordinates from zero.
    # Steps of 2^-16 pixels are exact in 64 bit; otherwise anchors that overlap by just the limit would be treated
    # differently in each scene.
    wide = widest(scores.device)
    exact = ((boxes.to(wide) - boxes.min()) * 2**16).round() / 2**16
    kept = batched_nms(exact.repeat(scenes, 1), scores.to(wide).flatten(), scene, overlap)
    suppressed = torch.ones(scenes * number, dtype=torch.bool, device=scores.device)
    suppressed = suppressed.index_fill(0, kept, False).view(scenes, number)
    order = scores.argsort(dim=1, descending=True, stable=True)
    survivors_first = suppressed.gather(1, order).to(torch.uint8).argsort(dim=1, stable=True)
    return order.gather(1, survivors_first[:, :count])


def crops(scenes: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Return parts of scenes, bilinearly resized; zero where a box reaches beyond its scene.

    Args:
        scenes: (N, B, H, W) float.
        boxes: (N, M, 4) float in pixels.
        size: S, side of a part in pixels.

    Returns:
        (N * M, B, S, S) float, the parts of the first scene first.
    """
    scene_count, bands, height, width = scenes.shape
    count = boxes.shape[1]
    left, top, right, bottom = boxes.flatten(0, 1).unbind(1)
    zero = torch.zeros_like(left)
    # From [-1, 1] over the part to [-1, 1] over the scene.
    across = torch.stack([(right - left) / width, zero, (left + right) / width - 1], 1)
    down = torch.stack([zero, (bottom - top) / height, (top + bottom) / height - 1], 1)
    # A grid in bf16 would be off by whole pixels.
    with torch.autocast(scenes.device.type, enabled=False):
        theta = torch.stack([across, down], 1).to(scenes.dtype)
        grid = functional.affine_grid(theta, [len(theta), bands, size, size], align_corners=False)
        # Stack a scene's parts vertically: the scene is read once and not copied for each part.
        grid = grid.view(scene_count, count * size, size, 2)
        parts = functional.grid_sample(scenes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return parts.view(scene_count, bands, count, size, size).transpose(1, 2).flatten(0, 1)
