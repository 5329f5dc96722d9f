"""Read which scene has which labels: a list of names for each scene, or a column of 0 and 1 for each label."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.base.text import decode

SCENE_HEADINGS = ("filename", "file_name", "file", "image", "scene", "path", "id", "name")
LABEL_HEADINGS = ("labels", "label", "tags")
CLASS_HEADINGS = (*LABEL_HEADINGS, "class")
"""The headings of a column whose cells name what a scene shows, which is no column of 0 and 1."""
BETWEEN = ";"
"""What separates the names of a list."""

_BITS = {"0": False, "1": True, "0.0": False, "1.0": True}

Row = tuple[int, list[str]]
"""The number of a line and its cells."""


@dataclass(frozen=True)
class LabelTable:
    """The contents of a file of labels.

    Attributes:
        where: The file.
        ids: M names of scenes, all different.
        names: The L labels.
        members: (M, L) bool; each scene has one label or more.
    """

    where: Path
    ids: tuple[str, ...]
    names: tuple[str, ...]
    members: npt.NDArray[np.bool_]

    def lists(self) -> list[list[str]]:
        """Return the labels of each scene."""
        return [[self.names[column] for column in np.flatnonzero(row)] for row in self.members]


def read_label_table(path: Path) -> LabelTable:
    """Read a file of labels, one line for each scene.

    Either each line has two cells, the name of a scene and its labels with ``;`` between them, with or without a first
    line ``filename,labels``. Or the first line names the labels from its second cell on, and the cells below hold 0 or
    1 (as the multi-labels of UC Merced). Cells are separated by tabs, commas or semicolons.

    Raises:
        UserError: The file cannot be read, or is not such a table; the line says where.
    """
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path}: empty; give a line for each scene: its name and its labels")
    if max(len(cells) for _, cells in rows) > 2 and not _headings(rows[0][1]):
        names, ids, members = _matrix(path, rows)
    else:
        names, ids, members = _lists(path, rows)
    _refuse_repeated(path, ids)
    if bare := [scene for scene, row in zip(ids, members, strict=True) if not row.any()]:
        raise UserError(
            f"{path}: {len(bare)} of {len(ids)} scenes have no label, first {bare[0]!r}; label or omit them"
        )
    return LabelTable(path, tuple(ids), tuple(names), members)


def holds_several_labels(path: Path) -> bool:
    """Return whether a text file names several labels per scene: a matrix, or lists with ``;`` between names.

    A matrix has 0 or 1 in every cell below its first line and right of its first column, and no column of labels.

    Raises:
        UserError: The file cannot be read.
    """
    rows = [cells for _, cells in _rows(path)]
    if len(rows) < 2:
        return False
    if not {cell.casefold() for cell in rows[0]} & set(CLASS_HEADINGS) and all(len(cells) > 2 for cells in rows):
        return all(cell in _BITS for cells in rows[1:] for cell in cells[1:])
    if columns := _headings(rows[0]):
        return any(BETWEEN in cells[columns[1]] for cells in rows[1:] if len(cells) > columns[1])
    return any(len(cells) == 2 for cells in rows) and any(BETWEEN in cells[-1] for cells in rows)


def _rows(path: Path) -> list[Row]:
    """Return the lines that are not empty, without empty cells at their ends."""
    try:
        text = decode(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error
    first = text.partition("\n")[0]
    separator = next((mark for mark in ("\t", ",", ";") if mark in first), ",")
    reader = csv.reader(text.splitlines(), delimiter=separator)
    rows = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            while len(cells) > 1 and not cells[-1]:
                cells.pop()
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: {one_line(error)}") from None
    return rows


def _headings(cells: Sequence[str]) -> tuple[int, int] | None:
    """Return the columns of scenes and of labels where a first line has both headings."""
    lower = [cell.casefold() for cell in cells]
    scene = next((lower.index(word) for word in SCENE_HEADINGS if word in lower), None)
    label = next((lower.index(word) for word in LABEL_HEADINGS if word in lower), None)
    return None if scene is None or label is None else (scene, label)


def _matrix(path: Path, rows: Sequence[Row]) -> tuple[list[str], list[str], npt.NDArray[np.bool_]]:
    names = rows[0][1][1:]
    _refuse_bad_names(path, names)
    ids, bits = [], []
    for line, (scene, *cells) in rows[1:]:
        if len(cells) != len(names):
            raise UserError(f"{path}: line {line}: {len(cells)} values for {len(names)} labels; give one for each")
        for name, cell in zip(names, cells, strict=True):
            if cell not in _BITS:
                raise UserError(f"{path}: line {line}: {cell!r:.40} for label {name!r}; give 0 or 1")
        ids.append(scene)
        bits.append([_BITS[cell] for cell in cells])
    return names, ids, np.array(bits, bool).reshape(len(ids), len(names))


def _lists(path: Path, rows: Sequence[Row]) -> tuple[list[str], list[str], npt.NDArray[np.bool_]]:
    columns = _headings(rows[0][1])
    scene, label = columns or (0, 1)
    ids, lists = [], []
    for line, cells in rows[1:] if columns else rows:
        if len(cells) <= scene or (not columns and len(cells) > 2):
            raise UserError(f"{path}: line {line}: {len(cells)} cells; give the scene and its labels, as in scene,a;b")
        found = [name.strip() for name in (cells[label] if len(cells) > label else "").split(BETWEEN)]
        found = [name for name in found if name]
        if len(set(found)) < len(found):
            raise UserError(f"{path}: line {line}: a label is named twice; name each once")
        ids.append(cells[scene])
        lists.append(found)
    names = sorted({name for found in lists for name in found})
    _refuse_bad_names(path, names)
    column = {name: number for number, name in enumerate(names)}
    members = np.zeros((len(ids), len(names)), bool)
    for row, found in enumerate(lists):
        members[row, [column[name] for name in found]] = True
    return names, ids, members


def _refuse_bad_names(path: Path, names: Sequence[str]) -> None:
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise UserError(f"{path}: labels {', '.join(names) or 'none'}; name two labels or more, each once")


def _refuse_repeated(path: Path, ids: Sequence[str]) -> None:
    if not all(ids):
        raise UserError(f"{path}: a line without the name of a scene; name it")
    if repeated := [name for name, count in Counter(ids).items() if count > 1]:
        raise UserError(
            f"{path}: {len(repeated)} scenes are named more than once, first {repeated[0]!r}; keep one line"
        )
