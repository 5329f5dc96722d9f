"""A page for each method, from its card, its settings and its code."""

from __future__ import annotations

import inspect
from pathlib import Path

from rsir_bench.method.contract import Card, FrontEndCard
from rsir_bench.method.registry import RegisteredMethod, discover

from .markdown import bullets, code, contents, escaped, fence, prose, summary, table

ENCODERS = {
    "timm": "resnet18@none",
    "hf": "facebook/dinov2-small",
    "open_clip": "ViT-B-32.laion2b_s34b_b79k",
    "torchgeo": "resnet18.SENTINEL2_RGB_SECO",
}
"""An example of what each library of encoders takes behind the colon."""

INTRO = """`rsir-bench methods` lists the same in a terminal. What a paper states and what is chosen here are kept apart
on each page; the settings are what `--set methods.NAME.key=value` changes. To add one:
[Add a method](../../add_method.md)."""


def pages() -> dict[str, str]:
    """Return the list of methods, and a page for each."""
    shipped = discover()
    rows = [
        [f"[{code(name)}](methods/{name}.md)", escaped(entry.title), str(entry.method_class.card.year), _rows(entry)]
        for name, entry in shipped.items()
    ]
    listing = contents("Methods", INTRO.replace("../../", "../"), [f"methods/{name}" for name in shipped])
    return {
        "methods.md": listing + "\n" + table(["Name", "Method", "Year", "Rows"], rows) + "\n",
        **{f"methods/{name}.md": _page(entry) for name, entry in shipped.items()},
    }


def _rows(entry: RegisteredMethod) -> str:
    card = entry.method_class.card
    if isinstance(card, FrontEndCard):
        return f"front end: those of the method behind it, {code(card.default_method)} unless named"
    return escaped(", ".join(card.rows))


def _page(entry: RegisteredMethod) -> str:
    """Return the page of a method."""
    card = entry.method_class.card
    parts = [f"# {escaped(entry.title)}", f"{code(card.name)}: {prose(summary(entry.method_class))}"]
    parts += [f"{escaped(card.paper)}."] if card.paper else []
    parts += [f"Rows: {_rows(entry)}."]
    if card.tables:
        parts.append(f"In the paper's tables {', '.join(card.tables)}.")
    parts += ["## Stated in the paper", bullets(card.stated)] if card.stated else []
    parts += ["## Chosen here", bullets(card.choices)] if card.choices else []
    parts += _settings(entry)
    parts += _use(card)
    parts.append(f'Published results with figures: <a href="../../report/methods/{card.name}.html">report</a>.')
    source = inspect.getsource(inspect.getmodule(entry.method_class) or entry.method_class)
    parts += ["## Code", f"`methods/{Path(entry.source).name}`", _folded(source)]
    return "\n\n".join(parts) + "\n"


def _use(card: Card | FrontEndCard) -> list[str]:
    if card.name in ENCODERS:
        name = f"{card.name}:{ENCODERS[card.name]}"
        return ["## Run it", fence("text", f"rsir-bench run --protocol frozen --methods {name} --targets ucm")]
    return ["## Run it", fence("text", f"rsir-bench run --protocol demo --methods {card.name},baseline")]


def _settings(entry: RegisteredMethod) -> list[str]:
    """Return the table of settings, with the meanings that their class documents."""
    settings = entry.method_class.Settings
    meanings = _attributes(inspect.getdoc(settings) or "")
    rows = [
        [
            code(key),
            prose(field.description or meanings.get(key, "")),
            "required" if field.is_required() else code(repr(field.default)),
        ]
        for key, field in settings.model_fields.items()
    ]
    return ["## Settings", table(["Setting", "Meaning", "Default"], rows)] if rows else []


def _attributes(docstring: str) -> dict[str, str]:
    r"""Return the meanings below ``Attributes:`` of a docstring, by name.

    >>> _attributes("Some.\n\nAttributes:\n    a: First\n        line.\n    b: Second.")
    {'a': 'First line.', 'b': 'Second.'}
    """
    found: dict[str, str] = {}
    name = ""
    for line in docstring.partition("Attributes:\n")[2].splitlines():
        if line and not line.startswith(" "):
            break
        if line.startswith("    ") and not line.startswith("     "):
            name, _, words = line.strip().partition(": ")
            found[name] = words
        elif line.strip():
            found[name] += f" {line.strip()}"
    return found


def _folded(source: str) -> str:
    return f":::{{dropdown}} The whole file\n{fence('python', source)}\n:::"
