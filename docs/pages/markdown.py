"""Pieces of Markdown."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterable, Sequence

DOCTEST = re.compile(r"^ *>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
SPECIAL = re.compile(r"([\\`*_\[<|$])")


def escaped(text: object) -> str:
    r"""Return text in which no character is Markdown, on one line.

    >>> escaped("a_b <c> | [d]")
    'a\\_b \\<c> \\| \\[d]'
    """
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    r"""Return text as code that also fits into a table.

    >>> code("a | b")
    '`a \\| b`'
    """
    return "`" + " ".join(str(text).split()).replace("|", r"\|") + "`"


def prose(text: str) -> str:
    """Return a passage of a docstring: its ``code`` stays code, and nothing else is Markdown."""
    pieces = re.split(r"``(.+?)``|`([^`]+)`", " ".join(text.split()))  # plain, in two marks, in one, plain, ...
    marked = [code(double or single) for double, single in zip(pieces[1::3], pieces[2::3], strict=True)]
    plain = [SPECIAL.sub(r"\\\1", piece) for piece in pieces[::3]]
    return "".join(itertools.chain(*itertools.zip_longest(plain, marked, fillvalue="")))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown on one line."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bullets(items: Iterable[str]) -> str:
    """Return a list of passages."""
    return "\n".join(f"- {prose(item)}" for item in items)


def fence(language: str, text: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def contents(title: str, intro: str, pages: Iterable[str]) -> str:
    """Return a page that leads to others."""
    listed = "\n".join(pages)
    return f"# {title}\n\n{intro}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"


def summary(thing: object) -> str:
    """Return the first sentence or line of a docstring."""
    return inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0]
