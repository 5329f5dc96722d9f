"""The bytes of a scene file, and the kind of file that they are, whatever its name."""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError

MOST_BYTES = 2**28
"""Most decoded bytes of one scene (256 MiB: 9,400 x 9,400 pixels of three bytes)."""

SETTING = "RSIR_BENCH_SCENE_BYTES"
"""The environment variable that sets another limit."""

FILE_SHARE = 4
"""A file may hold this many times the decoded bytes of a scene: it may bring previews and further pages."""


class Kind(StrEnum):
    """The kinds of files that are read, named as Pillow names them."""

    TIF = "TIFF"
    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    BMP = "BMP"
    WEBP = "WEBP"
    JPEG2000 = "JPEG2000"
    PPM = "PPM"


_BEGINNINGS = {
    b"II*\0": Kind.TIF,
    b"MM\0*": Kind.TIF,
    b"II+\0": Kind.TIF,
    b"MM\0+": Kind.TIF,
    b"\xff\xd8\xff": Kind.JPEG,
    b"\x89PNG\r\n\x1a\n": Kind.PNG,
    b"GIF87a": Kind.GIF,
    b"GIF89a": Kind.GIF,
    b"BM": Kind.BMP,
    b"\0\0\0\x0cjP  \r\n\x87\n": Kind.JPEG2000,
    b"\xff\x4f\xff\x51": Kind.JPEG2000,
    **{f"P{number}{space}".encode(): Kind.PPM for number in range(1, 7) for space in " \t\r\n#"},
}

_OTHERS = {
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"%PDF": "PDF",
    b"\x89HDF": "HDF5",
    b"CDF": "NetCDF",
    b"8BPS": "Photoshop",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"\x93NUMPY": "NumPy",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"SIMPLE  =": "FITS",
    b"<": "HTML or XML",
}


def read_content(path: Path) -> bytes:
    """Return the bytes of a scene file; a link to a regular file is followed.

    Raises:
        OSError: It cannot be opened.
        RefusedError: It is no regular file (a pipe would wait for ever), or larger than any scene.
    """
    with open_regular(path) as stream:
        check_length(os.fstat(stream.fileno()).st_size)
        return stream.read()


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a link to a regular file is followed.

    Raises:
        OSError: It cannot be opened.
        RefusedError: It is no regular file: a pipe would wait for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError("is a pipe, a device or a folder, not a regular file; remove it")
    return os.fdopen(descriptor, "rb")


def check_length(length: int) -> None:
    """Check that the file of a scene may be read into memory.

    Raises:
        RefusedError: It has more bytes than any scene.
    """
    if length > FILE_SHARE * most_bytes():
        raise RefusedError(f"a file of {length:,} bytes; {limit_in_words()}")


def kind_of(content: bytes) -> Kind:
    """Return the kind of file, known by its first bytes.

    Raises:
        DamagedError: It is nothing that is known.
        RefusedError: It is of a kind that is not read.
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return Kind.WEBP
    if content[4:8] == b"ftyp":
        raise RefusedError(
            f"holds {content[8:12].decode('ascii', 'replace')!r} data, which is not supported; save it as PNG"
        )
    for beginning, kind in _BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    for beginning, name in _OTHERS.items():
        if content.startswith(beginning):
            raise RefusedError(f"not an image, but {name}; save the scene as tif or PNG, or get it again")
    raise DamagedError("not an image")


def most_bytes() -> int:
    """Return the most decoded bytes of one scene: ``RSIR_BENCH_SCENE_BYTES``, or 256 MiB.

    Raises:
        UserError: The setting is no whole number above zero.
    """
    text = os.environ.get(SETTING, "")
    if not text:
        return MOST_BYTES
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"{SETTING}={text!r}: not a whole number of bytes; set for example {SETTING}={MOST_BYTES}")
    return int(text)


def check_size(height: int, width: int, bands: int, item: int) -> None:
    """Check before anything is decoded that a scene is within the limit.

    Args:
        height: In pixels.
        width: In pixels.
        bands: Values of each pixel.
        item: Bytes of each value.

    Raises:
        RefusedError: It is not.
        DamagedError: It has no pixel.
    """
    if height * width * bands == 0:
        raise DamagedError(f"{width} x {height} pixels of {bands} bands")
    if height * width * bands * item > most_bytes():
        size = f"{width:,} x {height:,} pixels of {bands} bands are {height * width * bands * item:,} bytes"
        raise RefusedError(f"{size}; {limit_in_words()}")


def limit_in_words() -> str:
    """Return the limit on a scene's bytes, and what to do about a larger one."""
    return f"a scene may have {most_bytes():,}; cut it into scenes, or raise {SETTING}"
