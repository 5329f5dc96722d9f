"""Find the classes of a user's folder, from its subfolders or from a CSV."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsir_bench.base.errors import SceneError
from rsir_bench.base.text import first_few
from rsir_bench.scenes.folders import Walked, endings_in_words, walk_files
from rsir_bench.scenes.labelling.label_file import LabelTable
from rsir_bench.scenes.readers.labels import alike_notes
from rsir_bench.scenes.readers.labels_csv import labels_files, scenes_of_csv
from rsir_bench.scenes.readers.settings import SETTINGS_FILE, FolderSettings
from rsir_bench.scenes.reading.prefixes import FOLDER_PREFIX, SHARD_PREFIXES

_COUNTED = "y|year|month|week|day|date|part|tile|batch|fold|split|patch|chunk"
_NUMBER = re.compile(rf"[\d\W_]*\d[\d\W_]*|(19|20)\d\d\D.*|({_COUNTED})[ _-]?\d+", re.IGNORECASE)
"""Names of folders for years, dates and parts by number: 2015, 06, 2015-06-01, 2015_summer, year2015, part_3."""

_PARTS = {
    *("train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "query", "gallery"),
    *("spring", "summer", "autumn", "fall", "winter"),
    *("image", "images", "img", "imgs", "picture", "pictures", "scenes", "data", "jpg", "png", "tif", "tiff", "rgb"),
}
"""Names of folders for seasons and for parts of a dataset."""


@dataclass(frozen=True)
class OwnScenes:
    """The scene files of a user's folder.

    Attributes:
        files: Relative paths by class, the classes ordered by name.
        notes: Remarks on how classes and files were found, in words.
        table: The labels in a CSV that gives scenes several; else None.
    """

    files: dict[str, list[str]]
    notes: tuple[str, ...]
    table: LabelTable | None = None


def folder_named(name: str) -> Path:
    """Return the folder that ``folder:PATH`` names."""
    return Path(name.removeprefix(FOLDER_PREFIX)).expanduser()


def own_scenes(folder: Path, settings: FolderSettings) -> OwnScenes:
    """Return the scenes of a folder of class folders, or of a folder with a CSV of labels.

    The class of a scene is the name of the folder that holds it. Folders named by a number, a date or a part of a
    dataset (train, images ...) are passed over for the nearest one above that is not; so are those that all scenes
    share. ``classes`` in the settings decides otherwise. A CSV counts where the settings name it, and one of a usual
    name where fewer than two folders have names of classes.

    Raises:
        SceneError: The folder is missing or has fewer than two class folders with scenes; or a CSV does not give the
            classes of its scenes.
        UserError: Settings do not apply.
    """
    dataset = f"{FOLDER_PREFIX}{folder}"
    if not folder.is_dir():
        raise SceneError(f"{dataset}: no such folder; give the folder that holds the class folders")
    settings.refuse(("image",), dataset)
    walked = list(walk_files(folder))
    holders = [found.folder for found in walked if found.scenes and found.folder.parts]
    shared = _shared_depth(holders)
    class_of = {holder: _class_name(holder, shared, settings.classes) for holder in holders}
    usual = labels_files(walked)
    telling = {name for name in class_of.values() if name.casefold() not in _PARTS}
    if settings.labels is not None or (usual and len(telling) < 2):
        csvs = [settings.labels] if settings.labels is not None else usual
        found_there, left_out = scenes_of_csv(folder, csvs, walked, settings, dataset)
        notes = [*alike_notes(found_there.files), *left_out, *_other_endings(walked, len(csvs))]
        return OwnScenes(found_there.files, tuple(notes), found_there.table)
    settings.refuse(("label", "class_names"), dataset)
    scenes: dict[str, list[str]] = defaultdict(list)
    for found in walked:
        if found.folder in class_of:
            scenes[class_of[found.folder]] += [f"{found.folder}/{name}" for name in found.scenes]
    left_out = _left_out(walked)
    if len(scenes) < 2:
        found_classes = ", ".join(sorted(scenes)) or "none"
        problem = f"{dataset}: needs at least two class folders with scenes, found: {found_classes}"
        remedy = _shards_hint(walked, folder) or ["sort the scenes into one folder per class, or add a labels.csv"]
        raise SceneError("; ".join([problem, *left_out, *remedy]))
    notes = [*_class_notes(class_of), *_empty(walked), *left_out, *_unused(usual)]
    return OwnScenes({name: scenes[name] for name in sorted(scenes)}, tuple(notes))


def _unused(csvs: Sequence[str]) -> list[str]:
    remedy = f'labels = "{csvs[0]}" in {SETTINGS_FILE} takes it' if csvs else ""
    return [f"{first_few(csvs, 5)} not used: folders name the classes; {remedy}"] if csvs else []


def _shards_hint(walked: Iterable[Walked], folder: Path) -> list[str]:
    endings = {ending for found in walked for ending in found.endings}
    kinds = [prefix for prefix in SHARD_PREFIXES if f".{prefix[:-1]}" in endings]
    return [f"give shards as {prefix}{folder}" for prefix in kinds]


def _shared_depth(holders: Iterable[PurePosixPath]) -> int:
    """Return how many folders below the root all scenes share; the last folder of a path is never one of them."""
    paths = [holder.parts[:-1] for holder in holders]
    depth = 0
    while paths and all(len(parts) > depth for parts in paths) and len({parts[depth] for parts in paths}) == 1:
        depth += 1
    return depth


def _class_name(holder: PurePosixPath, shared: int, choice: str | None) -> str:
    own = holder.parts[shared:]
    if choice is not None:
        return own[0] if choice == "outer" else own[-1]
    return next((name for name in reversed(own) if not _is_part(name)), own[-1])


def _is_part(name: str) -> bool:
    return bool(_NUMBER.fullmatch(name)) or name.casefold() in _PARTS


def _class_notes(class_of: Mapping[PurePosixPath, str]) -> list[str]:
    notes = []
    passed = sorted({holder.name for holder, name in class_of.items() if holder.name != name})
    if passed:
        parts = first_few(passed, 5)
        notes.append(f"the folders {parts} are parts, not classes: the folders above them name the classes")
    places: dict[str, set[str]] = defaultdict(set)
    for holder, name in class_of.items():
        if holder.name == name:
            places[name].add(str(holder.parent))
    several = {name: sorted(parents) for name, parents in sorted(places.items()) if len(parents) > 1}
    merged = [f"{name} ({first_few(parents, 5)})" for name, parents in several.items()]
    if merged:
        remedy = f'classes = "outer" in {SETTINGS_FILE} takes the upper folders'
        notes.append(f"folders with the same name are one class: {first_few(merged, 5)}; {remedy}")
    return [*notes, *alike_notes(class_of.values())]


def _empty(walked: Iterable[Walked]) -> list[str]:
    """Name folders without a scene in them or below, the uppermost of each branch."""
    full = {place for found in walked if found.scenes for place in (found.folder, *found.folder.parents)}
    bare = [found.folder for found in walked if found.folder not in full]
    empty = [str(folder) for folder in bare if folder.parent in full or not folder.parent.parts]
    return [f"folders without scenes: {first_few(sorted(empty), 5)}"] if empty else []


def _left_out(walked: Iterable[Walked]) -> list[str]:
    notes = _other_endings(walked)
    beside = sum(len(found.scenes) for found in walked if not found.folder.parts)
    if beside:
        notes.append(f"left out: {beside:,} scene files outside class folders")
    return notes


def _other_endings(walked: Iterable[Walked], csvs: int = 0) -> list[str]:
    """Note files of other endings, but for a number of CSVs that were used."""
    endings = Counter(ending for found in walked for ending in found.endings) - Counter({".csv": csvs})
    return [f"left out by file extension: {endings_in_words(endings)}"] if endings else []
