"""Scenes with several labels: what is asked for, what is left out, and how it compares with one label per scene."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from graded_reference import metrics_of, relevance_of

import rsir_bench
from rsir_bench.base.errors import UserError
from rsir_bench.ranking import GradedScores, score
from rsir_bench.ranking.graded.names import GRADED_METRICS

LABELS = ("airplane", "grass", "sea", "trees")


def made(n: int = 60, seed: int = 0, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors without ties, (n, 8), and label sets, (n, labels), of which each scene has one to all."""
    rng = np.random.default_rng(seed)
    sets = rng.integers(0, 2, (n, labels))
    sets[np.arange(n), rng.integers(0, labels, n)] = 1
    return rng.normal(size=(n, 8)), sets


def message(work: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        work()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_matrix_lists_of_names_and_arrays_of_lists_are_the_same_labels() -> None:
    rows, sets = made()
    names = [[LABELS[column] for column in np.flatnonzero(row)] for row in sets]
    array = np.empty(len(names), object)
    array[:] = names
    expected = score(rows, sets, class_names=LABELS).as_dict()
    assert expected["labels"] == list(LABELS)
    for labels in (names, [set(scene) for scene in names], array, [np.array(scene) for scene in names]):
        assert score(rows, labels).as_dict() == expected
    for labels in (sets.astype(bool), sets.astype(float), torch.from_numpy(sets), sets.tolist()):
        assert score(rows, labels, class_names=LABELS).as_dict() == expected
    assert score(rows, names, class_names=[*LABELS, "unused"]).per_label == expected["per_label"]


def test_scores_are_json_and_every_value_has_chance_and_oracle() -> None:
    rows, sets = made(seed=1)
    sets[0] = 1  # nobody else has all labels
    sets[1:, 3] *= 1 - sets[1:, :3].all(axis=1)
    scores = rsir_bench.score(rows, sets, class_names=LABELS)
    assert isinstance(scores, GradedScores)
    read = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert {name: read[name] for name in GRADED_METRICS} == scores.overall
    for values in (scores.chance, scores.oracle, scores.lower, scores.upper):
        assert values.keys() == scores.overall.keys() == set(GRADED_METRICS)
    assert set(read["per_label"]) == set(LABELS)
    for name, values in scores.per_label.items():
        assert scores.label_chance[name].keys() == scores.label_oracle[name].keys() == values.keys()
        for metric, value in values.items():
            assert 0 <= value <= scores.label_oracle[name][metric] + 1e-12
    assert scores.without["mAP(equal)"] == np.isnan(scores.per_query["mAP(equal)"]).sum() >= 1
    assert read["per_query"]["mAP(equal)"][0] is None
    assert np.nanmean(scores.per_query["mAP(equal)"]) == pytest.approx(scores.overall["mAP(equal)"])


def test_values_per_label_are_means_over_the_queries_that_have_it() -> None:
    rows, sets = made(seed=2)
    scores = score(rows, sets, class_names=LABELS)
    for column, name in enumerate(LABELS):
        for metric in GRADED_METRICS:
            chosen = scores.per_query[metric][sets[:, column] == 1]
            assert scores.per_label[name][metric] == pytest.approx(np.nanmean(chosen))


def test_with_a_single_shared_label_at_most_gains_are_0_and_1() -> None:
    """Then WAP is AP, nDCG has one gain, and any, half and equal labels mean the class of a scene."""
    rng = np.random.default_rng(3)
    rows, classes = rng.normal(size=(90, 6)), rng.integers(0, 5, 90)
    names = ["WAP", "mAP(any)", "mAP(jaccard)", "mAP(equal)", "mAP@10(any)", "nDCG@10(g)", "nDCG@10(2^g-1)", "ACG@10"]
    graded = score(rows, np.eye(5, dtype=int)[classes], metrics=names)
    plain = score(rows, classes, metrics=["mAP", "mAP@10", "nDCG@10", "P@10"])
    same = dict(zip(names, ["mAP"] * 4 + ["mAP@10", "nDCG@10", "nDCG@10", "P@10"], strict=True))
    for name, other in same.items():
        assert graded.per_query[name] == pytest.approx(plain.per_query[other], abs=1e-12), name
    assert graded.chance["mAP(any)"] == pytest.approx(plain.chance, abs=1e-12)


def test_with_0_1_gains_and_ties_wap_is_ap() -> None:
    rng = np.random.default_rng(4)
    codes, classes = rng.integers(0, 2, (80, 3)), rng.integers(0, 4, 80)
    graded = score(codes, np.eye(4, dtype=int)[classes], codes=True)
    plain = score(codes, classes, codes=True, metrics=["mAP"])
    for name in ("WAP", "mAP(any)", "mAP(equal)"):
        for ours, theirs in ((graded.overall, plain.overall), (graded.lower, plain.lower), (graded.upper, plain.upper)):
            assert ours[name] == pytest.approx(theirs["mAP"], abs=1e-12)


@pytest.mark.parametrize("after", ["aqe:5,3", "dba:5,3", "kreciprocal:8,3,.3", "whiten:4"])
def test_post_processing_knows_no_labels(after: str) -> None:
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 4, 60)
    rows = rng.normal(size=(60, 8)) + classes[:, None]
    graded = score(rows, np.eye(4, dtype=int)[classes], after=after)
    assert graded.overall["mAP(equal)"] == pytest.approx(score(rows, classes, after=after).overall["mAP"], abs=1e-9)
    assert graded.overall["mAP(equal)"] != score(rows, classes).overall["mAP"]


def test_queries_galleries_own_scenes_and_junk() -> None:
    rows, sets = made(30, seed=5)
    names = ["mAP(any)", "mAP(jaccard)", "nDCG@5(g)", "WAP", "ACG@3"]
    whole = score(rows, sets, metrics=names)
    some = score(rows, sets, metrics=names, queries=[7, 3])
    for name in names:
        assert some.per_query[name] == pytest.approx(whole.per_query[name][[7, 3]], nan_ok=True)
    apart = score(rows, sets, gallery=rows, gallery_labels=sets, own=np.arange(30), metrics=names)
    assert apart.overall == pytest.approx(whole.overall)
    assert apart.chance == pytest.approx(whole.chance)
    junk = [[1, 2], *[[]] * 29]
    left = score(rows, sets, metrics=names, ignore=junk, queries=[0])
    kept = np.delete(np.arange(30), [1, 2])
    fewer = score(rows[kept], sets[kept], metrics=names, queries=[0])
    for ours, theirs in ((left.overall, fewer.overall), (left.chance, fewer.chance), (left.oracle, fewer.oracle)):
        assert ours == pytest.approx(theirs)


def test_blocks_threads_and_precision_change_nothing_but_rounding() -> None:
    rows, sets = made(400, seed=6)
    rows = np.repeat(rows[:200], 2, axis=0)  # every scene twice, with other labels
    whole = score(rows, sets)
    for options in ({"block": 7}, {"block": 1000}):
        assert score(rows, sets, **options).overall == pytest.approx(whole.overall, abs=1e-12)
    narrow = score(rows.astype(np.float32), sets)
    assert narrow.overall == pytest.approx(whole.overall, abs=1e-3)
    assert narrow.lower["WAP"] < narrow.overall["WAP"] < narrow.upper["WAP"]


def test_negative_zero_is_tied_with_zero() -> None:
    """Descriptors without a direction are as far from each scene as an orthogonal one, in whatever sign of zero."""
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -0.0], [-0.0, 0.0], [0.0, -1.0]], np.float32)
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]])
    found = score(rows, sets, similarity="inner product", queries=[0], metrics=["mAP(any)", "WAP"])
    gains, relevance = relevance_of(sets[0], sets[1:])
    flat = [metrics_of(gains[list(order)], {k: v[list(order)] for k, v in relevance.items()}) for order in orders(4)]
    assert found.overall["WAP"] == pytest.approx(np.mean([one["WAP"] for one in flat]))


def orders(n: int) -> list[tuple[int, ...]]:
    from itertools import permutations

    return list(permutations(range(n)))


ROWS, SETS = made(6, seed=7)
NAMES = [[LABELS[column] for column in np.flatnonzero(row)] for row in SETS]


def changed(row: int, column: int, value: float) -> np.ndarray:
    sets = SETS.astype(float)
    sets[row, column] = value
    return sets


def without_labels(row: int) -> np.ndarray:
    sets = SETS.copy()
    sets[row] = 0
    return sets


REFUSED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "not 0 or 1": ("2.0 in row 3, column 1", changed(3, 1, 2), {}),
    "NaN": ("NaN in 1 of 6 rows, first in row 2", changed(2, 0, np.nan), {}),
    "no label": ("1 of 6 scenes have no label, first in row 4", without_labels(4), {}),
    "no name": ("1 of 6 scenes have no label, first in row 5", [*NAMES[:5], []], {}),
    "fewer rows": ("expected 6 rows, one per descriptor, got an array of shape (5, 4)", SETS[:5], {}),
    "fewer lists": ("expected 6 lists, one per descriptor, got 5", NAMES[:5], {}),
    "words": ("not a matrix of 0 and 1", SETS.astype(str), {}),
    "a name twice": ("row 0 names 'sea' twice", [["sea", "sea"], *NAMES[1:]], {}),
    "a number among names": ("row 1 holds 3, which is not the name", [NAMES[0], [3], *NAMES[2:]], {}),
    "an empty name": ("row 1 holds ' ', which is not the name", [NAMES[0], [" "], *NAMES[2:]], {}),
    "a word among lists": ("row 1 is 'sea', not a list", [NAMES[0], "sea", *NAMES[2:]], {}),
    "a name that is not known": (
        "row 0: label 'gras': unknown; did you mean 'grass'?",
        [["gras"], *NAMES[1:]],
        {"class_names": LABELS},
    ),
    "names of other columns": ("3 names for 4 columns", SETS, {"class_names": LABELS[:3]}),
    "one name for two columns": ("two labels have the same name", SETS, {"class_names": ["a", "a", "b", "c"]}),
    "a mapping": ("give a list of their names", SETS, {"class_names": {0: "a"}}),
    "rows of lists that differ": ("differ in length", [[0, 1], [1], *[[1, 1]] * 4], {}),
    "all the same": ("all scenes of the gallery have the same labels", np.ones((6, 3)), {}),
    "nothing shared": ("no query shares a label", np.eye(6), {}),
    "cut-offs": ("k and hits", SETS, {"k": (5,)}),
    "a metric of one label": ("metric 'P@5': not one for several labels per scene", SETS, {"metrics": ["P@5"]}),
    "an unknown relevance": ("metric 'mAP(half)'", SETS, {"metrics": ["mAP(half)"]}),
    "a cut-off of 0": ("metric 'ACG@0'", SETS, {"metrics": ["ACG@0"]}),
    "no metric": ("none given", SETS, {"metrics": []}),
    "a string": ("is one string", SETS, {"metrics": "WAP"}),
    "another gallery": (
        "gallery_labels: 3 columns, but labels have 4",
        SETS,
        {"gallery": ROWS, "gallery_labels": SETS[:, :3]},
    ),
    "names for a matrix": (
        "a matrix goes with a matrix",
        SETS,
        {"gallery": ROWS, "gallery_labels": NAMES},
    ),
    "classes of the gallery": ("gallery_labels", SETS, {"gallery": ROWS, "gallery_labels": [0, 1, 2, 0, 1, 2]}),
}


@pytest.mark.parametrize(("words", "labels", "options"), REFUSED.values(), ids=REFUSED)
def test_bad_labels_are_named(words: str, labels: Any, options: dict[str, Any]) -> None:
    assert words in message(lambda: score(ROWS, labels, **options))


@pytest.mark.parametrize("name", ["mAP(any)", "nDCG@10(g)", "ACG@100", "WAP"])
def test_metrics_of_several_labels_need_several_labels(name: str) -> None:
    text = message(lambda: score(ROWS, [0, 0, 1, 1, 2, 2], metrics=[name]))
    assert re.search(f"metric '{re.escape(name)}': .*several labels per scene", text)


def test_a_cutoff_beyond_the_gallery_takes_no_memory_and_is_the_whole_gallery() -> None:
    rng = np.random.default_rng(0)
    rows, members = rng.normal(size=(12, 4)), np.eye(6, dtype=int)[np.arange(12) % 6]
    members[:, 0] = 1
    for codes in (False, True):
        given = (rows > 0).astype(np.uint8) if codes else rows
        for large, whole in (
            ("nDCG@999999999(g)", "nDCG@11(g)"),
            ("nDCG@999999999(2^g-1)", "nDCG@11(2^g-1)"),
            ("mAP@999999999(equal)", "mAP(equal)"),
            ("WAP@999999999h", "WAP@11h"),
        ):
            found = score(given, members, codes=codes, metrics=[large, whole])
            assert found.overall[large] == pytest.approx(found.overall[whole], abs=1e-12)
            assert found.chance[large] == pytest.approx(found.chance[whole], abs=1e-12)
            assert found.oracle[large] == pytest.approx(found.oracle[whole], abs=1e-12)
        gains = score(given, members, codes=codes, metrics=["ACG@999999999", "ACG@11"])
        assert gains.overall["ACG@999999999"] == pytest.approx(gains.overall["ACG@11"] * 11 / 999999999)
