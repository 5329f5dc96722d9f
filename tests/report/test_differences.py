"""Differences from the baseline: over the seeds that both have, and of the same row where there is one."""

from __future__ import annotations

import pytest
from made import result

from rsir_bench.records.schema import Record
from rsir_bench.report.board_view import views
from rsir_bench.report.differences import Difference, differences


def of(records: list[Record], label: str) -> list[Difference]:
    (view,) = views(records)
    return differences(view, [standing for standing in view.standings if standing.label == label])


def seeds(label: str, values: dict[int, float], **fields: object) -> list[Record]:
    return [result(label, value + 0.3, seed=seed, target="aid", **fields) for seed, value in values.items()]


def test_only_seeds_that_both_have_enter() -> None:
    records = seeds("baseline", {0: 0.5, 1: 0.4, 2: 0.1}) + seeds("jsst", {0: 0.6, 1: 0.45, 7: 0.9})
    (found,) = of(records, "jsst")
    assert found.seeds == (0, 1)
    assert found.mean == pytest.approx(0.075)  # of 0.1 and 0.05
    assert found.sd == pytest.approx(0.05 / 2**0.5)


def test_one_seed_has_no_deviation_and_none_is_no_difference() -> None:
    (found,) = of(seeds("baseline", {0: 0.5}) + seeds("jsst", {0: 0.4}), "jsst")
    assert (found.seeds, found.mean, found.sd) == ((0,), pytest.approx(-0.1), None)
    assert of(seeds("baseline", {0: 0.5}) + seeds("jsst", {1: 0.4}), "jsst") == []
    assert of(seeds("baseline", {0: 0.5}), "baseline") == []


def test_a_row_is_held_against_the_same_row_or_else_the_one_of_figures() -> None:
    records = seeds("baseline", {0: 0.5}) + seeds("baseline", {0: 0.3}, row="FC", kind="real", fit=None)
    records += seeds("jsst", {0: 0.4}, row="FC", kind="real", fit=None)
    records += seeds("jsst", {0: 0.4}, row="Hashing", kind="code", fit=None)
    found = {one.standing.name.row: (one.against.name.row, one.mean) for one in of(records, "jsst")}
    assert found == {"FC": ("FC", pytest.approx(0.1)), "Hashing": ("PCA", pytest.approx(-0.1))}


def test_bars_start_in_the_middle_and_keep_their_scale() -> None:
    (found,) = of(seeds("baseline", {0: 0.5, 1: 0.5}) + seeds("jsst", {0: 0.6, 1: 0.5}), "jsst")
    bar = found.bar(found.reach)
    assert found.reach == pytest.approx(0.05 + 0.1 / 2**0.5)
    assert (bar.left, bar.width) == (50.0, pytest.approx(50 * 0.05 / found.reach, abs=0.1))
    assert bar.high == pytest.approx(100)
    less = Difference(found.target, found.standing, found.against, (0,), -0.01, None).bar(0.001)
    assert (less.left, less.width) == (25.0, 25.0)  # of a half that is never less than 0.02
