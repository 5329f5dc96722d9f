"""Name, in one line, the place in a user's file where an exception was raised."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

from rsir_bench.base.errors import RunError, UserError, one_line


def with_place(error: BaseException, sources: Iterable[Path]) -> str:
    """Return ``"RuntimeError: its message (mine.py:34)"``, with the innermost line of the given files, or of any.

    An error of this program that no line of these files caused names the place itself; so does a syntax error.
    """
    cause = error.__cause__ if isinstance(error, UserError) and isinstance(error.__cause__, Exception) else error
    frames = traceback.extract_tb(cause.__traceback__)
    known = {path.resolve() for path in sources}
    own = [frame for frame in frames if Path(frame.filename).resolve() in known]
    if not own and (isinstance(cause, SyntaxError) or (cause is error and isinstance(error, UserError | RunError))):
        return one_line(error)  # which names the place
    place = f" ({Path((own or frames)[-1].filename).name}:{(own or frames)[-1].lineno})" if frames else ""
    return f"{one_line(error)}{place}"
