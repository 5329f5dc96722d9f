"""List the scenes of parquet shards, as Hugging Face writes them: pictures with their labels, read by pyarrow alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.readers.labels import Label, LabelledScenes, alike_notes, by_class, why_unfit
from rsir_bench.scenes.readers.parquet_columns import Columns, columns_of, opened_parquet
from rsir_bench.scenes.readers.parquet_store import ParquetStore
from rsir_bench.scenes.readers.settings import FolderSettings
from rsir_bench.scenes.readers.shards import LONGEST_NAME, MOST_SCENES, Shard, Shards
from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError, UnreadableError, decoding

ROWS_AT_ONCE = 4096

MOST_GROUP_BYTES = 2**33
"""Bytes of the scenes of one row group: to reach its last scene, all before it are read."""

MOST_COLUMN_BYTES = 2**28
"""Bytes of the labels, or of the file names, of one row group: they are read before anything is known of them."""


def list_parquet(shards: Shards, settings: FolderSettings, dataset: str) -> LabelledScenes:
    """Return the scenes of shards by class; no picture is read.

    A scene's path is the name of its shard, its row there, and the name of its file: the number of the scene where the
    shard does not give one.

    Args:
        shards: The shards.
        settings: Of the dataset.
        dataset: For messages.

    Raises:
        SceneError: A shard is damaged, or does not hold pictures and their labels; or a label is missing or unknown.
    """
    scenes: list[tuple[str, Label]] = []
    first: Columns | None = None
    for shard in shards.files:
        try:
            columns = _list_shard(shard, settings, scenes)
        except (UnreadableError, UnicodeDecodeError) as error:  # the latter from names of columns
            raise SceneError(f"{shard.path}: {error}; get it again, or write it again with pyarrow") from error
        first = first or columns
        if columns != first:
            raise SceneError(f"{shard.path}: has other columns or class names than {shards.files[0].path}; {_ONE}")
    assert first is not None
    files, named = by_class(scenes, settings.class_names or first.names, dataset)
    notes = (*shards.split_note(), *alike_notes(files))
    return LabelledScenes(ParquetStore(shards, first), files, notes, named)


_ONE = "name the folder of one dataset"


def _list_shard(shard: Shard, settings: FolderSettings, scenes: list[tuple[str, Label]]) -> Columns:
    """Add a shard's scenes to others, and return its columns."""
    with shard.open() as stream:
        with decoding("no parquet, or damaged"):
            file = opened_parquet(stream)
            schema, rows = file.schema_arrow, file.metadata.num_rows
        columns = columns_of(schema, settings, str(shard.path))
        before = len(scenes)
        sizes = _sizes(file.metadata, columns, before)
        with decoding("its columns cannot be read"):
            for row, (name, label) in enumerate(_rows(file, columns, sizes)):
                scenes.append((f"{shard.name}/{row}/{_file_name(name, row, len(scenes))}", label))
        if len(scenes) - before != rows:
            raise DamagedError(f"states {rows:,} rows, and has {len(scenes) - before:,}")
    return columns


def _sizes(metadata: pq.FileMetaData, columns: Columns, before: int) -> list[int]:
    """Return the bytes of labels and file names in each row group, before any of them is read.

    Raises:
        DamagedError: Its numbers of rows contradict each other.
        RefusedError: It has too many rows, or columns too large.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if min([0, *(group.num_rows for group in groups)]) < 0 or sum(g.num_rows for g in groups) != metadata.num_rows:
        raise DamagedError("states other numbers of rows than its parts")
    if before + metadata.num_rows > MOST_SCENES:
        raise RefusedError(f"{before + metadata.num_rows:,} rows with those before it, more than {MOST_SCENES:,}")
    of_scenes = max((_size(group, (columns.content,)) for group in groups), default=0)
    if of_scenes > MOST_GROUP_BYTES:
        raise RefusedError(f"{of_scenes:,} bytes of scenes in one row group; write groups of about a hundred scenes")
    sizes = [_size(group, (columns.path, columns.label)) for group in groups]
    if max([0, *sizes]) > MOST_COLUMN_BYTES:
        raise RefusedError(f"{max(sizes):,} bytes of labels or file names in one row group; write smaller groups")
    return sizes


def _size(group: pq.RowGroupMetaData, places: Sequence[str]) -> int:
    """Return the bytes that a row group states for the largest of some columns, packed or not."""
    chunks = [group.column(number) for number in range(group.num_columns)]
    wanted = [chunk for chunk in chunks if chunk.path_in_schema in places]
    return max((max(chunk.total_uncompressed_size, chunk.total_compressed_size) for chunk in wanted), default=0)


def _rows(file: pq.ParquetFile, columns: Columns, sizes: Sequence[int]) -> Iterator[tuple[str | None, Label]]:
    """Yield file name and label of each row; as rows may share a long text, so few at once that all may be as long."""
    wanted = [place for place in (columns.path, columns.label) if place]
    for group, size in enumerate(sizes):
        at_once = min(ROWS_AT_ONCE, max(1, MOST_COLUMN_BYTES // max(size, 1)))
        for batch in file.iter_batches(at_once, row_groups=[group], columns=wanted, use_threads=False):
            labels: list[Label] = _values(batch.column(columns.label))
            names: list[str | None] = [None] * len(labels)
            if columns.path:
                names = _values(pc.struct_field(batch.column(columns.image), "path"))
            yield from zip(names, labels, strict=True)


def _values(column: pa.Array) -> list[Any]:
    """Return the values of a column.

    Raises:
        RefusedError: A text is too long.
    """
    texts = column.dictionary if pa.types.is_dictionary(column.type) else column
    longest = 0 if pa.types.is_integer(texts.type) else pc.max(pc.binary_length(texts)).as_py()
    if (longest or 0) > LONGEST_NAME:
        raise RefusedError(f"a file name or label of {longest:,} bytes")
    values: list[Any] = column.to_pylist()
    return values


def _file_name(path: str | None, row: int, number: int) -> str:
    """Return the last part of a path, which is used for nothing but to name the scene.

    Raises:
        RefusedError: It cannot be shown.
    """
    name = re.split(r"[/\\]", path or "")[-1]
    if not name:
        return f"{number:08}"
    if why := why_unfit(name):
        raise RefusedError(f"row {row}: its file name {name[:40]!r} {why}")
    return name
