"""The contract of a method.

A method is one file with one class: a ``Card``, a loss on a batch, and named descriptors of a batch. Everything else
has a default: the optimizer recipe, parameter groups, batches, augmentation and rounds of training.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from typing_extensions import TypeVar

from rsir_bench import protocol as protocols
from rsir_bench.method.renamed import RenamedFields, RenamedHooks
from rsir_bench.nn.trunk import Trunk, load_backbone
from rsir_bench.scenes.batches import Batch, Scenes, shuffled


class Row(BaseModel):
    """One row of the tables: a descriptor, and how it is reduced.

    ``kind`` is ``"real"`` (the vector as it is), ``"pca"`` (its principal components) or ``"code"`` (its signs as bits,
    compared by Hamming distance). ``paper`` names the published row: method and variant in ``paper_tables.csv``.
    ``round`` is the training round, from 1, whose network computes the row; None is the last round.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    descriptor: str
    kind: Literal["real", "pca", "code"] = "real"
    paper: tuple[str, str] | None = None
    round: int | None = Field(None, ge=1)


class Card(RenamedFields):
    """The facts that a reader needs about a method before trusting its numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    old_names: ClassVar[Mapping[str, str]] = {"unlabelled": "needs_unlabelled"}
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="As in --methods.")
    title: str = Field(min_length=1, description="As in the tables; '{trunk}' becomes the trunk's title.")
    paper: str = Field(min_length=1, description="Authors, title, venue.")
    year: int = Field(ge=1900)
    rows: dict[str, Row] = Field(min_length=1)
    tables: list[str] = Field(default_factory=list, description="Tables of the JSST paper that show the method.")
    stated: list[str] = Field(default_factory=list, description="What its paper states.")
    choices: list[str] = Field(default_factory=list, description="What the paper leaves open, and what is done here.")
    trained: bool = True
    trunk: str | None = Field(None, description="For a method with its own trunk: the trunk that it replaces.")
    needs_unlabelled: bool = Field(False, description="Whether it needs the protocol's pool of unlabelled scenes.")
    version: int = Field(1, ge=1, description="Raise it when the method's results change: finished runs are redone.")


class FrontEndCard(RenamedFields):
    """The card of a front end, which transforms scenes before a method sees them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    old_names: ClassVar[Mapping[str, str]] = {"alone": "default_method"}
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = Field(min_length=1)
    paper: str = Field(min_length=1)
    year: int = Field(ge=1900)
    default_method: str = Field("baseline", description="The method it is combined with when named alone.")
    published: dict[str, tuple[str, str]] = Field(
        default_factory=dict, description="Row of ``default_method`` -> published method and variant."
    )
    tables: list[str] = Field(default_factory=list)
    stated: list[str] = Field(default_factory=list)
    choices: list[str] = Field(default_factory=list)
    learned: bool = Field(True, description="Whether it has parameters that must be trained.")
    differentiable: bool = Field(True, description="Whether gradients pass through it, to a front end before it.")
    version: int = Field(1, ge=1)


class Settings(BaseModel):
    """Base class of a method's settings; ``--set methods.NAME.key=value`` changes one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


SettingsT = TypeVar("SettingsT", default=Any)
"""The type of a method's settings; a class that does not specify it accepts any type."""

A_FILE_OF_WEIGHTS = "names weights"

Weights = Annotated[str, A_FILE_OF_WEIGHTS]
"""Type of a setting that names weights: ``"imagenet"``, ``"none"`` or a file, which is recorded by its content."""


@dataclass(frozen=True)
class WeightSource:
    """Initial weights of a trunk: a timm model, and its weights in the notation of ``trunk.weights``."""

    model: str
    weights: str
    sha256: str | None = None


@dataclass(frozen=True)
class Setup:
    """Everything a method needs to know to build its network.

    Attributes:
        classes: Number of classes of the source.
        bands: Number of bands of a scene.
        scenes: Number of labelled source scenes (the size of a memory bank, unless later rounds add scenes).
        size: Side of a scene in pixels.
        protocol: The protocol's settings: trunk, head, training.
        weights_folders: Folders that are searched for files of weights.
        value_range: The stored pixel values that become 0 and 1 in scenes; None: 8 bits, or the range of the integer
            type.
    """

    classes: int
    bands: int
    scenes: int
    size: int
    protocol: protocols.Protocol
    weights_folders: tuple[Path, ...] = ()
    value_range: tuple[float, float] | None = None

    def trunk(self) -> Trunk:
        """Build the protocol's trunk: initialised, partly frozen, normalising scenes of [0, 1] itself.

        Raises:
            UserError: The timm model is unknown, its weights are not available, or a frozen part does not exist.
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
        parameters: The tensors; those that do not require gradients are skipped.
        rate: Factor on the protocol's learning rate.
        weight_decay: The weight decay; None: the protocol's.
        absolute_rate: The highest learning rate itself, instead of a factor; the schedule scales it like the protocol's
            rate. None: ``rate`` is used.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    weight_decay: float | None = None
    absolute_rate: float | None = None


class Method(RenamedHooks, nn.Module, ABC, Generic[SettingsT]):
    """A retrieval method. Subclasses set ``card`` and write ``__init__``, ``loss`` and ``describe``.

    ``distributed_loss`` sets how the loss is computed when several devices hold parts of one batch. ``"mean"``: the
    loss is the mean of a loss of each scene alone. ``"gathered"``: the loss compares scenes with each other, and every
    term is computed on the result of ``rsir_bench.nn.collectives.all_gather_with_grad``. None: the loss cannot be
    split, or this has not been checked, so the method is trained on one device only.

    Args:
        setup: What the network is built for.
        settings: An instance of the class's ``Settings``.
    """

    card: ClassVar[Card]
    Settings: ClassVar[type[Settings]] = Settings
    rounds: ClassVar[int] = 1
    distributed_loss: ClassVar[Literal["mean", "gathered"] | None] = None

    def __init__(self, setup: Setup, settings: SettingsT) -> None:
        super().__init__()
        self.setup = setup
        self.settings = settings

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """Return the loss of a batch: a scalar float, or named terms that are summed and logged separately.

        Args:
            batch: ``scenes`` (N, B, H, W) float32 in [0, 1], ``labels`` and ``index`` (N,) int64.
        """

    @abstractmethod
    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return named descriptors, each (N, D) float, of scenes (N, B, H, W) in [0, 1]; called in evaluation mode."""

    def recipe(self, train: protocols.Train) -> protocols.Train:
        """Return the training settings: the protocol's, or a changed copy (``train.model_copy``)."""
        return train

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return the parameters in groups with a learning rate and weight decay each; one group by default."""
        return [ParameterGroup(list(self.parameters()))]

    def split_parameter_group(
        self, part: nn.Module, factor: float = 1.0, absolute_rate: float | None = None
    ) -> list[ParameterGroup]:
        """Return two groups for ``parameter_groups``: the other parameters, and those of ``part`` at their own rate.

        Args:
            part: A part of the method.
            factor: On the training's learning rate.
            absolute_rate: The highest learning rate itself, in place of the factor.
        """
        own = list(part.parameters())
        apart = {id(parameter) for parameter in own}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in apart]
        return [ParameterGroup(rest), ParameterGroup(own, factor, absolute_rate=absolute_rate)]

    def at_own_rate(self, part: nn.Module, factor: float) -> list[ParameterGroup]:
        """Call ``split_parameter_group``, the new name of this method; kept for one more release."""
        message = "rsir_bench.method: Method.at_own_rate is now called split_parameter_group; rename it"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.split_parameter_group(part, factor)

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return the batches of one epoch as indices into the training set; shuffled scenes by default.

        Every epoch must have the same number of batches: the learning rate schedule is computed for it.

        Args:
            labels: (N,) int64 class of every training scene.
            size: Maximum number of scenes in a batch.
            generator: Seeded for this run and epoch; the only source of randomness allowed here.

        Returns:
            One int64 tensor (n,) per batch, with values in [0, N).
        """
        return shuffled(len(labels), size, generator)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch as training sees it, for example with rotated scenes; unchanged by default.

        Args:
            batch: ``scenes`` (N, B, H, W) float32 in [0, 1], ``labels`` and ``index`` (N,) int64.
            generator: The random generator, on the CPU.
        """
        return batch

    def epoch_metrics(self) -> dict[str, float]:
        """Return named values for the training log, about the epoch that just ended."""
        return {}

    @classmethod
    def parse_argument(cls, argument: str) -> dict[str, Any]:
        """Return settings parsed from the text after the colon in ``--methods NAME:ARGUMENT``.

        Raises:
            NotImplementedError: The method takes no argument.
        """
        raise NotImplementedError

    @classmethod
    def initial_weights(cls, settings: Any, trunk: protocols.Trunk) -> WeightSource:
        """Return the initial weights of the trunk, for key and record; override it if the method has its own trunk.

        Args:
            settings: An instance of the class's ``Settings``.
            trunk: The protocol's trunk.
        """
        return WeightSource(trunk.name, trunk.weights, trunk.sha256)

    def training_set(self, number: int, previous: Method | None, source: Scenes, pool: Scenes | None) -> Scenes:
        """Return the training set of round ``number`` (from 1); the labelled source by default.

        Args:
            number: The round. A new network is built for each round; ``self`` is that network, before training.
            previous: The trained network of the previous round, in evaluation mode; None in the first round. It may be
                combined with a front end, so rely only on its ``describe``.
            source: The labelled scenes, (N, H, W, B) uint8.
            pool: The protocol's unlabelled scenes, (M, H, W, B) uint8, if the card asks for them.
        """
        return source


class FrontEnd(RenamedHooks, nn.Module, ABC, Generic[SettingsT]):
    """A module before a method: scenes (N, B, H, W) in [0, 1] to scenes of the same shape."""

    card: ClassVar[FrontEndCard]
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, setup: Setup, settings: SettingsT) -> None:
        super().__init__()
        self.setup = setup
        self.settings = settings

    @abstractmethod
    def forward(self, scenes: Tensor) -> Tensor:
        """Return the transformed scenes, (N, B, H, W) float, of scenes (N, B, H, W) in [0, 1]."""

    def displacement(self, scenes: Tensor) -> Tensor | None:
        """Return how far the content of each scene is moved, in pixels; called in evaluation mode, for the record.

        A front end that resamples scenes overrides it. The result is the mean distance, over the pixels of a
        transformed scene, between the position of a pixel and the position that it is sampled from
        (``rsir_bench.nn.warp.distances`` of a sampling grid).

        Args:
            scenes: (N, B, H, W) float in [0, 1], before the front end.

        Returns:
            (N,) float, pixels; zero by default, because only values change. None: not defined, as for a mean over
            several views.
        """
        return scenes.new_zeros(len(scenes))

    @property
    def idle_epochs(self) -> int:
        """The number of epochs before the front end starts to change scenes; 0 by default."""
        return 0

    def recipe(self, train: protocols.Train) -> protocols.Train:
        """Return the training settings, which the method may change further; the protocol's by default."""
        return train

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return parameter groups, as ``Method.parameter_groups`` does."""
        return [ParameterGroup(list(self.parameters()))]

    def epoch_metrics(self) -> dict[str, float]:
        """Return values for the training log, as ``Method.epoch_metrics`` does."""
        return {}


def trainable(groups: Iterable[ParameterGroup]) -> list[ParameterGroup]:
    """Return the groups without frozen parameters; groups that become empty are dropped."""
    kept = [replace(group, parameters=[p for p in group.parameters if p.requires_grad]) for group in groups]
    return [group for group in kept if group.parameters]
