"""Find methods: in the folder of methods, through entry points of installed packages, in the user's files."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from pydantic import BaseModel, ValidationError

from rsir_bench.base.errors import UserError, suggest
from rsir_bench.base.files import digest
from rsir_bench.base.progress import log
from rsir_bench.method.authoring.mistakes import claimed_twice, in_words, incomplete
from rsir_bench.method.code.code_files import code_files, code_of, digest_of, note_imported
from rsir_bench.method.composition import Composed, ComposedSettings, Schedule, compose
from rsir_bench.method.contract import A_FILE_OF_WEIGHTS, Card, FrontEnd, FrontEndCard, Method
from rsir_bench.method.plugins import import_plugins
from rsir_bench.method.postprocessing import OwnKind, add_kinds, kinds_of
from rsir_bench.method.spec import MethodSpec

GROUP = "rsir_bench.methods"


@dataclass(frozen=True)
class RegisteredMethod:
    """A method or front end that was found, and the file that defines it."""

    method_class: type[Method] | type[FrontEnd]
    source: Path

    @property
    def name(self) -> str:
        """The name on its card."""
        return self.method_class.card.name

    @property
    def title(self) -> str:
        """The title on its card; without a protocol, the trunk has no name."""
        return self.method_class.card.title.replace("{trunk}", "the protocol's trunk")


class Methods(dict[str, RegisteredMethod]):
    """The methods and front ends that were found, by name.

    Attributes:
        broken: Why other methods cannot be used, by the name of the method, the entry point or the file.
        after: Kinds of post-processing in the user's files, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, str] = {}
        self.after: dict[str, OwnKind] = {}

    def add(self, entries: Iterable[RegisteredMethod], *, strict: bool) -> None:
        """Add methods.

        Raises:
            UserError: A name is already taken by another file. Unless ``strict``, the first one keeps the name, and the
                new one counts as broken.
        """
        for entry in entries:
            other = self.setdefault(entry.name, entry)
            if other.method_class is not entry.method_class:
                problem = f"method {entry.name!r}: {claimed_twice(other.method_class, entry.method_class)}"
                if strict:
                    raise UserError(problem)
                self.leave_out(entry.name, problem)

    def leave_out(self, name: str, problem: str) -> None:
        """Note why a method cannot be used, and say so once."""
        self.broken[name] = problem
        if problem not in _TOLD:
            _TOLD.add(problem)
            log(f"warning   {problem}; left out")


_TOLD: set[str] = set()


def discover(plugins: Sequence[Path] = (), *, strict: bool = True) -> Methods:
    """Return all methods and front ends by name, sorted.

    A broken method file or installed package is left out, with a warning, because it affects only those who use it.

    Args:
        plugins: The user's files, as in ``--plugin``.
        strict: Whether a broken plugin is an error at once.

    Raises:
        UserError: A plugin cannot be imported, defines no method, or uses the name of another method.
    """
    found = Methods()
    for name, read in _sources():
        try:
            found.add(read(), strict=False)
        except UserError as error:
            found.leave_out(name, str(error))
    leave_out = None if strict else lambda path, error: found.leave_out(path.stem, str(error))
    for path, module in import_plugins(plugins, leave_out):
        try:
            kinds = kinds_of(path, module)
            found.add(_of_plugin(path, module, alone=not kinds), strict=True)
            add_kinds(found.after, kinds)
        except UserError as error:
            if leave_out is None:
                raise
            leave_out(path, error)
    ordered = Methods()
    ordered.broken, ordered.after = found.broken, found.after
    ordered.update(sorted(found.items()))
    return ordered


def _sources() -> Iterator[tuple[str, Callable[[], list[RegisteredMethod]]]]:
    """Yield all places with methods except plugins: the name, and a function that reads the methods."""
    package = importlib.import_module(GROUP)
    for info in pkgutil.iter_modules(package.__path__):
        yield info.name, partial(_of_file, info.name)
    for point in entry_points(group=GROUP):
        yield point.name, partial(_of_entry_point, point)


def _of_file(name: str) -> list[RegisteredMethod]:
    module = _import(f"{GROUP}.{name}", f"method file {name}.py")
    note_imported(Path(str(module.__file__)))
    return list(_entries(module))


def _of_entry_point(point: EntryPoint) -> list[RegisteredMethod]:
    what = f"entry point {point.name} of {point.dist.name if point.dist else 'a package'}"
    module = _import(point.module, what)
    for file in code_files(Path(str(module.__file__))):
        note_imported(file)
    if not point.attr:
        return list(_entries(module))
    if _is_method(kind := getattr(module, point.attr, None)):
        return [RegisteredMethod(kind, Path(inspect.getfile(kind)))]
    raise UserError(f"{what}: {point.attr} is not a complete subclass of Method or FrontEnd with a card; fix it")


def _of_plugin(path: Path, module: ModuleType, *, alone: bool) -> list[RegisteredMethod]:
    """Return the methods of a user's file; ``alone``: it defines nothing else, so it must have at least one."""
    problem = "; ".join(incomplete(module))
    entries = list(_entries(module))
    if problem or (alone and not entries):
        none = "" if entries else "defines no complete subclass of Method or FrontEnd with a card"
        why = ": ".join(part for part in (none, problem) if part)
        raise UserError(f"plugin {path}: {why}; see docs/add_method.md")
    return entries


def _import(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UserError(f"{what}: cannot be imported ({in_words(error)}); fix it") from error


def _entries(module: ModuleType) -> Iterator[RegisteredMethod]:
    for kind in vars(module).values():
        if _is_method(kind) and kind.__module__ == module.__name__:
            yield RegisteredMethod(kind, Path(inspect.getfile(kind)))


def _is_method(kind: Any) -> TypeGuard[type[Method] | type[FrontEnd]]:
    if not inspect.isclass(kind) or not issubclass(kind, (Method, FrontEnd)) or issubclass(kind, Composed):
        return False
    card = Card if issubclass(kind, Method) else FrontEndCard
    return not inspect.isabstract(kind) and isinstance(vars(kind).get("card"), card)


@dataclass(frozen=True)
class Part:
    """One front end or method of a combination, with its settings.

    Attributes:
        registered: The class.
        settings: An instance of its ``Settings``.
        settings_dict: The same as plain values, by ``name.key``.
        non_default: The settings that differ from the class's defaults.
        overridden: The settings that the user changed: they differ from the defaults of class and protocol, and are not
            in the name.
        weights: The settings that name weights.
    """

    registered: RegisteredMethod
    settings: BaseModel
    settings_dict: dict[str, Any]
    non_default: dict[str, Any]
    overridden: dict[str, Any]
    weights: dict[str, str]


def resolve(
    name: str,
    found: Mapping[str, RegisteredMethod],
    settings: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, Any],
) -> MethodSpec:
    """Return the method that a name stands for.

    Args:
        name: ``"se"``, ``"jsst"`` (a front end with its default method), ``"jsst+se"`` or ``"timm:resnet50"``.
        found: The result of ``discover``.
        settings: Settings by name of method (the protocol's table ``methods``, overrides included).
        defaults: The same table without the user's overrides; the label shows the differences.

    Raises:
        UserError: The name is unknown, the combination is impossible, or a setting does not exist.
    """
    words, _, argument = name.partition(":")
    registered = [find(word, found) for word in words.split("+")]
    alone = False
    if isinstance(card := registered[-1].method_class.card, FrontEndCard):
        alone = len(registered) == 1
        registered.append(find(card.default_method, found))
    *fronts, last = registered
    try:
        _check_combination(fronts, last)
    except ValueError as problem:
        raise UserError(f"method {name!r}: {problem}") from None
    parts = [_part(last, settings, defaults, argument), *(_part(front, settings, defaults) for front in fronts[::-1])]
    method_class, own_settings = combine(parts, alone=alone)
    code = {part.name: code_of(part.source) for part in registered}
    return MethodSpec(
        name=_plain_name(words, argument),
        requested_as=name,
        method_class=method_class,
        settings=own_settings,
        settings_dict=_merge(part.settings_dict for part in parts),
        non_default=_merge(part.non_default for part in parts),
        overridden=_merge(part.overridden for part in parts),
        weights=_merge(part.weights for part in parts),
        parts=tuple(dict.fromkeys(part.name for part in registered)),
        sources={part.name: part.source for part in registered},
        code=_merge(code.values()),
        own_code=own_code(code),
    )


@cache
def shipped_methods() -> dict[str, dict[str, Any]]:
    """Return the pinned values of each shipped method, by name: version, digest of the code, and numbers."""
    text = resources.files(GROUP).joinpath("golden.json").read_text(encoding="utf-8")
    pinned: dict[str, dict[str, Any]] = json.loads(text)
    return pinned


def own_code(parts: Mapping[str, Mapping[Path, str]]) -> str:
    """Return the digest of the code that differs from the shipped code; empty if none does.

    Args:
        parts: The code of the methods and front ends, by name; see ``code_of``.
    """
    own = [digest_of(code) for name, code in parts.items()]
    known = [shipped_methods().get(name, {}).get("code") for name in parts]
    changed = [code for code, shipped in zip(own, known, strict=True) if code != shipped]
    return digest(changed) if changed else ""


def combine(parts: Sequence[Part], *, alone: bool) -> tuple[type[Method], Any]:
    """Return the class and the settings of a method behind front ends.

    Args:
        parts: The method, then the front ends from the innermost to the outermost.
        alone: The user named only the front end.
    """
    inner, *fronts = parts
    method_class = inner.registered.method_class
    assert issubclass(method_class, Method)
    combined: Any = inner.settings
    for part in fronts:
        front_class = part.registered.method_class
        assert issubclass(front_class, FrontEnd)
        method_class = compose(front_class, method_class, alone=alone)
        combined = ComposedSettings(part.settings, combined)
    return method_class, combined


def _check_combination(fronts: Sequence[RegisteredMethod], last: RegisteredMethod) -> None:
    """Check that only front ends precede the method, and that gradients reach all that must be trained.

    Raises:
        ValueError: They do not.
    """
    inner = last.method_class
    assert issubclass(inner, Method)
    opaque: RegisteredMethod | None = None  # the front end behind, through which no gradient passes
    for front in reversed(fronts):
        card = front.method_class.card
        if not isinstance(card, FrontEndCard):
            raise ValueError(f"{front.name!r} is not a front end; only front ends can precede a '+'")
        if card.learned and not inner.card.trained:
            raise ValueError(f"{front.name!r} must be trained, but {last.name!r} is not trained; choose another method")
        if card.learned and opaque is not None:
            problem = f"{front.name!r} must be trained, but no gradient passes through {opaque.name!r}"
            raise ValueError(f"{problem}; name {opaque.name!r} first")
        opaque = opaque if card.differentiable else front
    for row_name, row in inner.card.rows.items():
        if row.round is not None and row.round > inner.rounds:
            raise ValueError(f"row {row_name!r} belongs to round {row.round}, but there are only {inner.rounds}")


def _merge(values: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    return {key: value for each in values for key, value in each.items()}


def _plain_name(words: str, argument: str) -> str:
    """Return the method's name without the folder of its weights, which differs between machines."""
    if not argument:
        return words
    named, *changes = re.split(r"(?=:[a-z_]+=)", argument)  # settings, as encoders take them
    model, at, weights = named.partition("@")
    with suppress(OSError, ValueError):  # no name of a file
        model = Path(model).name if Path(model).is_dir() else model
    return f"{words}:{model}{at}{Path(weights).name}{''.join(changes)}"


def least_schedules(found: Mapping[str, RegisteredMethod]) -> dict[str, dict[str, Any]]:
    """Return the settings that tuned rows need if no protocol gives them, by name: one epoch."""
    return {name: {"epochs": 1} for name, method in found.items() if issubclass(method.method_class.Settings, Schedule)}


def find(word: str, found: Mapping[str, RegisteredMethod]) -> RegisteredMethod:
    """Return the method or front end of that name.

    Raises:
        UserError: There is no such method; the message lists similar names and all names.
    """
    broken = found.broken if isinstance(found, Methods) else {}
    if word in broken:
        raise UserError(broken[word])
    if word not in found:
        if broken:
            raise UserError(f"method {word!r}: unknown, and some files could not be read: {'; '.join(broken.values())}")
        raise UserError(f"method {word!r}: {suggest(word, dict(found))}; `timm:NAME` is any timm network")
    return found[word]


def _part(
    registered: RegisteredMethod,
    settings: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, Mapping[str, Any]],
    argument: str = "",
) -> Part:
    """Return a part with its settings; ``argument`` is the text after the colon.

    Raises:
        UserError: A setting does not exist or has no such value, or the part takes no argument.
    """
    name, own = registered.name, registered.method_class.Settings
    in_name = _parse_argument(registered, argument)
    chosen = _validated(registered, {**settings.get(name, {}), **in_name})
    values = chosen.model_dump(mode="json")
    usual = own.model_construct(**defaults.get(name, {})).model_dump(mode="json") | in_name
    weights = [key for key, field in own.model_fields.items() if A_FILE_OF_WEIGHTS in field.metadata]

    def by_name(values: Mapping[str, Any]) -> dict[str, Any]:
        return {f"{name}.{key}": value for key, value in values.items()}

    naming_weights = by_name({key: values[key] for key in weights})
    overridden = by_name({key: value for key, value in values.items() if usual.get(key) != value})
    return Part(
        registered=registered,
        settings=chosen,
        settings_dict=by_name(values),
        non_default=by_name(chosen.model_dump(mode="json", exclude_defaults=True)),
        overridden=without_folders(overridden, naming_weights),
        weights=naming_weights,
    )


def _parse_argument(registered: RegisteredMethod, argument: str) -> dict[str, Any]:
    if not argument:
        return {}
    try:
        return registered.method_class.parse_argument(argument)  # type: ignore[union-attr]
    except NotImplementedError:
        name = registered.name
        raise UserError(f"method '{name}:{argument}': {name} takes no argument; omit ':{argument}'") from None


def _validated(registered: RegisteredMethod, given: dict[str, Any]) -> BaseModel:
    own, name = registered.method_class.Settings, registered.name
    try:
        return own.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            remedy = f"use a protocol that sets it, or --set methods.{name}.{key}=VALUE"
            if any("parse_argument" in vars(kind) for kind in registered.method_class.__mro__ if kind is not Method):
                remedy = f"write {name}:{key.upper()}"
            raise UserError(f"method {name!r}: needs {key}; {remedy}") from None
        known = ", ".join(own.model_fields)
        if not known:
            raise UserError(f"methods.{name}.{key}: unknown; {name} has no settings") from None
        why = suggest(key, list(own.model_fields)) if problem["type"] == "extra_forbidden" else problem["msg"]
        raise UserError(f"methods.{name}.{key}: {why}") from None


def without_folders(values: Mapping[str, Any], weights: Mapping[str, str]) -> dict[str, Any]:
    """Return settings in which the files of ``weights`` have no folder, because folders differ between machines."""
    return {key: Path(value).name if key in weights else value for key, value in values.items()}
