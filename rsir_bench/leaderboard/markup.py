"""How the formats write what is more than plain text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ORIGIN = "Rendered from result records by `rsir-bench leaderboard`; do not edit."
EMPTY = "\N{EN DASH}"


@dataclass(frozen=True)
class Style:
    """One format; templates hold one ``{}``.

    Attributes:
        escape: Text as the format shows it unchanged.
        best: Of the best value.
        second: Of the second best value.
        superscript: Of a footnote's number or a sign.
        value: Of every value of ours, marked or not; in HTML a link to where it comes from.
    """

    escape: Callable[[str], str]
    best: str
    second: str
    superscript: str
    value: str = "{}"

    def ours(self, text: str, mark: str = "") -> str:
        """A value of ours, or the dash in its place, from plain text; ``mark`` is ``"best"``, ``"second"`` or empty."""
        if text == EMPTY:
            return self.escape(text)
        template = {"best": self.best, "second": self.second, "": "{}"}[mark]
        return self.value.format(template.format(self.escape(text)))

    def raised(self, text: str) -> str:
        """A superscript from plain text."""
        return self.superscript.format(self.escape(text))
