"""List the scenes of parquet shards, as Hugging Face writes them: pictures with their labels, read by pyarrow alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.readers.labels import LabelledScenes, Labels, alike_notes, sort_by_labels, why_unfit
from rsir_bench.scenes.readers.parquet.columns import Columns, columns_of, opened_parquet
from rsir_bench.scenes.readers.parquet.pages import Chunk, Group, pages_of, read_groups
from rsir_bench.scenes.readers.parquet.store import ParquetStore
from rsir_bench.scenes.readers.settings import FolderSettings
from rsir_bench.scenes.readers.shards import LONGEST_NAME, MOST_SCENES, Shard, Shards
from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError, UnreadableError, decoding

ROWS_AT_ONCE = 4096

MOST_LABELS = 1000
"""Labels of a scene."""

MOST_GROUP_BYTES = 2**33
"""Bytes of one row group: to reach its last scene, all before it are read."""

MOST_AT_ONCE = 2**28
"""Bytes that the file names and labels of rows that are read at once may take."""


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
    chunks: dict[str, list[Chunk]] = {}
    first: Columns | None = None
    for shard in shards.files:
        try:
            columns, chunks[shard.name] = _list_shard(shard, settings, scenes)
        except (UnreadableError, UnicodeDecodeError) as error:  # the latter from names of columns
            raise SceneError(f"{shard.path}: {error}; get it again, or write it again with pyarrow") from error
        first = first or columns
        if columns != first:
            raise SceneError(f"{shard.path}: has other columns or class names than {shards.files[0].path}; {_ONE}")
    assert first is not None
    found = sort_by_labels(scenes, settings.class_names or first.names, dataset, shards.root)
    notes = (*shards.split_note(), *alike_notes(found.files))
    return LabelledScenes(ParquetStore(shards, first, chunks), found.files, notes, found.named, found.table)


_ONE = "name the folder of one dataset"


def _list_shard(
    shard: Shard, settings: FolderSettings, scenes: list[tuple[str, Labels]]
) -> tuple[Columns, list[Chunk]]:
    """Add a shard's scenes to others, and return its columns, and where the scenes of each row group are."""
    with shard.open() as stream:
        with decoding("no parquet, or damaged"):
            file = opened_parquet(stream)
            schema, rows = file.schema_arrow, file.metadata.num_rows
            groups = read_groups(stream)
        columns = columns_of(schema, settings, str(shard.path))
        before = len(scenes)
        _check_rows(groups, rows, before)
        at_once = [_at_once(stream, group, columns) for group in groups]
        with decoding("its columns cannot be read"):
            for row, (name, label) in enumerate(_rows(file, columns, at_once)):
                scenes.append((f"{shard.name}/{row}/{_file_name(name, row, len(scenes))}", label))
        if len(scenes) - before != rows:
            raise DamagedError(f"states {rows:,} rows, and has {len(scenes) - before:,}")
    return columns, [group.chunk(columns.content) for group in groups]


def _check_rows(groups: Sequence[Group], rows: int, before: int) -> None:
    """Refuse a shard of too many rows, or with too large row groups.

    Raises:
        DamagedError: Its numbers of rows contradict each other.
        RefusedError: There are too many rows, or a row group has too many bytes.
    """
    if min([0, *(group.rows for group in groups)]) < 0 or sum(group.rows for group in groups) != rows:
        raise DamagedError("states other numbers of rows than its parts")
    if before + rows > MOST_SCENES:
        raise RefusedError(f"{before + rows:,} rows with those before it, more than {MOST_SCENES:,}")
    largest = max((group.size for group in groups), default=0)
    if largest > MOST_GROUP_BYTES:
        raise RefusedError(f"{largest:,} bytes in one row group; write groups of about a hundred scenes")


def _at_once(stream: BinaryIO, group: Group, columns: Columns) -> int:
    """Return how many rows of a group may be read at once, if each had a text as long as its longest page.

    Raises:
        DamagedError: The head of a page makes no sense.
        RefusedError: A page is too large, or there are too many labels.
    """
    each = MOST_LABELS if columns.several else 1
    largest = 1
    for place, most in ((columns.path, 1), (columns.label, each)):
        for chunk in group.below(place) if place else ():
            pages = list(pages_of(stream, chunk))
            largest = max([largest, *(page.size for page in pages)])
            values = sum(page.values for page in pages if not page.is_dictionary)
            if values > most * group.rows:
                raise RefusedError(f"{values:,} values of {place!r} for {group.rows:,} rows; write the file again")
    if largest > MOST_AT_ONCE:
        raise RefusedError(f"a page of {largest:,} bytes of file names or labels; write smaller row groups")
    return min(ROWS_AT_ONCE, max(1, MOST_AT_ONCE // (largest * (each if columns.texts else 1))))


def _rows(file: pq.ParquetFile, columns: Columns, at_once: Sequence[int]) -> Iterator[tuple[str | None, Labels]]:
    """Yield file name and label of each row, of a number of rows at once in each group."""
    wanted = [place for place in (columns.path, columns.label) if place]
    for group, rows in enumerate(at_once):
        for batch in file.iter_batches(rows, row_groups=[group], columns=wanted, use_threads=False):
            labels: list[Labels] = _labels(batch.column(columns.label), columns.several)
            names: list[str | None] = [None] * len(labels)
            if columns.path:
                names = _values(pc.struct_field(batch.column(columns.image), "path"))
            yield from zip(names, labels, strict=True)


def _labels(column: pa.Array, several: bool) -> list[Labels]:
    """Return the labels of a column: one each, or a list each, which is empty if it is missing.

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
