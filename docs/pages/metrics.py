"""The page of metrics: definitions and worked examples, from the docstrings of the functions that measure them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from rsir_bench.ranking import metrics as plain
from rsir_bench.ranking.graded import metrics as graded
from rsir_bench.ranking.graded.names import GRADED_METRICS
from rsir_bench.ranking.metrics.formulas import FORMULAS
from rsir_bench.ranking.names import DEFAULT, RECORDED

from .markdown import DOCTEST, code, fence, prose

INTRO = """`rsir-bench score --metrics mAP,recall@10,hit@1` and `rsir_bench.score(..., metrics=[...])` choose metrics;
k is any whole number. This page is written from the code that measures them; its examples are run by the tests."""


def page() -> str:
    """Return the page."""
    parts = ["# Metrics", INTRO, f"By default: {_names(DEFAULT)}.", f"In every record: {_names(RECORDED)}."]
    parts += ["## One label per scene", *_notation(plain), *_entries(plain, _named())]
    parts += ["## Several labels per scene", f"By default: {_names(GRADED_METRICS)}.", *_notation(graded)]
    parts += _entries(graded, {})
    return "\n\n".join(parts) + "\n"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(map(code, names))


def _notation(module: ModuleType) -> list[str]:
    """Return what the docstring of a module says about all its functions."""
    passages = inspect.cleandoc(module.__doc__ or "").split("\n\n")[1:]
    return [prose(passage) for passage in passages if "``rsir_bench" not in passage]


def _named() -> dict[str, list[str]]:
    """Return the names of metrics by the function that measures each, which a formula calls or is."""
    found: dict[str, list[str]] = {}
    for name, formula in FORMULAS.items():
        called = formula.__name__, *formula.__code__.co_names
        (function,) = (word for word in called if word in plain.__all__)
        found.setdefault(function, []).append(name)
    return found


def _entries(module: ModuleType, named: dict[str, list[str]]) -> list[str]:
    """Return the sections of the functions of a module that return metrics."""
    parts = []
    for function in _measures(module):
        title = ", ".join(named.get(function.__name__, [])) or function.__name__.replace("_", " ").capitalize()
        parts += [f"### {title}", *_definition(function)]
    return parts


def _measures(module: ModuleType) -> Iterator[Callable[..., Any]]:
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isfunction(thing) and re.search(r"\(\w+, \w+\) float64", thing.__doc__ or ""):
            yield thing


def _definition(function: Callable[..., Any]) -> list[str]:
    """Return definition, example in words and example in code of a metric."""
    doc = inspect.cleandoc(function.__doc__ or "").partition("\n\nArgs:")[0]
    words, examples = DOCTEST.sub("", doc), DOCTEST.findall(doc)
    parts = []
    for number, passage in enumerate(re.split(r"\n\s*\n", words.strip())):
        text = re.sub(r",? ?\(\w+, \w+\) float64", "", " ".join(passage.split()))
        if number == 0:
            parts.append(prose(text.removeprefix("Return ")))
        elif re.match(r"[-+(\d]", text):
            parts.append(fence("text", text.replace(". ", ".\n")))
        else:
            parts.append(prose(text))
    return [*parts, *(fence("python", inspect.cleandoc(example)) for example in examples)]
