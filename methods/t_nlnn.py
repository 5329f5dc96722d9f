"""T-NLNN: a non-local block and triplets with two anchors."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Batch, Card, Method, Row, Settings, Setup, balanced_of_size
from rsir_bench.nn.attention import NonLocal
from rsir_bench.nn.collectives import all_gather_with_grad, broadcast_tensors
from rsir_bench.nn.metric_losses import dual_anchor_loss, hard_triplets, random_triplets


class TNlnnSettings(Settings):
    """Changed by ``--set methods.t-nlnn.mining=hard``.

    Attributes:
        margin: Margin of the triplet loss, on squared distances of unit vectors (0 to 4).
        mining: Triplets of a batch: ``"random"``, or the farthest positive and nearest negative (``"hard"``).
        gain: Initial weight of the non-local block's batch norm; 0 starts as an identity.
        per_class: Scenes of each class in a batch.
    """

    margin: float = Field(0.3, gt=0)
    mining: Literal["random", "hard"] = "random"
    gain: float = Field(0.1, ge=0)
    per_class: int = Field(4, ge=2)


class TNlnn(Method[TNlnnSettings]):
    """Non-local block on the last maps, pooled, FC1, and a dual-anchor triplet loss on its direction."""

    card = Card(
        name="t-nlnn",
        title="T-NLNN-style",
        paper="Zhang et al.: Triplet nonlocal neural network with dual-anchor triplet loss for high-resolution remote "
        "sensing image retrieval, IEEE JSTARS 2021",
        year=2021,
        rows={"PCA": Row(descriptor="FC1", kind="pca", paper=("T-NLNN", ""))},
        tables=["I"],
        stated=[
            "abstract: three branches that share weights, the non-local operation, deep metric learning with a "
            "dual-anchor triplet loss",
        ],
        choices=[
            "choose everything that the abstract leaves open: this is T-NLNN-style, not a reproduction",
            "add two triplet losses, one with the anchor and one with the positive as anchor (dual anchor), with a "
            "margin of 0.3 on squared distances of unit vectors",
            "use one embedded Gaussian block after the last maps, with half the channels and with phi and g on maps "
            "sub-sampled by two where they allow it; start its batch norm at 0.1 instead of 0, so that all its layers "
            "learn from the first step",
            "embed with FC1 of the globally pooled maps, normalised; fit PCA on it",
            "draw one random positive and negative from the batch for each scene, in batches of P classes x 4 scenes",
            "mine no hard triplets; the paper's sampling is not known",
        ],
    )
    Settings = TNlnnSettings
    distributed_loss = "gathered"

    def __init__(self, setup: Setup, settings: TNlnnSettings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        channels = self.trunk.channels
        self.block = NonLocal(channels, settings.gain)
        self.fc1 = nn.Linear(channels, setup.protocol.head.fc1)

    def loss(self, batch: Batch) -> Tensor:
        """Return the dual-anchor triplet loss, a scalar float, for ``scenes`` (N, B, H, W) in [0, 1]."""
        embeddings, labels = all_gather_with_grad(self.describe(batch.scenes)["FC1"], batch.labels)
        hard = self.settings.mining == "hard"
        triplets = hard_triplets(embeddings, labels) if hard else broadcast_tensors(random_triplets(labels))
        return dual_anchor_loss(embeddings, triplets, self.settings.margin)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return ``FC1``, (N, fc1) float32 of unit length."""
        pooled = self.block(self.trunk.maps(scenes)).mean((2, 3))
        return {"FC1": functional.normalize(self.fc1(pooled).float())}

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return batches of P >= 2 classes with K scenes each, (P K,) int64 indices, for ``labels`` (N,) int64."""
        return balanced_of_size(labels, size, self.settings.per_class, generator)
