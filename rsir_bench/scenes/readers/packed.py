"""List datasets in shards of any kind, named by the user or by a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsir_bench.base.errors import SceneError
from rsir_bench.scenes.card import DatasetCard, folder_key
from rsir_bench.scenes.folders import check_scenes, sort_scenes, walk_files
from rsir_bench.scenes.labelling.find_labels import find_labels
from rsir_bench.scenes.labelling.label_file import LabelTable
from rsir_bench.scenes.readers.labels import UNCLASSED, LabelledScenes
from rsir_bench.scenes.readers.settings import SETTINGS_FILE, FolderSettings, read_settings
from rsir_bench.scenes.readers.shards import Shards, find_shards
from rsir_bench.scenes.reading.prefixes import SHARD_ENDINGS
from rsir_bench.scenes.reading.store import FolderStore, SceneStore


@dataclass(frozen=True)
class PackedDataset:
    """A dataset in shards that the user names.

    Attributes:
        title: Its name in tables.
        settings: Its settings.
        scenes: Its scenes.
    """

    title: str
    settings: FolderSettings
    scenes: LabelledScenes


def list_packed(name: str, given: FolderSettings | None) -> PackedDataset:
    """Return the scenes of ``parquet:PATH`` or ``tar:PATH``; what PATH may be says ``find_shards``.

    Args:
        name: As on the command line.
        given: Settings; None: those of ``dataset.toml`` in the folder of the shards.

    Raises:
        SceneError: There are no such shards, or they cannot be read.
        UserError: The settings are not valid, or do not apply.
    """
    kind, _, place = name.partition(":")
    shards = find_shards(Path(place).expanduser(), f".{kind}")
    settings = given or read_settings(shards.root / SETTINGS_FILE)
    settings.refuse(("classes", "labels", *(() if kind == "parquet" else ("image",))), name)
    return PackedDataset(f"{kind}-{shards.title}", settings, _list(shards, settings, name))


def _list(shards: Shards, settings: FolderSettings, dataset: str) -> LabelledScenes:
    if shards.kind == ".parquet":
        from rsir_bench.scenes.readers.parquet.listing import list_parquet  # pyarrow takes a fifth of a second

        return list_parquet(shards, settings, dataset)
    from rsir_bench.scenes.readers.tar.listing import list_tar

    return list_tar(shards, settings, dataset)


@dataclass(frozen=True)
class CardScenes:
    """The scenes of a card's dataset as it is on disk.

    Attributes:
        store: Where they are.
        files: Their paths there by class, in the order of the card.
        unexpected: Folders, or classes of shards, that are none of the card.
        table: The labels in shards that give scenes several; else None.
    """

    store: SceneStore
    files: dict[str, list[str]]
    unexpected: list[str]
    table: LabelTable | None = None

    def checked(self, card: DatasetCard) -> CardScenes:
        """Return the same after classes and counts were checked against the card.

        Raises:
            SceneError: They differ.
        """
        if card.classes and self.table is None:
            check_scenes(card, self.store.root, self.files, self.unexpected)
        return self


def scenes_of_card(card: DatasetCard, folder: Path) -> CardScenes:
    """Return, unchecked, the scenes of a dataset: those in class folders, or where there is none, those in shards.

    Raises:
        SceneError: The shards cannot be read, are of two kinds, or know no class names.
    """
    files, unexpected = sort_scenes(card, folder)
    if not card.classes:
        files, unexpected = _all_scenes(folder), []
    kinds = [] if any(files.values()) or unexpected else _kinds(folder)
    if not kinds:
        return CardScenes(FolderStore(folder), files, unexpected)
    if len(kinds) > 1:
        raise SceneError(f"{card.name}: {folder} holds {' and '.join(kinds)} files; keep one kind")
    found = _list(find_shards(folder, kinds[0]), FolderSettings(), card.name)
    if (found.table is None) != (card.labels is None):
        has, wants = ("one label", "lists of labels") if card.labels else ("lists of labels", "one class")
        raise SceneError(f"{card.name}: scenes in {folder} have {has}, and its card says {wants}; get the other copy")
    if found.table is not None:
        return CardScenes(found.store, found.files, [], found.table)
    if not found.named:
        remedy = f"give {kinds[0].removeprefix('.')}:PATH, and class_names in {SETTINGS_FILE}"
        raise SceneError(f"{card.name}: the labels in {folder} are numbers without names; {remedy}")
    for name, paths in found.files.items():
        owner = card.class_of_folder.get(folder_key(name))
        if owner is None:
            unexpected.append(name)
        else:
            files[owner] += paths
    return CardScenes(found.store, files, unexpected)


def _all_scenes(folder: Path) -> dict[str, list[str]]:
    """Return the scenes of a dataset whose folders name no classes."""
    return {UNCLASSED: [f"{found.folder}/{name}" for found in walk_files(folder) for name in found.scenes]}


def labels_of_card(card: DatasetCard, found: CardScenes, data_root: Path) -> LabelTable | None:
    """Return the labels of scenes that have several, from shards or from the card's file; None: each has one.

    Args:
        card: The card.
        found: Its scenes.
        data_root: The folder that holds the datasets.

    Raises:
        SceneError: There is no such file.
        UserError: It is not a file of labels.
    """
    if card.labels is None or found.table is not None:
        return found.table
    return find_labels(card.name, card.labels, found.store.root, data_root)


def _kinds(folder: Path) -> Sequence[str]:
    names = [name.lower() for found in walk_files(folder) for name in found.others]
    return [ending for ending in SHARD_ENDINGS if any(name.endswith(ending) for name in names)]
