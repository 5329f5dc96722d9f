"""Gamma correction before a method: a fixed spectral correction, the control for a learned one."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from rsir_bench.method import FrontEnd, FrontEndCard, Settings
from rsir_bench.nn.contrast import gamma_for_mean, histograms
from rsir_bench.nn.transformation import gamma


class GammaSettings(Settings):
    """Target of the correction.

    Attributes:
        mean: The mean brightness, on [0, 1].
        per_band: Whether each band has its own power, or all bands share one.
        limit: The power stays between 1 / limit and limit; a scene too dark or too bright for that misses the mean.
    """

    mean: float = Field(0.5, gt=0, lt=1)
    per_band: bool = False
    limit: float = Field(4, gt=1)


class Gamma(FrontEnd[GammaSettings]):
    """Raise each scene to the power that makes its mean brightness one half."""

    card = FrontEndCard(
        name="gamma",
        title="Gamma correction",
        paper="Gonzalez, Woods: Digital image processing, Addison-Wesley 1992",
        year=1992,
        stated=[
            "values on [0, 1] are raised to a power",
        ],
        choices=[
            "choose the power that makes the mean of the corrected values 0.5, one for all bands of a scene, from 1/4 "
            "to 4",
            "find it on a histogram of 256 levels; clamp values to [0.001, 1] first",
        ],
        learned=False,
    )
    Settings = GammaSettings

    def forward(self, scenes: Tensor) -> Tensor:
        """Return corrected scenes, (N, B, H, W) float in [0, 1]; gradients treat the power as a constant."""
        count, bands = scenes.shape[:2]
        with torch.no_grad():
            rows = count * bands if self.settings.per_band else count
            powers = gamma_for_mean(histograms(scenes.reshape(rows, -1)), self.settings.mean, self.settings.limit)
            logarithms = powers.log().to(scenes.dtype).view(count, -1).expand(-1, bands).contiguous()
        return gamma(scenes, logarithms)
