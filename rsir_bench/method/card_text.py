"""Format the list of methods, and the card of one method, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsir_bench.method.contract import FrontEndCard
from rsir_bench.method.registry import RegisteredMethod, discover, find


def method_list(plugins: Sequence[Path]) -> list[dict[str, str | int]]:
    """Return every method and front end: name, title, year, rows, tables, and the file that defines it."""
    return [
        {
            "method": entry.name,
            "title": entry.title,
            "year": entry.method_class.card.year,
            "rows": _rows(entry),
            "tables": ", ".join(entry.method_class.card.tables),
            "from": str(entry.source),
        }
        for entry in discover(plugins).values()
    ]


def _rows(entry: RegisteredMethod) -> str:
    card = entry.method_class.card
    return (
        f"those of the method behind it ({card.default_method})"
        if isinstance(card, FrontEndCard)
        else "; ".join(card.rows)
    )


def method_card(name: str, plugins: Sequence[Path]) -> str:
    """Return the card of a method as text; for ``jsst+se`` both cards, for ``timm:resnet50`` the card of ``timm``.

    Raises:
        UserError: There is no such method.
    """
    found = discover(plugins)
    return "\n\n".join(_card(find(word, found)) for word in name.partition(":")[0].split("+"))


def _card(entry: RegisteredMethod) -> str:
    card = entry.method_class.card
    lines = [f"{card.name}: {entry.title} ({card.year})", card.paper, f"rows: {_rows(entry)}", f"file: {entry.source}"]
    lines += ["stated in the paper:", *(f"  - {text}" for text in card.stated or ["nothing noted"])]
    lines += ["our choices:", *(f"  - {text}" for text in card.choices or ["nothing noted"])]
    fields = entry.method_class.Settings.model_fields
    lines += ["settings (--set methods.NAME.key=value):" if fields else "settings: none"]
    lines += [f"  {key} = {'(required)' if field.is_required() else field.default!r}" for key, field in fields.items()]
    return "\n".join(lines)
