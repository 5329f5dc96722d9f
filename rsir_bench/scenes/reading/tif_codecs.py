"""Decode compressed tifs without imagecodecs: Pillow brings libtiff, which unpacks LZW and Zstandard.

A packed strip or tile is only bytes. Set behind the head of a grey picture of 8 bits, libtiff unpacks it whatever its
values are; the unpacked copy of the tif is then read by tifffile as any other.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import tifffile
from PIL import Image
from tifffile import COMPRESSION, TiffPage

from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError, decoding

PLAIN = 1
BY_ZLIB = (8, 32946)
BY_TIFFFILE = (PLAIN, *BY_ZLIB, 32773, 34925)
"""Compressions that tifffile undoes alone: none, Deflate under both numbers, PackBits and LZMA."""

LZW, ZSTANDARD = 5, 50000
_ONE_LETTER = {
    LZW: b"\x80\x10\x60\x20",
    ZSTANDARD: b"\x28\xb5\x2f\xfd\x20\x01\x09\0\0A",
}
"""A byte ``A`` packed by each compression that only libtiff undoes."""

FLOATING = 3
"""The predictor of floating-point values, which tifffile leaves to imagecodecs."""

_PREDICTED = {2: (8, 16, 32, 64), FLOATING: (16, 32, 64)}
"""Bits of the values that each predictor is for."""

COMPRESSION_TAG, PREDICTOR_TAG, OFFSETS_TAGS, COUNTS_TAGS = 259, 317, (273, 324), (279, 325)
BITS_TAG, PHOTOMETRIC_TAG, SAMPLES_TAG, PLANES_TAG, FORMAT_TAG = 258, 262, 277, 284, 339


def needs_unpacking(page: TiffPage) -> bool:
    """Return whether tifffile alone cannot decode the page, but ``unpacked`` can."""
    if page.compression in BY_ZLIB:
        return bool(page.predictor == FLOATING)
    return libtiff_undoes(int(page.compression))


@cache
def libtiff_undoes(compression: int) -> bool:
    """Return whether Pillow's libtiff was built to undo a compression: LZW or Zstandard."""
    try:
        return compression in _ONE_LETTER and _by_libtiff(_ONE_LETTER[compression], 1, compression) == b"A"
    except DamagedError:
        return False


def has_idle_predictor(page: TiffPage) -> bool:
    """Return whether the page names a predictor without a compression; libtiff then does not apply it."""
    return bool(page.compression == PLAIN and page.predictor != 1)


def unpacked(content: bytes, pages: list[int]) -> bytes:
    """Return a tif with these pages as they were before compression.

    Raises:
        DamagedError: A strip or tile cannot be unpacked.
        RefusedError: It is compressed in a way that cannot be undone here.
    """
    stream = io.BytesIO(content)
    with tifffile.TiffFile(stream) as tif:
        for number in pages:
            page = tif.pages[number]
            assert isinstance(page, TiffPage)
            _unpack(stream, page, content)
    return stream.getvalue()


def _unpack(stream: io.BytesIO, page: TiffPage, content: bytes) -> None:
    if page.fillorder == 2:
        raise RefusedError("compressed with its bits in reverse order; save the scene without compression")
    offsets, counts = [], []
    for offset, count, size, row in _segments(page):
        values = _decompressed(content[offset : offset + count], size, page) if count else b""
        if values and page.compression != PLAIN:
            values = _unpredicted(values, row, page)
        stream.seek(0, io.SEEK_END)
        offsets.append(stream.tell() if count else 0)
        counts.append(len(values))
        stream.write(values)
    _set(page, (COMPRESSION_TAG,), PLAIN)
    _set(page, OFFSETS_TAGS, offsets)
    _set(page, COUNTS_TAGS, counts)
    if page.predictor != 1:
        _set(page, (PREDICTOR_TAG,), 1)


def _set(page: TiffPage, codes: tuple[int, ...], value: int | list[int]) -> None:
    tag = next((page.tags[code] for code in codes if code in page.tags), None)
    if tag is None:
        raise DamagedError(f"lacks the tag {codes[0]}")
    plain = value[0] if isinstance(value, list) and len(value) == 1 else value
    with decoding(f"its tag {tag.code} cannot be read"):
        tag.overwrite(plain, dtype=_dtype(page, value))


def _dtype(page: TiffPage, value: int | list[int]) -> int:
    if isinstance(value, int):
        return 3  # SHORT
    return 16 if page.parent.is_bigtiff else 4  # LONG8, LONG


def single_plane(content: bytes, number: int, plane: int) -> bytes:
    """Return a tif whose page ``number`` is only one band of a page with its bands apart, as a grey picture."""
    stream = io.BytesIO(content)
    with decoding("its header cannot be read"), tifffile.TiffFile(stream) as tif:
        page = tif.pages[number]
        assert isinstance(page, TiffPage)
        each = len(page.dataoffsets) // page.samplesperpixel
        kept = slice(plane * each, (plane + 1) * each)
        offsets, counts = list(page.dataoffsets[kept]), list(page.databytecounts[kept])
        _set(page, OFFSETS_TAGS, offsets)
        _set(page, COUNTS_TAGS, counts)
        _set(page, (BITS_TAG,), page.bitspersample)
        for code in (SAMPLES_TAG, PHOTOMETRIC_TAG, PLANES_TAG, FORMAT_TAG):
            if code in page.tags:
                _set(page, (code,), 1)
    return stream.getvalue()


def _segments(page: TiffPage) -> Iterator[tuple[int, int, int, int]]:
    """Yield place and length of each strip or tile in the file, its bytes unpacked and those of one row of it."""
    bits = page.bitspersample * (page.samplesperpixel if page.planarconfig == 1 else 1)
    row = -(-(page.tilewidth if page.is_tiled else page.imagewidth) * bits // 8)
    if page.is_tiled:
        rows = page.tilelength
        heights = [rows] * len(page.dataoffsets)
    else:
        rows = min(page.rowsperstrip, page.imagelength)
        per_plane = -(-page.imagelength // rows)
        last = page.imagelength - (per_plane - 1) * rows
        planes = -(-len(page.dataoffsets) // per_plane)
        heights = ([rows] * (per_plane - 1) + [last]) * planes
    for offset, count, height in zip(page.dataoffsets, page.databytecounts, heights, strict=False):
        yield offset, count, row * height, row


def _decompressed(packed: bytes, size: int, page: TiffPage) -> bytes:
    """Return the ``size`` bytes of a strip or tile."""
    if page.compression == PLAIN:
        return packed
    if page.compression in BY_ZLIB:
        with decoding("Deflate data cannot be unpacked"):
            return zlib.decompressobj().decompress(packed, size)
    return _by_libtiff(packed, size, int(page.compression))


def _by_libtiff(packed: bytes, size: int, compression: int) -> bytes:
    head = struct.pack("<2sHL", b"II", 42, 8)
    tags = [
        (256, 4, size),
        (257, 4, 1),
        (BITS_TAG, 3, 8),
        (COMPRESSION_TAG, 3, compression),
        (PHOTOMETRIC_TAG, 3, 1),
        (OFFSETS_TAGS[0], 4, 8 + 2 + 9 * 12 + 4),
        (SAMPLES_TAG, 3, 1),
        (278, 4, 1),
        (COUNTS_TAGS[0], 4, len(packed)),
    ]
    entries = b"".join(struct.pack("<HHLL", code, kind, 1, value) for code, kind, value in tags)
    wrapped = io.BytesIO(head + struct.pack("<H", len(tags)) + entries + bytes(4) + packed)
    with (
        decoding(f"{COMPRESSION(compression).name} data cannot be unpacked"),
        Image.open(wrapped, formats=["TIFF"]) as image,
    ):
        values = image.tobytes()
    if len(values) != size:
        raise DamagedError("a strip is cut off")
    return values


def _unpredicted(values: bytes, row: int, page: TiffPage) -> bytes:
    """Return the values behind differences along each row, in the byte order of the file."""
    if page.predictor == 1:
        return values
    if page.bitspersample not in _PREDICTED.get(page.predictor, ()):
        raise DamagedError(f"predictor {page.predictor} for values of {page.bitspersample} bits")
    item = page.bitspersample // 8
    contiguous = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.predictor == FLOATING:  # bytes are stored by significance, the highest of a whole row first
        rows = np.frombuffer(values, np.uint8).reshape(-1, row // contiguous, contiguous)
        summed = np.cumsum(rows, axis=1, dtype=np.uint8).reshape(-1, item, row // item)
        floats = np.ascontiguousarray(summed.transpose(0, 2, 1)).view(f">f{item}")
        return floats.astype(f"{page.parent.byteorder}f{item}").tobytes()
    kind = np.dtype(f"{page.parent.byteorder}u{item}")
    rows = np.frombuffer(values, kind).reshape(-1, row // item // contiguous, contiguous)
    return np.cumsum(rows, axis=1, dtype=kind.newbyteorder("=")).astype(kind).tobytes()
