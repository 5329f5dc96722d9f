"""How methods are found: the folder of methods, entry points of installed packages, files of the user."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError

from rsir_bench.base.errors import UserError, suggest
from rsir_bench.method.composition import Composed, ComposedSettings, compose
from rsir_bench.method.contract import A_FILE_OF_WEIGHTS, Card, FrontEnd, FrontEndCard, Method
from rsir_bench.method.spec import NamedMethod

GROUP = "rsir_bench.methods"


@dataclass(frozen=True)
class Entry:
    """A class that was found, and the file it is in."""

    kind: type[Method] | type[FrontEnd]
    source: Path

    @property
    def name(self) -> str:
        """The name on its card."""
        return self.kind.card.name

    @property
    def title(self) -> str:
        """The title on its card, where no protocol tells the trunk."""
        return self.kind.card.title.replace("{trunk}", "the protocol's trunk")


def discover(plugins: Sequence[Path] = ()) -> dict[str, Entry]:
    """All methods and front ends by name.

    Args:
        plugins: Files of the user, as in ``--plugin``.

    Raises:
        UserError: A plugin cannot be imported or holds no method, or two files claim one name.
    """
    found: dict[str, Entry] = {}
    for classes in _classes(plugins):
        for entry in classes:
            other = found.get(entry.name)
            if other is not None and other.kind is not entry.kind:
                raise UserError(f"method {entry.name!r}: both {other.source} and {entry.source} claim it; rename one")
            found[entry.name] = entry
    return dict(sorted(found.items()))


def _classes(plugins: Sequence[Path]) -> Iterator[list[Entry]]:
    package = importlib.import_module(GROUP)
    for info in pkgutil.iter_modules(package.__path__):
        yield list(_entries(_import(f"{GROUP}.{info.name}", f"method file {info.name}.py")))
    for point in entry_points(group=GROUP):
        what = f"entry point {point.name} of {point.dist.name if point.dist else 'a package'}"
        module = _import(point.module, what)
        if not point.attr:
            yield list(_entries(module))
        elif _is_method(kind := getattr(module, point.attr, None)):
            yield [Entry(kind, Path(inspect.getfile(kind)))]
        else:
            raise UserError(f"{what}: {point.attr} is no complete subclass of Method or FrontEnd with a card; mend it")
    for path in dict.fromkeys(plugins):
        yield list(_entries(_import_file(path)))


def _import(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UserError(f"{what}: cannot be imported ({_in_one_line(error)}); mend it") from error


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _import_file(path: Path) -> ModuleType:
    if not path.is_file() or path.suffix != ".py":
        raise UserError(f"plugin {path}: no such Python file; name a .py file with a method")
    name = f"rsir_bench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"plugin {path}: cannot be imported ({_in_one_line(error)}); mend it") from error
    if not list(_entries(module)):
        raise UserError(
            f"plugin {path}: holds no complete subclass of Method or FrontEnd with a card; see README, 'Add a method'"
        )
    return module


def _entries(module: ModuleType) -> Iterator[Entry]:
    for kind in vars(module).values():
        if _is_method(kind) and kind.__module__ == module.__name__:
            yield Entry(kind, Path(inspect.getfile(kind)))


def _is_method(kind: Any) -> TypeGuard[type[Method] | type[FrontEnd]]:
    if not inspect.isclass(kind) or not issubclass(kind, (Method, FrontEnd)) or issubclass(kind, Composed):
        return False
    card = Card if issubclass(kind, Method) else FrontEndCard
    return not inspect.isabstract(kind) and isinstance(vars(kind).get("card"), card)


def resolve(
    name: str, found: Mapping[str, Entry], settings: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Any]
) -> NamedMethod:
    """The method a user named.

    Args:
        name: ``"se"``, ``"jsst"`` (a front end before its usual method), ``"jsst+se"`` or ``"timm:resnet50"``.
        found: What :func:`discover` gave.
        settings: Settings by name of method (the protocol's table ``methods``, overrides included).
        defaults: The same table without the user's overrides; what differs from it shows in the label.

    Raises:
        UserError: Unknown name, a combination that makes no sense, or a setting that does not exist.
    """
    words, _, argument = name.partition(":")
    parts = [find(word, found) for word in words.split("+")]
    *fronts, last = parts
    if issubclass(last.kind, FrontEnd):
        fronts, last, alone = parts, find(last.kind.card.alone, found), len(parts) == 1
    else:
        alone = False
    inner = last.kind
    assert issubclass(inner, Method)
    chosen: Any = _settings(last, settings, argument)
    values, identity = _plain(last, chosen), _plain(last, chosen, exclude_defaults=True)
    changed, weights = _changed(last, values, defaults, argument), _naming_weights(last, values)
    wall: Entry | None = None  # the front end behind, through which no gradient passes
    for front in reversed(fronts):
        if not issubclass(front.kind, FrontEnd):
            raise UserError(f"method {name!r}: {front.name!r} is no front end; only front ends stand before a '+'")
        if front.kind.card.learned and not inner.card.trained:
            raise UserError(f"method {name!r}: {front.name!r} must be trained and {last.name!r} is not; choose another")
        if front.kind.card.learned and wall is not None:
            problem = f"{front.name!r} must be trained and no gradient passes {wall.name!r}"
            raise UserError(f"method {name!r}: {problem}; name {wall.name!r} first")
        wall = wall if front.kind.card.differentiable else front
        own = _settings(front, settings, "")
        front_values = _plain(front, own)
        changed |= _changed(front, front_values, defaults, "")
        weights |= _naming_weights(front, front_values)
        values |= front_values
        identity |= _plain(front, own, exclude_defaults=True)
        inner, chosen = compose(front.kind, inner, alone=alone), ComposedSettings(own, chosen)
    for row_name, row in inner.card.rows.items():
        if row.round is not None and row.round > inner.rounds:
            raise UserError(f"method {name!r}: row {row_name!r} is of round {row.round}, and there are {inner.rounds}")
    sources = tuple(dict.fromkeys(entry.source for entry in [*fronts, last]))
    names = tuple(dict.fromkeys(entry.name for entry in [*fronts, last]))
    plain_name = _plain_name(words, argument)
    return NamedMethod(plain_name, name, inner, chosen, values, identity, changed, weights, names, sources)


def _plain_name(words: str, argument: str) -> str:
    """The method's name without the folder its weights lie in, which is this machine's affair."""
    model, at, weights = argument.partition("@")
    return f"{words}:{model}{at}{Path(weights).name}" if argument else words


def find(word: str, found: Mapping[str, Entry]) -> Entry:
    """The entry of that name.

    Raises:
        UserError: There is none; the line gives the nearest and the known ones.
    """
    if word not in found:
        raise UserError(f"method {word!r}: {suggest(word, dict(found))}; `timm:NAME` is any timm backbone")
    return found[word]


def _settings(entry: Entry, settings: Mapping[str, Mapping[str, Any]], argument: str) -> BaseModel:
    given = dict(settings.get(entry.name, {}))
    try:
        given |= entry.kind.parse_argument(argument) if argument else {}  # type: ignore[union-attr]
    except NotImplementedError:
        raise UserError(f"method '{entry.name}:{argument}': {entry.name} takes nothing after a ':'; omit it") from None
    try:
        return entry.kind.Settings.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            raise UserError(f"method {entry.name!r}: needs {key}; write {entry.name}:{key.upper()}") from None
        known = ", ".join(entry.kind.Settings.model_fields) or "none"
        raise UserError(f"methods.{entry.name}.{key}: {problem['msg']}; its settings: {known}") from None


def _plain(entry: Entry, chosen: BaseModel, *, exclude_defaults: bool = False) -> dict[str, Any]:
    """Settings as ``name.key``."""
    plain = chosen.model_dump(mode="json", exclude_defaults=exclude_defaults)
    return {f"{entry.name}.{key}": value for key, value in plain.items()}


def _changed(entry: Entry, values: dict[str, Any], defaults: Mapping[str, Any], argument: str) -> dict[str, Any]:
    """The settings that the user changed: neither the method's defaults nor the protocol's, nor in the name."""
    usual = entry.kind.Settings.model_construct(**defaults.get(entry.name, {})).model_dump(mode="json")
    if argument:
        usual |= entry.kind.parse_argument(argument)  # type: ignore[union-attr]
    changed = {key: value for key, value in values.items() if usual.get(key.split(".", 1)[1]) != value}
    return without_folders(changed, _naming_weights(entry, values))


def _naming_weights(entry: Entry, values: Mapping[str, Any]) -> dict[str, str]:
    """Those of an entry's values that name weights."""
    fields = entry.kind.Settings.model_fields
    names = [f"{entry.name}.{key}" for key, field in fields.items() if A_FILE_OF_WEIGHTS in field.metadata]
    return {name: values[name] for name in names}


def without_folders(values: Mapping[str, Any], weights: Mapping[str, str]) -> dict[str, Any]:
    """Settings with the bare names of those files that are ``weights``: the folder is this machine's affair."""
    return {key: Path(value).name if key in weights else value for key, value in values.items()}
