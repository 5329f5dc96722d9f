"""Format protocols: the list of shipped protocols, and one protocol as a TOML file with every setting explained."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rsir_bench.base.errors import UserError
from rsir_bench.protocol.load import load_protocol, shipped
from rsir_bench.protocol.schema import Protocol

WIDTH = 120
LISTED = ("name", "title")
"""What stays at the top; ``paper`` belongs to shipped protocols alone."""


def protocol_list() -> list[dict[str, str | int]]:
    """Return every shipped protocol: name, source, targets, trunk, pixels of a side, epochs, weights, title."""
    return [_in_a_line(load_protocol(name)) for name in sorted(shipped())]


def _in_a_line(protocol: Protocol) -> dict[str, str | int]:
    trains: dict[str, str | int] = dict.fromkeys(("source", "trunk", "pixels", "epochs", "weights"), "-")
    if protocol.trains:
        trains = {
            "source": protocol.source,
            "trunk": protocol.trunk.title or protocol.trunk.name,
            "pixels": protocol.size,
            "epochs": protocol.train.epochs,
            "weights": "from scratch" if protocol.trunk.weights == "none" else protocol.trunk.weights,
        }
    named = {"protocol": protocol.name, "source": trains["source"], "targets": ", ".join(protocol.data.targets)}
    return named | trains | {"title": protocol.title}


def describe_protocol(protocol: Protocol) -> str:
    """Return a protocol as a TOML text, with a comment on every setting; ``load_protocol`` reads it back."""
    fields = Protocol.model_fields
    top = [_setting(key, getattr(protocol, key), fields[key]) for key in LISTED]
    parts = ["".join(top)]
    for name, field in fields.items():
        section = getattr(protocol, name)
        if isinstance(section, BaseModel):
            lines = [_setting(key, getattr(section, key), inner) for key, inner in type(section).model_fields.items()]
            parts.append(f"{_comment(type(section).__doc__ or '')}[{name}]\n{''.join(lines)}")
        elif name not in LISTED and isinstance(section, dict):
            lines = [f"{_key(key)} = {_value(settings)}\n" for key, settings in section.items()]
            parts.append(f"{_comment(field.description or '')}[{name}]\n{''.join(lines)}")
    return "\n".join(parts)


def write_protocol(name: str, start: str, folder: Path) -> Path:
    """Write ``NAME.toml``: a copy of another protocol, in which every setting is explained.

    Args:
        name: The name of the new protocol.
        start: A shipped protocol, or a file.
        folder: Where the file goes.

    Returns:
        The file.

    Raises:
        UserError: The name is invalid or belongs to a shipped protocol, or the file exists or cannot be written.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or name in shipped():
        wrong = "a shipped protocol" if name in shipped() else "not a protocol's name"
        raise UserError(f"{name!r}: {wrong}; use other lower-case letters, digits and '-'")
    copied = load_protocol(start).model_copy(update={"name": name})
    path = folder / f"{name}.toml"
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(describe_protocol(copied))
    except FileExistsError:
        raise UserError(f"{path}: already exists; choose another name, or move the file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
    return path


def _setting(key: str, value: Any, field: FieldInfo) -> str:
    """Return a setting below its explanation; a setting without a value becomes a comment."""
    note = " ".join(part for part in (field.description or "", _choices(field.annotation)) if part)
    return f"{_comment(note)}{'# ' if value is None else ''}{key} = {'...' if value is None else _value(value)}\n"


def _choices(annotation: Any) -> str:
    """Return the allowed values of a setting, if they are listed."""
    if get_origin(annotation) is Literal:
        return f"One of {', '.join(map(repr, get_args(annotation)))}."
    return next((text for part in get_args(annotation) if (text := _choices(part))), "")


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, WIDTH - 2))


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value: Any) -> str:
    """Return a value in TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else repr(value)
