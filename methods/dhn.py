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
            "64 bits (the JSST paper names no number); the hash layer follows FC1's ReLU",
            "inner products halved; pairs within the batch only, no memory of all codes",
            "pairs of one class and all others averaged apart, and batches of P classes x 4 scenes: random batches "
            "have few positive pairs",
            "quantisation loss averaged over bits, weight 0.1",
            "torch's initial weights for the hash layer: behind 4096 units about the original's (0.009; there 0.01), "
            "larger where FC1 is narrower",
            "the hash layer's rate is 0.01 under every protocol, which is ten times the JSST paper's 0.001: ten times "
            "0.03 and more turned all codes into one in trials",
            "code: the sign at retrieval, zero counts as set; no averaging over crops",
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
        return self.split_parameter_group(self.hash, self.settings.rate / self.setup.protocol.train.rate)

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return batches of P >= 2 classes with K scenes each, (P K,) int64 indices, for ``labels`` (N,) int64."""
        return balanced_of_size(labels, size, self.settings.per_class, generator)
