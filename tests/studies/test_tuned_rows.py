"""The search behind the tuned rows gives every method the same number of valid configurations."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from by_path import STUDIES, load

from rsir_bench.protocol import load_protocol

GRID = tomllib.loads((STUDIES / "tuned_rows.toml").read_text(encoding="utf-8"))


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(STUDIES), *sys.path])
    return load("tuned_rows")


@pytest.mark.parametrize("method", GRID["methods"])
def test_twelve_different_configurations_of_the_protocol(study, method):
    found = list(study.configurations(GRID, method))
    assert len(found) == len(set(map(tuple, found))) == 12
    for overrides in found:
        load_protocol(GRID["protocol"], overrides)


def test_every_method_trains_as_long(study):
    epochs = {
        method: sorted(
            load_protocol(GRID["protocol"], overrides).train.epochs for overrides in study.configurations(GRID, method)
        )
        for method in GRID["methods"]
    }
    assert len(set(map(tuple, epochs.values()))) == 1


def test_only_methods_of_the_grid_are_searched(study, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(sys, "argv", ["tuned_rows.py", str(tmp_path), str(tmp_path), "--methods", "se"])
    with pytest.raises(SystemExit):
        study.main()
