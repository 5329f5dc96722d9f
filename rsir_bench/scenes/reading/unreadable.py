"""Why a file cannot be read as a scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rsir_bench.base.errors import one_line

CODECS = "pip install 'rsir-bench[tif]'"
"""The command that installs imagecodecs."""


class UnreadableError(ValueError):
    """A file gives no pixels; the message is the reason, with what to do where that is known."""


class DamagedError(UnreadableError):
    """The file is cut off or its bytes make no sense: another copy of it may be whole."""


class RefusedError(UnreadableError):
    """The file is whole, but it cannot be read exactly; another copy of it would not help."""


class NoRangeError(RefusedError):
    """A scene holds floats, and nothing says which of their values become 0 and 255."""


class OtherBandsError(RefusedError):
    """A scene has other bands than its dataset."""


def needs_codecs(what: str) -> RefusedError:
    """Return the refusal of a file that imagecodecs would read."""
    other = "save the scene with 8 or 16 bits and without compression"
    return RefusedError(f"{what}: needs imagecodecs, install it with `{CODECS}`, or {other}")


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Take whatever a decoder raises in the block for damage; only calls of decoders belong there.

    Raises:
        DamagedError: The decoder failed.
    """
    try:
        yield
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise DamagedError(f"{what}: {one_line(error)}") from error
