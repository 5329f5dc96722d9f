"""Read PNG files of 16 bits and several bands, of which Pillow keeps 8.

A PNG's filters work on each byte of a pixel apart from its others. So the high bytes of all values, with the filters as
they are, make a PNG of 8 bits, the low bytes another, and Pillow decodes both exactly.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from rsir_bench.scenes.reading.stored import Values
from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError, decoding

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_deep_png(content: bytes) -> Values:
    """Return all bands, (height, width, channels) uint16.

    Raises:
        DamagedError: The file is cut off, or its bytes make no sense.
        RefusedError: It is interlaced.
    """
    width, height, _, colours, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if interlaced:
        raise RefusedError("an interlaced PNG of 16 bits; save the scene as tif")
    channels = {2: 3, 4: 2, 6: 4}[colours]
    size = height * (1 + 2 * channels * width)
    with decoding("cannot be decoded"):
        packed = b"".join(data for kind, data in _chunks(content) if kind == b"IDAT")
        rows = zlib.decompressobj().decompress(packed, size)
    if len(rows) != size:
        raise DamagedError(f"cut off: {len(rows):,} bytes of {size:,}")
    lines = np.frombuffer(rows, np.uint8).reshape(height, -1)
    values = lines[:, 1:].reshape(height, width, channels, 2)
    high, low = (_unfiltered(lines[:, :1], values[..., half], colours) for half in range(2))
    return high.astype(np.uint16) << 8 | low


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and data of each chunk, with the checksums compared."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if content[at + 8 + length : at + 12 + length] != struct.pack(">I", zlib.crc32(kind + data)):
            raise DamagedError("a chunk with a wrong checksum")
        yield kind, data
        at += 12 + length


def _unfiltered(filters: Values, values: Values, colours: int) -> Values:
    """Return one byte of all values without its filters.

    Args:
        filters: (H, 1) uint8, the filter of each row.
        values: (H, W, channels) uint8, one byte of each value as filtered.
        colours: PNG's number for the bands.
    """
    height, width, _ = values.shape
    rows = np.concatenate([filters, values.reshape(height, -1)], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b"")]
    written = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    with decoding("cannot be decoded"), Image.open(io.BytesIO(SIGNATURE + written), formats=["PNG"]) as image:
        return np.asarray(image)
