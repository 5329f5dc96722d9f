"""The ids of scenes, and which scene of a dataset a name in somebody's file means.

A scene's id is its class and its file's name without the ending, ``dense residential/dense00``, whatever a copy calls
its folders and whether it holds tif or png. Where two scenes of a class share a file name, the id of both is their path
below the dataset's folder, without the ending where that tells all scenes apart.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rsir_bench.base.errors import Problems
from rsir_bench.scenes.card import DatasetCard, folder_key
from rsir_bench.scenes.decode import SCENE_SUFFIXES

SHOWN = 3
"""How many ids a message names."""

SEVERAL, UNKNOWN = -1, -2

Numbers = npt.NDArray[np.int64]


class NamedScenes(Protocol):
    """The scenes of a dataset by name and class; see ``rsir_bench.scenes.index.SceneIndex``."""

    @property
    def name(self) -> str:
        """The dataset's name."""
        ...

    @property
    def paths(self) -> tuple[str, ...]:
        """N paths."""
        ...

    @property
    def labels(self) -> Numbers:
        """(N,) int64, positions in ``classes``."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        ...

    @property
    def card(self) -> DatasetCard | None:
        """The card, None for a folder of the user's own."""
        ...


def scene_ids(index: NamedScenes) -> tuple[str, ...]:
    """Return the ids of a dataset's scenes, N different ones in the order of the dataset."""
    paths = [_plain(path) for path in index.paths]
    bare = [without_ending(path) for path in paths]
    short = _with_class(index, bare)
    common = Counter(short)
    ids = [path if common[name] > 1 else name for name, path in zip(short, bare, strict=True)]
    return tuple(ids if len(set(ids)) == len(ids) else paths)


def scene_numbers(given: Sequence[str], index: NamedScenes, where: object) -> Numbers:
    """Return which scenes ids mean.

    A scene may also be named by its path below the dataset's folder, or by its file name where no other scene has that
    one; all of them with or without the ending, and the class by any folder name of the dataset's card.

    Args:
        given: M ids.
        index: The dataset.
        where: The file that holds them, for messages.

    Returns:
        (M,) int64, positions in the dataset, no two equal.

    Raises:
        UserError: An id means no scene or several, or a scene is named twice: a line for each, with the first few.
    """
    numbers = _found(given, index)
    problems = _problems(given, numbers, index, where)
    problems.raise_any()
    return numbers


def rows_of_scenes(given: Sequence[str], index: NamedScenes, where: object) -> Numbers:
    """Return the row of each scene of a dataset in a file that names all of them.

    Args:
        given: An id for each row of the file, as for ``scene_numbers``.
        index: The dataset.
        where: The file, for messages.

    Returns:
        (N,) int64, a row for each scene in the order of the dataset.

    Raises:
        UserError: As ``scene_numbers``, or scenes are missing.
    """
    numbers = _found(given, index)
    problems = _problems(given, numbers, index, where)
    named = set(numbers.tolist())
    ids = scene_ids(index)
    if missing := [name for scene, name in enumerate(ids) if scene not in named]:
        problems.add(f"{where}: lacks {few(missing)} of the {len(index.paths):,} scenes of {index.name}")
    problems.raise_any()
    return np.argsort(numbers)


def few(names: Sequence[str]) -> str:
    """Return how many names there are, with the first few of them: ``"4 (a, b, c, ...)"``."""
    shown = ", ".join(f"{name:.80}" for name in names[:SHOWN])
    return f"{len(names):,} ({shown}{', ...' if len(names) > SHOWN else ''})"


def _found(given: Sequence[str], index: NamedScenes) -> Numbers:
    """Return the scene of each name, ``SEVERAL`` or ``UNKNOWN``."""
    spellings, classes = _spellings(index), _class_of_folder(index)
    return np.array([_scene(_plain(name), spellings, classes) for name in given], np.int64)


def _scene(name: str, spellings: Mapping[str, int], classes: Mapping[str, str]) -> int:
    bare = without_ending(name)
    *_, folder, stem = ["", *bare.split("/")]
    of_class = f"{classes.get(folder_key(folder), '')}/{stem}"
    return next((spellings[one] for one in (name, bare, of_class) if one in spellings), UNKNOWN)


def _spellings(index: NamedScenes) -> dict[str, int]:
    """Return the scene of each spelling, or ``SEVERAL``; an id is never taken for another scene's file name."""
    paths = [_plain(path) for path in index.paths]
    bare = [without_ending(path) for path in paths]
    files = [path.rpartition("/")[2] for path in paths]
    stems = [path.rpartition("/")[2] for path in bare]
    known: dict[str, int] = {}
    for names in (scene_ids(index), paths, bare, _with_class(index, bare), files, stems):
        counts = Counter(names)
        new = {name: scene if counts[name] == 1 else SEVERAL for scene, name in enumerate(names)}
        known = new | known
    return known


def _with_class(index: NamedScenes, paths: Sequence[str]) -> list[str]:
    """Return each scene's class and file name."""
    names = (_plain(index.classes[label]) for label in index.labels.tolist())
    return [f"{name}/{path.rpartition('/')[2]}" for name, path in zip(names, paths, strict=True)]


def _class_of_folder(index: NamedScenes) -> dict[str, str]:
    """Return the class that each folder's name means, by ``folder_key``."""
    if index.card is not None:
        return {key: _plain(name) for key, name in index.card.class_of_folder.items()}
    keys = Counter(folder_key(name) for name in index.classes)
    return {folder_key(name): _plain(name) for name in index.classes if keys[folder_key(name)] == 1}


def _problems(given: Sequence[str], numbers: Numbers, index: NamedScenes, where: object) -> Problems:
    problems = Problems()
    unknown = [name for name, scene in zip(given, numbers, strict=True) if scene == UNKNOWN]
    ids = scene_ids(index)
    if unknown:
        problems.add(f"{where}: {few(unknown)} of its ids are not scenes of {index.name}; an id looks like {ids[0]!r}")
    if several := [name for name, scene in zip(given, numbers, strict=True) if scene == SEVERAL]:
        problems.add(f"{where}: {few(several)} of its ids mean several scenes of {index.name}; add the class")
    counts = Counter(scene for scene in numbers.tolist() if scene >= 0)
    if repeated := [ids[scene] for scene, count in sorted(counts.items()) if count > 1]:
        problems.add(
            f"{where}: names {few(repeated)} of the scenes of {index.name} more than once; keep one row of each"
        )
    return problems


def _plain(name: str) -> str:
    """Return a path with ``/`` and composed characters, which file systems and programs differ in."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


def without_ending(path: str) -> str:
    """Return a path without the ending of a picture; other dots are part of the name."""
    stem, _, ending = path.rpartition(".")
    return stem if f".{ending.lower()}" in SCENE_SUFFIXES else path
