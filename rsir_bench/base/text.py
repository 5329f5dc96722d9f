"""Text from files and names of others: decoded by its byte order mark, and shown without control characters."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks and their encodings."""

# What no line shows: control characters but tab and line end, noncharacters, and marks that turn the direction.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")

LONGEST_LINE = 300

# What XML 1.0 has no way to write.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def decode(content: bytes) -> str:
    """Return a text file's content without its byte order mark: UTF-8, or UTF-16 or UTF-32 with a mark.

    Raises:
        ValueError: It is none of these.
    """
    mark, encoding = next(((mark, name) for mark, name in MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        return content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        place = error.start + len(mark)
        raise ValueError(f"no text in {encoding.upper()} at byte {place}; save it as UTF-8") from None


def visible(text: str) -> str:
    r"""Return text with control characters as ``\x1b``; tabs and line ends stay.

    >>> visible("a\x1b[2J")
    'a\\x1b[2J'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_plain_line(text: str) -> bool:
    """Return whether text is one line without control characters, and not too long for a table's note."""
    return len(text) <= LONGEST_LINE and visible(text) == text and not set("\t\n") & set(text)


def number_text(value: float) -> str:
    """Return a number as text that no other number has: ``"0.3"``, ``"1e-05"``, ``"20240101"``, ``"0.99999951"``."""
    if isinstance(value, int):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def as_xml(text: str) -> str:
    """Return text without the characters that XML cannot hold."""
    return _NOT_XML.sub("", text)


def encode(text: str) -> bytes:
    r"""Return text as UTF-8; what of a file's name was no text is written as ``\udc80``."""
    return text.encode("utf-8", "backslashreplace")


def first_few(items: Sequence[str], most: int = 3) -> str:
    """Return the first items and how many more there are.

    >>> first_few(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    return ", ".join(items[:most]) + (f" and {len(items) - most:,} more" if len(items) > most else "")
