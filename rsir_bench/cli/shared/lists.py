"""Lists as they are written on the command line: commas, ``all``, ranges of seeds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.reading.prefixes import OWN_PREFIXES

MOST_SEEDS = 1000
"""Of a range: more is a slip of the keyboard."""


def metric_list(text: str | None) -> list[str] | None:
    """Return the names of ``--metrics``, which are separated by commas; None: the default ones."""
    return None if text is None else [word for piece in text.split(",") if (word := piece.strip())]


def comma_list(option: str, text: str) -> list[str]:
    """Return the words of a comma-separated list.

    Raises:
        UserError: There is none.
    """
    words = _joined(option, text.split(","))
    if not words:
        raise UserError(f"{option} {text!r}: empty list; name at least one")
    return words


def _joined(option: str, pieces: list[str]) -> list[str]:
    """Return the words of a list; one path with commas, behind ``folder:`` and the like or ``@``, is one word.

    Raises:
        UserError: The shorter path is there too.
    """
    words: list[str] = []
    while pieces:
        first = pieces[0].strip()
        path = first.partition(":" if first.startswith(OWN_PREFIXES) else "@")[2]
        longer = range(len(pieces), 1, -1) if path else ()
        taken = next((number for number in longer if _is_there(",".join([path, *pieces[1:number]]).rstrip())), 1)
        if taken > 1 and _is_there(path):
            raise UserError(f"{option}: both {path} and {','.join([path, *pieces[1:taken]])} are there; rename one")
        words.append(",".join([first, *pieces[1:taken]]).strip())
        pieces = pieces[taken:]
    return [word for word in words if word]


def _is_there(path: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(path).exists()
    return False


def names_or_all(option: str, text: str) -> list[str]:
    """Return the names of a comma-separated list, or ``["all"]``.

    Raises:
        UserError: There is none, or ``all`` is one of several.
    """
    words = comma_list(option, text)
    if "all" in words and len(words) > 1:
        raise UserError(f"{option} {text}: 'all' cannot be combined with names; run the others with a second command")
    return words


def seed_numbers(text: str) -> list[int]:
    """Return the seeds of a comma-separated list of numbers and ranges, each once.

    >>> seed_numbers("0-3,7")
    [0, 1, 2, 3, 7]

    Raises:
        UserError: There is none, or one is neither a whole number nor a range of them.
    """
    numbers: list[int] = []
    for word in comma_list("--seeds", text):
        first, dash, last = (part.strip() for part in word.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(
                f"--seeds {word!r}: not a whole number >= 0; write for example --seeds 0,1,2 or --seeds 0-4"
            )
        stop = int(last or first)
        if not int(first) <= stop < int(first) + MOST_SEEDS:
            raise UserError(
                f"--seeds {word!r}: not a range of at most {MOST_SEEDS} seeds; write for example --seeds 0-4"
            )
        numbers += range(int(first), stop + 1)
    return list(dict.fromkeys(numbers))
