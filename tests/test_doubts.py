"""A score that does not measure retrieval says so: equal descriptors, codes of one bucket, chance; never starred."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Tiny
from leaderboard.factory import record

import rsir_bench
from rsir_bench.cli.score import as_table
from rsir_bench.leaderboard import robustness, terminal_table
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import comma_separated, markdown
from rsir_bench.records.schema import DistortionPart
from rsir_bench.records.store import read_record, write_record
from rsir_bench.runs.runners.campaign import campaign

LABELS = np.arange(60) % 3
GOOD = np.eye(3)[LABELS] + 0.1 * np.random.default_rng(0).normal(size=(60, 3))
RANDOM = np.random.default_rng(1).normal(size=(60, 8))


def doubts(rows: np.ndarray, **options: Any) -> str:
    return "; ".join(rsir_bench.score(rows, LABELS, **options).doubts())


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "inner product", "euclidean"])
def test_equal_descriptors_are_counted(similarity: str) -> None:
    scores = rsir_bench.score(np.tile(GOOD[:1], (60, 1)), LABELS, similarity=similarity)
    assert (scores.equal, scores.scenes) == (60, 60)
    assert scores.overall["mAP"] == pytest.approx(scores.chance)
    assert scores.doubts() == [
        "60 of 60 descriptors are equal",
        f"mAP {scores.chance:.4f} is chance: a random order has {scores.chance:.4f}",
        f"ties leave mAP between {scores.lower['mAP']:.4f} and 1.0000",
    ]


@pytest.mark.parametrize("value", [0, 1, None])
def test_equal_codes_are_constant(value: int | None) -> None:
    codes = np.full((60, 12), value or 0, bool) if value is not None else np.tile(np.arange(12) % 2 == 0, (60, 1))
    scores = rsir_bench.score(codes, LABELS, codes=True)
    assert (scores.constant, scores.equal) == (60, 60)
    assert "60 of 60 descriptors are equal" in scores.doubts()


def test_a_large_share_of_equal_descriptors_is_told() -> None:
    rows = GOOD.copy()
    rows[:24] = rows[0]
    scores = rsir_bench.score(rows, LABELS)
    assert (scores.equal, scores.mixed) == (24, 16)
    assert scores.doubts()[0] == "24 of 60 descriptors are equal"
    rows[12:24] = GOOD[12:24]  # twelve: a fifth, of which eight are of other classes
    assert rsir_bench.score(rows, LABELS).doubts() == []


def test_blank_scenes_have_constant_descriptors() -> None:
    assert "60 of 60 descriptors are equal" in doubts(np.arange(60)[:, None] * np.ones((1, 4)))


def test_one_code_for_each_class_is_no_collapse() -> None:
    codes = np.eye(3, dtype=bool)[LABELS]
    scores = rsir_bench.score(codes, LABELS, codes=True)
    assert (scores.equal, scores.mixed, scores.constant) == (20, 0, 0)
    assert scores.doubts() == []
    assert scores.overall["mAP"] == 1


def test_chance_is_told_and_a_retrieval_is_not() -> None:
    assert "is chance: a random order has" in doubts(RANDOM)
    assert doubts(GOOD) == ""
    assert doubts(GOOD > 0.5, codes=True) == ""


@pytest.mark.parametrize(("least", "told"), [(0.29998, False), (0.2998, True)])
def test_ties_are_told_where_they_leave_two_values_in_print(least: float, told: bool) -> None:
    scores = replace(rsir_bench.score(RANDOM, LABELS), ranked=(0.3, least, 0.30001))
    assert ("ties leave" in "; ".join(scores.doubts())) == told


def test_chance_is_the_mean_over_random_orders() -> None:
    """With a gallery of its own nothing is left out."""
    drawn = [rsir_bench.score(np.random.default_rng(seed).normal(size=(60, 8)), LABELS) for seed in range(200)]
    assert np.mean([scores.overall["mAP"] for scores in drawn]) == pytest.approx(drawn[0].chance, abs=0.004)
    apart = rsir_bench.score(np.ones((60, 3)), LABELS, gallery=np.ones((9, 3)), gallery_labels=np.arange(9) % 3)
    assert apart.overall["mAP"] == pytest.approx(apart.chance, abs=1e-12)


def test_the_table_of_score_says_it() -> None:
    text = as_table(rsir_bench.score(np.ones((60, 3)), LABELS))
    assert "no retrieval: 60 of 60 descriptors are equal" in text
    assert "no retrieval" not in as_table(rsir_bench.score(GOOD, LABELS))


SAID = ("15 of 15 descriptors are equal", "ties leave mAP between 0.1935 and 1.0000")


def test_a_doubtful_row_is_never_best_and_says_why_beside_its_score() -> None:
    best = record("flat", metrics={"mAP": 0.9, "AP@10h": 0.9}).model_copy(update={"doubts": SAID})
    other = record("sound", metrics={"mAP": 0.5, "AP@10h": 0.5})
    third = record("weak", metrics={"mAP": 0.4, "AP@10h": 0.4})
    text = terminal_table([best, other, third])
    assert "0.9000 !" in text
    assert "*0.9000" not in text
    assert "*0.5000" in text
    assert f"seed 0: {'; '.join(SAID)}." in text
    (board,) = boards([best, other, third])
    document = documents(board)[0]
    assert "15 of 15 descriptors are equal" in markdown(document)
    assert "**0.5000**" in markdown(document)
    assert "**0.9000**" not in markdown(document)
    assert "doubts" in comma_separated(document).splitlines()[0]


def test_sound_rows_have_neither_sign_nor_column() -> None:
    (board,) = boards([record("sound"), record("weak")])
    document = documents(board)[0]
    assert "doubts" not in comma_separated(document)
    assert " !" not in markdown(document)


def test_a_doubtful_row_is_not_the_most_robust() -> None:
    """Equal descriptors keep all of their mAP under every distortion."""
    haze = DistortionPart(name="haze", severity=3, version=1)
    records = []
    for label, under in (("flat", 0.4), ("sound", 0.3)):
        clean, hazy = (record(label, metrics={"mAP": value}) for value in (0.4, under))
        records += [clean, hazy.model_copy(update={"distortion": haze, "key": f"{label}-haze"})]
    records[0] = records[0].model_copy(update={"doubts": SAID})
    records.append(record("clean", metrics={"mAP": 0.4}).model_copy(update={"doubts": SAID}))  # never distorted
    (board,) = boards(records)
    (grid,) = robustness.grids(board)
    assert [row.cells[0].text for row in grid.rows] == ["SOUND"]
    document = robustness.document(board)
    assert document is not None
    assert any("doubtful: flat, PCA." in note for note in document.notes)


FLAT = """import torch
from rsir_bench.method import Card, Method, Row

class Flat(Method):
    \"\"\"All scenes alike, but for rounding.\"\"\"
    card = Card(name="flat", title="Flat", paper="none", year=2026, trained=False, rows={
        "Real": Row(descriptor="e"), "PCA": Row(descriptor="e", kind="pca"),
        "Hashing": Row(descriptor="e", kind="code")})
    def describe(self, scenes):
        values = torch.linspace(-1, 1, 40) + 1e-7 * (scenes.flatten(1)[:, :40] - 0.5)
        return {"e": values}
    def loss(self, batch):
        raise NotImplementedError
"""


def test_descriptors_that_differ_by_rounding_are_told(tiny: Tiny) -> None:
    """Components of rounding noise look like descriptors."""
    (tiny.folder / "flat.py").write_text(FLAT)
    records = campaign(tiny.request("flat", plugins=[tiny.folder / "flat.py"]), lambda line: None).records
    assert {one.row.name for one in records} == {"Real", "PCA", "Hashing"}
    for one in records:
        assert "the network describes all scenes alike, up to rounding" in one.doubts
    assert "*" not in terminal_table(records).split("Board")[0]


@pytest.mark.parametrize(("rate", "away"), [(3.0, True), (0.03, False)])
def test_a_front_end_that_runs_away_is_told(rate: float, away: bool, tiny: Tiny) -> None:
    request = tiny.request("jsst", overrides=[f"train.rate={rate}", "train.epochs=4"])
    records = campaign(request, lambda line: None).records
    log = next((tiny.folder / "runs").rglob("log.csv")).read_text().splitlines()
    assert (log[-1].split(",")[log[0].split(",").index("collapsed")] == "1") is away
    for one in records:
        assert ("the front end has collapsed in training (log.csv)" in one.doubts) is away
    assert ("*" not in terminal_table(records).split("Board")[0]) or not away


def test_records_without_doubts_keep_their_bytes(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", record("sound"))
    assert "doubts" not in json.loads((tmp_path / "a.json").read_text())
    doubtful = record("flat").model_copy(update={"doubts": SAID})
    write_record(tmp_path / "b.json", doubtful)
    assert read_record(tmp_path / "b.json") == doubtful
