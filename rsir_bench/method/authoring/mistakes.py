"""Explain what is wrong with a user's method file, in its author's terms and with line numbers."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from rsir_bench.base.errors import one_line
from rsir_bench.method.composition import Composed
from rsir_bench.method.contract import Card, FrontEnd, FrontEndCard, Method, Settings

NAMES = r"^[a-z0-9]"
"""How the pattern of names on cards begins."""


def in_words(error: BaseException) -> str:
    """Return why a file cannot be imported, in one line: a card's wrong fields by name and value."""
    if not isinstance(error, ValidationError):
        return one_line(error)
    what = {"Card": "card", "FrontEndCard": "card"}.get(error.title, error.title)
    return "; ".join(f"{what}.{_field(problem)}" for problem in error.errors(include_url=False))


def _field(problem: Any) -> str:
    """Return for example ``"name 'My_Method': lower-case letters, digits and '-'"``."""
    where = ".".join(str(part) for part in problem["loc"])
    known = {
        "missing": "is missing",
        "extra_forbidden": f"there is no such field; its fields: {', '.join(Card.model_fields)}",
    }
    if problem["type"] in known:
        return f"{where}: {known[problem['type']]}"
    words = problem["msg"]
    if problem["type"] == "string_pattern_mismatch" and problem["ctx"]["pattern"].startswith(NAMES):
        words = "lower-case letters, digits and '-'"
    given = repr(problem["input"])
    return f"{where} {given if len(given) < 60 else f'{given[:60]} ...'}: {words}"


def classes_twice(path: Path) -> str | None:
    """Return a name that several classes of a file share, with their lines; None if all names differ."""
    lines: dict[str, list[int]] = defaultdict(list)
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef):
            lines[node.name].append(node.lineno)
    for name, found in lines.items():
        if len(found) > 1:
            return f"class {name} is defined on lines {' and '.join(map(str, found))}, and only the last one is used"
    return None


def incomplete(module: ModuleType) -> Iterator[str]:
    """Yield the missing parts of each method or front end of a module that no subclass in it completes."""
    own = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
    for kind in own:
        derived = any(other is not kind and issubclass(other, kind) for other in own)
        if derived or not issubclass(kind, Method | FrontEnd) or issubclass(kind, Composed):
            continue
        if lacks := list(_lacking(kind)):
            yield f"class {kind.__name__} {'; '.join(lacks)}"


def _lacking(kind: type[Method] | type[FrontEnd]) -> Iterator[str]:
    if missing := sorted(getattr(kind, "__abstractmethods__", ())):
        yield f"lacks {' and '.join(missing)}"
    wanted = Card if issubclass(kind, Method) else FrontEndCard
    given = vars(kind).get("card")
    if given is None:
        yield "lacks a card"
    elif not isinstance(given, wanted):
        yield f"has a card that is a {type(given).__name__}, not a {wanted.__name__}"
    if not (inspect.isclass(kind.Settings) and issubclass(kind.Settings, Settings)):
        yield f"has Settings that are a {_name(kind.Settings)}; derive a class from rsir_bench.method.Settings"


def _name(value: Any) -> str:
    return value.__name__ if inspect.isclass(value) else type(value).__name__


def claimed_twice(one: type, other: type) -> str:
    """Describe which two classes have cards with the same name: their files, or their lines in one file."""
    files = [inspect.getfile(kind) for kind in (one, other)]
    if files[0] == files[1]:
        lines = [inspect.getsourcelines(kind)[1] for kind in (one, other)]
        return f"classes on lines {lines[0]} and {lines[1]} of {files[0]} both claim it; rename one"
    return f"both {files[0]} and {files[1]} claim it; rename one"
