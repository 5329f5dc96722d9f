"""How a training goes on: one bar over all its epochs on a terminal, otherwise lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from rsir_bench.base.progress import duration, in_lines, log, shortened
from rsir_bench.base.text import visible

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

BESIDE = 61
"""Characters of the bar, of the epoch and of the figures."""

_planned: dict[str, float | None] = {}
"""The runs of this process that are still to be made, in order: title -> estimated seconds, None if unknown."""


@contextmanager
def planned_runs(seconds: Mapping[str, float | None]) -> Iterator[None]:
    """Let the trainings in the block say which of these runs they belong to, and how long all of them take."""
    before = dict(_planned)
    _planned.clear()
    _planned.update(seconds)
    try:
        yield
    finally:
        _planned.clear()
        _planned.update(before)


class TrainingProgress:
    """Shows a training while it lasts; a context manager."""

    def __init__(self, what: str, epochs: int, done: int, steps: int, *, shown: bool = True) -> None:
        """Prepare to show a training.

        Args:
            what: The run's name; a round follows behind a comma.
            epochs: Number of epochs.
            done: Epochs of an earlier session.
            steps: Batches in an epoch.
            shown: Whether this process shows anything.
        """
        self.what, self.epochs, self.done, self.steps, self.shown = what, epochs, done, steps, shown
        title = next((title for title in _planned if what == title or what.startswith(f"{title},")), None)
        titles = list(_planned)
        place = titles.index(title) if title is not None else 0
        self.where = f"run {place + 1} of {len(titles)}, {what}" if len(titles) > 1 else what
        self.later = [seconds for other, seconds in _planned.items() if other in titles[place + 1 :]]
        self.figures = ""
        self._bar: Progress | None = None
        self._room = 0
        self._stack = ExitStack()

    def __enter__(self) -> TrainingProgress:
        if self.shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            console = Console(stderr=True)
            self._room = console.width - BESIDE
            columns = (
                TextColumn("{task.description}", markup=False),  # brackets in names are no markup
                BarColumn(8),
                TextColumn("{task.percentage:.0f} %{task.fields[figures]}", markup=False),
            )
            self._bar = self._stack.enter_context(Progress(*columns, console=console, transient=True))
            self._task = self._bar.add_task(
                "", total=self.epochs * self.steps, completed=self.done * self.steps, figures=""
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def epoch(self, number: int, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield the batches of an epoch, which is counted from 1, and show how far it is."""
        if self._bar is None:
            title = f"{self.where}, epoch {number} of {self.epochs}"
            yield from in_lines(batches, title, self.steps) if self.shown else batches
            return
        title = shortened(visible(self.where.removeprefix("run ").replace(" of ", "/", 1)), self._room)
        self._bar.update(
            self._task,
            description=f"{title} {number}/{self.epochs}",
            figures=self.figures.replace("images/s, about", "img/s,"),
        )
        for batch in batches:
            yield batch
            self._bar.advance(self._task)

    def ended(self, number: int, loss: float, images_per_second: float, seconds: float) -> None:
        """Show how an epoch ended.

        Args:
            number: The epoch, from 1.
            loss: Its mean loss.
            images_per_second: Scenes that it trained on in a second.
            seconds: Its time.
        """
        left = self._left(number, seconds)
        self.figures = f", loss {loss:.3g}, {images_per_second:,.0f} images/s{left}"
        if self.shown and self._bar is None:
            log(f"epoch     {self.where}: {number} of {self.epochs}{self.figures}")

    def _left(self, number: int, seconds: float) -> str:
        """Return the time that is left for this training and for the runs after it; empty if one is unknown."""
        known = [one for one in self.later if one is not None]
        if len(known) < len(self.later):
            return ""
        left = (self.epochs - number) * seconds + sum(known)
        return f", about {duration(left)} left" if left else ""
