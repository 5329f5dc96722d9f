"""The members of a tar file: only their heads are read, and nothing is ever unpacked."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError

LONGEST_HEAD = 2**20
"""Bytes of a long name or of extended headers."""

LONGEST_END = 2**20
"""Bytes after the end mark: tar fills its last block of 10,240 up."""

GZIP = b"\x1f\x8b"
OTHER_PACKING = {GZIP: "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "Zstandard", b"PK": "zip"}

_KINDS = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True)
class Member:
    """A regular file in a tar.

    Attributes:
        name: As the tar has it; never a path on this machine.
        start: Its first byte in the tar.
        size: Its bytes.
    """

    name: str
    start: int
    size: int


def members_of(stream: BinaryIO, length: int) -> Iterator[Member]:
    """Yield the regular files of a tar.

    Unlike ``tarfile``, which takes damage for the end, this tells where a tar is damaged or cut off.

    Args:
        stream: The tar, at its start.
        length: Its bytes.

    Raises:
        DamagedError: It is cut off or damaged, or no tar.
        RefusedError: It is packed, or has a member that is no regular file and no folder.
    """
    at, changed = 0, _Changes()
    while (block := _read(stream, at, tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
        head = _head(block, at, length)
        size = head.size if changed.size is None else changed.size
        start = at + tarfile.BLOCKSIZE
        name = head.name if changed.name is None else changed.name
        if not 0 <= size <= length - start:
            raise DamagedError(f"cut off: member {name!r} of {size:,} bytes at byte {at:,} of {length:,}")
        if head.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            changed = _changes(head.type, _head_data(stream, start, size), changed)
        elif head.type == tarfile.XGLTYPE:
            if _changes(head.type, _head_data(stream, start, size), _Changes()) != _Changes():
                raise RefusedError("extended headers that rename all members; write the tar again")
        elif head.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not name.endswith("/"):
            yield Member(name, start, size)
            changed = _Changes()
        elif head.type in (tarfile.DIRTYPE, tarfile.AREGTYPE, tarfile.REGTYPE):
            changed = _Changes()
        else:
            kind = _KINDS.get(head.type, f"of type {head.type!r}")
            raise RefusedError(f"its member {name!r} is {kind}; write the tar again with regular files only")
        at = start + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    _check_end(stream, at, length)


@dataclass(frozen=True)
class _Changes:
    """What heads before a member's own say of it; None: nothing."""

    name: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class _Head:
    """What the head of a member says."""

    name: str
    size: int
    type: bytes


def _head(block: bytes, at: int, length: int) -> _Head:
    """Return the name, the size and the type in a head; ``tarfile`` takes five times as long.

    Raises:
        DamagedError: It is cut off, or its checksum is another.
        RefusedError: The file is packed.
    """
    if len(block) < tarfile.BLOCKSIZE:
        raise DamagedError(f"cut off at byte {length:,}: it has no end mark")
    stated = _number(block[148:156])
    found = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    above = sum(byte > 127 for byte in block) if stated != found else 0  # some programs add them as below zero
    if stated not in (found, found - 256 * above):
        packing = next((name for start, name in OTHER_PACKING.items() if at == 0 and block.startswith(start)), None)
        if packing is not None:
            raise RefusedError(f"packed by {packing}; decompress it to a plain .tar")
        raise DamagedError(f"not a tar file, or damaged at byte {at:,} (wrong checksum)")
    name, prefix = block[:100].partition(b"\0")[0], block[345:500].partition(b"\0")[0]
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    size = _number(block[124:136])
    if size is None:
        raise DamagedError(f"damaged at byte {at:,} (a size that is not a number)")
    return _Head(_text(name), size, block[156:157])


def _number(field: bytes) -> int | None:
    """Return a number in octal digits, or in binary where the first bit is set; None for neither."""
    if field[0] & 128:
        return int.from_bytes(field, "big", signed=True) if field[0] == 255 else int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits or b"0", 8) if re.fullmatch(b"[0-7]*", digits) else None


def _head_data(stream: BinaryIO, start: int, size: int) -> bytes:
    if size > LONGEST_HEAD:
        raise RefusedError(f"a name or extended headers of {size:,} bytes at byte {start:,}; write the tar again")
    return _read(stream, start, size)


def _changes(kind: bytes, data: bytes, before: _Changes) -> _Changes:
    """Return what a long name or extended headers say of the next member."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return replace(before, name=_text(data.partition(b"\0")[0]))
    records = dict(_records(data))
    if sparse := next((key for key in records if key.startswith(b"GNU.sparse.")), None):
        raise RefusedError(f"a sparse file ({sparse.decode()}); write the tar again with regular files only")
    if b"path" in records:
        before = replace(before, name=_text(records[b"path"]))
    if b"size" in records:
        if not re.fullmatch(rb"\d{1,18}", records[b"size"]):
            raise DamagedError("extended headers with a size that is not a number")
        before = replace(before, size=int(records[b"size"]))
    return before


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each extended header, ``LENGTH KEY=VALUE`` and a line end."""
    at = 0
    while at < len(data) and data[at]:
        found = re.compile(rb"(\d{1,8}) ([^=\n]+)=").match(data, at)
        end = at + int(found[1]) if found else 0
        if found is None or end <= found.end() or data[end - 1 : end] != b"\n":
            raise DamagedError("extended headers that are invalid")
        yield found[2], data[found.end() : end - 1]
        at = end


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _check_end(stream: BinaryIO, at: int, length: int) -> None:
    """Refuse a second archive behind the end mark, which tar would not read."""
    rest = length - at
    if rest > LONGEST_END or _read(stream, at, rest).strip(b"\0"):
        raise DamagedError(f"bytes after the end mark at byte {at:,}, as of two archives in one file; split them")


def _read(stream: BinaryIO, start: int, size: int) -> bytes:
    stream.seek(start)
    return stream.read(size)
