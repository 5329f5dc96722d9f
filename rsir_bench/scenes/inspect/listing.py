"""Format the list of datasets, and the card of one dataset, as text."""

from __future__ import annotations

import textwrap
from pathlib import Path

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.scenes.card import DatasetCard, edition_name, load_cards
from rsir_bench.scenes.fingerprint import known_hashes
from rsir_bench.scenes.folders import find_dataset
from rsir_bench.scenes.inspect.label_check import check_labels
from rsir_bench.scenes.inspect.manifest import load_manifest
from rsir_bench.scenes.readers.given_cards import find_card
from rsir_bench.scenes.readers.packed import labels_of_card, scenes_of_card
from rsir_bench.scenes.reading.prefixes import OWN_PREFIXES


def dataset_list(data_root: Path) -> list[dict[str, str | int]]:
    """Return every dataset: name, title, size, licence, and its edition and folder under the data root, if it is there.

    The edition is empty if scenes have not been hashed yet: the list reads no scene.
    """
    return [
        {
            "dataset": card.name,
            "title": card.title,
            "classes": len(card.classes),
            "labels": len(card.labels.names) if card.labels else 0,
            "scenes": card.scenes,
            "pixels": card.pixels,
            "bands": card.bands,
            "licence": card.licence,
            "edition": _edition(card, data_root),
            "present": _presence(card, data_root),
        }
        for card in load_cards().values()
    ]


def dataset_card(name: str) -> str:
    """Return the card of one dataset as text.

    Raises:
        UserError: There is no such dataset.
    """
    if name.startswith(OWN_PREFIXES):
        raise UserError(f"{name}: your own scenes have no card; inspect them with `rsir-bench datasets verify`")
    card = find_card(name)
    lines = [
        f"{card.name}: {card.title}" + (f" ({card.paper_name} in the paper's tables)" if card.paper_name else ""),
        card.description,
        f"scenes: {card.scenes:,} of {card.pixels} x {card.pixels} pixels, {_bands(card)}",
        f"ground resolution: {card.ground_resolution}",
        *_labels(card),
        f"source: {card.source}",
        *_pins(card),
        *(f"edition {name}: content fingerprint {known[:12]}" for name, known in card.editions.items()),
        f"licence, as the host states it: {card.licence}",
        f"citation: {card.citation}",
        "known faults:" if card.defects else "known faults: none noted",
        *(f"  - {text}" for text in card.defects),
    ]
    return "\n".join(textwrap.fill(line, 120, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _labels(card: DatasetCard) -> list[str]:
    """Return what a scene of the dataset is called: its class, or labels and where they are from."""
    classes = f"{len(card.classes)} ({', '.join(f'{entry.name} {entry.scenes}' for entry in card.classes)})"
    if card.labels is None:
        return [f"classes: {classes}"]
    names = f" ({', '.join(card.labels.names)})" if card.labels.names else ""
    return [
        f"labels: {len(card.labels.names) or 'those of the file'}{names}, several for a scene",
        f"file of labels: {' or '.join(card.labels.files)}, in the dataset's folder or above; {card.labels.by_hand}",
        *([f"folders: {classes}"] if card.classes else []),
    ]


def _bands(card: DatasetCard) -> str:
    if card.bands == 3:
        return "red, green, blue"
    shown = ", ".join(str(band + 1) for band in card.rgb)
    return f"{card.bands} bands, of which {shown} are red, green, blue"


def _pins(card: DatasetCard) -> list[str]:
    """Return lines that say where the archive comes from and what its bytes are checked against."""
    if card.download is None:
        return []
    archive = card.download.url or f"by hand: {card.download.by_hand}"
    manifest = load_manifest(card)
    files = f"size and SHA-256 of {len(manifest):,} files" if manifest else "none"
    return [f"archive: {archive}", f"hash: {card.download.known_hash or 'none that lasts'}", f"manifest: {files}"]


def _edition(card: DatasetCard, data_root: Path) -> str:
    """Return the name of the edition under the data root; empty if it is not known without reading scenes."""
    if card.generator is not None:
        return ""
    try:
        found = scenes_of_card(card, find_dataset(card, data_root)).checked(card)
        table = labels_of_card(card, found, data_root)
        class_of = {path: class_name for class_name, paths in found.files.items() for path in paths}
        hashes = known_hashes(found.store, list(class_of))
    except UserError:  # ``present`` says why
        return ""
    if hashes is None:
        return ""
    fingerprint = check_labels(card.name, card, table, class_of).fingerprint(
        class_of, dict(zip(class_of, hashes, strict=True))
    )
    return edition_name(card.name, fingerprint) if fingerprint else ""


def _presence(card: DatasetCard, data_root: Path) -> str:
    if card.generator is not None:
        return "made when used"
    try:
        folder = find_dataset(card, data_root)
    except SceneError:
        return "no"
    try:
        labels_of_card(card, scenes_of_card(card, folder).checked(card), data_root)
    except UserError as error:
        return f"incomplete: {error}"
    return str(folder)
