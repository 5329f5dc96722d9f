"""Safely unpack an untrusted zip archive of images."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import track
from rsir_bench.scenes.acquire.disk_space import require_space

MAX_EXPANSION = 20
"""An archive that unpacks to more than this many times its size is refused; pictures hardly compress."""

MOST_MEMBERS = 100_000
"""An archive of more files and folders is refused: no dataset has a third of that here, and each takes time."""

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, NotImplementedError)
"""Exceptions that zipfile raises on damaged bytes."""

SENSELESS = {errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
"""Errors of the system for offsets and names that only damage or malice asks for."""

ENCRYPTED = 0x1
"""The flag bit of a member behind a password."""


class ArchiveError(UserError):
    """The archive is damaged or not safe to unpack; another try with the same bytes cannot help."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a new folder; nothing is written elsewhere, and links are not made.

    What an interrupted call left in ``folder`` is removed first; the folder is removed if unpacking fails.

    Raises:
        ArchiveError: The archive is damaged, encrypted, packed in an unknown way or holds what a dataset cannot: a path
            out of the folder, a link, a path twice, or far more bytes than pictures of its size.
        UserError: There is not enough disk space.
        OSError: Writing failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as content:
            members = dict(_examined(archive, content))
            size = sum(member.file_size for member in members.values())
            require_space(folder, size, f"unpack {archive.name}")
            for place, member in track(members.items(), f"unpacking {archive.stem}"):
                _write(content, member, folder / place)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, DAMAGED) or (isinstance(error, OSError) and error.errno in SENSELESS):
            raise ArchiveError(
                f"{archive}: damaged, or not a zip archive ({error}); start the download again"
            ) from error
        raise


def _examined(archive: Path, content: zipfile.ZipFile) -> Iterator[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """Yield the files to unpack with their paths below the folder, or refuse the archive."""
    if len(content.infolist()) > MOST_MEMBERS:
        count = f"{len(content.infolist()):,} files and folders, more than {MOST_MEMBERS:,}"
        raise ArchiveError(
            f"{archive}: refused, it holds {count}; get the archive from elsewhere and unpack it by hand"
        )
    size, packed = sum(member.file_size for member in content.infolist()), archive.stat().st_size
    if size > MAX_EXPANSION * packed:
        raise ArchiveError(f"{archive}: refused, {packed} bytes would unpack to {size} bytes, too many for pictures")
    places: set[PurePosixPath] = set()
    for member in content.infolist():
        name = member.filename.replace("\\", "/")  # some Windows programs write what the format forbids
        place = PurePosixPath(name)
        if fault := _fault(member, name) or ("is there twice" if place in places else None):
            remedy = "get the archive from elsewhere and unpack it by hand"
            raise ArchiveError(f"{archive}: refused, its member {name!r} {fault}; {remedy}")
        if not name.endswith("/") and place.parts[0] != "__MACOSX":
            places.add(place)
            yield place, member


def _fault(member: zipfile.ZipInfo, name: str) -> str | None:
    """Return what is wrong with a member, for a message after its name; None if it may be unpacked."""
    place = PurePosixPath(name)
    if not place.parts or ".." in place.parts or PureWindowsPath(name).anchor:  # also a drive, as in C:name
        return "is a path outside its folder"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {member.compress_type}, which is not supported"
    return None


def _write(content: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Write one file; zipfile checks its checksum and never returns more than the declared bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
        if target.tell() != member.file_size:
            raise zipfile.BadZipFile(f"{member.filename} holds {target.tell()} bytes, not {member.file_size}")
