"""Make classes from classes: a front end before a method, a preset under another name, a tuned row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import BaseModel, Field, create_model
from torch import Tensor

from rsir_bench import protocol as protocols
from rsir_bench.method.contract import FrontEnd, FrontEndCard, Method, ParameterGroup, Settings, Setup, WeightSource
from rsir_bench.scenes.batches import Batch, Scenes

PresetT = TypeVar("PresetT", bound="Method | FrontEnd")

SEARCHED = (
    "use the protocol's settings for this row, found by a search on classes held out of its source, with the same "
    "number of configurations for each tuned row"
)


@dataclass
class ComposedSettings:
    """The settings of a front end and of the method behind it."""

    front: Any
    inner: Any


class Composed(Method[ComposedSettings]):
    """A front end before a method; ``compose`` makes its subclasses."""

    front_class: ClassVar[type[FrontEnd]]
    inner_class: ClassVar[type[Method]]

    def __init__(self, setup: Setup, settings: ComposedSettings) -> None:
        super().__init__(setup, settings)
        self.front = self.front_class(setup, settings.front)
        self.inner = self.inner_class(setup, settings.inner)
        idle = self.front.idle_epochs
        if idle and idle >= (epochs := self.recipe(setup.protocol.train).epochs):
            raise ValueError(f"idle_epochs={idle}: no epoch of {epochs} remains; set fewer")

    def loss(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """Return the method's loss on the transformed scenes: a scalar float, or several by name.

        Args:
            batch: ``scenes`` (N, B, H, W) float32 in [0, 1] and ``labels`` (N,) int64.
        """
        return self.inner.loss(batch.with_scenes(self.front(batch.scenes)))

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return the method's descriptors, each (N, D) float, of the transformed scenes (N, B, H, W)."""
        return self.inner.describe(self.front(scenes))

    @property
    def without_front_end(self) -> Method:
        """The method behind all front ends, with the same weights."""
        return self.inner.without_front_end if isinstance(self.inner, Composed) else self.inner

    @property
    def front_ends(self) -> list[FrontEnd]:
        """The front ends, in the order in which scenes pass them."""
        return [self.front, *(self.inner.front_ends if isinstance(self.inner, Composed) else [])]

    def recipe(self, train: protocols.Train) -> protocols.Train:
        """Return the method's recipe, applied to that of the front end."""
        return self.inner.recipe(self.front.recipe(train))

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return the groups of both."""
        return [*self.front.parameter_groups(), *self.inner.parameter_groups()]

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return the method's batches of one epoch, each (n,) int64 indices, for ``labels`` (N,) int64."""
        return self.inner.batches(labels, size, generator)

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch, ``scenes`` (N, B, H, W) float32, as the method augments it before the front end."""
        return self.inner.augment(batch, generator)

    def epoch_metrics(self) -> dict[str, float]:
        """Return the values of both."""
        return {**self.front.epoch_metrics(), **self.inner.epoch_metrics()}

    @classmethod
    def initial_weights(cls, settings: ComposedSettings, trunk: protocols.Trunk) -> WeightSource:
        """Return the method's initial weights."""
        return cls.inner_class.initial_weights(settings.inner, trunk)

    def training_set(self, number: int, previous: Method | None, source: Scenes, pool: Scenes | None) -> Scenes:
        """Return the method's training set: scenes (N, H, W, B) uint8 with labels (N,) int64."""
        return self.inner.training_set(number, previous, source, pool)


def compose(front: type[FrontEnd], inner: type[Method], *, alone: bool) -> type[Composed]:
    """Return the method ``front+inner``; ``alone`` if the user named only the front end."""
    rows = {
        name: row.model_copy(update={"paper": front.card.published.get(name) if alone else None})
        for name, row in inner.card.rows.items()
    }
    changes = {
        "name": front.card.name if alone else f"{front.card.name}-{inner.card.name}",
        "title": front.card.title if alone else f"{front.card.title}+{inner.card.title}",
        "paper": front.card.paper if alone else f"{front.card.paper}; {inner.card.paper}",
        "year": front.card.year if alone else max(front.card.year, inner.card.year),
        "rows": rows,
        "tables": front.card.tables if alone else [],
        "stated": [*front.card.stated, *inner.card.stated],
        "choices": [*front.card.choices, *inner.card.choices],
        "version": 1000 * front.card.version + inner.card.version,
    }
    body = {"card": inner.card.model_copy(update=changes), "front_class": front, "inner_class": inner}
    body |= {"rounds": inner.rounds, "distributed_loss": inner.distributed_loss}
    return type("Composed", (Composed,), body)


def preset(base: type[PresetT], defaults: Mapping[str, Any], **card: Any) -> type[PresetT]:
    """Return a variant of ``base`` with other defaults and another name.

    The registry finds it if it is a variable of the module that defines ``base``.

    Args:
        base: The class.
        defaults: The settings whose defaults differ, and their defaults.
        card: The fields of the card that differ, at least ``name``.
    """
    name = "".join(word.capitalize() for word in card["name"].split("-"))
    fields: dict[str, Any] = {
        key: (base.Settings.model_fields[key].annotation, value) for key, value in defaults.items()
    }
    settings = create_model(f"{name}Settings", __base__=base.Settings, __module__=base.__module__, **fields)
    return _renamed(base, name, settings, card)


def _renamed(
    base: type[PresetT], name: str, settings: type[BaseModel], card: Mapping[str, Any], **body: Any
) -> type[PresetT]:
    """Return a subclass in the module of ``base``, with these settings, changes of the card and other attributes."""
    body |= {"__module__": base.__module__, "__doc__": base.__doc__, "Settings": settings}
    return type(name, (base,), {**body, "card": base.card.model_copy(update=card)})


class Schedule(Settings):
    """The settings of training that a tuned row may change; None: as in the protocol.

    Attributes:
        epochs: Passes over the source; required, because the tuned value depends on the protocol.
        train_rate: The highest learning rate.
        flip: Random horizontal and vertical flips.
        distort: Strength of random distortions.
    """

    epochs: int = Field(ge=1)
    train_rate: float | None = Field(None, gt=0)
    flip: bool | None = None
    distort: float | None = Field(None, ge=0, le=1)

    def applied_to(self, train: protocols.Train) -> protocols.Train:
        """Return the training settings with this schedule.

        Raises:
            ValueError: It contradicts other settings, such as milestones after the last epoch.
        """
        values = {"epochs": self.epochs, "rate": self.train_rate, "flip": self.flip, "distort": self.distort}
        changed = {name: value for name, value in values.items() if value is not None}
        return protocols.Train.model_validate(train.model_dump() | changed)


def tuned(base: type[PresetT]) -> type[PresetT]:
    """Return ``NAME-tuned``: a method or front end whose settings include a schedule, with values from protocols.

    The registry finds it if it is a variable of the module that defines ``base``.
    """
    card, name = base.card, f"{base.__name__}Tuned"
    settings = create_model(f"{name}Settings", __base__=(Schedule, base.Settings), __module__=base.__module__)

    def recipe(self: Any, train: protocols.Train) -> protocols.Train:
        """Return the training settings with the row's schedule, and then the method's changes."""
        changed: protocols.Train = base.recipe(self, self.settings.applied_to(train))
        return changed

    changes: dict[str, Any] = {
        "name": f"{card.name}-tuned",
        "title": f"{card.title}, tuned",
        "tables": [],
        "choices": [*card.choices, SEARCHED],
    }
    if isinstance(card, FrontEndCard):
        changes["published"] = {}
    else:
        changes["rows"] = {row: made.model_copy(update={"paper": None}) for row, made in card.rows.items()}
    return _renamed(base, name, settings, changes, recipe=recipe)
