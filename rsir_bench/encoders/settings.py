"""The settings of an encoder, and how its name is read: ``MODEL[.TAG][@WEIGHTS][:setting=value]``."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from rsir_bench.base.errors import UserError
from rsir_bench.method import Settings, Weights
from rsir_bench.protocol import parse_value

SETTING = re.compile(r":(?=[a-z_]+=)")
"""What separates settings from the name and from each other; a path may hold other colons."""

AS_THE_WEIGHTS = ("size", "interpolation", "fit", "crop", "pooling")


class EncoderSettings(Settings):
    """Which network, with which weights; None if the weights' own configuration decides.

    Attributes:
        model: The library's name of the model, with the tag of its weights where there are several.
        weights: "own" (those of the tag, fetched by the library), "none" (random ones), or a file.
        size: Side of the scene in pixels.
        interpolation: Pillow's filter.
        fit: "squash" (to a square), "crop" (the shape is kept, the middle taken) or "pad" (black around it).
        crop: The share of the resized side that is kept, from above 0 to 1.
        pooling: "cls", "mean", "gem" or "cls+mean" of the last layer.
        mean: Mean per band, on [0, 1].
        std: Standard deviation, likewise.
    """

    model: str
    weights: Weights = "own"
    size: int | None = Field(default=None, ge=16, le=8192)
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] | None = None
    fit: Literal["squash", "crop", "pad"] | None = None
    crop: float | None = Field(default=None, gt=0, le=1)
    pooling: Literal["cls", "mean", "gem", "cls+mean"] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None

    @model_serializer(mode="wrap")
    def _changes_only(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the weights decide, so that settings of other protocols read as before there were encoders."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name not in AS_THE_WEIGHTS or value is not None}


def read_name(argument: str) -> dict[str, Any]:
    """Return the settings in ``MODEL@WEIGHTS:size=224:pooling=mean``.

    >>> read_name("vit_tiny_patch16_224@none:pooling=cls+mean")
    {'model': 'vit_tiny_patch16_224', 'weights': 'none', 'pooling': 'cls+mean'}

    Raises:
        UserError: A setting is given twice; the model and the weights after ``@`` count as settings.
    """
    name, *changes = SETTING.split(argument)
    model, _, weights = name.partition("@")
    settings = {"model": model, **({"weights": weights} if weights else {})}
    given = Counter([*settings, *(change.partition("=")[0] for change in changes)])
    if twice := next((key for key, count in given.items() if count > 1), None):
        raise UserError(f"{name}: {twice} is set twice; keep one of them")
    return settings | {key: parse_value(text) for key, _, text in (change.partition("=") for change in changes)}
