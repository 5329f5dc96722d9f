"""Read scenes from parquet shards: row by row, so that no row group is ever held as a whole."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import pyarrow.compute as pc
import pyarrow.parquet as pq

from rsir_bench.scenes.readers.parquet.columns import Columns, opened_parquet
from rsir_bench.scenes.readers.parquet.pages import Chunk, pages_of
from rsir_bench.scenes.readers.shards import Shard, Shards
from rsir_bench.scenes.reading.content import FILE_SHARE, check_length, limit_in_words, most_bytes
from rsir_bench.scenes.reading.store import State
from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError, UnreadableError, decoding

MOST_PAGE = 2**30
"""Bytes of a page when unpacked, unless a scene's file may have more; it holds one scene or many."""

MOST_EXPANSION = 20
"""A row group may unpack to this many times the bytes of its shard, and one scene more: rows can share one picture."""


class ParquetStore:
    """The scenes of parquet shards; a path is a shard's name, a row, and the name of the scene's file.

    Columns can only be read from the start of a row group. So one reader walks through the group of the last scene that
    was asked for, and the scenes on its way are kept up to the limit on a scene's bytes: threads that ask for scenes in
    about their order find them there.

    Args:
        shards: The shards.
        columns: Theirs.
        chunks: Where the scenes of each row group are, by the name of the shard.
    """

    def __init__(self, shards: Shards, columns: Columns, chunks: Mapping[str, Sequence[Chunk]]) -> None:
        self.root: Path = shards.root
        self._title = shards.title
        self._columns = columns
        self._chunks = chunks
        self._shards = {shard.name: shard for shard in shards.files}
        self._order = {shard.name: number for number, shard in enumerate(shards.files)}
        self._lock = Lock()
        self._walk: _Walk | None = None
        self._kept: OrderedDict[tuple[str, int], bytes | UnreadableError] = OrderedDict()
        self._bytes = 0

    @property
    def identity(self) -> bytes:
        """The shards' folder without links, which of them, and the column that holds the scenes."""
        names = (self.root.resolve(), self._title, self._columns.content)
        return b"parquet:" + b"\0".join(os.fsencode(name) for name in names)

    def read(self, path: str) -> bytes:
        """Return the bytes of a scene's file.

        Raises:
            SceneError: The shard has changed.
            UnreadableError: The shard is damaged here, there are no bytes, or more than of any scene.
        """
        shard, row = _place(path)
        with self._lock:
            if (shard, row) not in self._kept:
                self._walk_to(self._shards[shard], row)
            self._kept.move_to_end((shard, row))
            found = self._kept[shard, row]
        if isinstance(found, UnreadableError):
            raise found
        return found

    def states(self, paths: Sequence[str]) -> dict[str, State]:
        """Return the state that each scene's shard had when it was found; others are never read."""
        return {path: self._shards[_place(path)[0]].state for path in paths}

    def reading_order(self, paths: Sequence[str]) -> list[int]:
        """Return the positions of all paths in the order of shards and rows."""
        places = [_place(path) for path in paths]
        return sorted(range(len(paths)), key=lambda position: (self._order[places[position][0]], places[position][1]))

    def _walk_to(self, shard: Shard, row: int) -> None:
        """Read on to a row, from the start of its group if need be, and keep what is on the way."""
        if self._walk is None or not self._walk.leads_to(shard, row):
            if self._walk is not None:
                self._walk.close()
            self._walk = None  # also where the next line fails
            self._walk = _Walk(shard, row, self._columns, self._chunks[shard.name])
        for reached, content in self._walk.until(row):
            self._keep((shard.name, reached), content)

    def _keep(self, place: tuple[str, int], content: bytes | UnreadableError) -> None:
        self._bytes += _length(content) - _length(self._kept.pop(place, b""))
        self._kept[place] = content
        while self._bytes > most_bytes() and len(self._kept) > 1:
            self._bytes -= _length(self._kept.popitem(last=False)[1])


def _length(content: bytes | UnreadableError) -> int:
    return len(content) if isinstance(content, bytes) else 0


def _place(path: str) -> tuple[str, int]:
    shard, row, _ = path.rsplit("/", 2)
    return shard, int(row)


class _Walk:
    """A reader on its way through one row group.

    Args:
        shard: The shard.
        row: A row of the group.
        columns: The shard's.
        chunks: Where the scenes of each row group are.

    Raises:
        SceneError: The shard has changed.
        DamagedError: It is damaged.
        RefusedError: A page is larger than any scene.
    """

    def __init__(self, shard: Shard, row: int, columns: Columns, chunks: Sequence[Chunk]) -> None:
        self._shard = shard
        self._stream: BinaryIO = shard.open()
        self._next = self._stop = 0
        self._rows: Iterator[bytes | UnreadableError] = iter(())
        try:
            group = -1
            while self._stop <= row:
                group += 1
                self._next, self._stop = self._stop, self._stop + chunks[group].rows
            _check_pages(self._stream, chunks[group])
            with decoding("its shard cannot be read"):
                file = opened_parquet(self._stream)
                self._rows = _contents(file, group, columns, MOST_EXPANSION * shard.state[0] + most_bytes())
        except BaseException:
            self.close()
            raise

    def leads_to(self, shard: Shard, row: int) -> bool:
        """Return whether a row is still ahead."""
        return shard is self._shard and self._next <= row < self._stop

    def until(self, row: int) -> Iterator[tuple[int, bytes | UnreadableError]]:
        """Yield the rows that are ahead, with their bytes or why there are none, as far as one."""
        while self._next <= row:
            reached = self._next
            self._next += 1
            yield reached, next(self._rows, _CUT)

    def close(self) -> None:
        """Close the shard."""
        self._stream.close()


def _check_pages(stream: BinaryIO, chunk: Chunk) -> None:
    """Refuse a row group with a page that may not be held in memory: it is unpacked as a whole."""
    largest = max((page.size for page in pages_of(stream, chunk)), default=0)
    if largest > max(MOST_PAGE, FILE_SHARE * most_bytes()):
        raise RefusedError(f"in a page of {largest:,} bytes; write smaller row groups; {limit_in_words()}")


_CUT = DamagedError("its row group ends before it")


def _contents(file: pq.ParquetFile, group: int, columns: Columns, left: int) -> Iterator[bytes | UnreadableError]:
    """Yield the bytes of each row of a group, at most ``left`` together; after damage, the same error for each row."""
    batches = file.iter_batches(1, row_groups=[group], columns=[columns.content], use_threads=False)
    while True:
        try:
            with decoding("its row cannot be read"):
                batch = next(batches, None)
                if batch is None:
                    return
                values = batch.column(0)
                (value,) = pc.struct_field(values, "bytes") if columns.nested else values
            if not value.is_valid:
                raise RefusedError("contains no image, at most a path, which is not followed; write its bytes")
            size = value.as_buffer().size
            check_length(size)
            left -= size
            if left < 0:
                raise DamagedError("its row group unpacks to far more bytes than the shard has")
            yield value.as_buffer().to_pybytes()
        except DamagedError as error:
            while True:
                yield error
        except UnreadableError as error:
            yield error
