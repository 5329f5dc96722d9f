"""Studies are scripts beside the package: tests load them by path."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

from rsir_bench.records.schema import Record
from rsir_bench.records.store import write_record

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def load(name: str) -> ModuleType:
    """The study ``studies/NAME.py`` as a module."""
    spec = importlib.util.spec_from_file_location(name, STUDIES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def published(records: Iterable[Record], folder: Path) -> Path:
    """The records as a folder of results of the board ``patternnet``."""
    for one in records:
        write_record(folder / "patternnet" / f"{one.key}.json", one)
    return folder


def call(study: ModuleType, monkeypatch: pytest.MonkeyPatch, results: Path, *words: str) -> None:
    """The study's command on a folder of results."""
    monkeypatch.setattr(sys, "argv", [f"{study.__name__}.py", *words, "--results", str(results)])
    study.main()
