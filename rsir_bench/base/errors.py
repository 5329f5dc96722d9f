"""Errors that the user can mend: one line that says what, where and what to do next."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class UserError(Exception):
    """Something the user must change; the command line prints it in one line and exits with 2."""


class SceneError(UserError):
    """A dataset is missing, has other classes or scenes than its card, or holds an unreadable file."""


class RunError(Exception):
    """One run failed (NaN loss, a method that raises); the other runs go on and the command exits with 1."""


def each(items: Iterable[Item], step: Callable[[Item], Result]) -> list[Result]:
    """What a step gives for each item.

    Raises:
        UserError: Of all items for which the step raises one, a line for each different error.
    """
    results, problems = [], Problems()
    for item in items:
        with problems.collecting():
            results.append(step(item))
    problems.raise_any()
    return results


class Problems:
    """Problems that are collected, so that all of them are reported at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note what the block raises, and go on behind it."""
        try:
            yield
        except UserError as error:
            self.lines += str(error).splitlines()

    def add(self, line: str) -> None:
        """Note a problem that nothing raised."""
        self.lines.append(line)

    def raise_any(self) -> None:
        """Raise all problems as one error.

        Raises:
            UserError: There is at least one; a line for each different problem.
        """
        if self.lines:
            raise UserError("\n".join(dict.fromkeys(self.lines)))


def run_and_exit(command: Callable[[], object], name: str) -> NoReturn:
    """Runs a command; an error is printed without a traceback and exits with 2 where the user can mend it, else with 1.

    Args:
        command: What to run.
        name: Stands before each line of an error.
    """
    code = 0
    try:
        command()
    except (RunError, UserError) as error:
        code = 1 if isinstance(error, RunError) else 2
        for line in str(error).splitlines():
            print(f"{name}: {line}", file=sys.stderr)
    sys.exit(code)


def suggest(word: str, known: dict[str, Any] | list[str]) -> str:
    """The nearest spelling and the known words, for an error message."""
    names = sorted(known)
    nearest = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown; {hint}known: {', '.join(names)}"
