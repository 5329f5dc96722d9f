"""RiDe: embeddings that keep scenes of a class, and rotations of a scene, near each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Batch, Card, Method, Row, Settings, Setup
from rsir_bench.nn.collectives import all_gather_with_grad
from rsir_bench.nn.memory_bank import MemoryBank
from rsir_bench.nn.warp import affine
from rsir_bench.protocol import Train


class RideSettings(Settings):
    """Changed by ``--set methods.ride.rotations=8``.

    Attributes:
        dimensions: Length of the embedding.
        rotations: Four by 90 degrees, or eight by 45.
        temperature: T of the softmax over the memory bank.
        scene: Weight of the loss over rotations of a scene (lambda).
        momentum: Weight of the memory bank's old entry.
        rate: Factor on the protocol's learning rate; the original rate is 0.1.
    """

    dimensions: int = Field(128, ge=1)
    rotations: Literal[4, 8] = 4
    temperature: float = Field(0.05, gt=0)
    scene: float = Field(0.1, ge=0)
    momentum: float = Field(0.5, ge=0, lt=1)
    rate: float = Field(1.0, gt=0, allow_inf_nan=False)


@dataclass
class RotatedBatch(Batch):
    """A batch with the rotations of its scenes.

    Attributes:
        rotation: (N,) int64, in steps of a full turn over ``rotations``.
    """

    rotation: Tensor


class Ride(Method[RideSettings]):
    """Rotation-invariant deep embedding: neighbourhood component analysis against a bank of scenes and rotations."""

    card = Card(
        name="ride",
        title="RiDe",
        paper="Kang, Fernandez-Beltran, Wang, Sun, Ni, Plaza: Rotation-invariant deep embedding for remote sensing "
        "images, IEEE TGRS 2021",
        year=2021,
        rows={
            "PCA": Row(descriptor="embedding", kind="pca", paper=("RiDe", "")),
            "Embedding": Row(descriptor="embedding"),
        },
        tables=["I"],
        stated=[
            "official code: pooled ResNet34, 128-d unit embedding, memory bank of every scene and rotation, "
            "temperature 0.05, lambda 0.1, bank momentum 0.5",
            "official code: -log of the softmax's share of the class, and of the other rotations of the scene",
        ],
        choices=[
            "use the protocol's schedule and rate (methods.ride.rate scales it); the original has SGD at 0.1, 130 "
            "epochs, colour jitter and greyscale",
            "take the last epoch; the original takes the one with the best neighbours on validation scenes",
            "turn each scene once per epoch, by a random multiple of 90 degrees, without resampling; the original "
            "trains on all eight multiples of 45 degrees in every epoch, from files whose borders are unknown; with "
            "rotations=8, borders are reflections here",
            "leave out entries that no batch has filled yet (the original starts them at random); enter a batch into "
            "the bank before its loss, not after; keep the momentum at 0.5 (original: 0.8 and 0.9 late in training)",
            "take the dimension after PCA from the protocol, at most 128; the JSST paper does not state it",
        ],
    )
    Settings = RideSettings
    distributed_loss = "gathered"

    def __init__(self, setup: Setup, settings: RideSettings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        self.embed = nn.Linear(self.trunk.features, settings.dimensions)
        nn.init.kaiming_normal_(self.embed.weight)
        nn.init.zeros_(self.embed.bias)
        self.bank = MemoryBank(setup.scenes, settings.rotations, settings.dimensions, settings.momentum)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the term of the class and the weighted term of the scene, scalar floats.

        Args:
            batch: ``scenes`` (N, B, H, H) float32 in [0, 1]; not rotated unless it comes from ``augment``.

        Raises:
            UserError: A scene has a higher index than the network was built for.
        """
        rotation = batch.rotation if isinstance(batch, RotatedBatch) else torch.zeros_like(batch.index)
        own = self.describe(batch.scenes)["embedding"]
        features, labels, index, rotation = all_gather_with_grad(own, batch.labels, batch.index, rotation)
        # Before the loss: autograd keeps the bank for the backward pass, which must find it unchanged.
        self.bank.update(features, labels, index, rotation)
        of_class, of_scene = self.bank(features, labels, index, rotation, self.settings.temperature)
        return {"class": of_class, "scene": self.settings.scene * of_scene}

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return ``embedding``, (N, dimensions) float32 of unit length."""
        return {"embedding": functional.normalize(self.embed(self.trunk(scenes)).float())}

    def recipe(self, train: Train) -> Train:
        """Return the protocol's recipe with a multiple of its rate."""
        return train.model_copy(update={"rate": train.rate * self.settings.rate})

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with every scene, (N, B, H, H) float32, turned by one of the rotations at random."""
        rotation = torch.randint(self.settings.rotations, (len(batch.index),), generator=generator)
        rotation = rotation.to(batch.index.device)
        scenes = rotated(batch.scenes, rotation, self.settings.rotations)
        return RotatedBatch(scenes, batch.labels, batch.index, rotation)

    def epoch_metrics(self) -> dict[str, float]:
        """Return the share of scenes and rotations that the bank holds."""
        return {"bank": self.bank.seen.float().mean().item()}


def rotated(scenes: Tensor, rotation: Tensor, rotations: int) -> Tensor:
    """Return square scenes turned counter-clockwise, each by its own ``rotation / rotations`` of a full turn.

    Multiples of 90 degrees are exact; others are interpolated bilinearly, with reflections at the borders.

    Args:
        scenes: (N, B, H, H) float.
        rotation: (N,) int64 in [0, rotations).
        rotations: 4 or 8.
    """
    if rotations == 8:
        half = (rotation % 2 == 1)[:, None, None, None]
        cosine = math.sqrt(0.5)
        theta = scenes.new_tensor([cosine, -cosine, 0, cosine, cosine, 0]).expand(len(scenes), 6)
        scenes = torch.where(half, affine(scenes, theta, "reflection"), scenes)
        rotation = rotation // 2
    quarter = rotation[:, None, None, None]
    scenes = torch.where(quarter % 2 == 1, scenes.mT, scenes)
    scenes = torch.where((quarter == 1) | (quarter == 2), scenes.flip(2), scenes)
    scenes = torch.where((quarter == 2) | (quarter == 3), scenes.flip(3), scenes)
    return scenes.contiguous(memory_format=torch.channels_last)
