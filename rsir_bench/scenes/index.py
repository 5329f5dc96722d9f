"""Turn a dataset's name into the checked list of its scenes."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.files import locked
from rsir_bench.scenes.cache_folder import cache_root
from rsir_bench.scenes.card import DatasetCard, Generator, load_cards
from rsir_bench.scenes.decode import ValueRange, scene_bands
from rsir_bench.scenes.fingerprint import content_fingerprint, hash_files
from rsir_bench.scenes.folders import find_dataset as find_dataset
from rsir_bench.scenes.folders import list_scenes, walk_scenes

FOLDER_PREFIX = "folder:"


@dataclass(frozen=True, eq=False)
class SceneIndex:
    """The scenes of one dataset, ordered by class (as on the card) and file name.

    Attributes:
        name: The dataset's name on the command line.
        root: The folder that ``paths`` start from.
        paths: N relative paths with ``/``.
        labels: (N,) int64, positions in ``classes``.
        classes: Class names.
        fingerprint: SHA-256 of the content, see ``rsir_bench.scenes.fingerprint.content_fingerprint``.
        bands: Bands of a scene.
        rgb: Indices of red, green and blue among them.
        value_range: Pixel values that become 0 and 255 where pixels are not 8-bit; None: all of the integer type.
        card: The card, None for a folder of the user's own.
    """

    name: str
    root: Path
    paths: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    fingerprint: str
    bands: int
    rgb: tuple[int, ...]
    value_range: ValueRange
    card: DatasetCard | None

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.paths)


@dataclass(frozen=True)
class SceneListing:
    """The scene files of a dataset, found but not read.

    Attributes:
        name: As on the command line.
        card: The card, None for a folder of the user's own.
        root: The folder that the files start from; None for a synthetic dataset, which is drawn when it is indexed.
        files: Relative paths by class.
    """

    name: str
    card: DatasetCard | None
    root: Path | None
    files: dict[str, list[str]]


def list_dataset(name: str, data_root: Path) -> SceneListing:
    """Return the scene files of a dataset, as far as they show before a scene is drawn, read or hashed.

    Args:
        name: A card's name, or ``folder:PATH`` for a folder of class folders without a card.
        data_root: The folder that holds the datasets.

    Raises:
        UserError: No card has this name.
        SceneError: The dataset is missing, or has other class folders or counts than its card.
    """
    if name.startswith(FOLDER_PREFIX):
        folder = _folder_named(name)
        return SceneListing(name, None, folder, folder_scenes(folder))
    card = find_card(name)
    if card.generator is not None:
        return SceneListing(name, card, None, {})
    folder = find_dataset(card, data_root)
    return SceneListing(name, card, folder, list_scenes(card, folder))


def index_listing(listing: SceneListing) -> SceneIndex:
    """Return the index of listed scenes: hashed, and drawn first where they are synthetic.

    Raises:
        SceneError: A scene cannot be read, or has other bands than the card says.
    """
    card, root, files = listing.card, listing.root, listing.files
    if card is None:
        assert root is not None
        return _index_folder(root, files)
    if root is None:
        assert card.generator is not None
        root = _synthesize(card.name, card.generator)
        files = list_scenes(card, root)
    return _index(card, root, files)


def resolve_dataset(name: str, data_root: Path) -> SceneIndex:
    """Return the index of a dataset named as on the command line: ``list_dataset``, then ``index_listing``.

    Raises:
        UserError: No card has this name.
        SceneError: The dataset is missing, or differs from its card.
    """
    return index_listing(list_dataset(name, data_root))


def _folder_named(name: str) -> Path:
    return Path(name.removeprefix(FOLDER_PREFIX)).expanduser()


def find_card(name: str) -> DatasetCard:
    """Return the card of a dataset.

    Raises:
        UserError: No card has this name; the line gives the nearest and the known ones.
    """
    cards = load_cards()
    if name in cards:
        return cards[name]
    near = difflib.get_close_matches(name.lower(), cards, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(f"unknown dataset {name!r}{hint}; known: {', '.join(cards)}, or folder:PATH for one of your own")


def index_scenes(card: DatasetCard, data_root: Path) -> SceneIndex:
    """Return the scenes of a dataset after its class folders and counts were checked against the card.

    Copies in other formats than the original are accepted; their fingerprints differ.

    Raises:
        SceneError: The dataset is missing, has other class folders, or other counts than its card.
    """
    folder = find_dataset(card, data_root)
    return _index(card, folder, list_scenes(card, folder))


def index_folder(folder: Path) -> SceneIndex:
    """Return the scenes of a folder of class folders without a card, at any nesting.

    The folder that holds a file names its class; the classes are ordered by name.

    Raises:
        SceneError: The folder is missing or has fewer than two class folders.
    """
    return _index_folder(folder, folder_scenes(folder))


def folder_scenes(folder: Path) -> dict[str, list[str]]:
    """Return the scene files of each class folder, as relative paths, the classes ordered by name.

    Raises:
        SceneError: The folder is missing or has fewer than two class folders.
    """
    if not folder.is_dir():
        raise SceneError(f"{FOLDER_PREFIX}{folder}: no such folder; give the folder that holds the class folders")
    scenes: dict[str, list[str]] = defaultdict(list)
    for relative, names in walk_scenes(folder):
        if names and relative.parts:
            scenes[relative.name] += [f"{relative}/{name}" for name in names]
    if len(scenes) < 2:
        found = ", ".join(sorted(scenes)) or "none"
        raise SceneError(f"{FOLDER_PREFIX}{folder}: needs at least two class folders with scenes, found: {found}")
    return {name: scenes[name] for name in sorted(scenes)}


def _index_folder(folder: Path, scenes: dict[str, list[str]]) -> SceneIndex:
    bands = scene_bands(folder / next(iter(scenes.values()))[0])
    rgb = tuple(min(band, bands - 1) for band in range(3))
    return _assemble(f"folder-{folder.resolve().name}", folder, scenes, bands, rgb, None, None)


def _index(card: DatasetCard, folder: Path, scenes: dict[str, list[str]]) -> SceneIndex:
    if card.bands != 3 and (found := scene_bands(folder / scenes[card.classes[0].name][0])) != card.bands:
        raise SceneError(
            f"{card.name}: {folder} holds scenes of {found} bands, not {card.bands}; get the copy with all"
        )
    return _assemble(card.name, folder, scenes, card.bands, card.rgb, card.value_range, card)


def _assemble(
    name: str,
    root: Path,
    scenes: dict[str, list[str]],
    bands: int,
    rgb: tuple[int, ...],
    value_range: ValueRange,
    card: DatasetCard | None,
) -> SceneIndex:
    found = [path for files in scenes.values() for path in files]
    contents = dict(zip(found, hash_files(root, found, f"hashing the scenes of {name}"), strict=True))
    paths: list[str] = []
    labels: list[int] = []
    for label, files in enumerate(scenes.values()):
        # Content before folder: the cached pixels are those of these paths also when a folder has another name.
        paths += sorted(files, key=lambda path: (path.rsplit("/", 1)[-1], contents[path], path))
        labels += [label] * len(files)
    classes = tuple(scenes)
    fingerprint = content_fingerprint([classes[label] for label in labels], paths, [contents[path] for path in paths])
    return SceneIndex(
        name, root, tuple(paths), np.array(labels, np.int64), classes, fingerprint, bands, rgb, value_range, card
    )


def _synthesize(name: str, generator: Generator) -> Path:
    """Return the folder of a synthetic dataset, written once for each set of arguments and state of the generator.

    The generator's state is the source of all modules in its folder, since they may import one another.
    """
    module_name, _, function_name = generator.function.partition(":")
    module = importlib.import_module(module_name)
    sources = sorted(Path(str(module.__file__)).parent.glob("*.py"))
    state = b"".join(source.read_bytes() for source in sources)
    key = hashlib.sha256(state + repr(sorted(generator.arguments.items())).encode()).hexdigest()[:16]
    folder = cache_root() / "synthetic" / f"{name}-{key}"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            unfinished = folder.with_suffix(".tmp")
            shutil.rmtree(unfinished, ignore_errors=True)  # left behind by a process that was stopped
            try:
                unfinished.mkdir()
                getattr(module, function_name)(unfinished, **generator.arguments)
                unfinished.rename(folder)
            except OSError as error:
                raise UserError(
                    f"{folder}: the scenes of {name} cannot be written ({error.strerror}); "
                    "free some space or set RSIR_BENCH_CACHE to another disk"
                ) from error
    return folder
