"""Lines and progress bars on standard error; bars only where it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rsir_bench.base.terminal.screen import screen_of
from rsir_bench.base.text import visible

Item = TypeVar("Item")


def log(line: str) -> None:
    """Show a line on standard error, so that standard output holds only what a program may read."""
    print(screen_of(sys.stderr).folded(visible(line)), file=sys.stderr, flush=True)


BESIDE = 42
"""Characters of a bar, its numbers and its times."""


def shortened(text: str, width: int) -> str:
    """Return text without its middle where it is longer than a width in characters.

    >>> shortened("describing folder:/mnt/photos with jsst", 20)
    'describin… with jsst'
    """
    width = max(width, 12)
    return text if len(text) <= width else f"{text[: (width - 1) // 2]}…{text[-(width - 1 - (width - 1) // 2) :]}"


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """Yield ``items`` unchanged and show a progress bar on a terminal.

    Args:
        items: The items to go through.
        title: The text before the bar, for example ``"training jsst, epoch 3 of 5"``.
        total: Number of items; taken from ``len(items)`` where it has one.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # brackets in names are no markup
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(items, total=total, description=shortened(visible(title), console.width - BESIDE))
