"""Hashing and atomic file writes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.base.text import encode

PARTIAL = ".partial-"
"""Prefix of the names of unfinished files."""

SEALED_VERSIONS = 8

RESERVED = ("index", "con", "nul", "aux", "prn")
"""Names of pages, and of devices of Windows."""


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value in canonical form (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object], needed: int = 0) -> None:
    """Let ``write`` fill a temporary file next to ``path``, then rename it: readers never see half a file.

    Args:
        path: The file.
        write: Writes the path that it is given.
        needed: About how many bytes it takes, for the error.

    Raises:
        UserError: The disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The temporary name keeps the suffix: numpy appends its own to a name without it.
        temporary = path.with_name(f"{PARTIAL}{os.getpid()}-{threading.get_ident()}-{path.name}")
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors wrap the system's error
        reason = _why(error, temporary)
        need = f", {needed / 1e6:,.0f} MB are needed" if needed else ""
        raise UserError(f"{path}: cannot be written ({reason}{need}); free space or choose another --out") from None
    finally:
        if temporary is not None:
            discard(temporary)


def _why(error: Exception, unfinished: Path | None) -> str:
    """Return why a file cannot be written. Torch hides the system's reason; the next bytes meet it again."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    try:
        if unfinished is not None:
            with unfinished.open("ab") as stream:
                stream.write(bytes(1 << 20))
                os.fsync(stream.fileno())
    except OSError as reason:
        return reason.strerror or one_line(reason)
    return one_line(error)


def discard(unfinished: Path) -> None:
    """Remove what a failed write left; an error here is ignored, since the failed write was reported."""
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the unfinished files that killed processes have left below a folder; call it with the folder's lock."""
    for path in folder.rglob(f"{PARTIAL}*"):
        if re.fullmatch(rf"{re.escape(PARTIAL)}\d+-\d+-.+", path.name, re.DOTALL):
            discard(path)


def remove_files(folder: Path, suffixes: Collection[str]) -> None:
    """Remove the files with these suffixes below a folder, and the folders that are then empty."""
    for path in sorted(folder.rglob("*"), reverse=True):  # the contents of a folder before the folder itself
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # not empty
                path.rmdir()
        elif path.suffix in suffixes:
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically as UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_bytes(encode(text)))


def write_sealed(path: Path, write: Callable[[Path], object], needed: int = 0) -> None:
    """Write a file atomically, with its SHA-256 in ``<path>.sha256``, so that ``is_intact`` can detect damage.

    The seal is written first, and it also holds the digests of earlier versions: whenever the process is killed, the
    file on disk matches one of them.

    Raises:
        UserError: The disk is full or the folder cannot be written.
    """

    def write_and_seal(temporary: Path) -> None:
        write(temporary)
        seal = seal_of(path)
        known = seal.read_bytes().split() if seal.is_file() else []
        if not known and path.is_file():
            known = [file_digest(path).encode()]  # from before there were seals
        new = file_digest(temporary).encode()
        kept = [*(one for one in known if one != new), new][-SEALED_VERSIONS:]
        write_atomically(seal, lambda unfinished: unfinished.write_bytes(b"\n".join(kept) + b"\n"))

    write_atomically(path, write_and_seal, needed)


def seal_for_both(path: Path, sent: bytes) -> bytes:
    """Return a received seal extended by the current file, so that it holds before and after the replacement."""
    here = f"{file_digest(path)}\n".encode() if is_intact(path) else b""
    return sent if here in sent else here + sent


def seal_of(path: Path) -> Path:
    """Return the path of the file that holds a file's digests."""
    return path.with_name(f"{path.name}.sha256")


def is_intact(path: Path) -> bool:
    """Return whether a file exists with the bytes that were written; a file without a seal is trusted."""
    if not path.is_file():
        return False
    seal = seal_of(path)
    return not seal.is_file() or file_digest(path).encode() in seal.read_bytes().split()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, created with its folder; other processes wait, and a killed one releases it.

    Raises:
        UserError: The file cannot be created or locked.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be created or locked ({error.strerror}); choose a folder you can write to"
        ) from None
    try:
        yield
    finally:
        lock.release()


def slug(text: str) -> str:
    """Return a file name for any text: letters, digits and ``.+-_``; a long or altered one ends with a digest."""
    plain = re.sub(r"[^A-Za-z0-9.+_-]+", "-", text).strip("-.")
    kept = plain.replace("-", "") == re.sub(r"[ :()=]", "", text).replace("-", "")
    return plain if kept and len(plain) <= 60 else f"{plain[:50]}-{digest(text)[:8]}"


def page_name(text: str) -> str:
    """Return a file name that no other text has, on any file system: an altered one ends with a digest.

    Unlike ``slug``, which keeps the names of folders of runs, it tells ``set a`` from ``set-a`` and from ``Set-a``.
    """
    plain = slug(text)
    is_own = plain == text and plain == plain.lower() and plain not in RESERVED
    return plain if is_own or plain.endswith(f"-{digest(text)[:8]}") else f"{plain}-{digest(text)[:8]}"
