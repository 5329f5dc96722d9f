"""The sizes that a parquet file states of its pages, read before anything is unpacked.

A page of a few bytes may unpack to any number of them. Pyarrow gives no sizes of pages, and asked for those of columns
it ends the process where they are damaged. So the footer and the heads of pages are read here: structs in the compact
protocol of Thrift (thrift-compact-protocol.md in github.com/apache/thrift), with the fields of ``parquet.thrift`` in
github.com/apache/parquet-format.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeGuard

from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError

LONGEST_FOOTER = 2**24
LONGEST_HEAD = 2**20
USUAL_HEAD = 2**12
DEEPEST = 12

MAGIC = b"PAR1"

Struct = dict[int, Any]
"""Fields by their numbers: numbers, bytes, structs, or lists of these."""


@dataclass(frozen=True)
class Chunk:
    """One column in one row group.

    Attributes:
        start: Its first byte.
        stop: The byte after its last.
        rows: Of the row group.
    """

    start: int
    stop: int
    rows: int


@dataclass(frozen=True)
class Group:
    """A row group.

    Attributes:
        rows: How many it has.
        size: Its bytes when unpacked.
        chunks: By the path of their column: ``image.bytes``, ``label.list.element``.
    """

    rows: int
    size: int
    chunks: dict[str, Chunk]

    def below(self, column: str) -> list[Chunk]:
        """Return the chunk of a column, or of the values of its lists."""
        return [chunk for path, chunk in self.chunks.items() if path == column or path.startswith(f"{column}.")]

    def chunk(self, column: str) -> Chunk:
        """Return the chunk of a column.

        Raises:
            DamagedError: There is none.
        """
        if column not in self.chunks:
            raise DamagedError(f"a row group has no column {column!r}")
        return self.chunks[column]


@dataclass(frozen=True)
class Page:
    """A page of a chunk.

    Attributes:
        size: Its bytes when unpacked.
        values: How many values it holds.
        is_dictionary: Whether these are those that other pages refer to.
    """

    size: int
    values: int
    is_dictionary: bool


def read_groups(stream: BinaryIO) -> list[Group]:
    """Return the row groups of a file.

    Raises:
        DamagedError: The footer makes no sense.
        RefusedError: It is too long.
    """
    length = os.fstat(stream.fileno()).st_size
    end = _read(stream, max(0, length - 8), 8)
    size = int.from_bytes(end[:4], "little")
    if end[4:] != MAGIC or size > length - 8:
        raise DamagedError("not a parquet file, or truncated")
    if size > LONGEST_FOOTER:
        raise RefusedError(f"a footer of {size:,} bytes; write fewer row groups")
    footer = _Reader(_read(stream, length - 8 - size, size)).whole()
    try:
        return [_group(group) for group in footer[4]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError("its footer is invalid") from error


def _group(group: Struct) -> Group:
    chunks = {}
    for column in group[1]:
        about = column[3]
        start = about[9] if not 0 < about.get(11, 0) < about[9] else about[11]
        name = ".".join(part.decode() for part in about[3])
        chunks[name] = Chunk(start, start + about[7], group[3])
    return Group(group[3], group[2], chunks)


def pages_of(stream: BinaryIO, chunk: Chunk) -> Iterator[Page]:
    """Yield the pages of a chunk, of which only the heads are read.

    Raises:
        DamagedError: A head makes no sense.
    """
    at = chunk.start
    while at < chunk.stop and chunk.rows:
        try:
            reader = _Reader(_read(stream, at, USUAL_HEAD))
            head = reader.whole()
        except DamagedError:
            reader = _Reader(_read(stream, at, LONGEST_HEAD))
            head = reader.whole()
        about = head.get(5) or head.get(7) or head.get(8)
        size, packed, values = head.get(2), head.get(3), about.get(1) if isinstance(about, dict) else 0
        if not (_is_count(size) and _is_count(packed) and _is_count(values)):
            raise DamagedError("a page header is invalid")
        yield Page(size, values, 7 in head)
        at += reader.at + packed


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value >= 0


def _read(stream: BinaryIO, start: int, size: int) -> bytes:
    if start < 0:
        raise DamagedError("its footer is invalid")
    stream.seek(start)
    return stream.read(size)


class _Reader:
    """A reader of structs in the compact protocol; ``at`` is the next byte."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def whole(self) -> Struct:
        """Return the struct that starts here.

        Raises:
            DamagedError: The bytes make no sense.
        """
        try:
            return self._struct(0)
        except (IndexError, struct.error) as error:
            raise DamagedError("its footer or a page header is cut off") from error

    def _struct(self, depth: int) -> Struct:
        if depth > DEEPEST:
            raise DamagedError("its footer or a page header is nested too deeply")
        fields: Struct = {}
        number = 0
        while head := self._byte():
            step = head >> 4
            number = number + step if step else self._signed()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return struct.unpack("<d", self._bytes(8))[0]
            case 8:
                return self._bytes(self._unsigned())
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self._struct(depth + 1)
            case _:
                raise DamagedError(f"its footer or a page header has a field of type {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._unsigned()
        if count > len(self._data) - self.at:  # each takes a byte at least
            raise DamagedError("its footer or a page header has a list longer than itself")
        if head & 15 in (1, 2):
            return [self._byte() == 1 for _ in range(count)]
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        found = self._data[self.at : self.at + count]
        if len(found) < count:
            raise IndexError
        self.at += count
        return found

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise DamagedError("its footer or a page header has a number of more than 64 bits")
        return value | byte << shift

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
