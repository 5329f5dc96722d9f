"""Several labels per scene from a file of labels, for descriptors in its order or with ids."""

from __future__ import annotations

import logging
from collections import Counter
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
    """Return the labels of descriptors, N lists of names; None where the file gives one label per scene.

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
    wanted = [_stem(name) for name in as_ids(ids, where)]
    row = {name: number for number, name in enumerate(map(_stem, table.ids))}
    for file, names in ((path, list(map(_stem, table.ids))), (where, wanted)):
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise UserError(f"{file}: names {few(repeated)} of its scenes more than once; keep one row of each")
    if missing := [name for name in wanted if name not in row]:
        raise UserError(f"{path}: has no labels of {few(missing)} of the {len(wanted):,} scenes of {where}")
    if others := len(row) - len(wanted):
        logging.getLogger(__name__).warning("%s: labels of %s other scenes are not used", path, f"{others:,}")
    return [lists[row[name]] for name in wanted]


def _stem(name: str) -> str:
    """Return the file name of a scene without folder and ending."""
    return without_ending(name.replace("\\", "/").rpartition("/")[2])
