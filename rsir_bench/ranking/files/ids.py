"""Ids of scenes as files hold them, and descriptors in the order of a dataset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.naming.scene_ids import few, rows_of_scenes, scene_numbers

Array = np.ndarray[Any, Any]


def by_scene(descriptors: Array, ids: Array | None, dataset: SceneIndex, where: Path) -> Array:
    """Return descriptors, (N, ...) of any dtype, in the order of a dataset's scenes.

    Args:
        descriptors: (N, ...) in any order.
        ids: (N,) text or integers, the scene of each; None: the file holds none.
        dataset: The dataset.
        where: The file, for messages.

    Raises:
        UserError: There are no ids, or they are not those of the dataset's scenes, each once.
    """
    if ids is None:
        raise UserError(
            f"{where}: holds no ids, so it is unknown which row is which scene of {dataset.name}; "
            "add an array or a column 'id'"
        )
    names = as_ids(ids, where)
    if len(names) != len(descriptors):
        raise UserError(f"{where}: {len(descriptors):,} descriptors but {len(names):,} ids; give one for each")
    return descriptors[rows_of_scenes(names, dataset, where)]


def rows_of(wanted: list[str], given: list[str], where: Path, other: Path) -> Array:
    """Return the row in another file of each id, (N,) int64.

    Args:
        wanted: The ids of a file.
        given: The ids of the other one.
        where: The file.
        other: The other file.

    Raises:
        UserError: A file has an id twice, or the other one lacks one.
    """
    for path, names in ((where, wanted), (other, given)):
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise UserError(f"{path}: has {few(repeated)} of its ids more than once; keep one row of each")
    row = {name: number for number, name in enumerate(given)}
    if missing := [name for name in wanted if name not in row]:
        raise UserError(
            f"{other}: lacks {few(missing)} of the {len(wanted):,} ids of {where}; use the same ids in both files"
        )
    return np.array([row[name] for name in wanted], np.int64)


def query_scenes(ids: Array, dataset: SceneIndex, where: Path) -> Array:
    """Return the scenes, (Q,) int64, that a file names by id; see ``as_ids``.

    Raises:
        UserError: An id is none of the dataset's, or comes twice.
    """
    return scene_numbers(as_ids(ids, where), dataset, where)


def as_ids(values: Array, where: Path) -> list[str]:
    """Return (N,) ids, text or integers, as text.

    Raises:
        UserError: They are of another type, or not one per row.
    """
    if values.ndim == 1 and values.dtype.kind in "iu":
        return [str(number) for number in values.tolist()]
    if values.ndim == 1 and values.dtype.kind in "SUO":
        names = [_text(value) for value in values.tolist()]
        if all(isinstance(name, str) for name in names):
            return [name for name in names if name is not None]
    raise UserError(f"{where}: ids are neither text nor whole numbers; give each scene's id as text")


def _text(value: Any) -> str | None:
    """Return a value as text; None if it is none."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None
