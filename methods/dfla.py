"""DFLA-style: attention and the centre loss, under the fully connected head."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from rsir_bench.method import Batch, Card, HeadMethod, Row, Settings, Setup
from rsir_bench.nn.attention import channel_and_spatial
from rsir_bench.nn.collectives import all_gather_with_grad
from rsir_bench.nn.metric_losses import CentreLoss


class DflaSettings(Settings):
    """What the paper leaves open.

    Attributes:
        centre: Weight of the centre loss (lambda).
        alpha: Rate at which the centres follow their features.
    """

    centre: float = Field(0.003, ge=0, allow_inf_nan=False)
    alpha: float = Field(0.5, ge=0, le=1)


class Dfla(HeadMethod[DflaSettings]):
    """Classify attended features, and pull them towards the centres of their classes."""

    card = Card(
        name="dfla",
        title="DFLA-style",
        paper="Xiong, Lv, Cui, Zhang, Gu: A discriminative feature learning approach for remote sensing image "
        "retrieval, Remote Sensing 2019",
        year=2019,
        rows={
            "FC": Row(descriptor="FC"),
            "PCA": Row(descriptor="FC1", kind="pca", paper=("DFLA", "")),
        },
        tables=["I"],
        stated=[
            "an attention module in the network, and classification together with the centre loss (abstract: the only "
            "part of the paper known here, hence '-style')",
        ],
        choices=[
            "attend as in CBAM after the last maps of the protocol's trunk: to channels (r = 16), then to positions "
            "(7 x 7)",
            "set the centre loss's lambda to 0.003 (setting centre) and its alpha to 0.5 (Wen et al. 2016); average "
            "it over the batch",
            "apply it to the average-pooled attended feature, which is not normalised: on FC1's 4096 values it could "
            "outweigh the cross-entropy, and on unit vectors it would hardly count",
            "start centres at zero, and move them by Wen's running update, without an optimizer",
            "append FC1 and FC2 as in baseline; fit PCA on FC1 before its ReLU",
            "train on the protocol's source only, not on the paper's 'more challenging dataset'",
            "take lambda and alpha from faces, without a search: the abstract names no values",
        ],
    )
    Settings = DflaSettings
    distributed_loss = "gathered"

    def __init__(self, setup: Setup, settings: DflaSettings) -> None:
        super().__init__(setup, settings)
        self.centre = CentreLoss(self.trunk.channels, setup.classes, settings.alpha)

    def build_features(self, setup: Setup) -> int:
        """Build trunk and attention; the head's input has one value per channel."""
        self.trunk = setup.trunk()
        self.attention = channel_and_spatial(self.trunk.channels)
        return self.trunk.channels

    def features(self, scenes: Tensor) -> Tensor:
        """Return the attended maps of scenes (N, B, H, W) in [0, 1], averaged over positions: (N, C) float."""
        attended: Tensor = self.attention(self.trunk.maps(scenes))
        return attended.mean((2, 3))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of FC2's output, and lambda times the centre loss of the pooled features.

        Both are scalar floats, for ``scenes`` (N, B, H, W) in [0, 1].
        """
        pooled, labels = all_gather_with_grad(self.features(batch.scenes), batch.labels)
        return {
            "class": functional.cross_entropy(self.head(pooled)["FC"], labels),
            "centre": self.settings.centre * self.centre(pooled, labels),
        }
