"""The search behind the tuned rows gives every method the same number of valid configurations."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from by_path import STUDIES, load

from rsir_bench.base.errors import UserError
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


def test_what_is_in_the_file_of_results_is_not_trained_again(study, monkeypatch, tmp_path: Path, capsys):
    trained = []

    def figures_of(request):
        trained.append((request.overrides[1:], request.seeds))
        return {"PCA mAP": len(trained) / 100}

    monkeypatch.setattr(study, "figures_of", figures_of)
    results = tmp_path / "results.jsonl"
    command = ["tuned_rows.py", "trained", "retrieved", "--methods", "baseline", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", [*command, "--seed", "1"])
    study.main()
    assert [seeds for _, seeds in trained] == [[1]] * 12
    assert capsys.readouterr().out.splitlines()[3].split()[:2] == ["0.1200", "1"]  # the best first, of one seed
    results.write_text("".join(results.read_text().splitlines(keepends=True)[1:]))  # one is lost
    trained.clear()
    monkeypatch.setattr(sys, "argv", command)
    study.main()
    configurations = list(study.configurations(GRID, "baseline"))
    assert trained[:3] == [(configurations[0], [0]), (configurations[0], [1]), (configurations[1], [0])]
    assert len(trained) == 13
    assert capsys.readouterr().out.splitlines()[3].split()[:2] == ["0.1250", "2"]


def test_a_run_that_fails_is_named_at_the_end_and_not_stored(study, monkeypatch, tmp_path: Path, capsys):
    failing = SimpleNamespace(failures={"baseline seed 0": "diverged"})
    monkeypatch.setattr(study, "campaign", lambda request, say: failing)
    assert study.figures_of(None) is None
    monkeypatch.setattr(study, "figures_of", lambda request: None if request.seeds == [0] else {"PCA mAP": 0.5})
    results = tmp_path / "results.jsonl"
    command = ["tuned_rows.py", "trained", "retrieved", "--methods", "baseline", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(UserError, match=r"^failed: baseline train\.rate=0\.005 train\.epochs=3 seed 0, .*tries again$"):
        study.main()
    assert {seed for _, _, seed in study.read_results(results)} == {1}
