"""The plain network with augmented scenes in training: the control for learned spatial and spectral conversions."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from rsir_bench.method import Batch, Card, HeadMethod, Row, Settings
from rsir_bench.nn.transformation import gamma, linear
from rsir_bench.nn.warp import affine

WARP = 6  # draws of a scene for its warp: angle, two scales, shear, two shifts


class BaselineAugSettings(Settings):
    """Maximum changes of a scene; every change is drawn uniformly from its range, independently for each scene.

    Attributes:
        rotation: Degrees, either way.
        scale: Factor by which each axis is stretched or shrunk; drawn uniformly in its logarithm.
        shear: Degrees, either way.
        shift: Share of the scene's side, along each axis and either way.
        gain: A band is multiplied by 1 ± this.
        bias: Added to all bands, either way, on [0, 1].
        gamma: The power, or its inverse, that all bands are raised to; drawn uniformly in its logarithm.
    """

    rotation: float = Field(180, ge=0, le=180)
    scale: float = Field(1.25, ge=1)
    shear: float = Field(10, ge=0, lt=90)
    shift: float = Field(0.1, ge=0)
    gain: float = Field(0.2, ge=0, lt=1)
    bias: float = Field(0.1, ge=0)
    gamma: float = Field(1.5, ge=1)


class BaselineAug(HeadMethod[BaselineAugSettings]):
    """``baseline`` with randomly warped and recoloured training scenes."""

    card = Card(
        name="baseline-aug",
        title="{trunk}+augmentation",
        paper="He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016; with the augmentation "
        "that the JSST paper argues against (sections I and IV)",
        year=2016,
        rows={"FC": Row(descriptor="FC"), "PCA": Row(descriptor="FC1", kind="pca")},
        stated=[
            "parameters are set empirically outside the network, not learned for each scene; no figures",
        ],
        choices=[
            "augment with all that the JSST can do (an affine warp with border padding, a gain per band, a shared "
            "bias), and with a gamma",
            "draw from these ranges: rotation 180°, scale 1.25, shear 10°, shift 0.1, gain 0.2, bias 0.1, gamma 1.5; "
            "clamp to [0, 1]",
            "show one new view of every scene in every epoch, so that the number of steps is the plain network's",
            "do not search the ranges: in a few epochs a scene is seen in few views, and what augmentation gains in "
            "long trainings is not measured",
            "take head, loss and rows from baseline",
        ],
    )
    Settings = BaselineAugSettings

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with every scene warped and recoloured, (N, B, H, W) float in [0, 1]."""
        count, bands = batch.scenes.shape[:2]
        draws = 2 * torch.rand(count, WARP + bands + 2, generator=generator) - 1
        warp, colours, power = torch.split(draws.to(batch.scenes.device), [WARP, bands + 1, 1], dim=1)
        warped = affine(batch.scenes, self._map(warp))
        coloured = linear(warped, self._gains_and_bias(colours))
        logarithms = power * math.log(self.settings.gamma)
        return batch.with_scenes(gamma(coloured, logarithms.expand(-1, bands).contiguous()))

    def _map(self, draws: Tensor) -> Tensor:
        settings = self.settings
        angle, shear = (
            draws[:, number] * math.radians(value) for number, value in ((0, settings.rotation), (3, settings.shear))
        )
        scales = (draws[:, 1:3] * math.log(settings.scale)).exp()
        return affine_map(angle, scales, shear, draws[:, 4:] * settings.shift)

    def _gains_and_bias(self, draws: Tensor) -> Tensor:
        return torch.cat([1 + self.settings.gain * draws[:, :-1], self.settings.bias * draws[:, -1:]], dim=1)


def affine_map(angle: Tensor, scales: Tensor, shear: Tensor, shift: Tensor) -> Tensor:
    """Return parameters for ``rsir_bench.nn.warp.affine``: scale along the axes, then shear, rotate and shift.

    Args:
        angle: (N,) radians; with y downwards, the scene turns counter-clockwise.
        scales: (N, 2) factors on the x and y coordinates of the output.
        shear: (N,) radians that the y axis is tilted by.
        shift: (N, 2) in sides of a scene.

    Returns:
        (N, 6) float, output to input coordinates.
    """
    cosine, sine, tilt = angle.cos(), angle.sin(), shear.tan()
    x, y = (2 * shift).unbind(1)  # a side is two units
    first = [cosine * scales[:, 0], (cosine * tilt - sine) * scales[:, 1], x]
    second = [sine * scales[:, 0], (sine * tilt + cosine) * scales[:, 1], y]
    return torch.stack(first + second, dim=1)
