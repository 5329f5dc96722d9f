"""The result of every reader: the values of a scene as its file stores them, and facts about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
"""(height, width, bands) of any real number type."""


@dataclass(frozen=True)
class Facts:
    """What the head of a file says of its scene.

    Attributes:
        height: In pixels.
        width: In pixels.
        bands: Values of each pixel that the file stores.
        natural: Bands that a folder takes where nobody says how many: 3 for grey, for colours and for these with alpha.
        type: Type of the values, such as ``uint16``; ``uint8`` also where fewer bits are stretched to 0..255.
        layout: The bands in words, such as ``RGB``, ``grey`` or ``13 bands``.
        nodata: The value that the file names as missing, None if it names none.
        alpha: The number of the band that is tagged alpha, from 1; 0 for none.
        notes: What is done to the scene or left out of it, in words.
    """

    height: int
    width: int
    bands: int
    natural: int
    type: str
    layout: str
    nodata: float | None = None
    alpha: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_8_bit(self) -> bool:
        """Whether values are 0..255 already, so that no value range is needed."""
        return self.type == "uint8"

    @property
    def is_integer(self) -> bool:
        """Whether values are whole numbers."""
        return "int" in self.type


def to_8_bit(values: Values, bits: int) -> Values:
    """Return unsigned values of 1 to 8 bits, stretched to 0..255, as uint8."""
    if bits == 8:
        return np.asarray(values, np.uint8)
    return np.asarray(values.astype(np.uint16) * 255 // (2**bits - 1), np.uint8)
