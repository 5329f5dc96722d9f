"""Read the arrays of an untrusted file, whatever its format."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsir_bench.base.csv_tables import read_csv
from rsir_bench.base.errors import UserError, one_line
from rsir_bench.base.text import decode
from rsir_bench.ranking.files import hdf5

CODE_NAMES = ("codes", "code")
DESCRIPTOR_NAMES = ("descriptors", "descriptor", *CODE_NAMES)
LABEL_NAMES = ("labels", "label")
LIST_NAME = "label_list"
QUERY_NAMES = ("queries", "query")
OWN_NAMES = ("own",)
JUNK_NAMES = ("ignore", "junk")
ID_NAMES = ("ids", "id")
FILE_NAMES = ("filename", "file_name", "file")
TEXT_NAMES = (*LABEL_NAMES, LIST_NAME, *ID_NAMES, *FILE_NAMES)
"""The columns of a CSV that are always read as text."""

TABLES = (".parquet", ".csv")
NAMELESS = (".txt", ".npy")
"""Formats of one array without a name."""
FORMATS = (".npy", ".npz", *TABLES, *hdf5.SUFFIXES)
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    MemoryError,  # a header may promise any number of values
    SyntaxError,  # the header of an .npy is a Python expression
    tokenize.TokenError,
    zipfile.BadZipFile,
    RuntimeError,  # an encryption or a compression that zipfile does not know
    zlib.error,
)

Array = np.ndarray[Any, Any]


def read_one(path: Path, names: tuple[str, ...], texts: tuple[str, ...] = TEXT_NAMES) -> Array:
    """Return the array, (N, ...) of the file's dtype, of one of the given names, or the only one.

    Args:
        path: The file.
        names: Of the array.
        texts: The columns of a CSV that are text.

    Raises:
        UserError: The file cannot be read, or holds several arrays and none has such a name.
    """
    if path.suffix == ".txt":
        return read_lines(path)
    contents = read_arrays(path, texts, names)
    named = [name for name in names if name in contents]
    if len(named) != 1 and len(contents) != 1:
        raise UserError(f"{path}: holds {', '.join(contents) or 'nothing'}; name the right one {names[0]!r}")
    return contents[named[0] if named else next(iter(contents))]


def read_lines(path: Path) -> Array:
    """Return the lines of a text file, (N,) str.

    Raises:
        UserError: The file is no text, or cannot be read.
    """
    try:
        text = decode(existing(path).read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return np.array([line.strip() for line in text.splitlines()], dtype=str)


def read_arrays(path: Path, texts: tuple[str, ...] = TEXT_NAMES, names: tuple[str, ...] = ()) -> dict[str, Array]:
    """Return all arrays of a file by name, each (N, ...) of the file's dtype; that of an ``.npy`` is named "".

    Args:
        path: The file.
        texts: The columns of a CSV that are text.
        names: What else a column of a CSV may be called.

    Raises:
        UserError: The format is unknown, or the file cannot be read.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: unknown format; give {', '.join(FORMATS)}")
    try:
        if path.suffix in TABLES:
            table = _table(existing(path), texts, names)
            if twice := sorted({str(name) for name in table.columns[table.columns.duplicated()]}):
                raise UserError(f"{path}: several columns are called {', '.join(twice)}; rename them")
            return {str(name): column_array(path, str(name), table[name]) for name in table.columns}
        if path.suffix in hdf5.SUFFIXES:
            return hdf5.read_hdf5(existing(path))
        loaded = np.load(existing(path), allow_pickle=False)
        return {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except UNREADABLE as error:
        if "Object arrays" in str(error):
            raise UserError(
                f"{path}: saved as Python objects, which are not read: loading them may run code; save words with "
                "np.save(FILE, y.astype(str)), numbers with y.astype(int) or X.astype(np.float32)"
            ) from None
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error


def _table(path: Path, texts: tuple[str, ...], names: tuple[str, ...]) -> pd.DataFrame:
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        return table.reset_index([name for name in table.index.names if name is not None])  # ids may be the index
    return read_csv(path, (*TEXT_NAMES, *QUERY_NAMES, *DESCRIPTOR_NAMES, *names), texts)


def column_array(path: Path, name: str, column: pd.Series[Any]) -> Array:
    """Return a column as an array: (N, D) where its cells are lists, else (N,), of the column's dtype.

    Raises:
        UserError: The lists differ in length.
    """
    values = column.to_numpy()
    if name in LABEL_NAMES and values.dtype.kind == "O" and any(_is_words(cell) for cell in values):
        return values  # several labels per scene
    if values.dtype.kind == "O" and any(isinstance(cell, np.ndarray) for cell in values):
        if len({np.shape(cell) for cell in values}) > 1:
            raise UserError(
                f"{path}: the lists of column {name!r} differ in length or are missing; "
                "give every scene as many dimensions"
            )
        return np.stack(list(values))
    return values


def _is_words(cell: object) -> bool:
    return isinstance(cell, np.ndarray) and cell.dtype.kind in "OU" and cell.size > 0


def existing(path: Path) -> Path:
    """Return the path of an existing file.

    Raises:
        UserError: There is no such file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    return path
