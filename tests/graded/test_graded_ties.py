"""Graded metrics under ties: expectation, bounds, chance and oracle, against every order of the tied scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from graded_reference import NAMES, metrics_of, over_all_orders, relevance_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ranking_reference import others

from rsir_bench.ranking import GradedScores, score

Scenes = tuple[np.ndarray, np.ndarray]
COUNTED = [name for name in NAMES if not name.endswith("h")]
"""Those that follow from the number of scenes at each distance; with others, codes are sorted like any descriptors."""


@st.composite
def scenes_with_labels(draw: st.DrawFn, most: int = 6) -> Scenes:
    """Codes (N, bits) with many ties, and label sets (N, L), none empty, not all the same, two of which meet."""
    n, bits, labels = draw(st.integers(3, most)), draw(st.integers(1, 3)), draw(st.integers(2, 5))
    codes = draw(arrays.arrays(np.uint8, (n, bits), elements=st.integers(0, 1)))
    sets = draw(arrays.arrays(np.uint8, (n, labels), elements=st.integers(0, 1)))
    sets[~sets.any(axis=1), 0] = 1
    assume(len(np.unique(sets, axis=0)) > 1)
    shared = sets @ sets.T
    np.fill_diagonal(shared, 0)
    assume(shared.any())
    return codes, sets


def assert_equals_all_orders(scores: GradedScores, distances: np.ndarray, sets: np.ndarray) -> None:
    bounds: dict[str, list[tuple[float, float]]] = {name: [] for name in scores.per_query}
    chances: dict[str, list[float]] = {name: [] for name in scores.per_query}
    for place, query in enumerate(scores.query_index):
        rest = others(len(sets), query)
        gains, relevance = relevance_of(sets[query], sets[rest])
        in_all_orders = over_all_orders(distances[query][rest], gains, relevance)
        for name in bounds:
            mean, least, greatest = in_all_orders[name]
            assert scores.per_query[name][place] == pytest.approx(mean, abs=1e-9, nan_ok=True), name
            bounds[name].append((least, greatest))
        in_any_order = over_all_orders(np.zeros(len(rest)), gains, relevance)
        for name in bounds:
            chances[name].append(in_any_order[name][0])
    for name, pairs in bounds.items():
        values = [pair for pair in pairs if not np.isnan(pair[0])]
        if not values:
            assert name not in scores.overall
            continue
        least, greatest = np.mean(values, axis=0)
        assert scores.lower[name] == pytest.approx(least, abs=1e-9), name
        assert scores.upper[name] == pytest.approx(greatest, abs=1e-9), name
        assert scores.chance[name] == pytest.approx(np.nanmean(chances[name]), abs=1e-9), name
        assert scores.without[name] == len(pairs) - len(values)


@settings(max_examples=25, deadline=None)
@given(scenes_with_labels(), st.sampled_from([COUNTED, NAMES]))
def test_codes_equal_the_mean_over_all_orders(scenes: Scenes, names: Sequence[str]) -> None:
    codes, sets = scenes
    distances = (codes[:, None] != codes[None]).sum(axis=2)
    assert_equals_all_orders(score(codes, sets, codes=True, metrics=names), distances, sets)


@pytest.mark.nightly
@settings(max_examples=500, deadline=None)
@given(scenes_with_labels(most=7), st.sampled_from([COUNTED, NAMES]))
def test_at_length_codes_equal_the_mean_over_all_orders(scenes: Scenes, names: Sequence[str]) -> None:
    codes, sets = scenes
    distances = (codes[:, None] != codes[None]).sum(axis=2)
    assert_equals_all_orders(score(codes, sets, codes=True, metrics=names), distances, sets)


@settings(max_examples=25, deadline=None)
@given(scenes_with_labels(), st.sampled_from(["float32", "float64"]), st.integers(0, 2**32))
def test_real_descriptors_with_duplicates_equal_the_mean_over_all_orders(scenes: Scenes, dtype: str, seed: int) -> None:
    codes, sets = scenes
    kinds = codes @ (1 << np.arange(codes.shape[1]))
    distinct = np.random.default_rng(seed).normal(size=(8, 5)).astype(dtype)
    distinct[7] = 0  # no direction: similarity 0 to all
    unit = distinct / np.linalg.norm(distinct, axis=1, keepdims=True).clip(1e-30)
    distances = -np.round((unit @ unit.T).astype(float), 5)[np.ix_(kinds, kinds)]
    assert_equals_all_orders(score(distinct[kinds], sets, similarity="cosine", metrics=NAMES), distances, sets)


@settings(max_examples=12, deadline=None)
@given(st.data(), st.integers(0, 2**32), st.sampled_from([None, 1, 7]))
def test_counted_codes_equal_sorted_ones(data: st.DataObject, seed: int, block: int | None) -> None:
    """With a separate gallery, scenes to leave out, and codes of several words."""
    rng = np.random.default_rng(seed)
    queries, scenes, bits = 20, 60, data.draw(st.sampled_from([1, 5, 64, 70]))
    codes = rng.integers(0, 2, (queries + scenes, bits))
    sets = rng.random((queries + scenes, 6)) < 0.3
    sets[~sets.any(axis=1), 0] = True
    ignore = rng.integers(-1, scenes, (queries, 3)) if data.draw(st.booleans()) else None
    given_codes = {"gallery": codes[queries:], "gallery_labels": sets[queries:], "ignore": ignore, "block": block}
    counted = score(codes[:queries], sets[:queries], codes=True, metrics=COUNTED, **given_codes)
    ranked = score(codes[:queries], sets[:queries], codes=True, metrics=NAMES, **given_codes)
    for name in COUNTED:
        np.testing.assert_allclose(counted.per_query[name], ranked.per_query[name], atol=1e-9)
    for found in ("lower", "upper", "chance", "oracle", "without"):
        expected = {name: getattr(ranked, found)[name] for name in getattr(counted, found)}
        assert getattr(counted, found) == pytest.approx(expected, abs=1e-9)


def ideal(gains: np.ndarray, relevance: dict[str, np.ndarray], name: str) -> float:
    """The value of the ranking by the relevance that a metric counts."""
    key = relevance[name.rstrip(")").partition("(")[2]] if name.startswith("mAP") else gains
    order = np.argsort(-key, kind="stable")
    return metrics_of(gains[order], {kind: values[order] for kind, values in relevance.items()})[name]


@settings(max_examples=30, deadline=None)
@given(scenes_with_labels(most=12))
def test_an_oracle_is_the_ranking_by_relevance_and_nothing_is_above_it(scenes: Scenes) -> None:
    codes, sets = scenes
    scores = score(codes, sets, codes=True, metrics=NAMES)
    for name in scores.overall:
        expected = []
        for query in scores.query_index:
            gains, relevance = relevance_of(sets[query], sets[others(len(sets), query)])
            expected.append(ideal(gains, relevance, name))
        assert scores.oracle[name] == pytest.approx(np.nanmean(expected), abs=1e-9)
        if not name.endswith("h"):  # a ratio
            assert scores.upper[name] <= scores.oracle[name] + 1e-9
            assert scores.chance[name] <= scores.oracle[name] + 1e-9


def test_a_ratio_over_hits_may_exceed_the_ranking_by_relevance() -> None:
    """One hit that shares both labels and nothing else scores 2; the ideal ranking has a second hit of one label."""
    sets = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    scores = score(rows, sets, similarity="euclidean", queries=[0], metrics=["WAP@2h", "WAP"])
    assert scores.overall["WAP@2h"] == 2
    assert scores.oracle["WAP@2h"] == pytest.approx((2 + 3 / 2) / 2)
    assert scores.overall["WAP"] == pytest.approx((2 + 3 / 3) / 2)
    assert scores.overall["WAP"] < scores.oracle["WAP"]


def test_equal_descriptors_score_chance_exactly_and_ideal_ones_the_oracle() -> None:
    rng = np.random.default_rng(0)
    sets = rng.integers(0, 2, (300, 6))
    sets[~sets.any(axis=1), 2] = 1
    flat = score(np.ones((300, 4), np.float32), sets, metrics=NAMES)
    assert flat.overall == pytest.approx(flat.chance, abs=1e-9)
    assert all("descriptors are equal" in doubt for doubt in flat.doubts()[:1])
    ideal_rows = score(sets.astype(float), sets, similarity="inner product", metrics=NAMES)
    for name in ("nDCG@3(g)", "nDCG@2(2^g-1)", "ACG@1", "ACG@3", "WAP", "WAP@3h", "mAP(any)"):
        assert ideal_rows.overall[name] == pytest.approx(ideal_rows.oracle[name], abs=1e-9), name
    assert ideal_rows.overall["mAP(equal)"] < 1  # ranked by shared labels, which is another relevance
    equal = score(sets.astype(float), sets, similarity="euclidean", metrics=["mAP(equal)"])
    assert equal.overall["mAP(equal)"] == pytest.approx(1)


def test_random_descriptors_score_near_chance() -> None:
    rng = np.random.default_rng(1)
    sets = rng.integers(0, 2, (600, 6))
    sets[~sets.any(axis=1), 2] = 1
    scores = score(rng.normal(size=(600, 16)), sets)
    for name, value in scores.overall.items():
        assert value == pytest.approx(scores.chance[name], abs=0.02 * scores.oracle[name]), name
    assert scores.doubts() == [
        f"mAP(any) {scores.overall['mAP(any)']:.4f} is chance: a random order has {scores.chance['mAP(any)']:.4f}"
    ]
