"""Find the column or array that names the scenes of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.files.arrays import (
    DESCRIPTOR_NAMES,
    FILE_NAMES,
    ID_NAMES,
    LABEL_NAMES,
    LIST_NAME,
    NAMELESS,
    QUERY_NAMES,
    TABLES,
    TEXT_NAMES,
    Array,
    read_arrays,
)
from rsir_bench.scenes.labelling.label_file import SCENE_HEADINGS

WITH_SCENES = (*TEXT_NAMES, *SCENE_HEADINGS)
"""The text columns of a CSV in which one may name the scenes."""
NOT_SCENES = (*LABEL_NAMES, LIST_NAME, *QUERY_NAMES, *DESCRIPTOR_NAMES)
"""What never names the scenes."""


def read_ids(path: Path) -> Array | None:
    """Return the ids, (N,) of the file's dtype, that a file of labels has next to them; None if it has none.

    In a table without ids or file names, the column ``image``, ``scene``, ``path`` or ``name`` holds them, else the
    index of a parquet file.

    Raises:
        UserError: The file cannot be read, or holds several arrays of ids.
    """
    if path.suffix in NAMELESS:
        return None
    return scene_names(path, arrays_with_scenes(path))[1]


def arrays_with_scenes(path: Path) -> dict[str, Array]:
    """Return all arrays of a file, with the unnamed index of a parquet file where no column names the scenes.

    Raises:
        UserError: The file cannot be read, or holds several arrays of ids.
    """
    contents = read_arrays(path, WITH_SCENES)
    if path.suffix == ".parquet" and scene_names(path, contents)[0] is None:
        return _unnamed_index(path) | contents
    return contents


def _unnamed_index(path: Path) -> dict[str, Array]:
    """Return the index of a parquet file that has no name, (N,), as ``id``, or as ``index`` where it repeats itself.

    Rows that are only counted (0, 1, 2, ...), as pandas does unless told otherwise, have none.

    Args:
        path: The file, which can be read.
    """
    rows = pd.read_parquet(path, columns=[])
    index = rows.reset_index([name for name in rows.index.names if name is not None]).index.to_flat_index()
    if isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(len(index))):
        return {}
    return {"id" if index.is_unique else "index": index.to_numpy()}


def scene_names(path: Path, contents: dict[str, Array]) -> tuple[str | None, Array | None]:
    """Return the array that names the scenes, (N,) of the file's dtype, after its name; twice None if none does.

    That is ``id`` or ``ids``, else the text of ``filename``, ``file_name`` or ``file``, else, in a table, that of a
    column ``image``, ``scene``, ``path`` or ``name``.

    Raises:
        UserError: Several could be meant.
    """
    texts = {name: array for name, array in contents.items() if _is_text(array)}
    of_tables = SCENE_HEADINGS if path.suffix in TABLES else ()
    for held, names in ((contents, ID_NAMES), (texts, FILE_NAMES), (texts, of_tables)):
        if only_array(path, held, names) is not None:
            heading = next(name for name in names if name in held)
            return heading, held[heading]
    return None, None


def only_array(path: Path, contents: dict[str, Array], names: tuple[str, ...]) -> Array | None:
    """Return the array that has one of some names; None if none has.

    Raises:
        UserError: Several have.
    """
    found = [name for name in names if name in contents]
    if len(found) > 1:
        raise UserError(f"{path}: holds {' and '.join(found)}; keep one of them")
    return contents[found[0]] if found else None


def may_name_others(ours: Array, theirs: Array) -> bool:
    """Return whether columns of one name may name other scenes in a row: texts, or whole numbers that differ."""
    if _is_text(ours) or _is_text(theirs):
        return True
    return _is_whole(ours) and _is_whole(theirs) and not np.array_equal(ours, theirs)


def _is_text(array: Array) -> bool:
    """Return whether an array has one text for each row."""
    return array.ndim == 1 and (array.dtype.kind in "SU" or all(isinstance(cell, str) for cell in array.tolist()))


def _is_whole(array: Array) -> bool:
    """Return whether an array has one whole number for each row, of any type."""
    return array.ndim == 1 and array.dtype.kind in "iuf" and bool((array == np.round(array)).all())
