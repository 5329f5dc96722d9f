"""The table of distortions, from the strengths that the code uses."""

from __future__ import annotations

from rsir_bench.scenes.distortions import KINDS, SEVERITIES

from .markdown import code, escaped, table

INTRO = "The strengths of `--distort NAME:SEVERITY`. How to use them: [Robustness](../robustness.md)."


def page() -> str:
    """Return the page."""
    rows = [[code(name), escaped(kind.meaning), *map(str, kind.strengths)] for name, kind in KINDS.items()]
    heads = ["Name", "Strength", *map(str, SEVERITIES)]
    return "\n\n".join(["# Distortions", INTRO, table(heads, rows)]) + "\n"
