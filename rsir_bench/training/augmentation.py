"""How the protocol augments scenes in training: random flips, and random distortions of view and colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rsir_bench.nn import warp
from rsir_bench.protocol import Train
from rsir_bench.scenes.batches import Batch

GAIN, OFFSET, SCALE, SHIFT, ROTATION = math.log(1.5), 0.15, math.log(1.5), 0.15, math.radians(30)
"""Greatest distortions at strength 1: log gain per band, offset, log scale, shift as a share of the side, angle."""


@dataclass(frozen=True)
class Distortions:
    """Random distortions of N scenes of B bands.

    Attributes:
        gain: (N, B) float, logarithm of the factor on each band.
        offset: (N, 1) float, added to all bands; values are in [0, 1].
        scale: (N, 1) float, logarithm of the enlargement.
        shift: (N, 2) float, how far the content moves right and down, as a share of the side.
        rotation: (N, 1) float, radians.
    """

    gain: Tensor
    offset: Tensor
    scale: Tensor
    shift: Tensor
    rotation: Tensor

    @classmethod
    def draw(cls, count: int, bands: int, strength: float, generator: torch.Generator) -> Distortions:
        """Draw each parameter evenly from plus or minus ``strength`` times its greatest value."""
        greatest = {"gain": [GAIN] * bands, "offset": [OFFSET], "scale": [SCALE], "shift": [SHIFT] * 2}
        limits = {**greatest, "rotation": [ROTATION]}
        width = sum(map(len, limits.values()))
        evenly = (2 * torch.rand(count, width, generator=generator) - 1) * strength
        parts = torch.split(evenly, [len(part) for part in limits.values()], dim=1)
        return cls(*(part * torch.tensor(limit) for part, limit in zip(parts, limits.values(), strict=True)))

    def __getitem__(self, rows: slice) -> Distortions:
        """Return the distortions of some of the scenes."""
        return Distortions(*(values[rows] for values in vars(self).values()))

    def to(self, device: torch.device) -> Distortions:
        """Return the distortions on a device."""
        return Distortions(*(values.to(device) for values in vars(self).values()))

    def apply(self, scenes: Tensor) -> Tensor:
        """Return distorted scenes, (N, B, H, W) float in [0, 1]; outside a scene is its mirror image."""
        cosine, sine = (turn(self.rotation) / self.scale.exp() for turn in (torch.cos, torch.sin))
        x, y = 2 * self.shift[:, :1], 2 * self.shift[:, 1:]
        # From places in the result to places in the scene: undo the shift, then rotation and scale.
        theta = torch.cat(
            [cosine, sine, -(cosine * x + sine * y), -sine, cosine, sine * x - cosine * y],
            dim=1,
        )
        moved = warp.affine(scenes, theta, padding="reflection")
        return (moved * self.gain.exp()[:, :, None, None] + self.offset[:, :, None, None]).clamp(0, 1)


@dataclass(frozen=True)
class Augmentation:
    """What a recipe draws for N scenes.

    Attributes:
        flips: (2, N) bool, which scenes are flipped up-down and left-right; None: none.
        distortions: Those of the scenes; None: none.
    """

    flips: Tensor | None
    distortions: Distortions | None

    @classmethod
    def draw(cls, recipe: Train, count: int, bands: int, generator: torch.Generator) -> Augmentation:
        """Draw what ``flip`` and ``distort`` of a recipe ask for; the generator is on the CPU."""
        flips = torch.stack([torch.rand(count, generator=generator) < 0.5 for _ in range(2)]) if recipe.flip else None
        distortions = Distortions.draw(count, bands, recipe.distort, generator) if recipe.distort else None
        return cls(flips, distortions)

    def __getitem__(self, scenes: slice) -> Augmentation:
        """Return the augmentation of some of the scenes."""
        flips = None if self.flips is None else self.flips[:, scenes]
        return Augmentation(flips, None if self.distortions is None else self.distortions[scenes])

    def apply(self, batch: Batch) -> Batch:
        """Return the batch with its scenes, (N, B, H, W) float32 in [0, 1], flipped and then distorted."""
        scenes = batch.scenes
        if self.flips is not None:
            for dimension, chosen in zip((2, 3), self.flips.to(scenes.device), strict=True):
                scenes = torch.where(chosen[:, None, None, None], scenes.flip(dimension), scenes)
        if self.distortions is not None:
            scenes = self.distortions.to(scenes.device).apply(scenes)
        return batch.with_scenes(scenes)


def augmented(batch: Batch, recipe: Train, generator: torch.Generator) -> Batch:
    """Return the batch, scenes (N, B, H, W) float32 in [0, 1], as the recipe augments it."""
    count, bands = batch.scenes.shape[:2]
    return Augmentation.draw(recipe, count, bands, generator).apply(batch)
