"""What `rsir-bench methods` and `rsir-bench datasets` print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from rsir_bench.errors import SceneError
from rsir_bench.method import FrontEndCard
from rsir_bench.registry import Entry, discover, find
from rsir_bench.scenes.card import DatasetCard, load_cards
from rsir_bench.scenes.layout import find_dataset, list_scenes


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
    """The card of one method in words.

    Raises:
        UserError: No such method.
    """
    entry = find(name, discover(plugins))
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
