"""The comparison of a board's methods with a reference, on records whose differences are known."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from by_path import call, load, published

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "leaderboard"))
from factory import modified, record

from rsir_bench.base.errors import UserError
from rsir_bench.records.schema import DistortionPart, Record
from rsir_bench.records.store import write_record


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("against_reference")


def seeds_of(label: str, mean: float, seeds: int) -> list[Record]:
    """A method's records: classes that differ, seeds that differ a little."""
    chance = np.random.default_rng(len(label))
    made = []
    for seed in range(seeds):
        scores = mean + np.linspace(-0.2, 0.2, 9) + chance.normal(0, 0.005, 9)
        classes = {f"class{number}": {"mAP": float(score)} for number, score in enumerate(scores)}
        made.append(record(label, seed=seed).model_copy(update={"per_class": classes}))
    return made


@pytest.fixture
def lines(study: ModuleType) -> dict[str, list[object]]:
    records = [
        *seeds_of("baseline", 0.5, 5),
        *seeds_of("jsst", 0.6, 5),
        *seeds_of("se", 0.5, 6),
        *seeds_of("cbp", 0.3, 2),
    ]
    dark = DistortionPart(name="gain", severity=1, version=1)
    records += [one.model_copy(update={"distortion": dark}) for one in seeds_of("jsst", 0.1, 5)]
    return {str(line[3]): line for line in study.comparisons(records, "baseline", ["mAP"])}


def test_every_method_is_compared_on_its_cells_without_distortion(lines: dict[str, list[object]]) -> None:
    assert lines.keys() == {"jsst", "se", "cbp"}
    assert lines["jsst"][:5] == ["mAP", "ucm", "PCA", "jsst", 5]
    assert lines["jsst"][7] == pytest.approx(0.1, abs=0.01)


def test_a_difference_is_told_from_none(lines: dict[str, list[object]]) -> None:
    assert lines["jsst"][8] < 1e-4  # type: ignore[operator]
    assert lines["se"][8] > 0.05  # type: ignore[operator]


def test_few_seeds_are_not_tested(lines: dict[str, list[object]]) -> None:
    assert lines["cbp"][8:] == ["not tested: 2 of at least 5 seeds", None]


def test_p_values_are_adjusted_for_the_number_of_tests(lines: dict[str, list[object]]) -> None:
    assert lines["jsst"][9] == pytest.approx(2 * lines["jsst"][8])  # type: ignore[operator]


def test_nothing_to_compare(study: ModuleType) -> None:
    assert study.comparisons(seeds_of("baseline", 0.5, 5), "baseline", ["mAP"]) == []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Published records of two methods."""
    return published([*seeds_of("jsst", 0.6, 5), *seeds_of("baseline", 0.5, 5)], tmp_path / "results")


def test_the_command_prints_a_line_for_what_is_compared(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(study, monkeypatch, results, "patternnet", "--metrics", "mAP")
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["rs"], "board 'rs': none has that name; choose one of patternnet"),
        (["patternnet", "--reference", "se"], "method 'se': not on board patternnet; choose one of baseline, jsst"),
        (
            ["patternnet", "--metrics", "mAP,map"],
            "metric 'map': not on board patternnet; choose one of AP@10h, P@10, P@100, P@5, P@50, mAP",
        ),
    ],
)
def test_what_the_results_do_not_hold_is_refused_in_one_line(
    study: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    results: Path,
    words: list[str],
    error: str,
) -> None:
    with pytest.raises(UserError) as caught:
        call(study, monkeypatch, results, *words)
    assert str(caught.value) == error


def test_records_of_two_protocols_are_not_pooled(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, results: Path
) -> None:
    other = modified("patternnet", "train.epochs=50").model_copy(update={"board": "patternnet"})
    write_record(results / "patternnet" / "other.json", record("jsst", protocol=other, seed=5))
    with pytest.raises(UserError, match="several have that name"):
        call(study, monkeypatch, results, "patternnet")
