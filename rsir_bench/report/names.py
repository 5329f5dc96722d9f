"""Names as pages print them: short ones of methods, whose whole ones are shown on hover, and titles of boards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rsir_bench.records.schema import ProtocolPart

LONGEST = 32


def board_title(protocol: ProtocolPart) -> str:
    """Return the name of a board in words: that of its protocol, with the settings that make another board of it."""
    settings = ", ".join(protocol.overrides)
    return f"{protocol.name}, {settings}" if settings and protocol.board != protocol.name else protocol.board


def short_names(labels: Iterable[str]) -> dict[str, str]:
    """Return a short name for each label, different for each.

    The file of an encoder's weights and the settings behind a name are left out, unless two names would be one then;
    ``@none`` stays, as random weights are another thing.

    >>> short_names(["jsst", "timm:resnet18@weights.safetensors (timm.size=224)", "timm:resnet18@none"])
    {'jsst': 'jsst', 'timm:resnet18@weights.safetensors (timm.size=224)': 'timm:resnet18 (…)', 'timm:resnet18@none': \
'timm:resnet18@none'}
    """
    every = list(dict.fromkeys(labels))
    found: dict[str, str] = {}
    for shorten in (_without_weights, _without_settings, _cut):
        left = [label for label in every if label not in found]
        counts = Counter([*found.values(), *map(shorten, left)])
        found |= {label: shorten(label) for label in left if counts[shorten(label)] == 1}
    return {label: found.get(label, label) for label in every}


def _without_weights(label: str) -> str:
    """Return the name without the file of weights, with ``(…)`` for settings."""
    name, settings = _parts(label)
    model, _, weights = name.partition("@")
    kept = name if weights in ("", "none") else model
    return _ended(kept) + settings


def _without_settings(label: str) -> str:
    name, settings = _parts(label)
    return _cut(name) + settings


def _parts(label: str) -> tuple[str, str]:
    """Return the name, and ``" (…)"`` if settings follow it."""
    name, found, _ = label.partition(" (")
    return name, " (…)" if found else ""


def _ended(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _cut(text: str) -> str:
    """Return the two ends of a text that is too long: the difference of two names is often at the end."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2 - 1]}…{text[-LONGEST // 2 :]}"
