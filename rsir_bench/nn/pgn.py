"""The parameter generation network of the JSST paper (section II-A, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ParameterNetwork(nn.Module):
    """A light network from a scene to transformation parameters.

    The paper names convolutions, pooling, one fully connected and one regression layer; their number and widths are
    our choice (0.14 M parameters for three bands), as are batch norm and an initial output near the identity: without
    batch norm it collapses to one constant transformation for all scenes.

    Args:
        bands: Bands of a scene.
        identity: The parameters that change nothing; the bias of the regression layer starts there.
        spread: Standard deviation of the regression layer's initial weights. Zero would cut the gradients to all
            layers before it in the first step.
    """

    def __init__(self, bands: int, identity: Sequence[float], spread: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(bands, 16, kernel=7, stride=2),
            nn.MaxPool2d(2),
            *_block(16, 32, kernel=5),
            nn.MaxPool2d(2),
            *_block(32, 64, kernel=3),
            nn.MaxPool2d(2),
            *_block(64, 64, kernel=3),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 64),
            nn.ReLU(),
        )
        self.regression = nn.Linear(64, len(identity))
        nn.init.normal_(self.regression.weight, std=spread)
        with torch.no_grad():
            self.regression.bias.copy_(torch.tensor(identity))

    def forward(self, scenes: Tensor) -> Tensor:
        """Parameters (N, P) of scenes (N, B, H, W) in [0, 1]."""
        features = self.features(scenes - 0.5)
        # bf16 has steps of 0.004 next to one: as coarse as what the network starts to say.
        with torch.autocast(scenes.device.type, enabled=False):
            parameters: Tensor = self.regression(features.float())
        return parameters


def _block(bands: int, channels: int, *, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(bands, channels, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
