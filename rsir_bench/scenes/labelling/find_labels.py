"""Find the file that gives the scenes of a dataset their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.card import CardLabels
from rsir_bench.scenes.labelling.label_file import LabelTable, read_label_table


def find_labels(name: str, card: CardLabels, folder: Path, data_root: Path) -> LabelTable:
    """Return the contents of a dataset's file of labels.

    It is looked for in the dataset's folder and in the folders above it up to the data root. A name with ``*`` may mean
    several files, one for each class, say.

    Args:
        name: The dataset's.
        card: What its card says of labels.
        folder: The dataset's.
        data_root: The folder that holds the datasets.

    Raises:
        SceneError: There is no such file.
        UserError: It is not a file of labels.
    """
    above = [place for place in (folder, *folder.parents) if place == data_root or data_root in place.parents]
    for place in above or [folder]:
        for pattern in card.files:
            if files := sorted(found for found in place.glob(pattern) if found.is_file()):
                return joined_tables([read_label_table(file) for file in files])
    looked = f"{', '.join(card.files)} in {folder} and above, up to {data_root}"
    raise SceneError(f"{name}: no file of labels (looked for {looked}); get it by hand: {card.by_hand}")


def joined_tables(tables: Sequence[LabelTable]) -> LabelTable:
    """Return several tables of labels as one."""
    names = tuple(dict.fromkeys(name for table in tables for name in table.names))
    members = [np.zeros((len(table.ids), len(names)), bool) for table in tables]
    for table, matrix in zip(tables, members, strict=True):
        matrix[:, [names.index(name) for name in table.names]] = table.members
    ids = tuple(scene for table in tables for scene in table.ids)
    where = tables[0].where if len(tables) == 1 else tables[0].where.parent
    return LabelTable(where, ids, names, np.concatenate(members))
