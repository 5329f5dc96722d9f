"""What a network was made to see: size, interpolation, crop, normalisation and bands."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.scenes.decode import Fit
from rsir_bench.scenes.pixel_cache import Transform

CHANGEABLE = ("size", "interpolation", "fit", "crop", "mean", "std")


@dataclass(frozen=True)
class Input:
    """The input of an encoder.

    Attributes:
        size: Side of the square in pixels.
        interpolation: Pillow's filter.
        fit: How a scene of any shape becomes a square, see ``rsir_bench.scenes.decode.Resize``.
        crop: The share of the resized side that is kept.
        mean: Per band, or one for all.
        std: Likewise.
        bands: Names of the bands, in order; empty: red, green and blue.
        stored: Whether ``mean`` and ``std`` are of the values that files store; otherwise of values on [0, 1].
    """

    size: int
    interpolation: str = "bicubic"
    fit: Fit = "squash"
    crop: float = 1.0
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    bands: tuple[str, ...] = ()
    stored: bool = False

    @property
    def scale(self) -> int:
        """The side in pixels that is resized to, before the centre is taken."""
        return math.floor(self.size / self.crop)

    @property
    def transform(self) -> Transform:
        """How a scene becomes pixels."""
        scale = None if self.scale == self.size else self.scale
        return Transform(self.size, self.interpolation, self.bands or "rgb", fit=self.fit, scale=scale)

    def changed(self, settings: EncoderSettings) -> tuple[Input, dict[str, Any]]:
        """Return the input with what the settings change, and those changes by name."""
        asked = {name: getattr(settings, name) for name in CHANGEABLE}
        asked = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
        found = {name: value for name, value in asked.items() if value not in (None, getattr(self, name))}
        stored = self.stored and not found.keys() & {"mean", "std"}
        return replace(self, stored=stored, **found), found

    def on_unit_range(self, limits: tuple[float, float] | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation on [0, 1].

        Args:
            limits: The stored values that become 0 and 1; None: those of 8 bits.
        """
        if not self.stored:
            return self.mean, self.std
        low, high = limits or (0.0, 255.0)
        mean = tuple((value - low) / (high - low) for value in self.mean)
        return mean, tuple(value / (high - low) for value in self.std)

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for keys and files."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Input:
        """Return the input from the result of ``plain``."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()
        }
        return cls(**values)


def share(size: int, scale: int) -> float:
    """Return the crop with which ``scale`` is resized to, for a side of ``size``.

    >>> Input(518, crop=share(518, 592)).scale
    592
    """
    found = min(1.0, size / scale)
    return found if math.floor(size / found) == scale or scale <= size else math.nextafter(found, 0)
