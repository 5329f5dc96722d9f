"""Standard output and standard error as a user has them: closed, full, cut off, narrow, or in another encoding."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rsir_bench.base.terminal.screen import screen_of, visible_but_styles
from rsir_bench.base.text import visible


class OutputError(Exception):
    """Standard output takes no more.

    Attributes:
        cut_off: Whether the reader closed the stream early, as ``head`` does; the program then ends quietly.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written ({error.strerror or error}); free space or redirect it")
        self.cut_off = error.errno in (errno.EPIPE, errno.EINVAL)


class _Stream:
    """A stream of text that shows control characters of names; everything else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines one by one."""
        for line in lines:
            self.write(line)

    def write(self, text: str) -> int:
        """Write text and return its length."""
        raise NotImplementedError


class _Output(_Stream):
    """Standard output: what cannot be written ends the program."""

    def write(self, text: str) -> int:
        """Write text and return its length; on a terminal with colours, styles stay."""
        try:
            self._stream.write(visible_but_styles(text) if screen_of(self._stream).colours else visible(text))
        except OSError as error:
            raise OutputError(error) from None
        return len(text)

    def flush(self) -> None:
        """Write what is waiting."""
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputError(error) from None


class _Messages(_Stream):
    """Standard error: a closed stream must not end a training of hours, because only progress is lost."""

    def write(self, text: str) -> int:
        """Write text and return its length; bars on a terminal keep their control characters."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is waiting."""
        with suppress(OSError):
            self._stream.flush()


@contextmanager
def guarded() -> Iterator[None]:
    r"""Make standard output and standard error safe for any text in the block.

    Characters that the encoding lacks are written as ``\xe9``.

    Raises:
        OutputError: Standard output is full, or its reader has gone.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        with suppress(AttributeError, OSError, ValueError):  # not a stream of the system's
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout, sys.stderr = _Output(before[0]), _Messages(before[1])
    try:
        yield
        sys.stdout.flush()
    except OutputError:
        _forget(before[0])
        raise
    finally:
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    """Open what the caller has closed: the next file that is opened would take its number, and its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for the whole program
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _forget(stream: Any) -> None:
    """Drop what waits to be written: Python would try again when it ends, and say so."""
    with suppress(OSError, ValueError, AttributeError):
        empty = os.open(os.devnull, os.O_WRONLY)
        os.dup2(empty, stream.fileno())
        os.close(empty)
