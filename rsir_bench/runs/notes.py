"""Read the small files of a run: notes in JSON, and arrays."""

from __future__ import annotations

import json
import logging
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import is_intact, write_sealed


def is_whole(path: Path) -> bool:
    """Return whether a file that can be made again exists and is intact; damage is logged."""
    intact = is_intact(path)
    if path.is_file() and not intact:
        logging.getLogger(__name__).warning("%s: damaged; it is made again", path)
    return intact


def write_note(path: Path, note: dict[str, Any]) -> None:
    """Write a note with its checksum."""
    write_sealed(path, lambda unfinished: unfinished.write_text(json.dumps(note, indent=1), encoding="utf-8"))


def read_note(path: Path) -> dict[str, Any]:
    """Return a note.

    Raises:
        UserError: It is damaged.
    """
    try:
        note = json.loads(path.read_text(encoding="utf-8")) if is_intact(path) else None
    except ValueError:
        note = None
    if not isinstance(note, dict):
        raise UserError(f"{path}: damaged; delete it and run again")
    return note


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` by name, or that of an ``.npy`` as ``"descriptors"``.

    Each is (...) of the shape and dtype in the file.

    Raises:
        UserError: The file is damaged or missing.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        return {"descriptors": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, SyntaxError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}); delete it and run again to recreate it") from None
