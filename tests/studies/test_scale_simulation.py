"""The projection is arithmetic, the simulation is a schedule, and the script makes its tables at tiny sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from by_path import load

from rsir_bench.base.errors import UserError


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("scale_simulation")


def _constants(study: ModuleType) -> object:
    return study.Constants(floats=2.0, codes=1.0, inverted=4.0, hamming=0.5, floats_held=1000.0, codes_held=300.0)


def test_a_schedule_ends_with_its_last_worker(study: ModuleType) -> None:
    assert study.makespan([4, 1, 1, 1], 2, before=0) == 4
    assert study.makespan([1, 1, 1, 4], 2, before=0) == 5
    assert study.makespan([1, 1, 1, 4], 2, before=10) == 15


def test_more_parts_even_stragglers_out_and_moving_the_gallery_costs(study: ModuleType) -> None:
    def share(parts: int, before: float, slow: float = 0.2) -> float:
        return study.efficiency(1000.0, 8, parts, before, np.random.default_rng(0), slow)

    assert share(1, 0) < share(4, 0) < share(64, 0) <= 1
    assert share(64, 125, slow=0) == pytest.approx(0.5, abs=0.02)  # moving takes as long as the work of a worker


def test_the_projection_is_pairs_times_constants(study: ModuleType) -> None:
    rows = {(row[0], row[1]): row[2:] for row in study.projection(_constants(study))}
    assert rows["1e+07", "exact, floats"] == ["10 GB", "3.3 min", "2.3 d", "0.00", "2.22"]
    assert rows["1e+09", "scan of codes"][0] == "8.0 GB"
    assert rows["1e+09", "inverted file, floats"][1] == "10.4 min"  # 1e4 x 1e9 / 64 / 1e9 x 4 s


def test_the_tables_are_made_again(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "held_bytes", lambda count, codes: 300.0 if codes else 1000.0)
    monkeypatch.setattr(study, "REPEATS", 1)
    monkeypatch.setattr(study, "QUERIES", 16)
    constants = study.measure(1000, 1000)
    assert min(constants) > 0
    checked = study.check(constants, 1000)
    assert [size for _, size, _, _ in checked] == [2000] * 4 + [4000] * 4
    text = study.report(constants, checked)
    assert all(word in text for word in ("1e+09", "inverted file", "512", "measured s"))


def test_too_few_scenes_are_refused_and_the_least_will_do(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scale_simulation.py", "--scenes", "2047"])
    with pytest.raises(UserError, match="--scenes 2047: give at least 2048"):
        study.main()
    monkeypatch.setattr(study, "REPEATS", 1)
    assert study.scoring_seconds(2048, True) > 0


@pytest.mark.slow
def test_memory_is_that_of_the_scorer(study: ModuleType) -> None:
    """Measured from a small process: its own peak is the least that those which it starts report."""
    code = "from by_path import load; study = load('scale_simulation'); study.REPEATS = 1; "
    words = [sys.executable, "-c", f"{code}print(study.held_bytes(60_000, False))"]
    call = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    descriptor = 4 * study.DIMENSIONS  # held once as given, once as prepared, and a few bytes for each scene
    assert 1.5 * descriptor < float(call.stdout) < 2.6 * descriptor
