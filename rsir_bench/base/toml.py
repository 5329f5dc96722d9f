"""Read TOML; refuse absurdly long or deeply nested files before the parser's time or stack runs out."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from rsir_bench.base.text import decode

LONGEST = 50_000
"""Characters: several times the longest shipped file, and parsed at once whatever they are."""

LONGEST_BYTES = 4 * LONGEST + 8
"""More than that many characters have in any encoding."""

DEEPEST = 20
"""Levels of tables and arrays."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file.

    Raises:
        OSError: It cannot be read.
        ValueError: ``parse_toml`` refuses it.
    """
    with path.open("rb") as stream:
        content = stream.read(LONGEST_BYTES)
    if len(content) == LONGEST_BYTES:
        raise ValueError(f"longer than {LONGEST:,} characters")
    return parse_toml(decode(content))


def parse_toml(text: str) -> dict[str, Any]:
    """Return the contents of a TOML text.

    Raises:
        ValueError: It is not TOML, is longer than 50,000 characters, is nested deeper than 20 levels, or has an integer
            of more than 64 bits.
    """
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST:,} characters")
    try:
        table = tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST} levels") from None
    check_values(table)
    return table


def check_values(table: dict[str, Any]) -> None:
    """Refuse values that are nested too deeply or are too large.

    Raises:
        ValueError: Values are nested deeper than 20 levels, or an integer has more than 64 bits.
    """
    level: list[Any] = [table]
    for _ in range(DEEPEST):
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in level):
            raise ValueError("an integer of more than 64 bits")
        level = [inner for value in level for inner in _inside(value)]
    if level:
        raise ValueError(f"nested deeper than {DEEPEST} levels")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
