"""Load a protocol: a shipped one by name or a file, with overrides."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rsir_bench.base.errors import UserError, suggest
from rsir_bench.base.toml import check_values, parse_toml, read_toml
from rsir_bench.protocol.schema import Protocol


def shipped() -> dict[str, Path]:
    """Return the protocols that come with the package, by name."""
    folder = resources.files("rsir_bench.protocol")
    paths = (Path(str(entry)) for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {path.stem: path for path in sorted(paths)}


def load_protocol(name_or_file: str, overrides: list[str] | None = None) -> Protocol:
    """Load a shipped protocol by name, or a user's TOML file, and apply overrides.

    A file that starts with ``extends = "NAME"`` (or the path of a file, relative to its own folder) contains only the
    settings that differ.

    Args:
        name_or_file: A name such as ``"demo"``, or a path that ends with ``.toml``.
        overrides: ``"section.key=value"``, the value in TOML (or a bare word).

    Raises:
        UserError: The name is unknown, the file unreadable, or a setting does not exist or is invalid.
    """
    settings = _read(name_or_file, ())
    for override in overrides or []:
        _apply(settings, override)
    try:
        check_values(settings)
        return Protocol.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"protocol {name_or_file}: {_first_problem(error)}") from None
    except ValueError as error:
        raise UserError(f"protocol {name_or_file}: {error}; remove the setting") from None


def _read(name_or_file: str, below: tuple[Path, ...]) -> dict[str, Any]:
    """Return the settings of a protocol, over those of the protocol that it extends.

    Args:
        name_or_file: A shipped protocol's name, or a path that ends with ``.toml``.
        below: The files that extend it, in order.
    """
    known = shipped()
    path = Path(name_or_file) if name_or_file.endswith(".toml") else known.get(name_or_file)
    if path is None:
        where = f"{below[-1]}, extends" if below else "protocol"
        raise UserError(f"{where} {name_or_file!r}: {suggest(name_or_file, known)}, or a file ending with .toml")
    path = below[-1].parent / path if below and path not in known.values() else path
    if path in below:
        raise UserError(f"protocol {path}: extends itself; remove a line 'extends = ...'")
    try:
        state = path.stat()
        settings = deepcopy(_read_once(path, state.st_mtime_ns, state.st_size))
    except FileNotFoundError:
        raise UserError(f"protocol {path}: no such file; known: {', '.join(sorted(known))}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"protocol {path}: cannot be read ({error}); fix the file") from None
    start = settings.pop("extends", None)
    if start is None:
        return settings
    if not isinstance(start, str):
        raise UserError(f"protocol {path}: extends = {start!r}: write a protocol's name, or a file, in quotes")
    inherited = _read(start, (*below, path))
    inherited.pop("paper", None)  # holds for that protocol alone
    return _merged(inherited, settings)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of two tables, merged by section; ``above`` takes precedence."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


@cache
def _read_once(path: Path, _changed: int, _size: int) -> dict[str, Any]:
    """Read a file once per process unless it changes: a plan needs the shipped protocol three times."""
    return read_toml(path)


def is_shipped(protocol: Protocol) -> bool:
    """Return whether the protocol is a shipped one, with no setting modified that changes results."""
    if protocol.name not in shipped():
        return False
    original = load_protocol(protocol.name)
    return (original.hash, original.paper) == (protocol.hash, protocol.paper)


def board_name(protocol: Protocol) -> str:
    """Return the name of the protocol's leaderboard: with its hash unless it is an unmodified shipped protocol."""
    return protocol.name if is_shipped(protocol) else f"{protocol.name}~{protocol.hash[:8]}"


def parse_value(text: str) -> Any:
    """Return a value parsed as TOML; a bare word is a string, ``none`` is None."""
    if text.lower() == "none":
        return None
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def _apply(settings: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    *sections, key = path.strip().split(".")
    if not separator or not sections:
        raise UserError(f"--set {override}: write section.key=value, for example train.epochs=5")
    table = settings
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {override}: {section!r} is a setting, not a section; write section.key=value")
    value = parse_value(text.strip())
    # 'none' is a string for weights, and the absence of a value elsewhere.
    table[key] = "none" if value is None and key == "weights" else value


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = " ".join(".".join(str(part) for part in problem["loc"]).split())
    if problem["type"] == "extra_forbidden":
        section: Any = Protocol
        for part in problem["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        return f"{where}: {suggest(str(problem['loc'][-1]), list(section.model_fields))}"
    got = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r:.100})"
    text = problem["msg"].removeprefix("Value error, ") + got
    return f"{where}: {text}" if where else text
