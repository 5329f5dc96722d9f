"""The labels of a dataset's scenes, from a file that names the scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsir_bench.base.errors import SceneError, suggest
from rsir_bench.scenes.card import CardLabels, folder_key
from rsir_bench.scenes.labelling.label_file import LabelTable
from rsir_bench.scenes.naming.scene_ids import NamedScenes, few, scene_ids, scene_numbers

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SceneLabels:
    """The labels of scenes.

    Attributes:
        names: The L labels, as on the card, or as in the file.
        members: (N, L) bool.
    """

    names: tuple[str, ...]
    members: npt.NDArray[np.bool_]

    def of(self, scene: int) -> list[str]:
        """Return the labels of one scene."""
        return [self.names[column] for column in np.flatnonzero(self.members[scene])]

    def lists(self) -> list[list[str]]:
        """Return the labels of each scene."""
        return [self.of(scene) for scene in range(len(self.members))]

    def __str__(self) -> str:
        """Return how many scenes have how many labels, in words."""
        counts = self.members.sum(axis=1)
        return f"{counts.min()} to {counts.max()} of {len(self.names)} labels for each of {len(counts):,} scenes"


def labels_of_scenes(table: LabelTable, scenes: NamedScenes, card: CardLabels | None) -> tuple[SceneLabels, Numbers]:
    """Return labels and the scenes that have them.

    Args:
        table: The contents of the file.
        scenes: The dataset.
        card: What the dataset's card says of labels; None: nothing.

    Returns:
        The labels of M scenes, and these scenes, (M,) int64, ascending: all N, or as many as the card says.

    Raises:
        UserError: The file names scenes that the dataset does not have, or a scene twice.
        SceneError: Scenes are missing, or a label is not on the card.
    """
    numbers = scene_numbers(table.ids, scenes, table.where)
    expected = len(scenes.paths) if card is None or card.scenes is None else card.scenes
    if len(numbers) != expected:
        named = set(numbers.tolist())
        missing = [name for scene, name in enumerate(scene_ids(scenes)) if scene not in named]
        lacks = f": it lacks {few(missing)}" if expected == len(scenes.paths) else ""
        raise SceneError(
            f"{table.where}: labels of {len(numbers):,} scenes of {scenes.name}, not of {expected:,}{lacks}; "
            "get the whole file"
        )
    order = np.argsort(numbers)
    names, columns = _on_card(table, card.names if card else ())
    return SceneLabels(names, table.members[order][:, columns]), numbers[order]


def _on_card(table: LabelTable, known: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """Return the labels in the order of the card, and the column of each in the file; names may differ in spelling.

    Raises:
        SceneError: A label is not on the card, or the file lacks one.
    """
    if not known:
        return table.names, list(range(len(table.names)))
    column = {folder_key(name): number for number, name in enumerate(table.names)}
    keys = {folder_key(name): name for name in known}
    for name in table.names:
        if folder_key(name) not in keys:
            raise SceneError(f"{table.where}: label {name!r}: {suggest(name, list(known))}")
    if missing := [name for key, name in keys.items() if key not in column]:
        raise SceneError(f"{table.where}: no scene has the label {few(missing)} of the card; get the whole file")
    return tuple(known), [column[key] for key in keys]
