"""A method as the user named it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsir_bench.method.contract import Method, Setup


@dataclass(frozen=True)
class NamedMethod:
    """A method as the user named it: class, settings and label.

    Attributes:
        name: As in ``--methods``, for example ``"jsst+se"`` or ``"timm:resnet50"``, without the folder of weights.
        word: As the user gave it: with it, the same method is found again.
        kind: The class to build.
        settings: What the class is built with.
        values: The settings as plain values, for the record.
        identity: Those that are not at their defaults, for the resume key; a new default must raise the card's version.
        changed: The settings that differ from the class's and the protocol's defaults.
        weights: Those of the values that name weights.
        parts: The names of its classes: front ends, then the method.
        sources: The files the classes came from.
    """

    name: str
    word: str
    kind: type[Method]
    settings: Any
    values: dict[str, Any]
    identity: dict[str, Any]
    changed: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()

    @property
    def label(self) -> str:
        """The name with every changed setting."""
        if not self.changed:
            return self.name
        return f"{self.name} ({', '.join(f'{key}={value}' for key, value in sorted(self.changed.items()))})"

    @property
    def uses_trunk(self) -> bool:
        """Whether it builds the protocol's trunk; an untrained one that names weights, as ``timm:``, brings its own."""
        return self.kind.card.trained or not self.weights

    def build(self, setup: Setup) -> Method:
        """A new network.

        Raises:
            UserError: Weights that cannot be had, or settings the network cannot be built with.
        """
        return self.kind(setup, self.settings)
