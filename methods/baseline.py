"""The plain method: the protocol's trunk under the fully connected head, trained with cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from rsir_bench.method import Batch, Card, Method, Row, Settings, Setup
from rsir_bench.nn.head import Head


class Baseline(Method):
    """ResNet34 in the paper; any trunk of the protocol here (section II-B, Fig. 2 without the JSST)."""

    card = Card(
        name="baseline",
        title="{trunk}",
        paper="He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016",
        year=2016,
        rows={
            "FC": Row(descriptor="FC", paper=("ResNet34", "baseline")),
            "PCA": Row(descriptor="FC1", kind="pca", paper=("ResNet34", "")),
        },
        tables=["I", "II", "III", "IV", "V", "VI", "VII", "VIII"],
        stated=["FC1 with 4096 units, FC2 with one per class; PCA in the place of FC2 at retrieval"],
        choices=[
            "global average pooling before FC1 (the paper: 'the last feature')",
            "FC is the output of FC2, PCA is fitted on FC1 before its ReLU",
            "cross-entropy loss, no dropout (not stated)",
        ],
    )
    across_ranks = "mean"

    def __init__(self, setup: Setup, settings: Settings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        self.head = Head(self.trunk.features, setup.protocol.head.fc1, setup.classes)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of FC2's output."""
        return functional.cross_entropy(self.head(self.trunk(batch.scenes))["FC"], batch.labels)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """FC2's output and FC1 before its ReLU."""
        descriptors: dict[str, Tensor] = self.head(self.trunk(scenes))
        return descriptors
