"""The columns of a parquet shard that hold the scenes and their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.readers.parquet.hugging_face import class_names, features_of, is_picture
from rsir_bench.scenes.readers.settings import SETTINGS_FILE, FolderSettings

IMAGES = ("image",)
LABELS = ("label", "labels")


BUFFER = 2**20
"""Bytes of a shard that are read at once."""


def opened_parquet(stream: BinaryIO) -> pq.ParquetFile:
    """Return a shard whose head was read; pages are read one by one, and compared with their checksums if they have.

    Raises:
        Exception: Of any kind, where it is damaged.
    """
    return pq.ParquetFile(stream, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)


@dataclass(frozen=True)
class Columns:
    """The columns of a shard.

    Attributes:
        image: Name of the column of the scenes.
        nested: Whether it holds structs, with the bytes of the scene as ``bytes``; False: the bytes themselves.
        path: Where the names of their files are; empty if the shard has none.
        label: Name of the column of the labels.
        texts: Whether labels are texts; False: whole numbers.
        several: Whether a scene has a list of labels.
        names: The names of the classes 0, 1, ...; None: the shard has none.
    """

    image: str
    nested: bool
    path: str
    label: str
    texts: bool
    several: bool
    names: tuple[str, ...] | None

    @property
    def content(self) -> str:
        """Where the bytes of the scenes are."""
        return f"{self.image}.bytes" if self.nested else self.image


def columns_of(schema: pa.Schema, settings: FolderSettings, where: str) -> Columns:
    """Return the columns that the settings name, or those with the usual names, or the only ones of their kind.

    Raises:
        SceneError: There are none, or not of the right type.
    """
    features = features_of(schema.metadata, where)
    image = _chosen(schema, settings.image, IMAGES, _named(features, is_picture), ("image", "scenes"), where)
    labels = _named(features, lambda feature: class_names(feature, where) is not None)
    label = _chosen(schema, settings.label, LABELS, labels, ("label", "labels"), where)
    nested, path = _image_places(image, schema.field(image).type, where)
    kind = schema.field(label).type
    several = _is_list(kind)
    texts = _is_text(label, kind.value_type if several else kind, where)
    return Columns(image, nested, path, label, texts, several, class_names(features.get(label), where))


def _named(features: Mapping[str, Any], fits: Callable[[object], bool]) -> list[str]:
    return [name for name, feature in features.items() if fits(feature)]


def _chosen(
    schema: pa.Schema, given: str | None, usual: Sequence[str], only: list[str], what: tuple[str, str], where: str
) -> str:
    setting, words = what
    candidates = [name for name in usual if name in schema.names] or (only if len(only) == 1 else [])
    if given:
        candidates = [given]
    if candidates and schema.get_field_index(candidates[0]) >= 0:
        return candidates[0]
    columns = ", ".join(schema.names[:20]) or "none"
    missing = f"no column {given!r}" if given else f"which column holds the {words} is not known"
    raise SceneError(f'{where}: {missing}; its columns: {columns}; set {setting} = "COLUMN" in {SETTINGS_FILE}')


def _image_places(image: str, kind: pa.DataType, where: str) -> tuple[bool, str]:
    if _is_bytes(kind):
        return False, ""
    if pa.types.is_struct(kind):
        places = {field.name: field.type for field in kind}
        if "bytes" in places and _is_bytes(places["bytes"]):
            has_path = "path" in places and _is_string(places["path"])
            return True, f"{image}.path" if has_path else ""
    wrong = f"column {image!r} is of type {str(kind)[:100]}"
    raise SceneError(f"{where}: {wrong}; scenes are bytes, or a struct of 'bytes' and 'path'")


def _is_text(label: str, kind: pa.DataType, where: str) -> bool:
    if pa.types.is_integer(kind):
        return False
    if _is_string(kind) or (pa.types.is_dictionary(kind) and _is_string(kind.value_type)):
        return True
    raise SceneError(f"{where}: column {label!r} is of type {str(kind)[:100]}; labels are whole numbers or texts")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
