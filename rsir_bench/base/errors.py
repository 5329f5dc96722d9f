"""Errors that the user can fix. Each is one line: what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from rsir_bench.base.streams import OutputError, guarded
from rsir_bench.base.terminal.screen import screen_of
from rsir_bench.base.text import visible

Item = TypeVar("Item")
Result = TypeVar("Result")

LONGEST_REASON = 300


class UserError(Exception):
    """Something that the user must change; the command line prints it in one line and exits with 2."""


class SceneError(UserError):
    """A dataset is missing, has other classes or scenes than its card, or holds an unreadable file."""


class RunError(Exception):
    """One run failed (NaN loss, a method that raises); the other runs continue, and the command exits with 1."""


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type and its message, or the message alone if it was written for the user.

    Messages of other libraries can be pages long; they are cut at 300 characters.
    """
    message = " ".join(str(error).split())
    if isinstance(error, (RunError, UserError)):
        return message
    message = message if len(message) <= LONGEST_REASON else f"{message[:LONGEST_REASON]} ..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def map_collecting_errors(items: Iterable[Item], step: Callable[[Item], Result]) -> list[Result]:
    """Return the result of a step for each item.

    Raises:
        UserError: The step raises one for some items; the message has a line for each different one.
    """
    results, problems = [], Problems()
    for item in items:
        with problems.collecting():
            results.append(step(item))
    problems.raise_any()
    return results


class Problems:
    """A collection of problems, to report all of them at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note the ``UserError`` that the block raises, and continue after the block."""
        try:
            yield
        except UserError as error:
            self.lines += str(error).splitlines()

    def add(self, line: str) -> None:
        """Note a problem that was not raised as an error."""
        self.lines.append(line)

    def raise_any(self) -> None:
        """Raise all problems as one error.

        Raises:
            UserError: There is at least one; the message has a line for each different problem.
        """
        if self.lines:
            raise UserError("\n".join(dict.fromkeys(self.lines)))


def run_and_exit(command: Callable[[], object], name: str) -> NoReturn:
    """Run a command and exit: with 0, with 2 after an error that the user can fix, or with 1 after a failed run.

    Such errors are printed without a traceback.

    Args:
        command: What to run.
        name: The prefix of each line of an error.
    """
    code = 0
    try:
        with guarded():
            code = _told(command, name)
    except OutputError as error:
        code = 1
        if not error.cut_off:
            print(f"{name}: {error}", file=sys.stderr)
    sys.exit(code)


def _told(command: Callable[[], object], name: str) -> int:
    """Run a command and return its status; errors of the user are printed."""
    try:
        command()
    except SystemExit as end:  # of the command line's own errors and options
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (RunError, UserError) as error:
        for line in str(error).splitlines():
            print(screen_of(sys.stderr).folded(f"{name}: {visible(line)}"), file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2
    except (MemoryError, ImportError, OSError, RuntimeError) as error:
        if not (cause := _lack_of_memory(error)):
            raise
        print(f"{name}: too little memory ({one_line(cause)}); end other programs or raise the limit", file=sys.stderr)
        return 1
    except UnicodeEncodeError as error:
        if error.encoding.lower().startswith("utf"):
            raise
        print(f"{name}: {error.object!a}: not in {error.encoding}; set PYTHONUTF8=1", file=sys.stderr)
        return 2
    return 0


_NO_MEMORY = ("failed to map segment", "allocate memory", "alloc failed", "bad_alloc", "start new thread")


def _lack_of_memory(error: BaseException | None) -> BaseException | None:
    """Return the error or cause that shows that memory ran out; None if there is none."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY):
            return error
        error = error.__cause__ or error.__context__
    return None


def suggest(word: str, known: dict[str, Any] | list[str]) -> str:
    """Return the nearest spelling and the known words, for an error message."""
    names = sorted(known)
    nearest = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown; {hint}known: {', '.join(names)}"


def similar_names(word: str, known: Iterable[str]) -> str:
    """Return up to five known names spelt like a word, the nearest first, separated by commas; may be empty."""
    return ", ".join(difflib.get_close_matches(word, list(known), n=5))
