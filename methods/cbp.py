"""CBP-style: attention, then compact bilinear pooling, under the fully connected head."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from rsir_bench.method import Card, HeadMethod, Row, Settings, Setup
from rsir_bench.nn.attention import channel_and_spatial
from rsir_bench.nn.tensor_sketch import TensorSketch, signed_sqrt
from rsir_bench.protocol import Train


class CbpSettings(Settings):
    """What the papers leave open.

    Attributes:
        dimensions: Length of the sketch.
        rate: Highest learning rate of Adam, in the shape of the protocol's schedule.
        unit: Whether the pooled vector has unit length; otherwise its length is the square root of its dimensions, so
            that its entries are of order one, as FC1's initial weights expect. With entries near 0.01 FC1 hardly
            learns at this rate.
    """

    dimensions: int = Field(8192, ge=2)
    rate: float = Field(1e-4, gt=0, allow_inf_nan=False)
    unit: bool = False


class Cbp(HeadMethod[CbpSettings]):
    """Second-order statistics of attended feature maps."""

    card = Card(
        name="cbp",
        title="CBP-style",
        paper="Wang, Ji, Lu, Zhang: Attention boosted bilinear pooling for remote sensing image retrieval, "
        "International Journal of Remote Sensing 2019",
        year=2019,
        rows={
            "FC": Row(descriptor="FC"),
            "PCA": Row(descriptor="FC1", kind="pca", paper=("CBP", "")),
        },
        tables=["I"],
        stated=[
            "channel and spatial attention refines the last feature maps of ResNet34, then compact bilinear pooling "
            "follows (abstract: the only part of the paper known here, hence '-style')",
            "PCA takes the place of the fully connected layer at retrieval (abstract); Adam, since SGD did not "
            "converge (JSST paper)",
        ],
        choices=[
            "attend as in CBAM: to channels (r = 16), then to positions (7 x 7)",
            "make a tensor sketch of 8192 dimensions, sum over positions, take signed square roots, and normalise "
            "(Gao et al. 2016)",
            "normalise to the square root of the dimensions, not to one (setting unit): from unit vectors of 8192 "
            "entries, FC1 hardly learns at Adam's rate",
            "append FC1 and FC2 as in baseline; fit PCA on FC1 before its ReLU",
            "train all layers at once; Gao et al. train the last layer alone first, at a rate of 1",
            "set Adam's rate to 1e-4 (setting rate), a tenth of the rate at which the JSST paper starts (0.001); take "
            "schedule, weight decay and frozen part from the protocol",
        ],
    )
    Settings = CbpSettings

    def build_features(self, setup: Setup) -> int:
        """Build trunk, attention and sketch, which is the head's input."""
        self.trunk = setup.trunk()
        channels = self.trunk.channels
        self.attention = channel_and_spatial(channels)
        self.pool = TensorSketch(channels, self.settings.dimensions)
        return self.settings.dimensions

    def features(self, scenes: Tensor) -> Tensor:
        """Return the pooled sketch (N, dimensions) float of scenes (N, B, H, W) in [0, 1]."""
        sketch = self.pool(self.attention(self.trunk.maps(scenes)))
        with torch.autocast(scenes.device.type, enabled=False):
            length = math.sqrt(self.settings.dimensions)
            # The last norm undoes the first, which makes the root's eps small compared with entries of order one.
            pooled = functional.normalize(signed_sqrt(length * functional.normalize(sketch)))
        return pooled if self.settings.unit else length * pooled

    def recipe(self, train: Train) -> Train:
        """Return the protocol's recipe with Adam and the method's rate."""
        return train.model_copy(update={"optimizer": "adam", "rate": self.settings.rate})
