"""A page for each shipped protocol, and the table of every setting."""

from __future__ import annotations

from importlib import resources
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rsir_bench.protocol import Protocol, load_protocol, shipped

from .markdown import code, contents, escaped, fence, prose, table

INTRO = "The protocols that come along, each a TOML file. How to change or to write one: [Protocols](../protocols.md)."


def pages() -> dict[str, str]:
    """Return the list of protocols with every setting, and a page for each."""
    names = shipped()
    rows = [_line(name) for name in names]
    listing = contents("Shipped protocols", INTRO, [f"protocols/{name}" for name in names])
    heads = ["Name", "Source", "Targets", "Trunk", "Pixels", "Epochs"]
    return {
        "protocols.md": "\n\n".join([listing, table(heads, rows), "## Settings", *_settings(Protocol)]) + "\n",
        **{f"protocols/{name}.md": _page(name) for name in names},
    }


def _line(name: str) -> list[str]:
    protocol = load_protocol(name)
    data, trunk, train = protocol.data, protocol.trunk, protocol.train
    network = (trunk.title or trunk.name) if trunk else "of each encoder"
    cells = [
        data.source,
        ", ".join(data.targets),
        network,
        data.size or "of each encoder",
        train.epochs if train else "-",
    ]
    return [f"[{code(name)}](protocols/{name}.md)", *(escaped("-" if cell is None else cell) for cell in cells)]


def _page(name: str) -> str:
    file = resources.files("rsir_bench.protocol") / f"{name}.toml"
    methods = "baseline,jsst" if load_protocol(name).train else "timm:resnet50,timm:vit_small_patch16_224"
    command = f"rsir-bench run --protocol {name} --methods {methods} --targets all --data-root data"
    text = file.read_text(encoding="utf-8")
    return "\n\n".join(
        [f"# {name}", escaped(load_protocol(name).title) + ".", fence("text", command), fence("toml", text), ""]
    )


def _settings(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Return a table of the settings of each section of a protocol."""
    parts, rows = [], []
    for key, field in section.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]  # a section may be optional
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is not None:
            parts += [f"### {key}", prose(inner.__doc__ or ""), *_settings(inner, f"{key}.")]
        else:
            rows.append([code(prefix + key), _type(field.annotation), prose(field.description or ""), _default(field)])
    return [*([table(["Setting", "Values", "Meaning", "Default"], rows)] if rows else []), *parts]


def _type(annotation: Any) -> str:
    """Return the allowed values or the type of a setting, without the names of modules."""
    words = getattr(annotation, "__name__", str(annotation)) if isinstance(annotation, type) else str(annotation)
    for word in ("typing.", "Literal", "Annotated"):
        words = words.replace(word, "")
    return escaped(words.partition("FieldInfo")[0].strip("[], ") if "FieldInfo" in words else words.strip("[]"))


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else code(repr(field.get_default(call_default_factory=True)))
