"""A scene in a page that needs no other file."""

from __future__ import annotations

import base64
import io

from PIL import Image

from rsir_bench.scenes.decode import Pixels
from rsir_bench.scenes.pixel_cache import Transform

PICTURE = Transform(192)
"""How pages show scenes: red, green and blue, 192 pixels wide."""


def as_address(scene: Pixels) -> str:
    """The address of an image that holds its own bytes, for ``<img src>``: a JPEG of uint8 pixels (H, W, 3)."""
    stream = io.BytesIO()
    Image.fromarray(scene).save(stream, "jpeg", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
