"""Compare a dataset on disk with its card and, if there is one, with the manifest of its original archive."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import worker_count
from rsir_bench.scenes.card import DatasetCard, edition_name, load_cards
from rsir_bench.scenes.decode import UNREADABLE, ValueRange, scene_bands, whole_type, why_unreadable
from rsir_bench.scenes.fingerprint import hash_scenes
from rsir_bench.scenes.folders import endings_in_words, find_dataset, walk_files
from rsir_bench.scenes.index import list_dataset
from rsir_bench.scenes.inspect.label_check import check_labels
from rsir_bench.scenes.inspect.manifest import Original, SceneKey, load_manifest, scene_key
from rsir_bench.scenes.labelling.label_file import LabelTable
from rsir_bench.scenes.readers.given_cards import GivenCards, card_named
from rsir_bench.scenes.readers.packed import labels_of_card, scenes_of_card
from rsir_bench.scenes.readers.settings import SETTINGS_FILE
from rsir_bench.scenes.reading.prefixes import OWN_PREFIXES
from rsir_bench.scenes.reading.scene_file import open_scene
from rsir_bench.scenes.reading.store import FolderStore, SceneStore
from rsir_bench.scenes.reading.unreadable import NoRangeError, OtherBandsError
from rsir_bench.scenes.survey import Look, Survey, look, notes_in_words, survey


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
        survey: What the readable scenes hold.
        value_range: The values that become 0 and 255; None if all scenes are 8-bit.
        range_origin: Where the value range comes from, in words.
        notes: Remarks on files, classes and values, in words.
        warnings: What most likely is a fault, in words.
        labels: The labels of scenes that have several, in words; empty if each has one.
        label_problem: Why these labels are not those of the scenes; empty if they are.
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
    survey: Survey
    value_range: ValueRange
    range_origin: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    labels: str = ""
    label_problem: str = ""

    @property
    def expected(self) -> dict[str, int]:
        """The number of scenes per class on the card, or the number found where no card has classes."""
        if self.card is None or not self.card.classes:
            return self.found
        return {entry.name: entry.scenes for entry in self.card.classes}

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
    def edition(self) -> str:
        """The name of the edition; empty without a fingerprint."""
        return edition_name(self.name, self.fingerprint) if self.fingerprint else ""

    @property
    def verdict(self) -> Verdict:
        """Original, complete or incomplete; sizes and repeats do not count, since originals have such faults too."""
        if self.missing_classes or self.wrong_counts or self.unexpected or self.unreadable or self.other_bands:
            return Verdict.INCOMPLETE
        if self.label_problem:
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


def present_datasets(names: Sequence[str], data_root: Path, given: GivenCards | None = None) -> list[str]:
    """Return the names with ``all`` replaced by every dataset under the data root.

    Args:
        names: Of datasets; or ``all``.
        data_root: The folder that holds the datasets.
        given: Cards and settings beside those that are installed or lie in a folder.

    Raises:
        UserError: A named dataset is missing, or ``all`` finds none; one line for each problem.
    """
    given = given or GivenCards()
    if "all" in names:
        stored = [card for card in load_cards().values() if card.generator is None]
        present = [card.name for card in stored if not _problem(card.name, data_root, given)]
        if not present:
            raise UserError(f"no dataset under {data_root}; list them with `rsir-bench datasets`, or set --data-root")
        names = [*present, *(name for name in names if name.startswith(OWN_PREFIXES))]
    if problems := [problem for name in names if (problem := _problem(name, data_root, given))]:
        raise UserError("\n".join(problems))
    return list(dict.fromkeys(names))


def _problem(name: str, data_root: Path, given: GivenCards) -> str:
    try:
        _place(name, data_root, given)
    except UserError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class _Place:
    """A dataset as it lies on disk: its scenes by class, and what the card or the folder's settings say of pixels."""

    card: DatasetCard | None
    store: SceneStore
    scenes: dict[str, list[str]]
    unexpected: list[str]
    bands: int
    given_range: ValueRange
    notes: tuple[str, ...]
    table: LabelTable | None = None


def _place(name: str, data_root: Path, given: GivenCards) -> _Place:
    if name.startswith(OWN_PREFIXES):
        listing = list_dataset(name, data_root, given)
        assert listing.store is not None
        bands = listing.settings.bands or _first_bands(listing.store, listing.files)
        value_range = listing.settings.value_range
        return _Place(None, listing.store, listing.files, [], bands, value_range, listing.notes, listing.table)
    card = card_named(name, given.cards)
    if card.generator is not None:
        raise UserError(f"{name}: needs no verification, since it is generated on first use")
    folder = find_dataset(card, data_root)
    found = scenes_of_card(card, folder)
    table = labels_of_card(card, found, data_root)
    walked = list(walk_files(folder)) if isinstance(found.store, FolderStore) else []
    others = Counter(ending for below in walked for ending in below.endings)
    notes = (f"left out by file extension: {endings_in_words(others)}",) if others else ()
    return _Place(card, found.store, found.files, found.unexpected, card.bands, card.value_range, notes, table)


def verify(name: str, data_root: Path, given: GivenCards | None = None) -> Verification:
    """Count, decode in full, hash and compare every scene of a dataset.

    Args:
        name: A card's name, or ``folder:PATH``, ``parquet:PATH`` or ``tar:PATH`` for scenes without a card.
        data_root: The folder that holds the datasets.
        given: Cards and settings beside those that are installed or lie in a folder.

    Raises:
        UserError: The dataset is unknown, missing, or generated when it is used.
    """
    place = _place(name, data_root, given or GivenCards())
    card, store, scenes = place.card, place.store, place.scenes
    manifest = load_manifest(card) if card else None
    class_of = {path: class_name for class_name, paths in scenes.items() for path in sorted(paths)}
    checks = _check_all(name, place, list(class_of))
    there = [path for path, check in checks.items() if check.length is not None]
    hashes = dict(zip(there, hash_scenes(store, there, f"hashing {name}", again=True), strict=True))
    within, across = _repetitions(class_of, {path: hashes[path] for path in hashes if checks[path].look})
    complete = len(hashes) == len(class_of)
    found = survey(check.look for check in checks.values() if check.look)
    value_range, origin = _range_of(place, found)
    warnings = found.warnings(value_range, measured=place.card is None and place.given_range is None)
    labelled = check_labels(name, place.card, place.table, class_of)
    settings = "the card" if card else f"{SETTINGS_FILE}, or by --card"
    return Verification(
        name=name,
        folder=store.root,
        card=card,
        found={class_name: len(paths) for class_name, paths in scenes.items()},
        unexpected=tuple(place.unexpected),
        unreadable={path: check.problem for path, check in checks.items() if check.problem and not check.other_bands},
        other_bands={path: check.problem for path, check in checks.items() if check.other_bands},
        sizes={path: check.size for path, check in checks.items() if check.look},
        repeated=within,
        repeated_across=across,
        comparison=None if manifest is None else _compare(class_of, checks, hashes, manifest),
        fingerprint=labelled.fingerprint(class_of, hashes) if complete else None,
        survey=found,
        value_range=value_range,
        range_origin=origin,
        notes=(*place.notes, *notes_in_words(found.notes, len(class_of))),
        warnings=tuple(f"{warning}; set value_range in {settings}" for warning in warnings),
        labels=labelled.in_words,
        label_problem=labelled.problem,
    )


def _range_of(place: _Place, found: Survey) -> tuple[ValueRange, str]:
    """Return the value range that pixels are scaled by, and where it comes from; None if all scenes are 8-bit."""
    if found.limits is None:
        return None, ""
    if place.given_range is not None:
        return place.given_range, "from the card" if place.card else f"from {SETTINGS_FILE} or --card"
    if place.card is None:
        return found.measured_range, "measured"
    kind = next(words.split()[0] for words in found.kinds if not words.startswith("uint8"))
    return whole_type(np.dtype(kind)), "all of the type, as the card gives none"


@dataclass(frozen=True)
class _SceneCheck:
    """The check of one scene: its bytes, what it holds and its size, or the problem with it; None if not opened."""

    length: int | None
    look: Look | None = None
    size: tuple[int, int] = (0, 0)
    problem: str = ""
    other_bands: bool = False


def _check_all(name: str, place: _Place, paths: Sequence[str]) -> dict[str, _SceneCheck]:
    """Decode all scenes in full, as the pixel cache does."""

    def check(path: str) -> _SceneCheck:
        length = None
        try:
            content = place.store.read(path)
            length = len(content)
            scene = open_scene(content)
            values = scene.values(place.bands)
            if place.card is not None and not scene.facts.is_8_bit and place.given_range is None:
                whole_type(values.dtype)  # refuses floats
            return _SceneCheck(length, look(scene, place.bands, values), (scene.facts.width, scene.facts.height))
        except OtherBandsError as error:
            return _SceneCheck(length, problem=str(error), other_bands=True)
        except NoRangeError as error:
            return _SceneCheck(length, problem=f"{error} in the card")
        except UNREADABLE as error:
            return _SceneCheck(length, problem=why_unreadable(error))

    ordered = [paths[position] for position in place.store.reading_order(paths)]
    with ThreadPoolExecutor(worker_count()) as pool:
        checks = dict(zip(ordered, track(pool.map(check, ordered), f"decoding {name}", len(paths)), strict=True))
    return {path: checks[path] for path in paths}


def _first_bands(store: SceneStore, scenes: Mapping[str, Sequence[str]]) -> int:
    """Return the bands of the first scene with a readable header, or 3 if there is none; decoding then reports it."""
    for path in (path for paths in scenes.values() for path in paths):
        try:
            return scene_bands(store, path)
        except SceneError:
            continue
    return 3


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
    class_of: Mapping[str, str],
    checks: Mapping[str, _SceneCheck],
    hashes: Mapping[str, str],
    manifest: Mapping[SceneKey, Original],
) -> ManifestDiff:
    keys = {path: scene_key(class_name, path) for path, class_name in class_of.items()}

    def is_original(path: str, original: Original) -> bool:
        same_name = path.rsplit("/", 1)[-1] == original.path.rsplit("/", 1)[-1]
        return same_name and hashes.get(path) == original.sha256 and checks[path].length == original.bytes

    listed = {path: manifest[key] for path, key in keys.items() if key in manifest}
    differing = tuple(path for path, original in listed.items() if not is_original(path, original))
    found = set(keys.values())
    return ManifestDiff(
        original=len(listed) - len(differing),
        differing=differing,
        unlisted=tuple(path for path in keys if path not in listed),
        missing=tuple(original.path for key, original in manifest.items() if key not in found),
    )
