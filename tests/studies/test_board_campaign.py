"""The schedule of a board has every method, rounds come in order, and no line runs twice."""

from __future__ import annotations

import sys
import tomllib
from types import ModuleType

import pytest
from by_path import STUDIES, load

from rsir_bench.method.registry import discover
from rsir_bench.protocol import load_protocol

SCHEDULE = tomllib.loads((STUDIES / "ucm_lite.toml").read_text(encoding="utf-8"))


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(STUDIES), *sys.path])
    return load("board_campaign")


def test_every_method_on_the_trunk_has_a_line(study: ModuleType) -> None:
    protocol = load_protocol(SCHEDULE["protocol"])
    on_trunk = {
        name
        for name, method in discover().items()
        if getattr(method.method_class.card, "trunk", None) is None
        and not any(
            field.is_required() and key not in protocol.methods.get(name, {})
            for key, field in method.method_class.Settings.model_fields.items()
        )
    }
    lines = {line.method for line in study.lines_of(SCHEDULE)}
    assert on_trunk == {name for name in lines if not name.startswith("timm:")}


def test_all_seeds_of_a_round_come_before_the_next(study: ModuleType) -> None:
    lines = study.lines_of(SCHEDULE)
    assert len({line.name for line in lines}) == len(lines)
    numbers = [next(number for number, seeds in enumerate(SCHEDULE["rounds"]) if line.seed in seeds) for line in lines]
    assert numbers == sorted(numbers)
    seeds = {
        line.method: [one.seed for one in lines if one.method == line.method and not one.distortions] for line in lines
    }
    assert seeds["baseline"] == seeds["jsst"] == [0, 1, 2, 3, 4]


def test_a_line_that_another_process_has_locked_is_left_to_it(study: ModuleType, tmp_path) -> None:
    with study.claimed(tmp_path / "claims" / "one") as first, study.claimed(tmp_path / "claims" / "one") as second:
        assert first
        assert not second
    with study.claimed(tmp_path / "claims" / "one") as again:
        assert again
