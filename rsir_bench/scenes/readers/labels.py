"""From the labels of scenes to their classes; what is missing, unknown or of two kinds is named and refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rsir_bench.base.errors import SceneError
from rsir_bench.base.text import visible
from rsir_bench.scenes.card import folder_key
from rsir_bench.scenes.readers.shards import LONGEST_NAME, few
from rsir_bench.scenes.reading.store import SceneStore

Label = int | str | None
"""The number or the name of a class; None: missing. Negative numbers mean missing, too."""


@dataclass(frozen=True)
class LabelledScenes:
    """The scenes of a dataset that brings its labels along.

    Attributes:
        store: Where they are.
        files: Their paths there by class, the classes ordered by name.
        notes: What is worth knowing of how they were found, in words.
        named: Whether the classes have names; False: they are numbers.
    """

    store: SceneStore
    files: dict[str, list[str]]
    notes: tuple[str, ...]
    named: bool


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
    if missing:
        count = f"{len(missing):,} of {len(scenes):,} scenes have no label"
        raise SceneError(f"{dataset}: {count}: {few(missing)}; label them, or name a part that has labels")
    numbers = [(path, label) for path, label in scenes if isinstance(label, int)]
    words = [(path, label) for path, label in scenes if isinstance(label, str)]
    if numbers and words:
        examples = f"{numbers[0][1]} ({numbers[0][0]}) and {words[0][1]!r} ({words[0][0]})"
        raise SceneError(f"{dataset}: labels are numbers and words: {examples}; give all of them one way")
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


def _with_names(numbers: Sequence[tuple[str, int]], names: Sequence[str], dataset: str) -> list[tuple[str, str]]:
    unknown = [f"{label} ({path})" for path, label in numbers if label >= len(names)]
    if unknown:
        there = f"there are {len(names):,} names, for 0 to {len(names) - 1:,}"
        raise SceneError(f"{dataset}: labels without a name: {few(unknown)}; {there}; name all classes")
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
        raise SceneError(f"{where}: the names of its classes are no list of texts; write the file again")
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise SceneError(f"{where}: several classes are called {few(repeated)}; give each a name of its own")
    return tuple(names)


def alike_notes(names: Iterable[str]) -> list[str]:
    """Return a note on classes that differ only in case, spaces or dashes, where there are any."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in names:
        spellings[folder_key(name)].add(name)
    alike = [" = ".join(map(repr, sorted(found))) for found in spellings.values() if len(found) > 1]
    if not alike:
        return []
    return [f"classes differ only in case, spaces or dashes: {few(alike)}; rename them if they are one"]
