"""Where two methods differ, on records whose classes are known."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from by_path import call, load, published

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "leaderboard"))
from factory import modified, record

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard.boards import find_board
from rsir_bench.records.schema import DistortionPart, Record
from rsir_bench.records.store import write_record

JITTER = (0.0, 0.01, -0.01, 0.02, -0.02)


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("by_class")


def seeds_of(label: str, scores: dict[str, float], seeds: int = 5) -> list[Record]:
    """Records whose classes have the given means over five seeds."""
    return [
        record(label, seed=seed).model_copy(
            update={"per_class": {name: {"mAP": mean + JITTER[seed]} for name, mean in scores.items()}}
        )
        for seed in range(seeds)
    ]


def test_classes_stand_in_the_order_of_the_difference(study: ModuleType) -> None:
    plain = seeds_of("baseline", {"beach": 0.5, "forest": 0.5, "river": 0.5})
    other = seeds_of("jsst", {"beach": 0.5, "forest": 0.7, "river": 0.4})
    lines = study.differences([*plain, *other], "jsst", "baseline")
    assert [line[1] for line in lines] == ["river", "beach", "forest"]
    assert [line[5] for line in lines] == pytest.approx([-0.1, 0.0, 0.2])
    assert lines[2][2:5] == pytest.approx([5, 0.7, 0.5])


def test_p_values_tell_a_difference_and_are_adjusted(study: ModuleType) -> None:
    plain = seeds_of("baseline", {"beach": 0.5, "forest": 0.5})
    other = seeds_of("jsst", {"beach": 0.5, "forest": 0.7})
    alike, apart = study.differences([*plain, *other], "jsst", "baseline")
    assert alike[6] == pytest.approx(1)
    assert apart[6] < 1e-4
    assert apart[7] == pytest.approx(2 * apart[6])


def test_editions_are_compared_each_with_the_baseline_on_its_own_scenes(study: ModuleType) -> None:
    records = [*seeds_of("baseline", {"beach": 0.5}), *seeds_of("jsst", {"beach": 0.6})]
    others = [*seeds_of("baseline", {"beach": 0.1}), *seeds_of("jsst", {"beach": 0.4})]
    others = [
        one.model_copy(
            update={"key": f"x{one.key}", "target": one.target.model_copy(update={"fingerprint": "beef"})},
        )
        for one in others
    ]
    board = find_board([*records, *others], "patternnet", ["jsst"])
    lines = study.differences(board.records, "jsst", "baseline")
    assert {line[0]: (line[2], round(line[5], 6)) for line in lines} == {"ucm (f00d)": (5, 0.1), "ucm (beef)": (5, 0.3)}


def test_one_seed_is_not_tested(study: ModuleType) -> None:
    records = [*seeds_of("baseline", {"beach": 0.5}), *seeds_of("jsst", {"beach": 0.7}, seeds=1)]
    assert study.differences(records, "jsst", "baseline")[0][6:] == [None, None]


def test_distorted_targets_and_other_rows_stay_out(study: ModuleType) -> None:
    dark = DistortionPart(name="gain", severity=1, version=1)
    distorted = [one.model_copy(update={"distortion": dark}) for one in seeds_of("jsst", {"beach": 0.1})]
    records = [*seeds_of("baseline", {"beach": 0.5}), *seeds_of("jsst", {"beach": 0.7}), *distorted]
    assert study.differences(records, "jsst", "baseline")[0][3] == pytest.approx(0.7)
    assert study.differences(records, "jsst", "baseline", row="FC") == []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Published records of two methods."""
    return published([*seeds_of("jsst", {"beach": 0.7}), *seeds_of("baseline", {"beach": 0.5})], tmp_path / "results")


def test_the_command_prints_a_line_for_what_is_compared(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(study, monkeypatch, results, "patternnet", "jsst", "--metric", "mAP")
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["rs", "jsst"], "board 'rs': none has that name; choose one of patternnet"),
        (["patternnet", "se"], "method 'se': not on board patternnet; choose one of baseline, jsst"),
        (
            ["patternnet", "jsst", "--reference", "se"],
            "method 'se': not on board patternnet; choose one of baseline, jsst",
        ),
        (
            ["patternnet", "jsst", "--metric", "map"],
            "metric 'map': not on board patternnet; choose one of AP@10h, P@10, P@100, P@5, P@50, mAP",
        ),
        (["patternnet", "jsst", "--row", "pca"], "--row pca: jsst and baseline do not both have it; rows: PCA"),
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
        call(study, monkeypatch, results, "patternnet", "jsst")
