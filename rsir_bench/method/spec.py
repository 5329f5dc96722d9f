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
        requested_as: The name as the user wrote it; resolving it gives the same method.
        method_class: The class to build.
        settings: The settings to build it with.
        settings_dict: The same as plain values, by ``name.key``, for the record.
        non_default: The settings that differ from the class's defaults, for the resume key; when a default changes,
            raise the card's version.
        overridden: The settings that differ from the defaults of the class and of the protocol.
        weights: The settings that name weights.
        parts: The names of the combined classes: front ends, then the method.
        sources: The files that define them, by name.
        code: The digests of the files of its code, including imported files.
        own_code: Digest of the code that is not as shipped, such as the user's own; empty otherwise.
        asked_as: The name for the command that reproduces a result, if ``--methods`` does not accept ``name``: an
            encoder's name contains the digest of its weights.
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
        """Whether it builds the protocol's trunk; untrained methods that name weights, such as ``timm:``, do not."""
        return self.card.trained or not self.weights

    def build(self, setup: Setup) -> Method:
        """Build a new network.

        Raises:
            UserError: Weights are not available, or the network cannot be built with these settings.
        """
        return self.method_class(setup, self.settings)
