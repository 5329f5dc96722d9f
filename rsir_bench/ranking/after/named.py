"""Post-processing by name: ``aqe:10,3``, ``kreciprocal:20,6,0.3``, ``diffusion``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import Field, fields

from rsir_bench.base.errors import UserError, suggest
from rsir_bench.ranking.after.contract import PostProcessing, is_whole

Kinds = Mapping[str, type[PostProcessing]]

SHIPPED = {
    "aqe": ("expansion", "QueryExpansion"),
    "dba": ("augmentation", "Augmentation"),
    "dba-gallery": ("augmentation", "GalleryAugmentation"),
    "diffusion": ("diffusion", "Diffusion"),
    "kreciprocal": ("kreciprocal", "KReciprocal"),
    "pca": ("components", "TargetComponents"),
    "whiten": ("components", "TargetWhitening"),
}
"""Module and class by name; they are imported when they are first used, as some need scipy."""


def named(text: str, more: Kinds | None = None) -> PostProcessing:
    """Return the post-processing that ``NAME`` or ``NAME:VALUE,VALUE`` means.

    Args:
        text: The name, with all values or none.
        more: The user's own kinds by name.

    Raises:
        UserError: The name is unknown, or values are not the right ones.

    Examples:
        >>> named("kreciprocal:20,6,.3").label, str(named("aqe"))
        ('k-reciprocal 20,6,0.3 (transductive)', 'aqe:10,3')
    """
    name, colon, words = text.strip().partition(":")
    own = more or {}
    if name not in own and name not in SHIPPED:
        raise UserError(f"after {text!r}: {suggest(name, [*SHIPPED, *own])}")
    kind = own[name] if name in own else _shipped(name)
    wanted = fields(kind)
    given = words.split(",") if colon else []
    if given and len(given) != len(wanted):
        shape = f"{name}:{','.join(entry.name for entry in wanted)}" if wanted else name
        raise UserError(f"after {text!r}: {len(given)} values, expected {len(wanted)}; write {shape}")
    return kind(*(_value(text, word, entry) for word, entry in zip(given, wanted, strict=False)))


def _shipped(name: str) -> type[PostProcessing]:
    module, of_module = SHIPPED[name]
    kind: type[PostProcessing] = getattr(importlib.import_module(f"rsir_bench.ranking.after.{module}"), of_module)
    return kind


def _value(text: str, word: str, entry: Field[int | float]) -> int | float:
    """Return a value of the type of its field.

    Raises:
        UserError: The word is no such number.
    """
    whole = is_whole(entry)
    try:
        return int(word) if whole else float(word)
    except ValueError:
        raise UserError(f"after {text!r}: {entry.name} {word!r} is not a {'whole ' * whole}number") from None
