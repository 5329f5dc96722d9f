"""Read and score descriptors, labels and query lists from untrusted files."""

from __future__ import annotations

import logging
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rsir_bench.base.csv_tables import read_csv
from rsir_bench.base.errors import UserError, one_line
from rsir_bench.base.text import decode
from rsir_bench.ranking.after.contract import PostProcessing
from rsir_bench.ranking.files import hdf5, ids
from rsir_bench.ranking.files.multi_labels import lists_of_labels
from rsir_bench.ranking.graded.scores import GradedScores
from rsir_bench.ranking.scores import Measure, Scores, score
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.labelling.label_file import BETWEEN, SCENE_HEADINGS

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
"""The columns of a CSV that are text, whatever their cells look like."""
WITH_SCENES = (*TEXT_NAMES, *SCENE_HEADINGS)
"""Those of a CSV in which a column may name the scenes."""
NOT_SCENES = (*LABEL_NAMES, LIST_NAME, *QUERY_NAMES, *DESCRIPTOR_NAMES)
"""What never names the scenes."""

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
Labels = Array | list[list[str]]
"""One label per scene, or several: (N, L) of 0 and 1, or N lists of names."""


@dataclass(frozen=True)
class DescriptorFile:
    """The contents of a file of descriptors.

    Attributes:
        descriptors: (N, D) numbers, or (N, bits) or packed codes.
        labels: (N,) classes, or several labels per scene as ``score`` takes them; None where the file has none.
        ids: (N,) names of the scenes, of the file's dtype, or None where the file has none.
        others: The other arrays by name, the ids among them: neither descriptors nor labels nor queries.
    """

    descriptors: Array
    labels: Array | None
    ids: Array | None = None
    others: Mapping[str, Array] = field(default_factory=dict)


def score_files(
    descriptors: Path,
    labels: Path | None = None,
    *,
    dataset: SceneIndex | None = None,
    queries: Path | None = None,
    apart: GalleryFiles | None = None,
    similarity: str = "pearson",
    codes: bool = False,
    bits: int | None = None,
    bit_order: str = "big",
    metrics: Sequence[str] | None = None,
    block: int | None = None,
    device: str = "cpu",
    after: PostProcessing | None = None,
    measure: Measure | None = None,
) -> Scores | GradedScores:
    """Score the descriptors in a file.

    Args:
        descriptors: ``.npy``, ``.npz``, ``.parquet``, ``.csv`` or ``.h5``; see ``read_descriptors``.
        labels: The labels; None: those in the descriptors' file. See ``read_labels``.
        dataset: Whose scenes the file names by id; its classes, or the labels of its scenes, are the labels.
        queries: Indices or a mask of the scenes that are queries, or with a dataset their ids; None: every scene. See
            ``read_queries``.
        apart: A separate gallery, and what rankings leave out; None: the descriptors are the gallery.
        similarity: As in ``rsir_bench.ranking.score``.
        codes: Whether the descriptors are binary codes.
        bits: Number of bits of packed codes.
        bit_order: Of packed codes, as in ``rsir_bench.ranking.score``.
        metrics: Names of metrics, as in ``rsir_bench.ranking.score``.
        block: Queries per block.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        after: Post-processing of the rankings; None: there is none.
        measure: Ranks and measures, as in ``rsir_bench.ranking.score``; None: this process.

    Raises:
        UserError: A file cannot be read, there are no labels, or the contents cannot be scored.
    """
    if dataset is not None and apart is not None:
        raise UserError("--gallery, --own and --ignore refer to rows, which --dataset reorders; omit them or --dataset")
    inputs = (
        _inputs(descriptors, labels, queries, codes=codes)
        if dataset is None
        else _by_id(descriptors, dataset, labels, queries, codes=codes)
    )
    return score(
        inputs.descriptors,
        inputs.labels,
        similarity=similarity,
        codes=codes,
        bits=bits,
        bit_order=bit_order,
        queries=inputs.queries,
        **({} if apart is None else apart.read(codes=codes)),
        metrics=metrics,
        block=block,
        device=device,
        class_names=inputs.class_names,
        after=after,
        measure=measure,
    )


@dataclass(frozen=True)
class GalleryFiles:
    """Files of a gallery, as ``rsir_bench.ranking.score`` takes it; None: not given.

    Attributes:
        gallery: Descriptors; see ``read_descriptors``.
        labels: Their labels, unless their own file holds them; see ``read_labels``.
        own: The row in the gallery of each query, -1 for none; formats as for ``read_labels``.
        ignore: See ``read_junk``.
    """

    gallery: Path | None = None
    labels: Path | None = None
    own: Path | None = None
    ignore: Path | None = None

    def read(self, *, codes: bool) -> dict[str, Any]:
        """Return the arguments of ``score``.

        Args:
            codes: Whether the descriptors are binary codes.

        Raises:
            UserError: A file cannot be read, or the gallery has no labels.
        """
        found: dict[str, Any] = {
            "own": None if self.own is None else _numbers(self.own, read_one(self.own, OWN_NAMES)),
            "ignore": None if self.ignore is None else read_junk(self.ignore),
        }
        if self.gallery is None:
            if self.labels is not None:
                raise UserError(f"--gallery-labels {self.labels}: there is no gallery; give --gallery, or omit it")
            return found
        contents, labels = _labelled(self.gallery, self.labels, "--gallery-labels", codes=codes)
        return found | {"gallery": contents, "gallery_labels": labels}


@dataclass(frozen=True)
class _Inputs:
    """What is scored: (N, ...) descriptors, labels and queries as ``score`` takes them, and names of classes."""

    descriptors: Array
    labels: Labels
    queries: Array | None
    class_names: list[str] | None = None


def _inputs(descriptors: Path, labels: Path | None, queries: Path | None, *, codes: bool) -> _Inputs:
    """Read files whose rows are in one order."""
    rows, classes = _labelled(descriptors, labels, "--labels", codes=codes)
    return _Inputs(rows, classes, None if queries is None else read_queries(queries))


def _labelled(descriptors: Path, labels: Path | None, option: str, *, codes: bool) -> tuple[Array, Labels]:
    """Return descriptors and their labels, from a file that the option names or from their own."""
    contents = read_descriptors(descriptors, codes=codes)
    classes: Labels | None = contents.labels
    if labels is not None:
        classes = lists_of_labels(labels, contents.ids, descriptors) or _in_order(labels, contents, descriptors)
    if classes is None:
        raise UserError(
            f"{descriptors}: holds no labels; name a file of labels with {option}, or call its array or column 'label'"
        )
    return contents.descriptors, classes


def _in_order(labels: Path, contents: DescriptorFile, descriptors: Path) -> Array:
    """Return the labels of a file, one per scene, in the order of the descriptors: by id where both files have ids.

    Args:
        labels: The file; see ``read_labels``.
        contents: The contents of the file of the descriptors.
        descriptors: That file, for messages.

    Raises:
        UserError: The file cannot be read, or its ids are not those of the descriptors, each once.
    """
    classes = read_labels(labels)
    theirs, names = read_ids(labels), contents.ids
    if theirs is None or names is None:
        _refuse_a_shared_column(labels, descriptors, contents.others)
        message = "%s: its ids are not used, as %s has none; both must have the same order"
        if theirs is not None:
            logging.getLogger(__name__).warning(message, labels, descriptors)
        elif names is not None and labels.suffix not in NAMELESS:
            logging.getLogger(__name__).warning(message, descriptors, labels)
        return classes
    if len(theirs) != len(classes):
        raise UserError(f"{labels}: {len(classes):,} labels but {len(theirs):,} ids; give one for each")
    return classes[ids.rows_of(ids.as_ids(names, descriptors), ids.as_ids(theirs, labels), descriptors, labels)]


def _refuse_a_shared_column(labels: Path, descriptors: Path, ours: Mapping[str, Array]) -> None:
    """Refuse two files that both have a column or array which could name the scenes, and is not known to.

    Args:
        labels: The file of labels.
        descriptors: The file of descriptors, for messages.
        ours: The arrays of the latter that could name its scenes.

    Raises:
        UserError: There is one; row by row, the labels could be those of other scenes.
    """
    if {labels.suffix, descriptors.suffix} & set(NAMELESS) or labels.samefile(descriptors):
        return
    theirs = _with_scenes(labels)
    shared = (name for name in ours if name in theirs and name not in NOT_SCENES)
    if name := next((name for name in shared if _may_name_others(ours[name], theirs[name])), None):
        raise UserError(
            f"{labels} and {descriptors}: both have {name!r}, but their rows would be matched by their order; "
            "call it 'id' in both to match them by it, or remove it from one of them if the order is the same"
        )


def _may_name_others(ours: Array, theirs: Array) -> bool:
    """Return whether columns of one name may name other scenes in a row: texts, or whole numbers that differ."""
    if _is_text(ours) or _is_text(theirs):
        return True
    return _is_whole(ours) and _is_whole(theirs) and not np.array_equal(ours, theirs)


def _by_id(
    descriptors: Path, dataset: SceneIndex, labels: Path | None, queries: Path | None, *, codes: bool
) -> _Inputs:
    """Read files that name the scenes of a dataset."""
    if labels is not None:
        raise UserError(f"--labels {labels}: the labels are the classes of {dataset.name}; omit --labels")
    contents = read_descriptors(descriptors, codes=codes)
    rows = ids.by_scene(contents.descriptors, contents.ids, dataset, descriptors)
    chosen = None
    if queries is not None:
        named = read_one(queries, (*QUERY_NAMES, *ID_NAMES), (*TEXT_NAMES, *QUERY_NAMES))
        chosen = ids.query_scenes(named, dataset, queries)
    if dataset.several is not None:
        return _Inputs(rows, dataset.several.members, chosen, list(dataset.several.names))
    return _Inputs(rows, dataset.labels, chosen, list(dataset.classes))


def read_descriptors(path: Path, *, codes: bool = False) -> DescriptorFile:
    """Read descriptors, and labels and ids where the file has them.

    ``.npy`` is one array. ``.npz`` and ``.h5`` hold an array ``descriptors`` or ``codes`` (or a single array of any
    name) and perhaps ``labels`` and ``ids``. ``.parquet`` has one row per scene: a column of lists, called
    ``descriptors`` or ``codes`` where there are several, or one numeric column per dimension, ``f0``, ``f1``, ... (any
    name, numbers without a gap); and perhaps columns ``label`` (or ``label_list``, texts such as ``beach;sea``) and
    ``id`` (or another one with the names of scenes, see ``_with_scenes``); ``.csv`` likewise, see
    ``rsir_bench.base.csv_tables``. Other columns are left out, which a warning says.

    Args:
        path: The file.
        codes: Whether the descriptors are meant as binary codes.

    Raises:
        UserError: There is no such file, its format is unknown, it is not clear what the descriptors are, or the file
            calls them codes and they are not meant so.
    """
    contents = _with_scenes(path)
    labels, (heading, names) = _only(path, contents, (*LABEL_NAMES, LIST_NAME)), _scene_names(path, contents)
    if (lists := contents.pop(LIST_NAME, None)) is not None:
        labels = _split_lists(path, lists)
    known = (*LABEL_NAMES, *QUERY_NAMES, heading)
    others = {name: array for name, array in contents.items() if name not in known}
    named = _only(path, others, DESCRIPTOR_NAMES)
    if (called := set(CODE_NAMES) & set(others)) and not codes:
        raise UserError(
            f"{path}: holds {called.pop()}, which real similarities would rank wrongly; add --codes (and --bits if "
            "they are packed; kind = 'code' in a submission), or rename them 'descriptors'"
        )
    if named is not None:
        chosen = [name for name in others if name in DESCRIPTOR_NAMES]
    elif path.suffix in TABLES:
        chosen = _dimensions(path, others)
        named = np.column_stack([others[name] for name in chosen]) if len(chosen) > 1 else others[chosen[0]]
    elif len(others) == 1:
        chosen, named = list(others), next(iter(others.values()))
    else:
        raise UserError(
            f"{path}: holds {', '.join(contents) or 'nothing'}; name the array of descriptors 'descriptors'"
        )
    rest = {name: array for name, array in contents.items() if name not in (*NOT_SCENES, *chosen)}
    return DescriptorFile(named, labels, names, rest)


def _split_lists(path: Path, lists: Array) -> Array:
    """Return (N,) texts such as ``beach;sea`` as lists of names, (N,) objects.

    Raises:
        UserError: They are no texts.
    """
    texts = ids.as_ids(lists, path)
    found = np.empty(len(texts), object)
    found[:] = [[name.strip() for name in text.split(BETWEEN) if name.strip()] for text in texts]
    return found


def _only(path: Path, contents: dict[str, Array], names: tuple[str, ...]) -> Array | None:
    """Return the array that has one of some names; None where none has.

    Raises:
        UserError: Several have.
    """
    found = [name for name in names if name in contents]
    if len(found) > 1:
        raise UserError(f"{path}: holds {' and '.join(found)}; keep one of them")
    return contents[found[0]] if found else None


def _dimensions(path: Path, columns: dict[str, Array]) -> list[str]:
    """Return the column of lists or the columns of numbers that are the descriptors, though not called so.

    Raises:
        UserError: There is neither one column of lists nor one numbered block of numeric columns.
    """
    lists = [name for name, array in columns.items() if array.ndim > 1]
    if len(lists) > 1:
        raise UserError(f"{path}: holds columns of lists {', '.join(lists)}; name the right one 'descriptors'")
    chosen = lists or _block(path, {name: array for name, array in columns.items() if array.dtype.kind in "biuf"})
    _refuse_damaged(path, columns, chosen)
    if rest := [name for name in columns if name not in chosen]:
        shown = chosen[0] if len(chosen) == 1 else f"{chosen[0]} to {chosen[-1]}"
        message = "%s: descriptors are %s; left out: %s"
        logging.getLogger(__name__).warning(message, path, shown, ", ".join(rest))
    return chosen


def _refuse_damaged(path: Path, columns: dict[str, Array], chosen: list[str]) -> None:
    """Refuse a column that is numbered like the dimensions and holds some numbers, but not only finite ones.

    Raises:
        UserError: There is one; it would be left out.
    """
    prefixes = {name.rstrip("0123456789") for name in chosen if name[-1:].isdigit()}
    for name, cells in columns.items():
        if name in chosen or not name[-1:].isdigit() or name.rstrip("0123456789") not in prefixes:
            continue
        numbers = [_number(cell) for cell in cells.tolist()]
        if any(number is not None for number in numbers):
            row = next((row for row, one in enumerate(numbers) if one is None or not np.isfinite(one)), 0)
            raise UserError(
                f"{path}: column {name} is numbered like the dimensions, but row {row} has {cells[row]!r:.40} there; "
                "give a finite number in each row, or rename the column"
            )


def _number(cell: object) -> float | None:
    """Return a cell of a table as a number; None where it is none."""
    try:
        return float(cell) if isinstance(cell, str | int | float) else None
    except ValueError:
        return None


def _block(path: Path, numeric: dict[str, Array]) -> list[str]:
    """Return the names of the only numbered block of columns, such as ``f0`` to ``f15``, in the order of the numbers.

    Raises:
        UserError: There is none or another one, a number is missing, or columns of integers are among those of floats.
    """
    blocks: dict[str, dict[int, str]] = {}
    for name in numeric:
        if numbered := re.fullmatch(r"(.*?)([0-9]+)", name, re.DOTALL):
            blocks.setdefault(numbered[1], {})[int(numbered[2])] = name
    blocks = {prefix: block for prefix, block in blocks.items() if len(block) > 1}
    advice = "give a column of lists called 'descriptors', or number the columns of its dimensions: f0, f1, ..."
    if not blocks:
        raise UserError(
            f"{path}: numeric columns {', '.join(numeric)} are not numbered as dimensions; {advice}"
            if numeric
            else f"{path}: no numeric column; {advice}"
        )
    if len(blocks) > 1:
        shown = ", ".join(f"{block[min(block)]} to {block[max(block)]}" for block in blocks.values())
        raise UserError(f"{path}: holds several numbered blocks ({shown}); keep one, or {advice}")
    (block,) = blocks.values()
    names = [block[number] for number in sorted(block)]
    if gaps := sorted(set(range(min(block), max(block))) - set(block)):
        raise UserError(f"{path}: columns {names[0]} to {names[-1]} lack number {gaps[0]}; {advice}")
    whole = [name for name in names if numeric[name].dtype.kind != "f"]
    if whole and len(whole) < len(names):
        raise UserError(
            f"{path}: among columns of floats, {', '.join(whole)} of {numeric[whole[0]].dtype}; "
            "rename the columns that are no dimensions, or make it float"
        )
    return names


def read_labels(path: Path) -> Array:
    """Return labels, (N,) integers or strings, or several per scene: (N, L) of 0 and 1, or (N,) lists of names.

    They are the array of an ``.npy``, ``labels`` or the only array of an ``.npz`` or ``.parquet``, or the lines of a
    ``.txt``: UTF-8, with or without a byte order mark, stripped of spaces at their ends.

    Raises:
        UserError: The file cannot be read, or holds several arrays and none has the name.
    """
    return read_one(path, LABEL_NAMES)


def read_ids(path: Path) -> Array | None:
    """Return the ids, (N,) of the file's dtype, that a file of labels has next to them; None where it has none.

    In a table without ids or file names, the column ``image``, ``scene``, ``path`` or ``name`` holds them, else the
    index of a parquet file.

    Raises:
        UserError: The file cannot be read, or holds several arrays of ids.
    """
    if path.suffix in NAMELESS:
        return None
    return _scene_names(path, _with_scenes(path))[1]


def _with_scenes(path: Path) -> dict[str, Array]:
    """Return all arrays of a file, with the unnamed index of a parquet file where no column names the scenes.

    Raises:
        UserError: The file cannot be read, or holds several arrays of ids.
    """
    contents = read_arrays(path, WITH_SCENES)
    if path.suffix == ".parquet" and _scene_names(path, contents)[0] is None:
        return ids.unnamed_index(path) | contents
    return contents


def _scene_names(path: Path, contents: dict[str, Array]) -> tuple[str | None, Array | None]:
    """Return the array that names the scenes, (N,) of the file's dtype, after its name; twice None if none does.

    That is ``id`` or ``ids``, else the text of ``filename``, ``file_name`` or ``file``, else, in a table, that of a
    column ``image``, ``scene``, ``path`` or ``name``.

    Raises:
        UserError: Several could be meant.
    """
    texts = {name: array for name, array in contents.items() if _is_text(array)}
    of_tables = SCENE_HEADINGS if path.suffix in TABLES else ()
    for held, names in ((contents, ID_NAMES), (texts, FILE_NAMES), (texts, of_tables)):
        if _only(path, held, names) is not None:
            heading = next(name for name in names if name in held)
            return heading, held[heading]
    return None, None


def _is_text(array: Array) -> bool:
    """Return whether an array has one text for each row."""
    return array.ndim == 1 and (array.dtype.kind in "SU" or all(isinstance(cell, str) for cell in array.tolist()))


def _is_whole(array: Array) -> bool:
    """Return whether an array has one whole number for each row, of any type."""
    return array.ndim == 1 and array.dtype.kind in "iuf" and bool((array == np.round(array)).all())


def read_queries(path: Path) -> Array:
    """Return the scenes that are queries, (Q,) int64 indices or an (N,) bool mask; formats as for ``read_labels``.

    Raises:
        UserError: The file cannot be read, or a line is not a whole number.
    """
    return _numbers(path, read_one(path, QUERY_NAMES))


def read_junk(path: Path) -> Array | list[list[int]]:
    """Return what each ranking ignores, as ``rsir_bench.ranking.score`` takes it.

    A ``.txt`` has a line per query, rows of the gallery separated by spaces; other formats hold (N, W) integers, filled
    up with -1.

    Raises:
        UserError: The file cannot be read, or a word is not a whole number.
    """
    if path.suffix != ".txt":
        return read_one(path, JUNK_NAMES)
    lines = [np.array(line.split(), dtype=str) for line in read_lines(path).tolist()]
    return [_numbers(path, words, "indices, separated by spaces").tolist() for words in lines]


def _numbers(path: Path, words: Array, expected: str = "one index per line") -> Array:
    """Return the words of a text file as int64; values of other files as they are.

    Raises:
        UserError: A word is not a whole number.
    """
    if words.dtype.kind != "U":
        return words
    try:
        return words.astype(np.int64)
    except (ValueError, OverflowError):
        raise UserError(f"{path}: expected {expected}") from None


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
    contents = read_arrays(path, texts)
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


def read_arrays(path: Path, texts: tuple[str, ...] = TEXT_NAMES) -> dict[str, Array]:
    """Return all arrays of a file by name, each (N, ...) of the file's dtype; that of an ``.npy`` is named "".

    Args:
        path: The file.
        texts: The columns of a CSV that are text.

    Raises:
        UserError: The format is unknown, or the file cannot be read.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: unknown format; give {', '.join(FORMATS)}")
    try:
        if path.suffix in TABLES:
            table = _table(existing(path), texts)
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


def _table(path: Path, texts: tuple[str, ...]) -> pd.DataFrame:
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        return table.reset_index([name for name in table.index.names if name is not None])  # ids may be the index
    return read_csv(path, (*TEXT_NAMES, *QUERY_NAMES, *DESCRIPTOR_NAMES), texts)


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
