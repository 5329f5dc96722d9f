"""Find a dataset under the data root, and list its scenes by class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.card import DatasetCard, folder_key
from rsir_bench.scenes.decode import SCENE_SUFFIXES
from rsir_bench.scenes.reading.prefixes import SHARD_ENDINGS

NO_DATA = {"dataset.toml", "thumbs.db", "desktop.ini"}
"""Files that are passed over without a word: settings, and what file managers leave behind."""

SEARCH_DEPTH = 10
"""How deep below the data root, or a dataset's folder, class folders are looked for."""


def find_dataset(card: DatasetCard, data_root: Path) -> Path:
    """Return the dataset's folder: one of the card's folder names, at any nesting under the data root.

    Folders of class folders come before those of shards.

    Raises:
        SceneError: There is none; the line says where it was looked for and how to get it.
    """
    nearest: Path | None = None
    packed: Path | None = None
    usual = [data_root / name for name in card.folders]
    for folder in _candidates(card, data_root):
        inside = list(walk_files(folder))
        if any(folder_key(found.folder.name) in card.class_of_folder for found in inside):
            return folder
        if packed is None and any(name.lower().endswith(SHARD_ENDINGS) for found in inside for name in found.others):
            packed = folder
        # Deeper down, a folder without scenes only shares the name, such as that of a target among a run's results.
        if nearest is None and (folder in usual or any(found.scenes for found in inside)):
            nearest = folder
    if packed is not None:
        return packed
    if nearest is not None:  # no class folder at all: index_scenes says what was expected
        return nearest
    if card.download is not None and card.download.by_hand:
        remedy = f"get it by hand: {card.download.by_hand}"
    else:
        remedy = f"get it with: rsir-bench datasets download {card.name} --data-root {data_root}"
    raise SceneError(f"{card.name}: not found (looked for {', '.join(card.folders)} under {data_root}); {remedy}")


def check_scenes(card: DatasetCard, folder: Path, scenes: dict[str, list[str]], unexpected: list[str]) -> None:
    """Check scenes against the card.

    Args:
        card: The card.
        folder: Their folder, for messages.
        scenes: The files of each class of the card.
        unexpected: Folders, or classes, that are none of the card.

    Raises:
        SceneError: Classes are missing or unexpected, or a class has another number of scenes than expected.
    """
    _check_classes(card, folder, scenes, unexpected)
    _check_counts(card, folder, scenes)


def sort_scenes(card: DatasetCard, folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return, unchecked, the scene files of each class and the folders with scenes of no class."""
    class_of_folder = card.class_of_folder
    scenes: dict[str, list[str]] = {scene_class.name: [] for scene_class in card.classes}
    strays: list[PurePosixPath] = []
    above_classes: set[PurePosixPath] = set()
    for relative, names in walk_scenes(folder):
        lineage = (relative, *relative.parents)
        owner = next((place for place in lineage if folder_key(place.name) in class_of_folder), None)
        if owner is not None:
            scenes[class_of_folder[folder_key(owner.name)]] += [f"{relative}/{name}" for name in names]
            above_classes.update(owner.parents)
        elif names:
            strays.append(relative)
    return scenes, [str(stray) for stray in strays if stray not in above_classes]


def _check_classes(card: DatasetCard, folder: Path, scenes: dict[str, list[str]], unexpected: list[str]) -> None:
    missing = [name for name, paths in scenes.items() if not paths]
    if missing or unexpected:
        found = len(scenes) - len(missing)
        raise SceneError(
            f"{card.name}: {folder} must hold {len(scenes)} class folders with scenes, {found} of them found; "
            f"missing: {', '.join(missing) or 'none'}; unexpected: {', '.join(unexpected) or 'none'}; "
            "restore or rename the missing ones and move the others away"
        )


def _check_counts(card: DatasetCard, folder: Path, scenes: dict[str, list[str]]) -> None:
    wrong = [
        f"{scene_class.name}: {scene_class.scenes} expected, {len(scenes[scene_class.name])} found"
        for scene_class in card.classes
        if len(scenes[scene_class.name]) != scene_class.scenes
    ]
    if wrong:
        rest = f" and {len(wrong) - 5} classes more" if len(wrong) > 5 else ""
        raise SceneError(
            f"{card.name}: wrong number of scenes in {folder} ({'; '.join(wrong[:5])}{rest}); get a complete copy"
        )


def walk_scenes(root: Path) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Yield each folder from ``root`` down, relative to it, with the names of the scene files directly in it.

    Links are followed, each folder only once; hidden folders and what macOS adds to an archive are left out.
    """
    yield from ((found.folder, found.scenes) for found in walk_files(root))


@dataclass(frozen=True)
class Walked:
    """One folder of a dataset.

    Attributes:
        folder: Relative to the dataset's.
        scenes: Names of the scene files directly in it.
        others: Names of its other files; hidden ones and those of file managers are passed over.
    """

    folder: PurePosixPath
    scenes: list[str]
    others: list[str]

    @property
    def endings(self) -> list[str]:
        """The endings of its other files, one each."""
        return [PurePosixPath(name).suffix.lower() or "no ending" for name in self.others]


def walk_files(root: Path, depth: int = SEARCH_DEPTH) -> Iterator[Walked]:
    """Yield each folder from ``root`` down to a depth, as ``walk_scenes`` does, with its other files."""
    if not root.is_dir():
        return
    seen = {_identity(root)}
    for place, folders, files in os.walk(root, followlinks=True):
        relative = PurePosixPath(Path(place).relative_to(root).as_posix())
        shown = [name for name in files if not name.startswith(".") and name.casefold() not in NO_DATA]
        scenes = [name for name in shown if name.lower().endswith(SCENE_SUFFIXES)]
        scenes_here = set(scenes)
        yield Walked(relative, scenes, [name for name in shown if name not in scenes_here])
        data_folders = []
        if len(relative.parts) < depth:
            for name in sorted(folders):
                identity = _identity(Path(place, name))
                if not name.startswith(".") and name != "__MACOSX" and identity not in seen:
                    seen.add(identity)
                    data_folders.append(name)
        folders[:] = data_folders


def endings_in_words(endings: Mapping[str, int]) -> str:
    """Return the number of files per extension, the most frequent first."""
    ordered = sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{ending} {count:,}" for ending, count in ordered[:8])
    return f"{sum(endings.values()):,} files ({listed}{', ...' if len(ordered) > 8 else ''})"


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _candidates(card: DatasetCard, data_root: Path) -> Iterator[Path]:
    """Yield existing folders with one of the card's names, those directly below the data root first."""
    yield from (data_root / name for name in card.folders if (data_root / name).is_dir())
    everywhere = sorted((folder for folder, _ in walk_scenes(data_root)), key=lambda folder: len(folder.parts))
    for name in card.folders:
        tail = tuple(part.casefold() for part in PurePosixPath(name).parts)
        for folder in everywhere:
            parts = (*data_root.resolve().parts, *folder.parts)
            if tuple(part.casefold() for part in parts[-len(tail) :]) == tail:
                yield data_root / folder
