"""The Wallis filter before a method: a fixed, local spectral correction, the control for a learned one."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from rsir_bench.method import FrontEnd, FrontEndCard, Settings
from rsir_bench.nn.contrast import wallis


class WallisSettings(Settings):
    """Targets of a scene's local statistics, and their weights.

    Attributes:
        window: Side of the window as a share of the scene's.
        mean: Target of the local mean, on [0, 1].
        deviation: Target of the local standard deviation, on [0, 1].
        brightness: Weight of the target mean; with 0 the local mean stays.
        contrast: Weight of the target deviation; with 1, flat regions get the same contrast, noise included.
    """

    window: float = Field(0.25, gt=0, le=1)
    mean: float = Field(0.5, ge=0, le=1)
    deviation: float = Field(0.2, gt=0, le=1)
    brightness: float = Field(0.8, ge=0, le=1)
    contrast: float = Field(0.8, gt=0, le=1)


class Wallis(FrontEnd[WallisSettings]):
    """Give each band of each scene nearly the same brightness and contrast everywhere."""

    card = FrontEndCard(
        name="wallis",
        title="Wallis filter",
        paper="Wallis: An approach to the space variant restoration and enhancement of images, Symposium on Current "
        "Mathematical Problems in Image Science 1976",
        year=1976,
        stated=[
            "local mean and standard deviation are moved towards targets, each with a weight",
        ],
        choices=[
            "use a window of 0.25 of the side, cut off at the edges, with mean 0.5, deviation 0.2, brightness 0.8 and "
            "contrast 0.8",
            "filter each band by itself; clamp to [0, 1]",
        ],
        learned=False,
    )
    Settings = WallisSettings

    def forward(self, scenes: Tensor) -> Tensor:
        """Return filtered scenes, (N, B, H, W) float in [0, 1]."""
        chosen = self.settings
        down, across = (max(1, round(chosen.window * side / 2)) for side in scenes.shape[-2:])
        filtered = wallis(scenes, (down, across), chosen.mean, chosen.deviation, chosen.brightness, chosen.contrast)
        return filtered.clamp(0, 1)
