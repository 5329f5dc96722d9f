"""What `rsir-bench methods` and `rsir-bench datasets` print."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from rsir_bench.errors import SceneError
from rsir_bench.method import FrontEndCard
from rsir_bench.registry import Entry, discover, find
from rsir_bench.scenes.card import DatasetCard, load_cards
from rsir_bench.scenes.index import find_card
from rsir_bench.scenes.layout import find_dataset, list_scenes
from rsir_bench.scenes.manifest import load_manifest


def method_list(plugins: Sequence[Path], as_json: bool) -> str:
    """Every method and front end with its rows and where it was found."""
    rows = [
        {
            "method": entry.name,
            "title": entry.kind.card.title,
            "year": entry.kind.card.year,
            "rows": _rows(entry),
            "tables": ", ".join(entry.kind.card.tables),
            "from": str(entry.source),
        }
        for entry in discover(plugins).values()
    ]
    return json.dumps(rows, indent=1) if as_json else tabulate(rows, headers="keys")


def _rows(entry: Entry) -> str:
    card = entry.kind.card
    return f"those of the method behind it ({card.alone})" if isinstance(card, FrontEndCard) else ", ".join(card.rows)


def method_card(name: str, plugins: Sequence[Path]) -> str:
    """The card of a method in words; of ``jsst+se`` those of both, of ``timm:resnet50`` that of ``timm``.

    Raises:
        UserError: No such method.
    """
    found = discover(plugins)
    return "\n\n".join(_card(find(word, found)) for word in name.partition(":")[0].split("+"))


def _card(entry: Entry) -> str:
    card = entry.kind.card
    lines = [f"{card.name}: {card.title} ({card.year})", card.paper, f"rows: {_rows(entry)}", f"file: {entry.source}"]
    lines += ["stated in the paper:", *(f"  - {text}" for text in card.stated or ["nothing noted"])]
    lines += ["our choices:", *(f"  - {text}" for text in card.choices or ["nothing noted"])]
    fields = entry.kind.Settings.model_fields
    lines += ["settings (--set methods.NAME.key=value):" if fields else "settings: none"]
    lines += [f"  {key} = {'(required)' if field.is_required() else field.default!r}" for key, field in fields.items()]
    return "\n".join(lines)


def dataset_list(data_root: Path, as_json: bool) -> str:
    """Every card with its size and whether the data root holds it."""
    rows = [
        {
            "dataset": card.name,
            "title": card.title,
            "classes": len(card.classes),
            "scenes": sum(entry.scenes for entry in card.classes),
            "pixels": card.pixels,
            "bands": card.bands,
            "licence": card.licence,
            "present": _presence(card, data_root),
        }
        for card in load_cards().values()
    ]
    return json.dumps(rows, indent=1) if as_json else tabulate(rows, headers="keys", maxcolwidths=[None] * 6 + [40, 60])


def dataset_card(name: str) -> str:
    """The card of one dataset in words.

    Raises:
        UserError: No such dataset.
    """
    card = find_card(name)
    scenes = sum(entry.scenes for entry in card.classes)
    lines = [
        f"{card.name}: {card.title}" + (f" ({card.paper_name} in the paper's tables)" if card.paper_name else ""),
        card.description,
        f"scenes: {scenes:,} of {card.pixels} x {card.pixels} pixels, {_bands(card)}",
        f"ground resolution: {card.ground_resolution}",
        f"classes: {len(card.classes)} ({', '.join(f'{entry.name} {entry.scenes}' for entry in card.classes)})",
        f"source: {card.source}",
        *_pins(card),
        f"licence, as the host states it: {card.licence}",
        f"citation: {card.citation}",
        "known faults:" if card.defects else "known faults: none noted",
        *(f"  - {text}" for text in card.defects),
    ]
    return "\n".join(textwrap.fill(line, 120, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _bands(card: DatasetCard) -> str:
    if card.bands == 3:
        return "red, green, blue"
    shown = ", ".join(str(band + 1) for band in card.rgb)
    return f"{card.bands} bands, of which {shown} are red, green, blue"


def _pins(card: DatasetCard) -> list[str]:
    """Where the archive comes from and what its bytes are checked against."""
    if card.download is None:
        return []
    archive = card.download.url or f"by hand: {card.download.by_hand}"
    manifest = load_manifest(card)
    files = f"size and SHA-256 of {len(manifest):,} files" if manifest else "none"
    return [f"archive: {archive}", f"hash: {card.download.known_hash or 'none that lasts'}", f"manifest: {files}"]


def _presence(card: DatasetCard, data_root: Path) -> str:
    if card.generator is not None:
        return "made when used"
    try:
        folder = find_dataset(card, data_root)
    except SceneError:
        return "no"
    try:
        list_scenes(card, folder)
    except SceneError as error:
        return f"incomplete: {error}"
    return str(folder)
