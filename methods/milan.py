"""MiLaN: metric learning of codes with triplets."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Batch, Card, Method, Row, Settings, Setup, balanced_of_size
from rsir_bench.nn.collectives import all_gather_with_grad, broadcast_tensors
from rsir_bench.nn.hashing import balance_loss, push_loss
from rsir_bench.nn.metric_losses import random_triplets, triplet_loss
from rsir_bench.protocol import Train


class MilanSettings(Settings):
    """Changed by ``--set methods.milan.bits=24``.

    Attributes:
        bits: Length of the code.
        margin: Margin of the triplet loss.
        push: Weight of the loss that pushes sigmoids away from one half.
        balance: Weight of the loss that drives half of a scene's bits to one.
        rate: Adam's highest learning rate; the official code's is 1e-4, for 10 000 steps on a frozen trunk.
        per_class: Scenes of each class in a batch.
    """

    bits: int = Field(32, ge=1)
    margin: float = Field(0.2, gt=0)
    push: float = Field(0.001, ge=0)
    balance: float = Field(1.0, ge=0)
    rate: float = Field(2e-4, gt=0, allow_inf_nan=False)
    per_class: int = Field(4, ge=2)


class Milan(Method[MilanSettings]):
    """Metric-learning based deep hashing network: three fully connected layers, then sigmoids that round to bits."""

    card = Card(
        name="milan",
        title="MiLaN",
        paper="Roy, Sangineto, Demir, Sebe: Metric-learning-based deep hashing network for content-based retrieval of "
        "remote sensing images, IEEE GRSL 2021",
        year=2021,
        rows={"Hashing": Row(descriptor="bits", kind="code", paper=("MiLaN", ""))},
        tables=["I"],
        stated=[
            "official code: fully connected layers of 1024 and 512 units with LeakyReLU 0.2, then a sigmoid per bit",
            "official code: triplet loss (squared distances of normalised sigmoids, margin 0.2), -0.001 ||s - 0.5||^2 "
            "/ K, bit balance within a scene with weight 1; Adam at 1e-4; 32 bits",
        ],
        choices=[
            "use the protocol's trunk and train it with the rest, instead of a frozen Inception-v3; the JSST paper "
            "does not state its number of bits",
            "train for the protocol's epochs: in one trial, the official 10 000 steps on frozen features ended at the "
            "same scores (ImageNet MobileNetV2, RSSCN7)",
            "draw a random positive and negative from the batch for each scene, in batches of P classes x 4 scenes, "
            "instead of 30 triplets from two classes",
            "start with Glorot's weights",
            "set Adam's rate to 2e-4 (official: 1e-4, for 10 000 steps): of 2e-4, 5e-4, 1e-3 and 2e-3, it ended at "
            "the lowest training loss with a full ResNet34 on the scenes of `demo`; the JSST paper names SGD from "
            "0.001 for all methods but CBP",
            "use betas of 0.9 and 0.999 (official: 0.5 and 0.9), and the protocol's weight decay and schedule",
            "take sigmoid - 0.5 as the code, so that one half counts as set",
        ],
        version=2,
    )
    Settings = MilanSettings
    distributed_loss = "gathered"

    def __init__(self, setup: Setup, settings: MilanSettings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        first, second = nn.Linear(self.trunk.features, 1024), nn.Linear(1024, 512)
        self.layers = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2))
        self.hash = nn.Linear(512, settings.bits)
        for layer in (first, second, self.hash):
            # With torch's smaller weights, all sigmoids start near one half, and triplets of equal codes teach nothing.
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the triplet loss and the weighted push and balance losses.

        All are scalar floats, for ``scenes`` (N, B, H, W) in [0, 1].
        """
        shares, labels = all_gather_with_grad(self._shares(batch.scenes), batch.labels)
        triplets = broadcast_tensors(random_triplets(labels))
        return {
            "triplet": triplet_loss(functional.normalize(shares), triplets, self.settings.margin),
            "push": self.settings.push * push_loss(shares),
            "balance": self.settings.balance * balance_loss(shares),
        }

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return ``bits``, (N, bits) float in (-0.5, 0.5)."""
        return {"bits": self._shares(scenes) - 0.5}

    def recipe(self, train: Train) -> Train:
        """Return the protocol's recipe with Adam and the method's rate."""
        return train.model_copy(update={"optimizer": "adam", "nesterov": False, "rate": self.settings.rate})

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return batches of P >= 2 classes with K scenes each, (P K,) int64 indices, for ``labels`` (N,) int64."""
        return balanced_of_size(labels, size, self.settings.per_class, generator)

    def _shares(self, scenes: Tensor) -> Tensor:
        """Return sigmoids (N, bits) float32 in [0, 1]: bf16 cannot separate the close sigmoids of a new network."""
        features = self.layers(self.trunk(scenes))
        with torch.autocast(scenes.device.type, enabled=False):
            shares: Tensor = self.hash(features.float()).sigmoid()
        return shares
