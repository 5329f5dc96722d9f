"""Digests, and files that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from rsir_bench.errors import UserError


def digest(value: Any) -> str:
    """The SHA-256 (hex) of a JSON value in canonical form (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a temporary file beside ``path`` and moves it there: readers never see half a file.

    Raises:
        UserError: The disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The temporary name keeps the suffix: numpy appends its own to a name without it.
        temporary = path.with_name(f".partial-{os.getpid()}-{threading.get_ident()}-{path.name}")
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors wrap the system's error
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be written ({reason}); free space or choose another --out") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically as UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def slug(text: str) -> str:
    """A file name for any text: letters, digits and ``.+-_`` kept; a long or altered one ends with a digest."""
    plain = re.sub(r"[^A-Za-z0-9.+_-]+", "-", text).strip("-.")
    kept = plain.replace("-", "") == re.sub(r"[ :()=]", "", text).replace("-", "")
    return plain if kept and len(plain) <= 60 else f"{plain[:50]}-{digest(text)[:8]}"
