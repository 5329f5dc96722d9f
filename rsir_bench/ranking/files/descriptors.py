"""Read descriptors, with the labels and ids that their file holds."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.files.arrays import (
    CODE_NAMES,
    DESCRIPTOR_NAMES,
    LABEL_NAMES,
    LIST_NAME,
    QUERY_NAMES,
    TABLES,
    Array,
)
from rsir_bench.ranking.files.ids import as_ids
from rsir_bench.ranking.files.scene_names import NOT_SCENES, arrays_with_scenes, only_array, scene_names
from rsir_bench.scenes.labelling.label_file import BETWEEN


@dataclass(frozen=True)
class DescriptorFile:
    """The contents of a file of descriptors.

    Attributes:
        descriptors: (N, D) numbers, or (N, bits) or packed codes.
        labels: (N,) classes, or several labels per scene as ``score`` takes them; None if the file has none.
        ids: (N,) names of the scenes, of the file's dtype, or None if the file has none.
        others: The other arrays by name, the ids among them: neither descriptors nor labels nor queries.
    """

    descriptors: Array
    labels: Array | None
    ids: Array | None = None
    others: Mapping[str, Array] = field(default_factory=dict)


def read_descriptors(path: Path, *, codes: bool = False) -> DescriptorFile:
    """Read descriptors, and labels and ids where the file has them.

    ``.npy`` is one array. ``.npz`` and ``.h5`` hold an array ``descriptors`` or ``codes`` (or a single array of any
    name) and perhaps ``labels`` and ``ids``. ``.parquet`` has one row per scene: a column of lists, called
    ``descriptors`` or ``codes`` where there are several, or one numeric column per dimension, ``f0``, ``f1``, ... (any
    name, numbers without a gap); and perhaps columns ``label`` (or ``label_list``, texts such as ``beach;sea``) and
    ``id`` (or another one with the names of scenes, see ``read_ids``); ``.csv`` likewise, see
    ``rsir_bench.base.csv_tables``. Other columns are left out, which a warning says.

    Args:
        path: The file.
        codes: Whether the descriptors are meant as binary codes.

    Raises:
        UserError: There is no such file, its format is unknown, it is not clear what the descriptors are, or the file
            calls them codes and they are not meant so.
    """
    contents = arrays_with_scenes(path)
    labels, (heading, names) = only_array(path, contents, (*LABEL_NAMES, LIST_NAME)), scene_names(path, contents)
    if (lists := contents.pop(LIST_NAME, None)) is not None:
        labels = split_lists(path, lists)
    known = (*LABEL_NAMES, *QUERY_NAMES, heading)
    others = {name: array for name, array in contents.items() if name not in known}
    named = only_array(path, others, DESCRIPTOR_NAMES)
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


def split_lists(path: Path, lists: Array) -> Array:
    """Return (N,) texts such as ``beach;sea`` as lists of names, (N,) objects.

    Raises:
        UserError: They are no texts.
    """
    texts = as_ids(lists, path)
    found = np.empty(len(texts), object)
    found[:] = [[name.strip() for name in text.split(BETWEEN) if name.strip()] for text in texts]
    return found


def _dimensions(path: Path, columns: dict[str, Array]) -> list[str]:
    """Return the column of lists or the columns of numbers that are the descriptors, though not called so.

    Raises:
        UserError: There is neither one column of lists nor one numbered block of numeric columns.
    """
    lists = [name for name, array in columns.items() if array.ndim > 1]
    if len(lists) > 1:
        raise UserError(f"{path}: holds columns of lists {', '.join(lists)}; name the right one 'descriptors'")
    chosen = lists or _block(path, columns)
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
    """Return a cell of a table as a number; None if it is none."""
    try:
        return float(cell) if isinstance(cell, str | int | float) else None
    except ValueError:
        return None


def _block(path: Path, columns: dict[str, Array]) -> list[str]:
    """Return the names of the only numbered block of numeric columns, such as ``f0`` to ``f15``, by their numbers.

    Raises:
        UserError: There is none or another one, a number is missing, or columns of integers are among those of floats.
    """
    numeric = {name: array for name, array in columns.items() if array.dtype.kind in "biuf"}
    blocks: dict[str, dict[int, str]] = {}
    for name in numeric:
        if numbered := re.fullmatch(r"(.*?)([0-9]+)", name, re.DOTALL):
            block, number = blocks.setdefault(numbered[1], {}), int(numbered[2])
            if number in block:
                raise UserError(f"{path}: columns {block[number]} and {name} have the same number; rename one of them")
            block[number] = name
    blocks = {prefix: block for prefix, block in blocks.items() if len(block) > 1}
    advice = "give a column of lists called 'descriptors', or number the columns of its dimensions: f0, f1, ..."
    if not blocks:
        _refuse_damaged(path, columns, list(numeric))
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
        _refuse_damaged(path, columns, names)
        raise UserError(f"{path}: columns {names[0]} to {names[-1]} lack number {gaps[0]}; {advice}")
    whole = [name for name in names if numeric[name].dtype.kind != "f"]
    if whole and len(whole) < len(names):
        raise UserError(
            f"{path}: among columns of floats, {', '.join(whole)} of {numeric[whole[0]].dtype}; "
            "rename the columns that are not dimensions, or make it float"
        )
    return names
