"""Check that a file of labels matches the scenes on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.card import DatasetCard
from rsir_bench.scenes.fingerprint import content_fingerprint, labelled_fingerprint
from rsir_bench.scenes.labelling.label_file import LabelTable
from rsir_bench.scenes.labelling.labels_of_scenes import SceneLabels, labels_of_scenes


@dataclass(frozen=True, eq=False)
class LabelCheck:
    """The labels of scenes that have several.

    Attributes:
        several: The labels; None if each scene has one, or where there is a problem.
        kept: (M,) int64, the scenes that have labels.
        problem: Why the file's labels are not those of the scenes; empty if they are.
    """

    several: SceneLabels | None
    kept: npt.NDArray[np.int64]
    problem: str = ""

    @property
    def in_words(self) -> str:
        """The number of labels; empty if each scene has one."""
        return "" if self.several is None else str(self.several)

    def fingerprint(self, class_of: Mapping[str, str], hashes: Mapping[str, str]) -> str | None:
        """Return the fingerprint that results on these scenes record; None if there is a problem.

        Args:
            class_of: The class of each scene, by path.
            hashes: The SHA-256 of each scene, by path.
        """
        if self.problem:
            return None
        paths = list(class_of)
        kept = [paths[scene] for scene in self.kept]
        classes = [class_of[path] for path in kept]
        digests = [hashes[path] for path in kept]
        content = content_fingerprint(classes, kept, digests)
        if self.several is None:
            return content
        return labelled_fingerprint(content, classes, kept, self.several.lists(), digests)


@dataclass(frozen=True)
class _Named:
    """Scenes by name and class, as ``rsir_bench.scenes.naming.scene_ids.NamedScenes``."""

    name: str
    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    card: DatasetCard | None


def check_labels(
    name: str, card: DatasetCard | None, table: LabelTable | None, class_of: Mapping[str, str]
) -> LabelCheck:
    """Return the labels that a file gives the scenes of a dataset.

    Args:
        name: The dataset's.
        card: Its card; None for a user's folder.
        table: The contents of the file; None if each scene has one label.
        class_of: The class of each scene, by path.
    """
    every = np.arange(len(class_of))
    if table is None:
        return LabelCheck(None, every)
    classes = tuple(dict.fromkeys(class_of.values()))
    place = {class_name: number for number, class_name in enumerate(classes)}
    numbers = np.array([place[class_name] for class_name in class_of.values()], np.int64)
    try:
        scenes = _Named(name, tuple(class_of), numbers, classes, card)
        return LabelCheck(*labels_of_scenes(table, scenes, card.labels if card else None))
    except UserError as error:
        return LabelCheck(None, every, str(error))
