"""A folder of the user's own: which of its folders name classes, and what its ``dataset.toml`` says."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import pydantic

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.toml import read_toml
from rsir_bench.scenes.card import folder_key
from rsir_bench.scenes.folders import Walked, endings_in_words, walk_files

FOLDER_PREFIX = "folder:"
SETTINGS_FILE = "dataset.toml"

_COUNTED = "y|year|month|week|day|date|part|tile|batch|fold|split|patch|chunk"
_NUMBER = re.compile(rf"[\d\W_]*\d[\d\W_]*|(19|20)\d\d\D.*|({_COUNTED})[ _-]?\d+", re.IGNORECASE)
"""Names of folders for years, dates and parts by number: 2015, 06, 2015-06-01, 2015_summer, year2015, part_3."""

_PARTS = {
    *("train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "query", "gallery"),
    *("spring", "summer", "autumn", "fall", "winter"),
    *("image", "images", "img", "imgs", "picture", "pictures", "scenes", "data", "jpg", "png", "tif", "tiff", "rgb"),
}
"""Names of folders for seasons and for parts of a dataset."""


class FolderSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What ``dataset.toml`` in a user's folder may say; what is left out is found in the scenes.

    Attributes:
        title: The full name in tables.
        bands: Bands of a scene, alpha included.
        rgb: Indices of red, green and blue among them.
        value_range: The values that become 0 and 255 where pixels are not 8-bit.
        classes: Whether the ``outer`` or the ``inner`` folders name the classes.
    """

    title: str | None = pydantic.Field(default=None, min_length=1)
    bands: int | None = pydantic.Field(default=None, gt=0)
    rgb: tuple[pydantic.NonNegativeInt, pydantic.NonNegativeInt, pydantic.NonNegativeInt] | None = None
    value_range: tuple[pydantic.FiniteFloat, pydantic.FiniteFloat] | None = None
    classes: Literal["inner", "outer"] | None = None

    @pydantic.model_validator(mode="after")
    def _rising(self) -> FolderSettings:
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range must rise")
        return self


@dataclass(frozen=True)
class OwnScenes:
    """The scene files of a user's folder.

    Attributes:
        files: Relative paths by class, the classes ordered by name.
        notes: What is worth knowing of how classes and files were found, in words.
    """

    files: dict[str, list[str]]
    notes: tuple[str, ...]


def folder_named(name: str) -> Path:
    """Return the folder that ``folder:PATH`` names."""
    return Path(name.removeprefix(FOLDER_PREFIX)).expanduser()


def read_settings(path: Path) -> FolderSettings:
    """Return what a ``dataset.toml`` says; all is left open where there is no such file.

    Raises:
        UserError: It is not valid; one line names the file and the field.
    """
    try:
        return FolderSettings.model_validate(read_toml(path))
    except FileNotFoundError:
        return FolderSettings()
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        known = ", ".join(FolderSettings.model_fields)
        raise UserError(f"{path}: {' '.join(field.split())}: {first['msg']}; known: {known}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); make it readable") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error


def own_scenes(folder: Path, settings: FolderSettings) -> OwnScenes:
    """Return the scenes of a folder of class folders.

    The class of a scene is the name of the folder that holds it. Folders named by a number, a date or a part of a
    dataset (train, images ...) are passed over for the nearest one above that is not; so are those that all scenes
    share. ``classes`` in the settings decides otherwise.

    Raises:
        SceneError: The folder is missing or has fewer than two class folders with scenes.
    """
    if not folder.is_dir():
        raise SceneError(f"{FOLDER_PREFIX}{folder}: no such folder; give the folder that holds the class folders")
    walked = list(walk_files(folder))
    holders = [found.folder for found in walked if found.scenes and found.folder.parts]
    shared = _shared_depth(holders)
    class_of = {holder: _class_name(holder, shared, settings.classes) for holder in holders}
    scenes: dict[str, list[str]] = defaultdict(list)
    for found in walked:
        if found.folder in class_of:
            scenes[class_of[found.folder]] += [f"{found.folder}/{name}" for name in found.scenes]
    left_out = _left_out(walked)
    if len(scenes) < 2:
        found_classes = ", ".join(sorted(scenes)) or "none"
        problem = f"{FOLDER_PREFIX}{folder}: needs at least two class folders with scenes, found: {found_classes}"
        raise SceneError("; ".join([problem, *left_out]))
    notes = (*_class_notes(class_of), *_empty(walked), *left_out)
    return OwnScenes({name: scenes[name] for name in sorted(scenes)}, notes)


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
        notes.append(f"the folders {_some(passed)} are parts, not classes: the folders above them name the classes")
    places: dict[str, set[str]] = defaultdict(set)
    for holder, name in class_of.items():
        if holder.name == name:
            places[name].add(str(holder.parent))
    merged = [f"{name} ({_some(sorted(parents))})" for name, parents in sorted(places.items()) if len(parents) > 1]
    if merged:
        remedy = f'classes = "outer" in {SETTINGS_FILE} takes the upper folders'
        notes.append(f"folders of one name are one class, wherever they lie: {_some(merged)}; {remedy}")
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in class_of.values():
        spellings[folder_key(name)].add(name)
    alike = [" = ".join(map(repr, sorted(names))) for names in spellings.values() if len(names) > 1]
    if alike:
        notes.append(f"classes differ only in case, spaces or dashes: {_some(alike)}; rename them if they are one")
    return notes


def _empty(walked: Iterable[Walked]) -> list[str]:
    """Name folders without a scene in them or below, the uppermost of each branch."""
    full = {place for found in walked if found.scenes for place in (found.folder, *found.folder.parents)}
    bare = [found.folder for found in walked if found.folder not in full]
    empty = [str(folder) for folder in bare if folder.parent in full or not folder.parent.parts]
    return [f"folders without scenes: {_some(sorted(empty))}"] if empty else []


def _left_out(walked: Iterable[Walked]) -> list[str]:
    endings = Counter(ending for found in walked for ending in found.others)
    notes = [f"left out by their endings: {endings_in_words(endings)}"] if endings else []
    beside = sum(len(found.scenes) for found in walked if not found.folder.parts)
    if beside:
        notes.append(f"left out: {beside:,} scene files beside the class folders")
    return notes


def _some(items: list[str]) -> str:
    return ", ".join(items[:5]) + (f" and {len(items) - 5:,} more" if len(items) > 5 else "")
