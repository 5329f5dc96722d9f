"""A method as the user named it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsir_bench.method.contract import Card, Method, Setup


@dataclass(frozen=True)
class MethodSpec:
    """A method as the user named it: class, settings and label.

    Attributes:
        name: As in ``--methods``, for example ``"jsst+se"`` or ``"timm:resnet50"``, without the folder of weights.
        requested_as: As the user wrote it; resolving it finds the same method again.
        method_class: The class to build.
        settings: The settings to build it with.
        settings_dict: The same as plain values, by ``name.key``, for the record.
        non_default: Those that differ from the class's defaults, for the resume key; when a default changes, raise the
            card's version.
        overridden: Those that differ from the class's and from the protocol's defaults.
        weights: Those that name weights.
        parts: The names of the combined classes: front ends, then the method.
        sources: The files that define them, by name.
        code: The digests of the files of its code, and of what these import.
        own_code: Digest of the code of those that are not as shipped, the user's own above all; empty otherwise.
        asked_as: For the command that makes a result again, where ``name`` is not what ``--methods`` takes: an encoder
            is named by its weights, wherever they came from.
    """

    name: str
    requested_as: str
    method_class: type[Method]
    settings: Any
    settings_dict: dict[str, Any]
    non_default: dict[str, Any]
    overridden: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    sources: dict[str, Path] = field(default_factory=dict)
    code: dict[Path, str] = field(default_factory=dict)
    own_code: str = ""
    asked_as: str = ""

    @property
    def card(self) -> Card:
        """The card of the class."""
        return self.method_class.card

    @property
    def label(self) -> str:
        """The name, with every overridden setting."""
        if not self.overridden:
            return self.name
        return f"{self.name} ({', '.join(f'{key}={value}' for key, value in sorted(self.overridden.items()))})"

    @property
    def uses_trunk(self) -> bool:
        """Whether it builds the protocol's trunk; an untrained method that names weights, as ``timm:``, does not."""
        return self.card.trained or not self.weights

    def build(self, setup: Setup) -> Method:
        """Build a new network.

        Raises:
            UserError: Weights are not available, or the network cannot be built with these settings.
        """
        return self.method_class(setup, self.settings)
