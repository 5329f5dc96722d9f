"""Turn the labels of scenes into classes; missing, unknown and mixed labels are errors that name the scenes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsir_bench.base.errors import SceneError
from rsir_bench.base.text import first_few, visible
from rsir_bench.scenes.card import folder_key
from rsir_bench.scenes.labelling.label_file import LabelTable
from rsir_bench.scenes.readers.shards import LONGEST_NAME
from rsir_bench.scenes.reading.store import SceneStore

Label = int | str | None
"""The number or the name of a class; None: missing. Negative numbers mean missing, too."""

Labels = Label | list[Label]
"""A list: the scene has several labels."""

UNCLASSED = "scenes"
"""The class of scenes that have labels instead."""


@dataclass(frozen=True)
class LabelledScenes:
    """The scenes of a dataset that contains their labels.

    Attributes:
        store: Where they are.
        files: Their paths there by class, the classes ordered by name.
        notes: Remarks on how they were found, in words.
        named: Whether the classes have names; False: they are numbers.
        table: The labels of scenes that have several; None: each has one, its class.
    """

    store: SceneStore
    files: dict[str, list[str]]
    notes: tuple[str, ...]
    named: bool
    table: LabelTable | None = None


@dataclass(frozen=True)
class SortedScenes:
    """Scenes by their labels; the fields are those of ``LabelledScenes``."""

    files: dict[str, list[str]]
    named: bool
    table: LabelTable | None = None


def sort_by_labels(
    scenes: Sequence[tuple[str, Labels]], names: Sequence[str] | None, dataset: str, where: Path
) -> SortedScenes:
    """Return scenes by class, or all as one class with the labels of each, where some have a list of labels.

    Args:
        scenes: Path and label of each.
        names: The names of the classes 0, 1, ...; None: none are known, and numbers are their own names.
        dataset: For messages.
        where: The dataset's file or folder.

    Raises:
        SceneError: Labels are missing, have no name, are no fit names or of two kinds, or fewer than two.
    """
    if not any(isinstance(label, list) for _, label in scenes):
        return SortedScenes(
            *by_class([(path, label) for path, label in scenes if not isinstance(label, list)], names, dataset)
        )
    lists = {path: label if isinstance(label, list) else [label] for path, label in scenes}
    _refuse_missing([path for path, found in lists.items() if not found], len(lists), dataset)
    of_label, _ = by_class([(path, label) for path, found in lists.items() for label in found], names, dataset)
    column = {name: number for number, name in enumerate(of_label)}
    row = {path: number for number, path in enumerate(lists)}
    members = np.zeros((len(row), len(column)), bool)
    for name, paths in of_label.items():
        for path in paths:
            if members[row[path], column[name]]:
                raise SceneError(f"{dataset}: {path} has the label {name!r} twice; give each label once")
            members[row[path], column[name]] = True
    return SortedScenes({UNCLASSED: list(lists)}, True, LabelTable(where, tuple(lists), tuple(column), members))


def by_class(
    scenes: Sequence[tuple[str, Label]], names: Sequence[str] | None, dataset: str
) -> tuple[dict[str, list[str]], bool]:
    """Return the paths of scenes by class, the classes ordered by name, and whether these are names.

    Args:
        scenes: Path and label of each.
        names: The names of the classes 0, 1, ...; None: none are known, and numbers are their own names.
        dataset: For messages.

    Raises:
        SceneError: A label is missing, has no name, or is no fit name; labels are numbers and words; or there are fewer
            than two classes.
    """
    missing = [path for path, label in scenes if label is None or (isinstance(label, int) and label < 0)]
    _refuse_missing(missing, len(scenes), dataset)
    numbers = [(path, label) for path, label in scenes if isinstance(label, int)]
    words = [(path, label) for path, label in scenes if isinstance(label, str)]
    if numbers and words:
        examples = f"{numbers[0][1]} ({numbers[0][0]}) and {words[0][1]!r} ({words[0][0]})"
        raise SceneError(f"{dataset}: labels mix numbers and words: {examples}; use only numbers or only words")
    if words and names is not None:
        raise SceneError(f"{dataset}: class_names are for numbers, but its labels are words; remove them")
    if numbers and names is not None:
        words = _with_names(numbers, names, dataset)
    files: dict[str, list[str]] = defaultdict(list)
    for path, label in words or numbers:
        files[str(label)].append(path)
    _check_names(files, dataset)
    if len(files) < 2:
        raise SceneError(f"{dataset}: needs scenes of at least two classes, found: {', '.join(files) or 'no scene'}")
    return {name: files[name] for name in sorted(files)}, bool(words)


def _refuse_missing(missing: Sequence[str], scenes: int, dataset: str) -> None:
    if missing:
        count = f"{len(missing):,} of {scenes:,} scenes have no label"
        raise SceneError(f"{dataset}: {count}: {first_few(missing)}; label them, or name a part that has labels")


def _with_names(numbers: Sequence[tuple[str, int]], names: Sequence[str], dataset: str) -> list[tuple[str, str]]:
    unknown = [f"{label} ({path})" for path, label in numbers if label >= len(names)]
    if unknown:
        there = f"there are {len(names):,} names, for 0 to {len(names) - 1:,}"
        raise SceneError(f"{dataset}: labels without a name: {first_few(unknown)}; {there}; name all classes")
    return [(path, names[label]) for path, label in numbers]


def _check_names(names: Iterable[str], dataset: str) -> None:
    for name in names:
        if why := why_unfit(name):
            raise SceneError(f"{dataset}: the class name {name[:40]!r} {why}; rename the class")


def why_unfit(name: str) -> str | None:
    """Return what is wrong with the name of a class or of a scene's file; None for nothing."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} characters"
    if visible(name) != name or "\n" in name or "\t" in name:
        return "holds control characters"
    return None


def check_class_names(names: object, where: str) -> tuple[str, ...]:
    """Return the names of the classes 0, 1, ...

    Args:
        names: Anything; only a list of different texts is right.
        where: Their place, for messages.

    Raises:
        SceneError: They are something else.
    """
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise SceneError(f"{where}: the names of its classes are not a list of strings; write the file again")
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise SceneError(f"{where}: several classes are called {first_few(repeated)}; give each a name of its own")
    return tuple(names)


def alike_notes(names: Iterable[str]) -> list[str]:
    """Return a note on classes that differ only in case, spaces or dashes, where there are any."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in names:
        spellings[folder_key(name)].add(name)
    alike = [" = ".join(map(repr, sorted(found))) for found in spellings.values() if len(found) > 1]
    if not alike:
        return []
    return [f"classes differ only in case, spaces or dashes: {first_few(alike)}; rename them if they are one"]
