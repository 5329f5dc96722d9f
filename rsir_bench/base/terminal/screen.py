"""What a stream can show: the width of its lines, and colours."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rsir_bench.base.text import visible

NARROWEST = 40

_CODES = {"best": "1;32", "good": "32", "middling": "33", "bad": "1;31", "faint": "2", "strong": "1"}
"""Styles, and their SGR parameters (ECMA-48)."""

_STYLE = re.compile(f"(\x1b\\[(?:0|{'|'.join(_CODES.values())})m)")

VERDICTS = {
    "ok": "good",
    "OK": "good",
    "OKish": "middling",
    "not run": "middling",
    "FAIL": "bad",
    "failed": "bad",
    "incomplete": "bad",
}
"""The styles of words that are a verdict."""

_LABEL = re.compile(r"\w[\w ]{0,20}?(?: {2,}|: )")


@dataclass(frozen=True)
class Screen:
    """What a stream can show.

    Attributes:
        width: The characters of a line; None if lines may have any length, as in a file or a pipe.
        colours: Whether text may have styles.
    """

    width: int | None = None
    colours: bool = False

    def styled(self, text: str, style: str) -> str:
        """Return text in a style of ``best``, ``good``, ``middling``, ``bad``, ``faint``, ``strong``, or in none."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.colours and style and text else text

    def folded(self, text: str) -> str:
        """Return text whose lines are folded between words; later lines begin below what follows a label.

        >>> print(Screen(40).folded("protocol  demo: synthetic scenes, made when first used"))
        protocol  demo: synthetic scenes, made
                  when first used
        """
        if self.width is None:
            return text
        return "\n".join(self._folded_line(line, self.width) for line in text.split("\n"))

    def _folded_line(self, line: str, width: int) -> str:
        if len(line) <= width:
            return line
        label = _LABEL.match(line.lstrip())
        own = len(line) - len(line.lstrip())
        indent = own + (len(label[0]) if label and label[0].endswith("  ") else 2)
        wrapped = textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * min(indent, width // 2),
            break_on_hyphens=False,
            break_long_words=False,  # a path or a command can be copied whole
        )
        return "\n".join(wrapped)


PLAIN = Screen()
"""A file or a pipe."""


def screen_of(stream: IO[str] | Any) -> Screen:
    """Return the width (of a terminal, or ``COLUMNS``) and the colours of a stream; ``NO_COLOR`` disables colours."""
    if not stream.isatty():
        return PLAIN
    width = shutil.get_terminal_size().columns
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return Screen(max(width, NARROWEST), colours=not plain)


def visible_but_styles(text: str) -> str:
    """Return text with control characters as ``visible`` shows them, except for the styles of ``Screen.styled``."""
    pieces = _STYLE.split(text)
    return "".join(piece if number % 2 else visible(piece) for number, piece in enumerate(pieces))


def short_path(path: Path | str) -> str:
    """Return a path from the working folder or the home folder where it is in one of them."""
    full = Path(path)
    for folder, start in ((Path.cwd(), ""), (Path.home(), "~/")):
        if full.is_relative_to(folder) and full != folder and folder != Path("/"):
            return f"{start}{full.relative_to(folder)}"
    return str(full)
