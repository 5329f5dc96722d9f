"""DHN: codes from a hash layer under a pairwise and a quantisation loss."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from rsir_bench.method import (
    Batch,
    Card,
    Method,
    ParameterGroup,
    Row,
    Settings,
    Setup,
    balanced_of_size,
)
from rsir_bench.nn.collectives import all_gather_with_grad
from rsir_bench.nn.hashing import pairwise_loss, quantisation_loss


class DhnSettings(Settings):
    """Changed by ``--set methods.dhn.bits=32``.

    Attributes:
        bits: Length of the code.
        quantisation: Weight of the quantisation loss (lambda).
        rate: Highest learning rate of the hash layer, independent of the protocol's; ten times the JSST paper's 0.001.
        per_class: Scenes of each class in a batch.
    """

    bits: int = Field(64, ge=1)
    quantisation: float = Field(0.1, ge=0)
    rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    per_class: int = Field(4, ge=2)


class Dhn(Method[DhnSettings]):
    """Deep hashing network: FC1, then a hash layer with tanh, whose signs are the code."""

    card = Card(
        name="dhn",
        title="DHN",
        paper="Zhu, Long, Wang, Cao: Deep hashing network for efficient similarity retrieval, AAAI 2016",
        year=2016,
        rows={"Hashing": Row(descriptor="bits", kind="code", paper=("DHN", ""))},
        tables=["I"],
        stated=[
            "JSST paper: a binary code from a fully connected layer, one loss for similarity and one for code quality",
            "DHN (from memory and public code): pairwise cross-entropy on inner products, log cosh quantisation loss, "
            "tanh hash layer at ten times the learning rate",
        ],
        choices=[
            "use 64 bits (the JSST paper names no number), and put the hash layer after FC1's ReLU",
            "halve the inner products; use pairs within the batch only, without a memory of all codes",
            "average pairs of one class and all other pairs separately, in batches of P classes x 4 scenes: random "
            "batches have few positive pairs",
            "average the quantisation loss over bits, and weight it by 0.1",
            "keep that weight; later official code (thulab/DeepHash) has 0 by default, and takes ten times the cosines "
            "for the inner products",
            "start the hash layer with torch's weights: after 4096 units they are about as large as the original's "
            "(0.009 instead of 0.01), and larger where FC1 is narrower",
            "set the hash layer's rate to 0.01 under every protocol, ten times the JSST paper's 0.001: in trials, ten "
            "times 0.03 and more made all codes the same",
            "take the sign as the code at retrieval, where zero counts as set; do not average over crops",
        ],
    )
    Settings = DhnSettings
    distributed_loss = "gathered"

    def __init__(self, setup: Setup, settings: DhnSettings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        self.fc1 = nn.Linear(self.trunk.features, setup.protocol.head.fc1)
        self.hash = nn.Linear(setup.protocol.head.fc1, settings.bits)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the pairwise and the weighted quantisation loss, scalar floats, for ``scenes`` (N, B, H, W)."""
        codes, labels = all_gather_with_grad(self.describe(batch.scenes)["bits"], batch.labels)
        return {
            "pairs": pairwise_loss(codes, labels),
            "quantisation": self.settings.quantisation * quantisation_loss(codes),
        }

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return ``bits``, (N, bits) float in (-1, 1)."""
        features = self.fc1(self.trunk(scenes)).relu()
        # In bf16 tanh is 1 from 3.5 on, and has no gradient there.
        with torch.autocast(scenes.device.type, enabled=False):
            return {"bits": self.hash(features.float()).tanh()}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return two groups: the hash layer has a separate rate."""
        return self.split_parameter_group(self.hash, absolute_rate=self.settings.rate)

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return batches of P >= 2 classes with K scenes each, (P K,) int64 indices, for ``labels`` (N,) int64."""
        return balanced_of_size(labels, size, self.settings.per_class, generator)
