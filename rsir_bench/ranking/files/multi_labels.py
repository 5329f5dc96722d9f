"""Several labels per scene from a file of labels, for descriptors in its order or with ids."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.files.ids import as_ids
from rsir_bench.scenes.labelling.label_file import holds_several_labels, read_label_table
from rsir_bench.scenes.naming.scene_ids import few, without_ending

Array = np.ndarray[Any, Any]

SUFFIXES = (".csv", ".txt", ".tsv")


def lists_of_labels(path: Path, ids: Array | None, where: Path) -> list[list[str]] | None:
    """Return the labels of descriptors, N lists of names; None if the file gives one label per scene.

    Args:
        path: See ``rsir_bench.scenes.labelling.label_file.read_label_table``.
        ids: (N,) names of the scenes of the descriptors, text or integers; None: they are in the order of the file.
        where: The file of the descriptors, for messages.

    Raises:
        UserError: The file cannot be read, or gives scenes of the descriptors no labels.
    """
    if path.suffix not in SUFFIXES or not holds_several_labels(path):
        return None
    table = read_label_table(path)
    lists = table.lists()
    if ids is None:
        return lists
    wanted = as_ids(ids, where)
    rows = _rows_of_scenes(wanted, table.ids, path, where)
    if others := len(table.ids) - len(set(rows)):
        logging.getLogger(__name__).warning("%s: labels of %s other scenes are not used", path, f"{others:,}")
    return [lists[row] for row in rows]


def _rows_of_scenes(wanted: list[str], given: Sequence[str], path: Path, where: Path) -> list[int]:
    """Return the row of each scene in a file of labels.

    File endings are ignored. If no name is equal, names also match if they differ only in leading folders that one of
    them lacks.

    Args:
        wanted: Names of scenes.
        given: Names in the file of labels.
        path: The file of labels.
        where: The file of the descriptors.

    Raises:
        UserError: A file names a scene more than once, or the file of labels lacks one.
    """
    places, named = list(map(_place, wanted)), list(map(_place, given))
    rows = defaultdict(list)
    for row, place in enumerate(named):
        rows[place[-1]].append(row)
    found = [_matching(place, rows[place[-1]], named) for place in places]
    if missing := [name for name, matching in zip(wanted, found, strict=True) if not matching]:
        raise UserError(f"{path}: has no labels of {few(missing)} of the {len(wanted):,} scenes of {where}; add them")
    first = [matching[0] for matching in found]
    several = {path: [name for name, matching in zip(wanted, found, strict=True) if len(matching) > 1]}
    several[where] = [given[row] for row, count in Counter(first).items() if count > 1]
    for file, repeated in several.items():
        if repeated:
            raise UserError(f"{file}: names {few(repeated)} of its scenes more than once; keep one row of each")
    return first


def _place(name: str) -> tuple[str, ...]:
    """Return the folders and the file name of a scene, without its ending."""
    return tuple(part for part in without_ending(name.replace("\\", "/")).split("/") if part not in ("", "."))


def _matching(place: tuple[str, ...], rows: Sequence[int], named: Sequence[tuple[str, ...]]) -> list[int]:
    """Return the rows with an equal name or, if there are none, with a matching one."""
    return [row for row in rows if place == named[row]] or [row for row in rows if _alike(place, named[row])]


def _alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shared = min(len(one), len(other))
    return one[-shared:] == other[-shared:]
