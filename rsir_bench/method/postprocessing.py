"""Resolve post-processing by name: shipped kinds, and kinds from ``--plugin`` files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType

from rsir_bench.base.errors import Problems, UserError
from rsir_bench.method.code.code_files import code_of, digest_of
from rsir_bench.method.plugins import import_plugins
from rsir_bench.ranking.after import PostProcessing
from rsir_bench.ranking.after.named import SHIPPED, named

NAME = re.compile(r"[a-z][a-z0-9-]*")
NUMBERS = (int, float, "int", "float")


@dataclass(frozen=True)
class OwnKind:
    """A user's kind of post-processing, and the file that defines it."""

    kind: type[PostProcessing]
    source: Path


@dataclass(frozen=True)
class NamedAfter:
    """One post-processing as the user named it.

    Attributes:
        processing: What it does.
        own_code: Digest of the code of the user's file that defines it; empty for shipped kinds.
    """

    processing: PostProcessing
    own_code: str = ""

    def __str__(self) -> str:
        """Return it as ``--after`` takes it, with all values."""
        return str(self.processing)


def kinds_of(path: Path, module: ModuleType) -> dict[str, OwnKind]:
    """Return the kinds of post-processing that a user's file defines, by name.

    Raises:
        UserError: A kind is incomplete, or its name is taken.
    """
    found: dict[str, OwnKind] = {}
    own = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
    for kind in own:
        derived = any(other is not kind and issubclass(other, kind) for other in own)
        if not issubclass(kind, PostProcessing) or (derived and inspect.isabstract(kind)):
            continue
        if lacking := _lacking(kind):
            raise UserError(f"plugin {path}: class {kind.__name__} {lacking}")
        if kind.name in SHIPPED or kind.name in found:
            raise UserError(f"plugin {path}: post-processing {kind.name!r} already exists; rename it")
        found[kind.name] = OwnKind(kind, path)
    return found


def _lacking(kind: type[PostProcessing]) -> str:
    """Describe the missing parts of a class; empty if it is complete."""
    if inspect.isabstract(kind):
        return "lacks apply"
    if not (isinstance(getattr(kind, "name", None), str) and NAME.fullmatch(kind.name)):
        return "needs a name of lower-case letters, digits and '-'"
    if not (isinstance(getattr(kind, "title", None), str) and kind.title.strip()):
        return "needs a title for tables"
    parameters = getattr(kind, "__dataclass_params__", None)
    if not is_dataclass(kind) or "__dataclass_fields__" not in vars(kind) or not (parameters and parameters.frozen):
        return "needs @dataclass(frozen=True)"
    for entry in fields(kind):
        if entry.type not in NUMBERS:
            kind_of_value = getattr(entry.type, "__name__", entry.type)
            return f"has a field {entry.name} of type {kind_of_value}; values are int or float"
    return ""


def own_kinds(plugins: Sequence[Path]) -> dict[str, OwnKind]:
    """Return the kinds of post-processing in users' files, by name; files without any are methods' and left alone.

    Raises:
        UserError: A file cannot be imported, a kind is incomplete, or two kinds have the same name.
    """
    found: dict[str, OwnKind] = {}
    for path, module in import_plugins(plugins):
        add_kinds(found, kinds_of(path, module))
    return found


def add_kinds(found: dict[str, OwnKind], more: Mapping[str, OwnKind]) -> None:
    """Add the kinds of one file to those of others.

    Raises:
        UserError: Two files define kinds with the same name.
    """
    for name, own in more.items():
        if (other := found.setdefault(name, own)).source != own.source:
            raise UserError(f"plugin {own.source}: {other.source} also defines post-processing {name!r}; rename one")


def named_after(words: Iterable[str], own: Mapping[str, OwnKind], unread: Iterable[str] = ()) -> list[NamedAfter]:
    """Return the post-processing that each word names, each once.

    Args:
        words: As ``--after`` takes them.
        own: The user's kinds.
        unread: Why other files cannot be used, for the error.

    Raises:
        UserError: A word names no post-processing; the message has a line for each such word.
    """
    found: dict[str, NamedAfter] = {}
    problems = Problems()
    kinds, problem_files = {name: entry.kind for name, entry in own.items()}, list(unread)
    for word in words:
        with problems.collecting():
            processing = _named(word, kinds, problem_files)
            entry = own.get(processing.name)
            found[str(processing)] = NamedAfter(processing, "" if entry is None else digest_of(code_of(entry.source)))
    problems.raise_any()
    return list(found.values())


def _named(word: str, kinds: Mapping[str, type[PostProcessing]], unread: Sequence[str]) -> PostProcessing:
    if unread and word.strip().partition(":")[0] not in {*SHIPPED, *kinds}:
        raise UserError(f"after {word!r}: unknown; not read: {'; '.join(unread)}")
    return named(word, kinds)
