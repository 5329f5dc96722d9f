"""List the scenes of parquet shards, as Hugging Face writes them: pictures with their labels, read by pyarrow alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.readers.labels import LabelledScenes, Labels, alike_notes, sort_by_labels, why_unfit
from rsir_bench.scenes.readers.parquet_columns import Columns, columns_of, opened_parquet
from rsir_bench.scenes.readers.parquet_store import ParquetStore
from rsir_bench.scenes.readers.settings import FolderSettings
from rsir_bench.scenes.readers.shards import LONGEST_NAME, MOST_SCENES, Shard, Shards
from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError, UnreadableError, decoding

ROWS_AT_ONCE = 4096

MOST_LABELS = 1000
"""Labels of a scene."""

MOST_GROUP_BYTES = 2**33
"""Bytes of one row group: to reach its last scene, all before it are read."""

MOST_AT_ONCE = 2**28
"""Bytes that file names and labels may take before anything is known of them."""


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
    scenes: list[tuple[str, Labels]] = []
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
    found = sort_by_labels(scenes, settings.class_names or first.names, dataset, shards.root)
    notes = (*shards.split_note(), *alike_notes(found.files))
    return LabelledScenes(ParquetStore(shards, first), found.files, notes, found.named, found.table)


_ONE = "name the folder of one dataset"


def _list_shard(shard: Shard, settings: FolderSettings, scenes: list[tuple[str, Labels]]) -> Columns:
    """Add a shard's scenes to others, and return its columns."""
    with shard.open() as stream:
        with decoding("no parquet, or damaged"):
            file = opened_parquet(stream)
            schema, rows = file.schema_arrow, file.metadata.num_rows
        columns = columns_of(schema, settings, str(shard.path))
        before = len(scenes)
        sizes = _sizes(file.metadata, before)
        with decoding("its columns cannot be read"):
            for row, (name, label) in enumerate(_rows(file, columns, sizes)):
                scenes.append((f"{shard.name}/{row}/{_file_name(name, row, len(scenes))}", label))
        if len(scenes) - before != rows:
            raise DamagedError(f"states {rows:,} rows, and has {len(scenes) - before:,}")
    return columns


def _sizes(metadata: pq.FileMetaData, before: int) -> list[int]:
    """Return the bytes of each row group.

    What is said of single columns is not asked for: damage there ends the process, as pyarrow does not catch it.

    Raises:
        DamagedError: Its numbers of rows contradict each other.
        RefusedError: It has too many rows, or a row group is too large.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if min([0, *(group.num_rows for group in groups)]) < 0 or sum(g.num_rows for g in groups) != metadata.num_rows:
        raise DamagedError("states other numbers of rows than its parts")
    if before + metadata.num_rows > MOST_SCENES:
        raise RefusedError(f"{before + metadata.num_rows:,} rows with those before it, more than {MOST_SCENES:,}")
    sizes = [group.total_byte_size for group in groups]
    if max([0, *sizes]) > MOST_GROUP_BYTES:
        raise RefusedError(f"{max(sizes):,} bytes in one row group; write groups of about a hundred scenes")
    return sizes


def _rows(file: pq.ParquetFile, columns: Columns, sizes: Sequence[int]) -> Iterator[tuple[str | None, Labels]]:
    """Yield file name and label of each row; rows may share a text as long as their group, so few are read at once."""
    wanted = [place for place in (columns.path, columns.label) if place]
    for group, size in enumerate(sizes):
        at_once = min(ROWS_AT_ONCE, max(1, MOST_AT_ONCE // max(size, 1)))
        for batch in file.iter_batches(at_once, row_groups=[group], columns=wanted, use_threads=False):
            labels: list[Labels] = _labels(batch.column(columns.label), columns.several)
            names: list[str | None] = [None] * len(labels)
            if columns.path:
                names = _values(pc.struct_field(batch.column(columns.image), "path"))
            yield from zip(names, labels, strict=True)


def _labels(column: pa.Array, several: bool) -> list[Labels]:
    """Return the labels of a column: one each, or a list each, which is empty where it is missing.

    Raises:
        RefusedError: There are too many for a scene, or a text is too long.
    """
    if not several:
        return _values(column)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_pylist()
    if max([0, *lengths]) > MOST_LABELS:
        raise RefusedError(f"{max(lengths):,} labels of one scene, more than {MOST_LABELS:,}")
    values = iter(_values(column.flatten()))
    return [list(islice(values, length)) for length in lengths]


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
