"""Read and score descriptors, labels and query lists from untrusted files."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.ranking.scores import Measure, Scores, score

DESCRIPTOR_NAMES = ("descriptors", "descriptor", "codes", "code")
LABEL_NAMES = ("labels", "label")
QUERY_NAMES = ("queries", "query")
FORMATS = (".npy", ".npz", ".parquet")
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


@dataclass(frozen=True)
class DescriptorFile:
    """The contents of a file of descriptors.

    Attributes:
        descriptors: (N, D) numbers, or (N, bits) or packed codes.
        labels: (N,) classes, or None where the file has none.
    """

    descriptors: Array
    labels: Array | None


def score_files(
    descriptors: Path,
    labels: Path | None = None,
    *,
    queries: Path | None = None,
    similarity: str = "pearson",
    codes: bool = False,
    bits: int | None = None,
    block: int | None = None,
    device: str = "cpu",
    measure: Measure | None = None,
) -> Scores:
    """Score the descriptors in a file.

    Args:
        descriptors: ``.npy``, ``.npz`` or ``.parquet``; see ``read_descriptors``.
        labels: The labels; None: those in the descriptors' file. See ``read_labels``.
        queries: Indices or a mask of the scenes that are queries; None: every scene. See ``read_queries``.
        similarity: As in ``rsir_bench.ranking.score``.
        codes: Whether the descriptors are binary codes.
        bits: Number of bits of packed codes.
        block: Queries per block.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        measure: Ranks and measures, as in ``rsir_bench.ranking.score``; None: this process.

    Raises:
        UserError: A file cannot be read, there are no labels, or the contents cannot be scored.
    """
    contents = read_descriptors(descriptors)
    classes = contents.labels if labels is None else read_labels(labels)
    if classes is None:
        raise UserError(f"{descriptors}: holds no labels; name a file of labels with --labels")
    return score(
        contents.descriptors,
        classes,
        similarity=similarity,
        codes=codes,
        bits=bits,
        queries=None if queries is None else read_queries(queries),
        block=block,
        device=device,
        measure=measure,
    )


def read_descriptors(path: Path) -> DescriptorFile:
    """Read descriptors, and labels where the file has them.

    ``.npy`` is one array. ``.npz`` holds an array ``descriptors`` or ``codes`` (or a single array of any name) and
    perhaps ``labels``. ``.parquet`` has one row per scene: a column of lists ``descriptors`` or ``codes``, or one
    numeric column per dimension, and perhaps a column ``label``.

    Raises:
        UserError: There is no such file, its format is unknown, or it holds no descriptors.
    """
    contents = read_arrays(path)
    labels = next((contents[name] for name in LABEL_NAMES if name in contents), None)
    others = {name: array for name, array in contents.items() if name not in (*LABEL_NAMES, *QUERY_NAMES)}
    named = [name for name in DESCRIPTOR_NAMES if name in others]
    if path.suffix == ".parquet" and not named and all(array.ndim == 1 for array in others.values()):
        numeric = {name: array for name, array in others.items() if array.dtype.kind in "biuf"}
        if not numeric:
            raise UserError(f"{path}: no numeric column; give a column of lists called descriptors, or numeric columns")
        return DescriptorFile(np.column_stack(list(numeric.values())), labels)
    if not named and len(others) != 1:
        raise UserError(
            f"{path}: holds {', '.join(contents) or 'nothing'}; name the array of descriptors 'descriptors'"
        )
    return DescriptorFile(others[named[0] if named else next(iter(others))], labels)


def read_labels(path: Path) -> Array:
    """Return labels, (N,) integers or strings.

    They are the array of an ``.npy``, ``labels`` or the only array of an ``.npz`` or ``.parquet``, or the lines of a
    ``.txt``: UTF-8, with or without a byte order mark, stripped of spaces at their ends.

    Raises:
        UserError: The file cannot be read, or holds several arrays and none has the name.
    """
    return read_one(path, LABEL_NAMES)


def read_queries(path: Path) -> Array:
    """Return the scenes that are queries, (Q,) int64 indices or an (N,) bool mask; formats as for ``read_labels``.

    Raises:
        UserError: The file cannot be read, or a line is not a whole number.
    """
    queries = read_one(path, QUERY_NAMES)
    if queries.dtype.kind != "U":
        return queries
    try:
        return queries.astype(np.int64)
    except (ValueError, OverflowError):
        raise UserError(f"{path}: expected one index per line") from None


def read_one(path: Path, names: tuple[str, ...]) -> Array:
    """Return the array, (N, ...) of the file's dtype, of one of the given names, or the only one.

    Raises:
        UserError: The file cannot be read, or holds several arrays and none has such a name.
    """
    if path.suffix == ".txt":
        return read_lines(path)
    contents = read_arrays(path)
    named = [name for name in names if name in contents]
    if not named and len(contents) != 1:
        raise UserError(f"{path}: holds {', '.join(contents) or 'nothing'}; name the right one {names[0]!r}")
    return contents[named[0] if named else next(iter(contents))]


def read_lines(path: Path) -> Array:
    """Return the lines of a text file, (N,) str.

    Raises:
        UserError: The file is not UTF-8, or cannot be read.
    """
    try:
        text = existing(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save it as UTF-8") from None
    return np.array([line.strip() for line in text.splitlines()], dtype=str)


def read_arrays(path: Path) -> dict[str, Array]:
    """Return all arrays of a file by name, each (N, ...) of the file's dtype; that of an ``.npy`` is named "".

    Raises:
        UserError: The format is unknown, or the file cannot be read.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: unknown format; give {', '.join(FORMATS)}")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(existing(path))
            return {str(name): column_array(path, str(name), table[name]) for name in table.columns}
        loaded = np.load(existing(path), allow_pickle=False)
        return {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error


def column_array(path: Path, name: str, column: pd.Series[Any]) -> Array:
    """Return a column as an array: (N, D) where its cells are lists, else (N,), of the column's dtype.

    Raises:
        UserError: The lists differ in length.
    """
    values = column.to_numpy()
    if values.dtype.kind == "O" and any(isinstance(cell, np.ndarray) for cell in values):
        if len({np.shape(cell) for cell in values}) > 1:
            raise UserError(
                f"{path}: the lists of column {name!r} differ in length or are missing; "
                "give every scene as many dimensions"
            )
        return np.stack(list(values))
    return values


def existing(path: Path) -> Path:
    """Return the path of an existing file.

    Raises:
        UserError: There is no such file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return path
