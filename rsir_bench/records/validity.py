"""Check the values of a result record, so that every table, page and path made from it is valid."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator
from typing import Any

from rsir_bench.base.errors import UserError
from rsir_bench.base.text import LONGEST_LINE, is_plain_line
from rsir_bench.records.cells import SUBMITTED
from rsir_bench.records.commands import request_of
from rsir_bench.records.metrics import main_metric
from rsir_bench.records.schema import GradedPart, Record

BOARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,120}")
"""Names of boards, which are names of folders too."""

DEEPEST = 20
ROUNDING = 1e-9
LARGEST = 2**53
"""Counts beyond it are no longer exact in JSON."""
SLOWEST = 1e-6
"""The least speed, in images per second: tables divide by it."""

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_AFTER = re.compile(r"[a-z][a-z0-9-]{0,60}(:[0-9eE.,+-]{1,200})?")
_WORDS = ("key", "protocol.hash", "distortion.name")
_NAMES = (
    "method.name",
    "method.label",
    "row.name",
    "row.descriptor",
    "protocol.name",
    "target.name",
    "source.name",
    "unlabelled.name",
    "after.label",
)
_AT_LEAST = {
    "seed": 0,
    "metric_version": 0,
    "method.version": 0,
    "row.dimensions": 1,
    "target.scenes": 1,
    "target.classes": 0,
    "target.excluded": 0,
    "source.scenes": 0,
    "unlabelled.scenes": 0,
    "distortion.severity": 1,
    "distortion.version": 0,
    "queries.count": 1,
    "queries.skipped": 0,
    "queries.constant": 0,
    "pixels.size": 1,
    "effect.displacement": 0,
    "effect.change": 0,
    "effect.lost": 0,
    "after.version": 0,
}
_SETTINGS = (("data", "source", str), ("data", "size", int), ("describe", "pca", int))
"""Settings that tables print."""


def check_record(record: Record) -> None:
    """Check that tables can be made from a record.

    Raises:
        UserError: A field has an impossible value; the line names the field.
    """
    for problem in _problems(record):
        raise UserError(problem)


def _problems(record: Record) -> Iterator[str]:
    values = record.model_dump(exclude={"per_class"})  # most of a record: its values are looked at once
    values["classes"] = [*record.per_class]
    yield from _score_problems(record)
    yield from _plain_problems(values)
    yield from _name_problems(values)
    yield from _number_problems(values)
    yield from _settings_problems(record.protocol.settings)
    yield from _origin_problems(record)
    try:
        datetime.datetime.fromisoformat(record.created)
    except ValueError:
        yield f"created: {record.created!r:.60} is not a date and time"
    try:
        request_of(record)
    except UserError as error:
        yield f"command: {error}"


def _plain_problems(values: dict[str, Any]) -> list[str]:
    """Return texts that hold NUL, numbers that are not finite or too large, and values that are nested too deeply."""
    found: list[str] = []
    level: list[tuple[str, Any]] = [("", values)]
    for _ in range(DEEPEST):
        inner: list[tuple[str, Any]] = []
        for where, value in level:
            if isinstance(value, dict):
                found += [f"a name in {where or 'the record'}: holds NUL" for name in value if "\0" in str(name)]
                inner += [(f"{where}.{name}", part) for name, part in value.items()]
            elif isinstance(value, (list, tuple)):
                inner += [(where, part) for part in value]
            elif problem := _plain_problem(value):
                found.append(f"{where[1:80]}{problem}")
        if not inner:
            return found
        level = inner
    return [*found, f"{level[0][0][1:80]}: nested deeper than {DEEPEST} levels"]


def _plain_problem(value: Any) -> str:
    if isinstance(value, str):
        return ": holds NUL" if "\0" in value else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f" is {value}, not finite"
    return ": more than 64 bits" if isinstance(value, int) and not -(2**63) <= value < 2**63 else ""


def _get(values: dict[str, Any], where: str) -> Any:
    """Return the value of ``part.field``; None without that part."""
    part, _, name = where.rpartition(".")
    return ((values[part] if part else values) or {}).get(name)


def _name_problems(values: dict[str, Any]) -> Iterator[str]:
    for where in _WORDS:
        if (text := _get(values, where)) is not None and not _WORD.fullmatch(text):
            yield f"{where}: {text!r:.60} must be letters, digits, '-' and '_'"
    for where in _NAMES:
        if (text := _get(values, where)) is not None and not text.strip():
            yield f"{where}: empty"
    after = _get(values, "after.name")
    if after is not None and not _AFTER.fullmatch(after):
        yield f"after.name: {after!r:.60} must be NAME or NAME:VALUES"
    board = values["protocol"]["board"]
    if not BOARD.fullmatch(board):
        yield f"protocol.board: {board!r:.60} is not a valid folder name"


def _number_problems(values: dict[str, Any]) -> Iterator[str]:
    for where, least in _AT_LEAST.items():
        number = _get(values, where)
        if number is not None and not least <= number < (2**63 if where == "seed" else LARGEST):
            yield f"{where} is {number}, below {least} or too large"
    for name, cost in values["cost"].items():
        floor = SLOWEST if name.endswith("_per_second") else 0
        if cost is not None and name != "train_loss" and not floor <= cost < LARGEST:
            yield f"cost.{name} is {cost}, below {floor:g} or too large"


def _score_problems(record: Record) -> Iterator[str]:
    graded = record.graded
    most = None if graded is None else graded.oracle
    for needed in dict.fromkeys((main_metric(record), "mAP" if graded is None else "mAP(any)")):
        if needed not in record.metrics:
            yield f"metrics: lacks {needed}"
    if graded is not None:
        yield from _graded_problems(record, graded)
    yield from _outside("metrics", record.metrics, most)
    for name, bounds in record.tie_bounds.items():
        for bound in bounds:
            yield from _outside("tie_bounds", {name: bound}, most)
    for name, scores in record.per_class.items():
        yield from _outside(f"per_class.{name!r:.60}", scores)
    yield from _class_problems(record)
    if record.effect is not None:
        yield from _outside("effect.metrics", record.effect.metrics, most)
    for accepted in record.accepted:
        yield from _outside("accepted.previous", accepted.previous, most)


def _class_problems(record: Record) -> Iterator[str]:
    kinds = {frozenset(scores) for scores in record.per_class.values()}
    if len(kinds) > 1 or not all(kind <= record.metrics.keys() for kind in kinds):
        yield "per_class: classes differ in their metrics, or have others than the record"
    queries = record.queries.by_class
    if queries and queries.keys() != record.per_class.keys():
        yield "queries.by_class: not the classes of per_class"
    elif queries and (min(queries.values()) < 1 or sum(queries.values()) != record.queries.count):
        yield "queries.by_class: not positive numbers that sum to queries.count"


def _graded_problems(record: Record, graded: GradedPart) -> Iterator[str]:
    """Yield what is wrong with chance and oracle: both are there for each value, and within their bounds."""
    known = record.metrics.keys()
    if record.per_class:
        yield "per_class: scenes with several labels have none"
    if len(set(graded.labels)) < len(graded.labels):
        yield "graded.labels: a label twice"
    if any(count < 0 for count in graded.without.values()):
        yield "graded.without: below 0"
    parts = [("", record.metrics, graded.chance, graded.oracle)]
    for name in {*graded.per_label, *graded.label_chance, *graded.label_oracle}:
        if name not in graded.labels:
            yield f"graded: {name!r:.60} is not one of its labels"
            return
        by_label = [part.get(name, {}) for part in (graded.per_label, graded.label_chance, graded.label_oracle)]
        parts.append((f".{name!r:.60}", by_label[0], by_label[1], by_label[2]))
    for name, values, chance, oracle in parts:
        if not (values.keys() == chance.keys() == oracle.keys() <= known):
            yield f"graded{name}: chance and oracle are not those of its metrics"
            return
        yield from _outside(f"graded.oracle{name}", oracle, dict.fromkeys(oracle, float(len(graded.labels))))
        yield from _outside(f"graded.chance{name}", chance, oracle)
        if name:
            yield from _outside(f"graded.per_label{name}", values, oracle)


def _origin_problems(record: Record) -> Iterator[str]:
    origin, label = record.origin, record.method.label
    submitted = origin is not None and origin.kind == "descriptors"
    if label.startswith(SUBMITTED) != submitted or (submitted and record.method.name != label):
        yield f"method.label: {label!r:.60}: submitted descriptors, and nothing else, are called {SUBMITTED}NAME"
    if origin is None:
        return
    for name, text in origin.model_dump(exclude={"kind"}).items():
        if not is_plain_line(text):
            yield f"origin.{name}: {text!r:.60} is not one line of at most {LONGEST_LINE} plain characters"
    if not origin.by.strip() or (submitted and (origin.remade or not origin.sha256 or record.source is not None)):
        yield "origin: lacks who, or says of descriptors what only a record has"


def _outside(where: str, scores: dict[str, float], most: dict[str, float] | None = None) -> Iterator[str]:
    """Yield the scores that are below 0 or above the most they can be: 1 where there is no ``most``."""
    for name, value in scores.items():
        limit = 1 if most is None else most.get(name, 1)
        if not -ROUNDING <= value <= limit + ROUNDING:  # NaN is not either
            yield f"{where}.{name} is {value}, outside 0..{limit:g}"


def _settings_problems(settings: dict[str, Any]) -> Iterator[str]:
    for section, name, kind in _SETTINGS:
        table = settings.get(section)
        if isinstance(table, dict) and section == "data" and table.get("source", "") is None is table.get("size"):
            continue  # of a protocol that trains nothing
        if not isinstance(table, dict) or not isinstance(table.get(name), kind):
            yield f"protocol.settings: lacks {section}.{name}"
