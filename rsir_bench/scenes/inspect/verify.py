"""Compare a dataset on disk with its card and, if there is one, with the manifest of its original archive."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import worker_count
from rsir_bench.scenes.card import DatasetCard, load_cards
from rsir_bench.scenes.decode import (
    OtherBandsError,
    Resize,
    ValueRange,
    read_scene,
    scene_bands,
    scene_size,
    why_unreadable,
)
from rsir_bench.scenes.fingerprint import content_fingerprint, hash_files
from rsir_bench.scenes.folders import find_dataset, sort_scenes
from rsir_bench.scenes.index import FOLDER_PREFIX, find_card, folder_scenes
from rsir_bench.scenes.inspect.manifest import Original, SceneKey, load_manifest, scene_key


class Verdict(StrEnum):
    """The verdict on a dataset on disk."""

    ORIGINAL = "original bytes"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class ManifestDiff:
    """The differences between the scenes and the manifest, matched by class and file name.

    Attributes:
        original: Number of scenes that match the name, size and SHA-256 of the original.
        differing: Scenes whose file extension, size or SHA-256 differs from the original's.
        unlisted: Scenes that the manifest does not name.
        missing: Originals without a scene.
    """

    original: int
    differing: tuple[str, ...]
    unlisted: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """The findings of a verification; paths are relative to ``folder``.

    Attributes:
        name: The dataset's name on the command line.
        folder: The folder that was verified.
        card: The card that says what the folder should hold, or None for a user's folder.
        found: Number of scenes per class.
        unexpected: Folders with scenes that belong to no class of the card.
        unreadable: Scenes that cannot be decoded completely, with the reason.
        other_bands: Scenes whose bands differ from the dataset's, with the difference.
        sizes: Width and height of every readable scene.
        repeated: Groups of scenes with the same bytes within one class.
        repeated_across: Groups of scenes with the same bytes across classes: the same scene has several labels.
        comparison: The differences from the manifest, or None without a manifest.
        fingerprint: The content fingerprint that a result on these scenes records; None if a file cannot be opened.
    """

    name: str
    folder: Path
    card: DatasetCard | None
    found: dict[str, int]
    unexpected: tuple[str, ...]
    unreadable: dict[str, str]
    other_bands: dict[str, str]
    sizes: dict[str, tuple[int, int]]
    repeated: tuple[tuple[str, ...], ...]
    repeated_across: tuple[tuple[str, ...], ...]
    comparison: ManifestDiff | None
    fingerprint: str | None

    @property
    def expected(self) -> dict[str, int]:
        """The number of scenes per class on the card, or the number found if there is no card."""
        return {entry.name: entry.scenes for entry in self.card.classes} if self.card else self.found

    @property
    def missing_classes(self) -> tuple[str, ...]:
        """Classes without a scene."""
        return tuple(name for name, count in self.found.items() if count == 0)

    @property
    def wrong_counts(self) -> dict[str, tuple[int, int]]:
        """Expected and found numbers of scenes, for classes where these differ; missing classes are left out."""
        counts = {name: (count, self.found[name]) for name, count in self.expected.items()}
        return {name: pair for name, pair in counts.items() if pair[1] and pair[0] != pair[1]}

    @property
    def other_sizes(self) -> tuple[str, ...]:
        """Readable scenes whose size differs from the card's."""
        side = self.card.pixels if self.card else None
        return tuple(path for path, size in self.sizes.items() if side is not None and size != (side, side))

    @property
    def verdict(self) -> Verdict:
        """Original, complete or incomplete; sizes and repeats do not count, since originals have such faults too."""
        if self.missing_classes or self.wrong_counts or self.unexpected or self.unreadable or self.other_bands:
            return Verdict.INCOMPLETE
        if self.comparison is not None and self.comparison.original == sum(self.found.values()):
            return Verdict.ORIGINAL
        return Verdict.COMPLETE

    @property
    def verdict_in_words(self) -> str:
        """The verdict in words; it claims nothing about bytes if nothing is known about the originals.

        Without a manifest, copies are recognised by size: some scenes of an original have odd sizes, but never all.
        """
        if self.verdict is not Verdict.COMPLETE:
            return self.verdict.value
        if self.comparison is not None or len(self.other_sizes) == len(self.sizes):
            return "complete, not the original bytes"
        if self.card is not None:
            return "complete; no manifest says whether these are the original bytes"
        return "complete: every scene can be read; no card says what the folder should hold"


def present_datasets(names: Sequence[str], data_root: Path) -> list[str]:
    """Return the names with ``all`` replaced by every dataset under the data root.

    Raises:
        UserError: A named dataset is missing, or ``all`` finds none; one line for each problem.
    """
    if "all" in names:
        stored = [card for card in load_cards().values() if card.generator is None]
        present = [card.name for card in stored if not _problem(card.name, data_root)]
        if not present:
            raise UserError(f"no dataset under {data_root}; list them with `rsir-bench datasets`, or set --data-root")
        names = [*present, *(name for name in names if name.startswith(FOLDER_PREFIX))]
    if problems := [problem for name in names if (problem := _problem(name, data_root))]:
        raise UserError("\n".join(problems))
    return list(dict.fromkeys(names))


def _problem(name: str, data_root: Path) -> str:
    try:
        _place(name, data_root)
    except UserError as error:
        return str(error)
    return ""


def _place(name: str, data_root: Path) -> tuple[DatasetCard | None, Path]:
    if name.startswith(FOLDER_PREFIX):
        folder = Path(name.removeprefix(FOLDER_PREFIX)).expanduser()
        folder_scenes(folder)
        return None, folder
    card = find_card(name)
    if card.generator is not None:
        raise UserError(f"{name}: needs no verification, since it is generated when it is used")
    return card, find_dataset(card, data_root)


def verify(name: str, data_root: Path) -> Verification:
    """Count, decode in full, hash and compare every scene of a dataset.

    Args:
        name: A card's name, or ``folder:PATH`` for a folder of class folders without a card.
        data_root: The folder that holds the datasets.

    Raises:
        UserError: The dataset is unknown, missing, or generated when it is used.
    """
    card, folder = _place(name, data_root)
    manifest = load_manifest(card) if card else None
    scenes, unexpected = sort_scenes(card, folder) if card else (folder_scenes(folder), [])
    bands = card.bands if card else _first_bands(folder, scenes)
    class_of = {path: class_name for class_name, paths in scenes.items() for path in sorted(paths)}
    looks = _look_at_all(name, folder, list(class_of), bands, card.value_range if card else None)
    hashes = _hashes(name, folder, list(class_of))
    within, across = _repetitions(class_of, {path: hashes[path] for path in hashes if looks[path].size})
    complete = len(hashes) == len(class_of)
    return Verification(
        name=name,
        folder=folder,
        card=card,
        found={class_name: len(paths) for class_name, paths in scenes.items()},
        unexpected=tuple(unexpected),
        unreadable={path: look.problem for path, look in looks.items() if look.problem and not look.other_bands},
        other_bands={path: look.problem for path, look in looks.items() if look.other_bands},
        sizes={path: look.size for path, look in looks.items() if look.size},
        repeated=within,
        repeated_across=across,
        comparison=None if manifest is None else _compare(folder, class_of, hashes, manifest),
        fingerprint=content_fingerprint(list(class_of.values()), list(hashes), list(hashes.values()))
        if complete
        else None,
    )


@dataclass(frozen=True)
class _SceneCheck:
    """The check of one scene: its size, or the problem with it."""

    size: tuple[int, int] | None = None
    problem: str = ""
    other_bands: bool = False


def _look_at_all(
    name: str, folder: Path, paths: Sequence[str], bands: int, value_range: ValueRange
) -> dict[str, _SceneCheck]:
    """Decode all scenes in full, as the pixel cache does."""

    def look(path: str) -> _SceneCheck:
        try:
            # Decode the whole file, but keep only one pixel of one band.
            read_scene(folder / path, Resize(1, Image.Resampling.NEAREST), bands, (0,), value_range)
            return _SceneCheck(scene_size(folder / path))
        except OtherBandsError as error:
            return _SceneCheck(problem=str(error), other_bands=True)
        except Exception as error:  # noqa: BLE001 - decoders raise almost anything on damaged files; it is reported
            return _SceneCheck(problem=why_unreadable(error))

    with ThreadPoolExecutor(worker_count()) as pool:
        return dict(zip(paths, track(pool.map(look, paths), f"decoding {name}", len(paths)), strict=True))


def _first_bands(folder: Path, scenes: Mapping[str, Sequence[str]]) -> int:
    """Return the bands of the first scene with a readable header, or 3 if there is none; decoding then reports it."""
    for path in (path for paths in scenes.values() for path in paths):
        try:
            return scene_bands(folder / path)
        except SceneError:
            continue
    return 3


def _hashes(name: str, folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each file that can be opened; the others are already known as unreadable."""
    there = [path for path in paths if os.access(folder / path, os.R_OK)]
    return dict(zip(there, hash_files(folder, there, f"hashing {name}", again=True), strict=True))


def _repetitions(
    class_of: Mapping[str, str], hashes: Mapping[str, str]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Return groups of files with the same bytes: first those within one class, then those across classes."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path, digest in hashes.items():
        groups[digest].append(path)
    repeated = [tuple(paths) for paths in groups.values() if len(paths) > 1]
    across = [paths for paths in repeated if len({class_of[path] for path in paths}) > 1]
    return tuple(paths for paths in repeated if paths not in across), tuple(across)


def _compare(
    folder: Path, class_of: Mapping[str, str], hashes: Mapping[str, str], manifest: Mapping[SceneKey, Original]
) -> ManifestDiff:
    keys = {path: scene_key(class_name, path) for path, class_name in class_of.items()}

    def is_original(path: str, original: Original) -> bool:
        same_name = path.rsplit("/", 1)[-1] == original.path.rsplit("/", 1)[-1]
        return same_name and hashes.get(path) == original.sha256 and (folder / path).stat().st_size == original.bytes

    listed = {path: manifest[key] for path, key in keys.items() if key in manifest}
    differing = tuple(path for path, original in listed.items() if not is_original(path, original))
    found = set(keys.values())
    return ManifestDiff(
        original=len(listed) - len(differing),
        differing=differing,
        unlisted=tuple(path for path in keys if path not in listed),
        missing=tuple(original.path for key, original in manifest.items() if key not in found),
    )
