"""Embed a scene in an HTML page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from rsir_bench.scenes.decode import Pixels
from rsir_bench.scenes.pixel_cache import Transform

PICTURE = Transform(192)
"""How pages show scenes: red, green and blue, 192 pixels wide."""


def as_address(scene: Pixels) -> str:
    """Return (H, W, 3) uint8 pixels, 0 to 255, as a JPEG in a data URI, for ``<img src>``."""
    stream = io.BytesIO()
    Image.fromarray(scene).save(stream, "jpeg", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
