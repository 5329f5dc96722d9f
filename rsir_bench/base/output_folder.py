"""Folders and pages that a verb writes for people: only what it wrote itself is ever replaced or removed.

Such a folder keeps a list of the files that a verb wrote, with their SHA-256, in ``.rsir-bench/VERB.sha256``, in the
format of the ``sha256sum`` program. A new version is written beside the old one and moved in when it is complete. Files
of another verb count as files of others.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import file_digest, locked, sweep, write_text
from rsir_bench.base.text import encode

OWN = ".rsir-bench"
"""The subfolder that holds the list, the lock and the version in the making."""

Digests = dict[str, set[str]]
"""SHA-256 digests by file name relative to the folder; two where a move into place was interrupted."""


@contextmanager
def replaced_folder(folder: Path, verb: str, beside: Collection[str] = ()) -> Iterator[Path]:
    """Yield an empty folder to fill; on success its files take the place of those written last time.

    Other processes that write the same folder wait. Files that nobody listed are left alone.

    Args:
        folder: A new folder, an empty one, or one that the same verb wrote before.
        verb: The verb that writes, such as ``"report"``.
        beside: What else may be in a folder that is written for the first time.

    Raises:
        UserError: The folder is a file, holds files but no list of this verb, or a file in the way was not written by
            it or has changed since. Nothing in the folder is touched then. Or the folder cannot be read or written.
    """
    with _readable(folder):
        if not (folder / OWN / "lock").is_file():  # nothing is made in a folder of others
            _refuse_foreign(folder, verb, {OWN, *beside})
    with locked(folder / OWN / "lock"):
        with _readable(folder):  # another process may have filled it by now
            _refuse_foreign(folder, verb, {OWN, *beside})
        staging = folder / OWN / "new"
        shutil.rmtree(staging, ignore_errors=True)  # left by a process that was killed
        sweep(folder / OWN)
        try:
            with _readable(folder):
                staging.mkdir()
            yield staging
            with _readable(folder):
                _move_in(staging, folder, verb)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Report in one line what the system refuses: a name too long, missing permissions, a full disk."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}; name another folder with --out") from None


def listed_digests(folder: Path, verb: str) -> Digests:
    """Return the files that, by the folder's list, a verb wrote there; empty without a list.

    Raises:
        UserError: The list cannot be read.
    """
    path = list_of(folder, verb)
    digests: Digests = defaultdict(set)
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if path.is_file() else ():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not _is_plain(name):
            raise UserError(f"{path}: not a list of files ({line[:40]!r}); name a new folder, or empty this one")
        digests[name].add(digest)
    return digests


def _is_plain(name: str) -> bool:
    """Return whether a name leads to a file inside the folder, and is its one normal spelling."""
    path = PurePosixPath(name)
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and path.parts[0] != OWN
    return inside and path.as_posix() == name and "\0" not in name


def text_digest(text: str) -> str:
    """Return the SHA-256 (hex) of a text as UTF-8."""
    return sha256(encode(text)).hexdigest()


def write_page(path: Path, text: str) -> None:
    """Write one HTML or Markdown file, signed by its digest, over nothing but an earlier such file.

    Raises:
        UserError: The file exists and was not written like this, or has changed since; or it cannot be written.
    """
    refuse_other_page(path)
    write_text(path, f"{text}{_signature(text)}")


def refuse_other_page(path: Path) -> None:
    """Refuse a path where ``write_page`` would lose something.

    Raises:
        UserError: The file exists and is not one that we wrote, or has changed since.
    """
    if not path.exists() and not path.is_symlink():
        return
    content = path.read_bytes().decode(errors="replace") if path.is_file() and not path.is_symlink() else ""
    text, mark, _ = content.rpartition(_SIGNED)
    if not mark or content != f"{text}{_signature(text)}":
        raise UserError(f"{path}: exists and is not a page written by rsir-bench, or was edited; name another file")


_SIGNED = "<!-- written by rsir-bench, sha256 "


def _signature(text: str) -> str:
    return f"{_SIGNED}{text_digest(text)} -->\n"


def list_of(folder: Path, verb: str) -> Path:
    """Return the file that lists what a verb wrote into a folder."""
    return folder / OWN / f"{verb}.sha256"


def _refuse_foreign(folder: Path, verb: str, ours: Collection[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder with --out")
    if (folder / OWN).is_symlink():
        raise UserError(f"{folder / OWN}: is a link; name another folder with --out")
    if folder.is_dir() and not list_of(folder, verb).is_file():
        entries = (entry.name for entry in sorted(folder.iterdir()))
        foreign = next((name for name in entries if name not in ours), None)
        if foreign is not None:
            raise UserError(
                f"{folder}: contains files that rsir-bench did not write ({foreign}); name a new folder with --out"
            )


def _move_in(staging: Path, folder: Path, verb: str) -> None:
    """Replace what was written last time, after making sure that nothing else would be lost."""
    former = listed_digests(folder, verb)
    new = {
        path.relative_to(staging).as_posix(): {file_digest(path)} for path in staging.rglob("*") if not path.is_dir()
    }
    for name in sorted(former.keys() | new.keys()):
        _refuse_changed(folder, name, former.get(name, set()) | new.get(name, set()))
    # While files move, either version of each counts as ours.
    _write_list(list_of(folder, verb), {name: former.get(name, set()) | new.get(name, set()) for name in former | new})
    for name in new:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (staging / name).replace(path)
    for name in former.keys() - new.keys():
        (folder / name).unlink(missing_ok=True)
        _remove_empty_parents(folder / name, folder)
    _write_list(list_of(folder, verb), new)


def _refuse_changed(folder: Path, name: str, ours: set[str]) -> None:
    path = folder / name
    if any(parent.is_symlink() or parent.is_file() for parent in path.parents if folder in parent.parents):
        raise UserError(f"{path.parent}: is not a folder that rsir-bench made; move it away, or name another --out")
    if path.is_symlink() or (path.exists() and not (path.is_file() and file_digest(path) in ours)):
        raise UserError(f"{path}: not written by rsir-bench, or changed since; move it away, or name another --out")


def _remove_empty_parents(path: Path, folder: Path) -> None:
    for parent in path.parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()


def _write_list(path: Path, digests: Digests) -> None:
    lines = [f"{digest}  {name}\n" for name in sorted(digests) for digest in sorted(digests[name])]
    write_text(path, "".join(lines))
