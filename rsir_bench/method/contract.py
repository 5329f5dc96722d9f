"""The contract of a method.

A method is one file with one class: a :class:`Card`, a loss on a batch, and named descriptors of a batch. Everything
else has a default: optimizer recipe, parameter groups, batches, views of a scene, rounds of training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsir_bench import protocol as protocols
from rsir_bench.nn.trunk import Trunk, load_backbone
from rsir_bench.scenes.batches import Batch, Scenes, shuffled


class Row(BaseModel):
    """One row of the tables: which descriptor it shows and how that is reduced.

    ``kind`` is ``"real"`` (the vector as it is), ``"pca"`` (its principal components) or ``"code"`` (its signs as
    bits, compared by Hamming distance). ``paper`` names the published row: method and variant in ``paper_tables.csv``.
    ``round`` is the round of training whose network makes it, from 1; None is the last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    descriptor: str
    kind: Literal["real", "pca", "code"] = "real"
    paper: tuple[str, str] | None = None
    round: int | None = Field(None, ge=1)


class Card(BaseModel):
    """What a reader must know of a method before believing its numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="As in --methods.")
    title: str = Field(min_length=1, description="As in the tables; '{trunk}' becomes the trunk's title.")
    paper: str = Field(min_length=1, description="Authors, title, venue.")
    year: int = Field(ge=1900)
    rows: dict[str, Row] = Field(min_length=1)
    tables: list[str] = Field(default_factory=list, description="Tables of the JSST paper it stands in.")
    stated: list[str] = Field(default_factory=list, description="What its paper states.")
    choices: list[str] = Field(default_factory=list, description="What is open there, and what is done here.")
    trained: bool = True
    trunk: str | None = Field(None, description="A method that brings its own trunk: the trunk it replaces.")
    unlabelled: bool = Field(False, description="It needs the protocol's pool of unlabelled scenes.")
    version: int = Field(1, ge=1, description="Raise it when the method's results change: finished runs are redone.")


class FrontEndCard(BaseModel):
    """The card of a front end, which changes scenes before any method sees them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = Field(min_length=1)
    paper: str = Field(min_length=1)
    year: int = Field(ge=1900)
    alone: str = Field("baseline", description="The method it stands before when named alone.")
    published: dict[str, tuple[str, str]] = Field(
        default_factory=dict, description="Row of ``alone`` -> published method and variant."
    )
    tables: list[str] = Field(default_factory=list)
    stated: list[str] = Field(default_factory=list)
    choices: list[str] = Field(default_factory=list)
    learned: bool = Field(True, description="It has parameters that only training gives a meaning.")
    differentiable: bool = Field(True, description="Gradients pass it, to a front end before it.")
    version: int = Field(1, ge=1)


class Settings(BaseModel):
    """Base of a method's own settings; ``--set methods.NAME.key=value`` changes one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A_FILE_OF_WEIGHTS = "names weights"

Weights = Annotated[str, A_FILE_OF_WEIGHTS]
"""Type of a setting that names weights: ``"imagenet"``, ``"none"`` or a file, which records know by its content."""


@dataclass(frozen=True)
class Start:
    """What a trunk starts from: a timm model, and its weights as ``trunk.weights`` and ``trunk.sha256`` name them."""

    model: str
    weights: str
    sha256: str | None = None


@dataclass(frozen=True)
class Setup:
    """What a method is built for.

    Attributes:
        classes: Number of classes of the source.
        bands: Bands of a scene.
        scenes: Number of labelled source scenes (the size of a memory bank, but for rounds that add others).
        size: Side of a scene in pixels.
        protocol: The protocol's settings: trunk, head, training.
        weights_folders: Where files of weights are looked for.
    """

    classes: int
    bands: int
    scenes: int
    size: int
    protocol: protocols.Protocol
    weights_folders: tuple[Path, ...] = ()

    def trunk(self) -> Trunk:
        """The protocol's trunk: initialised, partly frozen, normalising scenes of [0, 1] itself.

        Raises:
            UserError: Unknown timm model, weights that cannot be had, or a frozen part that does not exist.
        """
        trunk = self.protocol.trunk
        backbone = load_backbone(
            trunk.name, trunk.weights, trunk.arguments, self.bands, self.weights_folders, trunk.sha256
        )
        return Trunk(backbone, self.bands, self.size, trunk.mean, trunk.std, trunk.frozen)


@dataclass
class ParameterGroup:
    """Parameters that share a learning rate and a weight decay.

    Attributes:
        parameters: The tensors; those that do not require gradients are left out.
        rate: Factor on the protocol's learning rate.
        weight_decay: None: the protocol's.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    weight_decay: float | None = None


class Method(nn.Module, ABC):
    """A retrieval method. Subclasses set ``card`` and write ``__init__``, ``loss`` and ``describe``.

    ``across_ranks`` says how the loss of a batch comes about where several devices hold a part of it each: ``"mean"``,
    it is the mean over scenes of what each costs by itself; ``"gathered"``, scenes are compared with each other, and
    every term is computed on what :func:`rsir_bench.nn.collectives.gathered` gives; None, it cannot, or nobody has
    thought about it: the method is trained on one device only.

    Args:
        setup: What it is built for.
        settings: Its own settings, an instance of its ``Settings``.
    """

    card: ClassVar[Card]
    Settings: ClassVar[type[Settings]] = Settings
    rounds: ClassVar[int] = 1
    across_ranks: ClassVar[Literal["mean", "gathered"] | None] = None

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__()
        self.setup = setup
        self.settings = settings

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """The loss of a batch: a scalar, or named terms that are added up and logged one by one."""

    @abstractmethod
    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """The named descriptors, each (N, D), of scenes (N, B, H, W) in [0, 1]; called in evaluation mode."""

    def recipe(self, train: protocols.Train) -> protocols.Train:
        """The protocol's training settings, changed where the method needs its own (``train.model_copy``)."""
        return train

    def parameter_groups(self) -> list[ParameterGroup]:
        """Parameters with their own rate factor or weight decay; one group by default."""
        return [ParameterGroup(list(self.parameters()))]

    def at_own_rate(self, part: nn.Module, factor: float) -> list[ParameterGroup]:
        """What ``parameter_groups`` returns where ``part`` learns at ``factor`` times the protocol's rate."""
        own = list(part.parameters())
        apart = {id(parameter) for parameter in own}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in apart]
        return [ParameterGroup(rest), ParameterGroup(own, factor)]

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """The batches of one epoch as indices into the training set; shuffled scenes by default.

        Every epoch has as many: the learning rate's schedule is laid out for them.

        Args:
            labels: (N,) class of every training scene.
            size: Scenes in a batch, at most.
            generator: Seeded by run and epoch; the only source of chance allowed here.
        """
        return shuffled(len(labels), size, generator)

    def view(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch as the method wants to see it in training, for example rotated; unchanged by default."""
        return batch

    def report(self) -> dict[str, float]:
        """Figures of the epoch that just ended, for the run's log."""
        return {}

    @classmethod
    def parse_argument(cls, argument: str) -> dict[str, Any]:
        """Settings out of the text after the colon in ``--methods NAME:ARGUMENT``."""
        raise NotImplementedError

    @classmethod
    def starts_from(cls, settings: Any, trunk: protocols.Trunk) -> Start:
        """What its trunk starts from, for key and record; a method with a trunk of its own names that.

        Args:
            settings: An instance of its ``Settings``.
            trunk: The protocol's trunk.
        """
        return Start(trunk.name, trunk.weights, trunk.sha256)

    def training_set(self, number: int, previous: Method | None, source: Scenes, pool: Scenes | None) -> Scenes:
        """What round ``number`` (from 1) is trained on; the labelled source by default.

        Args:
            number: The round. A new network is built for each; ``self`` is that network, before training.
            previous: The trained network of the round before, in evaluation mode; None in the first. It may stand
                behind a front end: only its ``describe`` is sure to be what a method expects.
            source: The labelled scenes.
            pool: The protocol's unlabelled scenes, where the card asks for them.
        """
        return source


class FrontEnd(nn.Module, ABC):
    """A module before a method: scenes (N, B, H, W) in [0, 1] to scenes of the same shape."""

    card: ClassVar[FrontEndCard]
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__()
        self.setup = setup
        self.settings = settings

    @abstractmethod
    def forward(self, scenes: Tensor) -> Tensor:
        """The changed scenes."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """As :meth:`Method.parameter_groups`."""
        return [ParameterGroup(list(self.parameters()))]

    def report(self) -> dict[str, float]:
        """As :meth:`Method.report`."""
        return {}


def trainable(groups: Iterable[ParameterGroup]) -> list[ParameterGroup]:
    """The groups without frozen parameters, and without groups that are empty then."""
    kept = [
        ParameterGroup([p for p in group.parameters if p.requires_grad], group.rate, group.weight_decay)
        for group in groups
    ]
    return [group for group in kept if group.parameters]
