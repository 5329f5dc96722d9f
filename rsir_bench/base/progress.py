"""Lines and progress bars on standard error; without a terminal, a line every two minutes instead of a bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
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


def duration(seconds: float) -> str:
    """Return a time in words: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


EVERY = 120.0
"""Seconds from one line about a long step to the next."""


def in_lines(items: Iterable[Item], title: str, total: int | None) -> Iterator[Item]:
    """Yield ``items`` unchanged; log now and then how far they are, and how long the rest takes.

    Args:
        items: The items to go through.
        title: The text before the numbers.
        total: Number of items; None: unknown.
    """
    started = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - said >= EVERY:
            left = "" if total is None else f", about {duration((now - started) / done * (total - done))} left"
            log(f"so far    {title}: {f'{done:,}' if total is None else f'{done / total:.0%}'}{left}")
            said = now
        yield item


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """Yield ``items`` unchanged and show a progress bar on a terminal, otherwise a line now and then.

    Args:
        items: The items to go through.
        title: The text before the bar, for example ``"training jsst, epoch 3 of 5"``.
        total: Number of items; taken from ``len(items)`` where it has one.
    """
    if not sys.stderr.isatty():
        known = len(items) if total is None and isinstance(items, Sized) else total
        yield from in_lines(items, title, known)
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
