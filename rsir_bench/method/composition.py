"""A front end before a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rsir_bench import protocol as protocols
from rsir_bench.method.contract import FrontEnd, Method, ParameterGroup, Setup, Start
from rsir_bench.scenes.batches import Batch, Scenes


@dataclass
class ComposedSettings:
    """The settings of a front end and of the method behind it."""

    front: Any
    inner: Any


class Composed(Method):
    """A front end before a method; built by :func:`compose`."""

    front_class: ClassVar[type[FrontEnd]]
    inner_class: ClassVar[type[Method]]

    def __init__(self, setup: Setup, settings: ComposedSettings) -> None:
        super().__init__(setup, settings)
        self.front = self.front_class(setup, settings.front)
        self.inner = self.inner_class(setup, settings.inner)

    def loss(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """The method's loss on the changed scenes."""
        return self.inner.loss(batch.with_scenes(self.front(batch.scenes)))

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """The method's descriptors of the changed scenes."""
        return self.inner.describe(self.front(scenes))

    def recipe(self, train: protocols.Train) -> protocols.Train:
        """The method's recipe."""
        return self.inner.recipe(train)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Those of the front end and of the method."""
        return [*self.front.parameter_groups(), *self.inner.parameter_groups()]

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """The method's batches."""
        return self.inner.batches(labels, size, generator)

    def view(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The method's views; the front end sees what the method would have seen."""
        return self.inner.view(batch, generator)

    def report(self) -> dict[str, float]:
        """Figures of both."""
        return {**self.front.report(), **self.inner.report()}

    @classmethod
    def starts_from(cls, settings: ComposedSettings, trunk: protocols.Trunk) -> Start:
        """What the method starts from."""
        return cls.inner_class.starts_from(settings.inner, trunk)

    def training_set(self, number: int, previous: Method | None, source: Scenes, pool: Scenes | None) -> Scenes:
        """The method's training set."""
        return self.inner.training_set(number, previous, source, pool)


def compose(front: type[FrontEnd], inner: type[Method], *, alone: bool) -> type[Composed]:
    """The method ``front+inner``; ``alone`` when the user named only the front end."""
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
    body |= {"rounds": inner.rounds, "across_ranks": inner.across_ranks}
    return type("Composed", (Composed,), body)
