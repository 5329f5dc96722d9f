"""Manifests: name, size and SHA-256 of each scene of an original archive, in ``NAME.manifest.csv`` next to the card."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.card import DatasetCard, folder_key

FOLDER = resources.files("rsir_bench.datasets")
COLUMNS = ["path", "bytes", "sha256"]

SceneKey = tuple[str, str]
"""Class name and file stem: what a scene keeps when its folder is renamed or its format changes."""


@dataclass(frozen=True)
class Original:
    """One file of the original archive; ``path`` is class folder / file name."""

    path: str
    bytes: int
    sha256: str


def scene_key(class_name: str, path: str) -> SceneKey:
    """Return the key by which a scene and its original find each other; case does not matter."""
    return class_name, path.rsplit("/", 1)[-1].rsplit(".", 1)[0].casefold()


def load_manifest(card: DatasetCard) -> dict[SceneKey, Original] | None:
    """Return the originals of a dataset, None if no manifest comes with its card.

    Raises:
        UserError: The manifest is not valid; see ``parse_manifest``.
    """
    file = FOLDER / f"{card.scenes_of or card.name}.manifest.csv"
    return parse_manifest(file.read_text(encoding="utf-8"), card) if file.is_file() else None


def parse_manifest(text: str, card: DatasetCard) -> dict[SceneKey, Original]:
    """Return the originals of a CSV text with the columns ``path`` (class folder / file), ``bytes`` and ``sha256``.

    Raises:
        UserError: The columns are wrong, a line cannot be read, or the scenes are not as many as the card says.
    """
    where = f"{card.name}.manifest.csv"
    rows = csv.reader(text.splitlines())
    if (header := next(rows, [])) != COLUMNS:
        raise UserError(f"{where}: columns {','.join(header)}; they must be {','.join(COLUMNS)}")
    originals: dict[SceneKey, Original] = {}
    counts = {scene_class.name: 0 for scene_class in card.classes}
    for row in rows:
        try:
            path, size, digest = row
            folder, _ = path.split("/")
            class_name = card.class_of_folder[folder_key(folder)]
            if len(bytes.fromhex(digest)) != 32:
                raise ValueError(f"{digest} is not a SHA-256")
            originals[scene_key(class_name, path)] = Original(path, int(size), digest.lower())
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{where}: line {rows.line_num}: not class folder/file, bytes and SHA-256 ({error})"
            ) from None
        counts[class_name] += 1
    expected = {scene_class.name: scene_class.scenes for scene_class in card.classes}
    if counts != expected or len(originals) != sum(expected.values()):
        raise UserError(f"{where}: {len(originals)} scenes; other numbers per class than on the card, or some twice")
    return originals
