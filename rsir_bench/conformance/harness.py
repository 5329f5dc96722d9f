"""The material of the checks: a tiny protocol, random scenes, and a training that can be inspected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rsir_bench.method import Method, Setup
from rsir_bench.method.registry import RegisteredMethod
from rsir_bench.method.spec import MethodSpec
from rsir_bench.protocol import Data, Head, Protocol, Train, Trunk
from rsir_bench.scenes.batches import Batch, Scenes, unit_range
from rsir_bench.training.augmentation import augmented
from rsir_bench.training.device import make_fabric
from rsir_bench.training.given import checked_descriptors
from rsir_bench.training.loop import epoch_batches, loss_terms, make_optimizer, make_schedule, seed_everything

CLASSES, SCENES, POOL = 7, 32, 24
# The smallest trunk has 2 x 2 positions for 33 to 64 px: attention over a single position has no gradient.
# A trunk that a method asks for is larger: it sees 32 px, and is thin where ``THIN`` has arguments for it.
SIZE, SIZE_OF_OWN_TRUNK = 40, 32
THIN: dict[str, dict[str, Any]] = {"resnet34": {"channels": [16, 32, 64, 128]}}  # as in the demo
EPOCHS = 60  # at most, of two steps each with the protocol's batches
FROZEN_PARTS = 3
# Share of a descriptor's largest value: batches of other sizes change float32 sums by less.
TOLERANCE = 1e-4
MANY = 5  # names in a message


class Failure(Exception):
    """A failed check; its message says what is wrong and where."""


@dataclass
class Bench:
    """One method under check.

    Attributes:
        entry: The class that the user named, possibly a front end.
        named: The method to build: a front end is combined with its default method.
        sources: The files of its classes.
        trained: The network after the check that trains it; None before.
    """

    entry: RegisteredMethod
    named: MethodSpec
    trained: Method | None = None

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files of its classes."""
        return tuple(self.named.sources.values())

    @property
    def size(self) -> int:
        """Side of a scene in pixels."""
        return SIZE_OF_OWN_TRUNK if self.named.card.trunk else SIZE

    def draw(self, count: int = SCENES, classes: int = CLASSES, bands: int = 3) -> Scenes:
        """Return scenes (count, size, size, bands) uint8 with labels (count,) int64, of all classes in turn."""
        return draw(count, classes, bands, self.size)

    def pool(self) -> Scenes | None:
        """Return scenes (POOL, size, size, 3) uint8 without labels; None if the card does not ask for them."""
        if not self.named.card.needs_unlabelled:
            return None
        return draw(POOL, CLASSES, 3, self.size, seed=1).take(np.arange(POOL), torch.full((POOL,), -1))

    def setup(self, classes: int = CLASSES, bands: int = 3, frozen: Sequence[str] = ()) -> Setup:
        """Return a setup; a method with its own trunk gets the protocol it is made for."""
        return Setup(classes, bands, SCENES, self.size, protocol(self.named.card.trunk, self.size, frozen))

    def build(self, setup: Setup | None = None, seed: int = 0) -> Method:
        """Build a new network."""
        seed_everything(seed, "weights")
        return self.named.build(setup or self.setup())

    def network(self) -> Method:
        """Return the trained network, or a new one if there is no training."""
        return self.trained if self.trained is not None else self.build()


def protocol(trunk: str | None, size: int, frozen: Sequence[str] = ()) -> Protocol:
    """Return a protocol that trains in seconds; ``trunk`` None is the smallest one that timm has."""
    return Protocol(
        name="conformance",
        title="The smallest protocol",
        data=Data(source="drawn", targets=["drawn"], size=size),
        trunk=Trunk(
            name=trunk or "test_resnet",
            weights="none",
            arguments=THIN.get(trunk or "", {}),
            frozen=list(frozen),
            mean=[0.5],
            std=[0.25],
        ),
        head=Head(fc1=32),
        train=Train(epochs=EPOCHS, batch=16, rate=0.03, weight_decay=5e-4, schedule="one-cycle"),
    )


def draw(count: int, classes: int, bands: int, size: int, seed: int = 0) -> Scenes:
    """Draw smooth scenes of all classes in turn: two thirds class pattern and colour, one third individual.

    Returns:
        Scenes (count, size, size, bands) uint8 with labels (count,) int64.
    """
    labels = torch.arange(count) % classes
    generator = torch.Generator().manual_seed(1)
    # The colour separates the classes even if a method rotates its scenes.
    colours = torch.rand(classes, bands, 1, 1, generator=generator)
    patterns = (torch.rand(classes, bands, 4, 4, generator=generator) + colours) / 2
    own = torch.rand(count, bands, 4, 4, generator=torch.Generator().manual_seed(2 + seed))
    coarse = (2 * patterns[labels] + own) / 3
    fine = functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    pixels = (fine * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return Scenes.of(pixels, labels.numpy())


def pixels_of(scenes: Scenes) -> Tensor:
    """Return all scenes as (N, B, H, W) float32 in [0, 1]."""
    return unit_range(scenes.pixels(np.arange(len(scenes))))


@torch.inference_mode()
def descriptors(network: Method, scenes: Tensor) -> dict[str, Tensor]:
    """Return the result of ``describe``, (N, D) float by name, for scenes (N, B, H, W), in evaluation mode.

    Raises:
        RunError: It is no dictionary of such tensors.
    """
    return checked_descriptors(network.eval().describe(scenes), len(scenes))


class Training:
    """A training as in ``rsir_bench.training.loop.train``, epoch by epoch, without files.

    Args:
        network: A new network; trained in place.
        scenes: The training set.
        precision: ``"32"`` or ``"bf16"``.
    """

    def __init__(self, network: Method, scenes: Scenes, precision: str = "32") -> None:
        self.network, self.scenes = network, scenes
        recipe = network.recipe(network.setup.protocol.train)
        # The recipe's length is for real datasets.
        self.recipe = recipe.model_copy(update={"epochs": EPOCHS, "milestones": []})
        self.fabric = make_fabric("cpu", precision)
        torch.use_deterministic_algorithms(True)
        network.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(network, self.recipe)
        steps = len(epoch_batches(network, scenes.labels, self.recipe, torch.Generator().manual_seed(0)))
        self.schedule = make_schedule(self.optimizer, self.recipe, steps)
        self.steps = 0
        self.without_gradient = {name for name, tensor in network.named_parameters() if tensor.requires_grad}

    def epoch(self, number: int) -> float:
        """Train one epoch, seeded by its number; return the mean loss.

        Raises:
            Failure: A loss is not finite.
        """
        generator = seed_everything(0, number)
        self.network.train()
        batches = epoch_batches(self.network, self.scenes.labels, self.recipe, generator)
        loss = sum(self._step(self._batch(index, generator)) for index in batches) / len(batches)
        for value in self.network.epoch_metrics().values():
            float(value)
        return loss

    def first_batch(self) -> Batch:
        """Return the first batch of the first epoch, with the network in training mode."""
        generator = seed_everything(0, 1)
        self.network.train()
        index, *_ = epoch_batches(self.network, self.scenes.labels, self.recipe, generator)
        return self._batch(index, generator)

    def _batch(self, index: Tensor, generator: torch.Generator) -> Batch:
        batch = self.scenes.batch(index, torch.device("cpu"))
        return self.network.augment(augmented(batch, self.recipe, generator), generator)

    def _step(self, batch: Batch) -> float:
        terms, total = loss_terms(self.network, batch, self.fabric)
        self.steps += 1
        for name, value in {**terms, "loss": total}.items():
            if not math.isfinite(value.item()):
                raise Failure(f"step {self.steps}: {name} is {value.item()}")
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        parameters = dict(self.network.named_parameters())
        self.without_gradient -= {name for name in self.without_gradient if _moves(parameters[name].grad)}
        self.optimizer.step()
        self.schedule.step()
        return total.item()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "method": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from the result of ``state``."""
        self.network.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def _moves(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def refuse_different(one: Tensor, other: Tensor, what: str) -> None:
    """Refuse tensors (...) that differ in shape, or in a value by more than rounding.

    Raises:
        Failure: They do; ``what`` says what differs.
    """
    if one.shape != other.shape:
        raise Failure(f"{what}: shape {tuple(other.shape)}, not {tuple(one.shape)}")
    distance = (one - other).abs().amax().item() if one.numel() else 0.0
    if not distance <= TOLERANCE * max(one.abs().amax().item() if one.numel() else 0.0, 1e-6):
        raise Failure(f"{what} (by {distance:.2g})")


def some(names: Iterable[str]) -> str:
    """Return the first few names in the order of the alphabet, and how many more there are."""
    names = sorted(names)
    return ", ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else "")
