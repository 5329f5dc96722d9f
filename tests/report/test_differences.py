"""Differences from the baseline: those of the leaderboards, of the same row where there is one, and as bars."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from made import result

from rsir_bench.leaderboard.pages.differences import Difference
from rsir_bench.records.schema import Record
from rsir_bench.report.board_view import views
from rsir_bench.report.differences import Compared, differences


def of(records: list[Record], label: str) -> list[Compared]:
    (view,) = views(records)
    return differences(view, [standing for standing in view.standings if standing.label == label])


def seeds(label: str, values: dict[int, float], **fields: object) -> list[Record]:
    return [result(label, value + 0.3, seed=seed, target="aid", **fields) for seed, value in values.items()]


def test_it_is_the_difference_of_the_means_of_the_records() -> None:
    plain, ours = {0: 0.5, 1: 0.4, 2: 0.1}, {0: 0.6, 7: 0.9}
    records = seeds("baseline", plain) + seeds("jsst", ours)
    (found,) = of(records, "jsst")
    assert found.found.mean == pytest.approx(statistics.fmean(ours.values()) - statistics.fmean(plain.values()))
    assert (found.seeds, found.against, found.against_seeds) == (2, "PCA", 3)
    assert (found.target.name, found.target.metric, found.standing.label) == ("aid", "mAP", "jsst")


def test_there_is_none_of_the_baseline_or_without_one() -> None:
    assert of(seeds("baseline", {0: 0.5}) + seeds("jsst", {0: 0.4}), "baseline") == []
    assert of(seeds("jsst", {0: 0.4}), "jsst") == []


def test_a_row_is_held_against_the_same_row_or_else_the_pca() -> None:
    records = seeds("baseline", {0: 0.5}) + seeds("baseline", {0: 0.3}, row="FC", kind="real", fit=None)
    records += seeds("jsst", {0: 0.4}, row="FC", kind="real", fit=None)
    records += seeds("jsst", {0: 0.4}, row="Hashing", kind="code", fit=None)
    found = {one.standing.name.row: (one.against, one.found.mean) for one in of(records, "jsst")}
    assert found == {"FC": ("FC", pytest.approx(0.1)), "Hashing": ("PCA", pytest.approx(-0.1))}


def test_bars_start_in_the_middle_and_keep_their_scale() -> None:
    (one,) = of(seeds("baseline", {0: 0.5}) + seeds("jsst", {0: 0.6}), "jsst")
    more = replace(one, found=Difference(0.05, -0.05, 0.1))
    assert more.reach == 0.1
    bar = more.bar(more.reach)
    assert (bar.left, bar.width, bar.low, bar.high) == (50.0, 25.0, 25.0, 100.0)
    less = replace(one, found=Difference(-0.01)).bar(0.001)
    assert (less.left, less.width, less.low, less.high) == (25.0, 25.0, 25.0, 25.0)  # a half is never less than 0.02
