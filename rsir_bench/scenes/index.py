"""Turn a dataset's name into the checked list of its scenes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.scenes.acquire.synthesize import synthesized
from rsir_bench.scenes.card import DatasetCard
from rsir_bench.scenes.decode import UNREADABLE, ValueRange, scene_bands, whole_type
from rsir_bench.scenes.fingerprint import content_fingerprint, hash_scenes, labelled_fingerprint
from rsir_bench.scenes.folders import find_dataset as find_dataset
from rsir_bench.scenes.labelling.label_file import LabelTable
from rsir_bench.scenes.labelling.labels_of_scenes import SceneLabels, labels_of_scenes
from rsir_bench.scenes.own_folder import folder_named, own_scenes
from rsir_bench.scenes.readers.given_cards import GivenCards, card_named
from rsir_bench.scenes.readers.packed import labels_of_card, list_packed, scenes_of_card
from rsir_bench.scenes.readers.settings import SETTINGS_FILE, FolderSettings, read_settings
from rsir_bench.scenes.reading.prefixes import FOLDER_PREFIX, OWN_PREFIXES
from rsir_bench.scenes.reading.scene_file import open_scene
from rsir_bench.scenes.reading.store import FolderStore, SceneStore
from rsir_bench.scenes.survey import Survey, kept_survey, notes_in_words


@dataclass(frozen=True, eq=False)
class SceneIndex:
    """The scenes of one dataset, ordered by class (as on the card) and file name.

    Attributes:
        name: The dataset's name on the command line.
        store: Where the scenes are.
        paths: N paths in it, with ``/``.
        labels: (N,) int64, positions in ``classes``.
        classes: Class names.
        fingerprint: SHA-256 of the content, see ``rsir_bench.scenes.fingerprint.content_fingerprint``; where scenes
            have several labels, of content and labels.
        bands: Bands of a scene.
        rgb: Indices of red, green and blue among them.
        value_range: Pixel values that become 0 and 255 where pixels are not 8-bit; None: all of the integer type.
        card: The card, None for a folder of the user's own.
        title: Its full name; empty: the name.
        given_bands: The bands that the settings of a user's folder ask for, where its scenes are not taken to have as
            many without; None elsewhere. It changes what their first three bands are: of CMYK, say.
        notes: Remarks on the files, classes and values of a user's folder, in words.
        several: The labels of scenes that have several, which are then scored instead of the classes; None: each scene
            has one, its class.
        content: The fingerprint without labels, where scenes have several; else empty.
        hashes: The SHA-256 of each scene's file; empty if the scenes are not here.
    """

    name: str
    store: SceneStore
    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    fingerprint: str
    bands: int
    rgb: tuple[int, ...]
    value_range: ValueRange
    card: DatasetCard | None
    title: str = ""
    notes: tuple[str, ...] = ()
    given_bands: int | None = None
    several: SceneLabels | None = None
    content: str = ""
    hashes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.paths)

    def band_named(self, name: str) -> int:
        """Return the index of a band of the card; capitals make no difference.

        Raises:
            SceneError: The card has no such band.
        """
        names = [known.upper() for known in self.card.band_names] if self.card else []
        if name.upper() not in names:
            have = f"its card names {', '.join(names)}" if names else "it has no card that names its bands"
            raise SceneError(f"{self.name}: no band {name} ({have}); score it with an encoder for RGB")
        return names.index(name.upper())

    @property
    def content_fingerprint(self) -> str:
        """The fingerprint of classes, file names and bytes, whatever labels there are."""
        return self.content or self.fingerprint

    @cached_property
    def _different_files(self) -> frozenset[str]:
        return frozenset(self.hashes)

    def shows_scenes_of(self, other: SceneIndex) -> bool:
        """Return whether these are scenes of another dataset under any name, all or some: by content, or by card.

        Equal content is equal files, each counted once, whatever they and their classes are called.
        """
        if self.content_fingerprint == other.content_fingerprint:
            return True
        if self.hashes and self._different_files == other._different_files:
            return True
        names = [index.card.scenes_of or index.name for index in (self, other) if index.card is not None]
        return len(names) == 2 and names[0] == names[1]

    @property
    def root(self) -> Path:
        """What ``paths`` start from."""
        return self.store.root


@dataclass(frozen=True)
class SceneListing:
    """The scene files of a dataset, found but not read.

    Attributes:
        name: As on the command line.
        card: The card, None for a folder of the user's own.
        store: Where the files are; None for a synthetic dataset, which is drawn when it is indexed.
        files: Paths there by class.
        short: What tables call a dataset of the user's own.
        settings: Of such a dataset.
        notes: Remarks on how its classes and files were found, in words.
        table: The contents of its file of labels, where scenes have several; else None.
    """

    name: str
    card: DatasetCard | None
    store: SceneStore | None
    files: dict[str, list[str]]
    short: str = ""
    settings: FolderSettings = field(default_factory=FolderSettings)
    notes: tuple[str, ...] = ()
    table: LabelTable | None = None


def list_dataset(name: str, data_root: Path, given: GivenCards | None = None) -> SceneListing:
    """Return the scene files of a dataset, as far as they show before a scene is drawn, read or hashed.

    Args:
        name: A card's name, or ``folder:PATH``, ``parquet:PATH`` or ``tar:PATH`` for scenes without a card.
        data_root: The folder that holds the datasets.
        given: Cards and settings beside those that are installed or lie in the folder.

    Raises:
        UserError: No card has this name, or the settings of a folder are not valid.
        SceneError: The dataset is missing, or has other class folders or counts than its card.
    """
    given = given or GivenCards()
    if name.startswith(FOLDER_PREFIX):
        return _list_folder(name, folder_named(name), given.settings)
    if name.startswith(OWN_PREFIXES):
        packed = list_packed(name, given.settings)
        scenes = packed.scenes
        notes, table = scenes.notes, scenes.table
        return SceneListing(name, None, scenes.store, scenes.files, packed.title, packed.settings, notes, table)
    card = card_named(name, given.cards)
    if card.generator is not None:
        return SceneListing(name, card, None, {})
    found = scenes_of_card(card, find_dataset(card, data_root)).checked(card)
    return SceneListing(name, card, found.store, found.files, table=labels_of_card(card, found, data_root))


def _list_folder(name: str, folder: Path, given: FolderSettings | None) -> SceneListing:
    settings = given or read_settings(folder / SETTINGS_FILE)
    found = own_scenes(folder, settings)
    short = f"folder-{folder.resolve().name}"
    return SceneListing(name, None, FolderStore(folder), found.files, short, settings, found.notes, found.table)


def index_listing(listing: SceneListing) -> SceneIndex:
    """Return the index of listed scenes: hashed, and drawn first where they are synthetic.

    Raises:
        SceneError: A scene cannot be read, or has other bands than the card says.
        UserError: The settings of a folder do not fit its scenes, or the labels do not.
    """
    card, store, files, table = listing.card, listing.store, listing.files, listing.table
    if card is None:
        index = _index_own(listing)
    else:
        if store is None:
            assert card.generator is not None
            drawn = scenes_of_card(card, synthesized(card.name, card.generator)).checked(card)
            store, files, table = drawn.store, drawn.files, labels_of_card(card, drawn, drawn.store.root)
        index = _index(card, store, files)
    return index if table is None else _with_labels(index, table)


def _with_labels(index: SceneIndex, table: LabelTable) -> SceneIndex:
    """Return the scenes that a file gives labels, with these labels."""
    several, kept = labels_of_scenes(table, index, index.card.labels if index.card else None)
    if len(kept) < len(index):
        paths, hashes = (tuple(values[scene] for scene in kept) for values in (index.paths, index.hashes))
        labels = index.labels[kept]
        content = content_fingerprint([index.classes[label] for label in labels], paths, hashes)
        index = replace(index, paths=paths, labels=labels, fingerprint=content, hashes=hashes)
    classes = [index.classes[label] for label in index.labels]
    labelled = labelled_fingerprint(index.fingerprint, classes, index.paths, several.lists(), index.hashes)
    return replace(index, several=several, content=index.fingerprint, fingerprint=labelled)


def resolve_dataset(name: str, data_root: Path) -> SceneIndex:
    """Return the index of a dataset named as on the command line: ``list_dataset``, then ``index_listing``.

    Raises:
        UserError: No card has this name.
        SceneError: The dataset is missing, or differs from its card.
    """
    return index_listing(list_dataset(name, data_root))


def index_scenes(card: DatasetCard, data_root: Path) -> SceneIndex:
    """Return the scenes of a dataset after its class folders and counts were checked against the card.

    Copies in other formats than the original are accepted; their fingerprints differ.

    Raises:
        SceneError: The dataset is missing, has other class folders, or other counts than its card.
    """
    found = scenes_of_card(card, find_dataset(card, data_root)).checked(card)
    return _index(card, found.store, found.files)


def index_folder(folder: Path) -> SceneIndex:
    """Return the scenes of a folder of class folders without a card, at any nesting.

    Which folders name classes says ``rsir_bench.scenes.own_folder.own_scenes``; the classes are ordered by name. Where
    scenes are not 8-bit and ``dataset.toml`` gives no value range, it is measured over all of them.

    Raises:
        SceneError: The folder is missing or has fewer than two class folders.
        UserError: Its ``dataset.toml`` is not valid.
    """
    return index_listing(_list_folder(f"{FOLDER_PREFIX}{folder}", folder, None))


def _index_own(listing: SceneListing) -> SceneIndex:
    store, settings = listing.store, listing.settings
    assert store is not None
    natural = scene_bands(store, next(iter(listing.files.values()))[0])
    bands = settings.bands or natural
    rgb = settings.rgb or tuple(min(band, bands - 1) for band in range(3))
    if max(rgb) >= bands:
        raise UserError(f"{store.root / SETTINGS_FILE}: rgb {list(rgb)} names a band outside 0..{bands - 1}")
    index = _assemble(listing.short, store, listing.files, bands, rgb, None, None)
    found = _survey(index)
    value_range = settings.value_range or found.measured_range
    if found.all_8_bit:
        value_range = None  # such pixels are taken as they are
    notes = [*listing.notes, *notes_in_words(found.notes, len(index)), *_range_notes(settings, found, value_range)]
    return replace(
        index,
        value_range=value_range,
        notes=tuple(notes),
        title=settings.title or index.name,
        given_bands=None if bands == natural else bands,
    )


def _survey(index: SceneIndex) -> Survey:
    class_names = [index.classes[label] for label in index.labels]
    return kept_survey(index.store, index.paths, class_names, index.fingerprint, index.bands, index.name)


def _range_notes(settings: FolderSettings, found: Survey, value_range: ValueRange) -> list[str]:
    notes = []
    if value_range is None and settings.value_range is not None:
        notes.append("value_range is not used: all scenes are 8-bit")
    if value_range is not None and settings.value_range is None:
        low, high = value_range
        notes.append(f"value range {low:g}..{high:g}, measured; value_range in {SETTINGS_FILE} sets another")
    warnings = found.warnings(value_range, measured=settings.value_range is None)
    return [*notes, *(f"WARNING: {warning}; set value_range in {SETTINGS_FILE}" for warning in warnings)]


def _index(card: DatasetCard, store: SceneStore, scenes: dict[str, list[str]]) -> SceneIndex:
    if card.bands != 3:
        found = scene_bands(store, next(iter(scenes.values()))[0], card.bands)
        if found != card.bands:
            raise SceneError(
                f"{card.name}: {store.root} holds scenes of {found} bands, not {card.bands}; get the copy with all"
            )
    index = _assemble(card.name, store, scenes, card.bands, card.rgb, card.value_range, card)
    return index if card.value_range else replace(index, notes=_notes_without_range(index))


def _notes_without_range(index: SceneIndex) -> tuple[str, ...]:
    """Return a warning where scenes of a card without a value range are not 8-bit and use little of their type."""
    try:
        facts = open_scene(index.store.read(index.paths[0])).facts
    except UNREADABLE:
        return ()  # decoding reports it
    if facts.is_8_bit or not facts.is_integer:
        return ()
    warnings = _survey(index).warnings(whole_type(np.dtype(facts.type)), measured=False)
    return tuple(f"WARNING: {warning}; set value_range in the card" for warning in warnings)


def _assemble(
    name: str,
    store: SceneStore,
    scenes: dict[str, list[str]],
    bands: int,
    rgb: tuple[int, ...],
    value_range: ValueRange,
    card: DatasetCard | None,
) -> SceneIndex:
    found = [path for files in scenes.values() for path in files]
    contents = dict(zip(found, hash_scenes(store, found, f"hashing the scenes of {name}"), strict=True))
    paths: list[str] = []
    labels: list[int] = []
    for label, files in enumerate(scenes.values()):
        # Content before folder: the cached pixels are those of these paths also when a folder has another name.
        paths += sorted(files, key=lambda path: (path.rsplit("/", 1)[-1], contents[path], path))
        labels += [label] * len(files)
    classes = tuple(scenes)
    hashes = tuple(contents[path] for path in paths)
    return SceneIndex(
        name=name,
        store=store,
        paths=tuple(paths),
        labels=np.array(labels, np.int64),
        classes=classes,
        fingerprint=content_fingerprint([classes[label] for label in labels], paths, hashes),
        bands=bands,
        rgb=rgb,
        value_range=value_range,
        card=card,
        hashes=hashes,
    )
