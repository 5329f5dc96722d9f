"""Ties: the exact expectation and the bounds, against every order of the tied scenes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ranking_reference import has_work, metrics_of, near_precision, others, over_all_orders

from rsir_bench.ranking import Scores, score
from rsir_bench.ranking.nearest import nearest

K = (1, 2, 3)


def names_of(hits: int) -> list[str]:
    return list(metrics_of(np.ones(1), K, hits))


def assert_equals_all_orders(scores: Scores, distances: np.ndarray, labels: np.ndarray, hits: int) -> None:
    bounds: dict[str, list[tuple[float, float]]] = {}
    for place, query in enumerate(scores.query_index):
        rest = others(len(labels), query)
        relevance = (labels[rest] == labels[query]).astype(int)
        for name, (mean, least, greatest) in over_all_orders(distances[query][rest], relevance, K, hits).items():
            assert scores.per_query[name][place] == pytest.approx(mean, abs=1e-12), name
            bounds.setdefault(name, []).append((least, greatest))
    for name, pairs in bounds.items():
        least, greatest = np.mean(pairs, axis=0)
        assert scores.lower[name] == pytest.approx(least, abs=1e-12), name
        assert scores.upper[name] == pytest.approx(greatest, abs=1e-12), name


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(3, 7), bits=st.integers(1, 5), hits=st.integers(1, 5))
def test_codes_equal_the_mean_over_all_orders(data: st.DataObject, n: int, bits: int, hits: int) -> None:
    codes = data.draw(arrays.arrays(np.uint8, (n, bits), elements=st.integers(0, 1)))
    labels = data.draw(arrays.arrays(np.int64, n, elements=st.integers(0, 2)))
    assume(has_work(labels))
    distances = (codes[:, None] != codes[None]).sum(axis=2)
    scores = score(codes, labels, codes=True, metrics=[*names_of(hits), "P@H2"])
    assert_equals_all_orders(scores, distances, labels, hits)
    near = [
        near_precision(distances[query][rest], labels[rest] == labels[query], 2)
        for query in scores.query_index
        if len(rest := others(n, query))
    ]
    assert scores.per_query["P@H2"] == pytest.approx(near, abs=1e-12)
    assert scores.lower["P@H2"] == scores.upper["P@H2"] == scores.overall["P@H2"]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    n=st.integers(3, 7),
    hits=st.integers(1, 5),
    similarity=st.sampled_from(["pearson", "cosine", "inner product", "euclidean"]),
)
def test_duplicate_and_constant_rows_equal_the_mean_over_all_orders(
    data: st.DataObject, n: int, hits: int, similarity: str
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    distinct = rng.normal(size=(3, 37)).astype(np.float32)
    distinct = np.vstack([distinct, np.full((1, 37), 0.1), np.zeros((2, 37))]).astype(np.float32)
    kinds = data.draw(arrays.arrays(np.int64, n, elements=st.integers(0, 5)))
    labels = data.draw(arrays.arrays(np.int64, n, elements=st.integers(0, 2)))
    assume(has_work(labels))
    distances = plain_distances(distinct.astype(np.float64), similarity)[np.ix_(kinds, kinds)]
    scores = score(distinct[kinds], labels, similarity=similarity, metrics=names_of(hits))
    assert_equals_all_orders(scores, distances, labels, hits)
    constant = {"pearson": kinds >= 3, "cosine": kinds >= 4}.get(similarity, np.zeros(n, bool))
    assert scores.constant == constant.sum()


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_equal_euclidean_distances_of_whole_numbers_are_ties(dtype: type[np.generic]) -> None:
    rows, labels = np.array([[0], [1], [2], [10], [20]], dtype), np.array([0, 0, 1, 1, 0])  # their mean is 6.6
    scores = score(rows, labels, similarity="euclidean", metrics=names_of(2))
    assert_equals_all_orders(scores, plain_distances(rows.astype(np.float64), "euclidean"), labels, 2)


def test_neither_blocks_nor_a_separate_gallery_break_ties_of_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    counts, labels = rng.integers(0, 4, (300, 8)), rng.integers(0, 6, 300)
    whole, single = (score(counts, labels, similarity="euclidean", block=block) for block in (None, 1))
    apart = score(
        counts, labels, similarity="euclidean", gallery=counts, gallery_labels=labels, own=np.arange(len(counts))
    )
    assert whole.overall == single.overall == apart.overall
    assert (whole.lower, whole.upper) == (single.lower, single.upper) == (apart.lower, apart.upper)
    assert nearest(counts, 299, "euclidean")[1].tolist() == [
        [row for _, row in sorted((float(((counts[row] - one) ** 2).sum()), row) for row in range(300) if row != at)]
        for at, one in enumerate(counts)
    ]


def plain_distances(rows: np.ndarray, similarity: str) -> np.ndarray:
    if similarity == "euclidean":
        return np.linalg.norm(rows[:, None] - rows[None], axis=2)
    if similarity != "inner product":
        rows = rows - rows.mean(axis=1, keepdims=True) if similarity == "pearson" else rows.copy()
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.where(lengths > 1e-12, rows / np.maximum(lengths, 1e-12), 0)
    return -np.round(rows @ rows.T, 9)


def test_constant_scorer_scores_chance() -> None:
    labels = np.repeat(np.arange(4), 25)
    scores = score(np.ones((100, 8), np.float32), labels, k=(5, 50))
    chance = 24 / 99
    assert scores.constant == 100
    assert scores.overall["P@5"] == pytest.approx(chance)
    assert scores.overall["P@50"] == pytest.approx(chance)
    assert scores.overall["R-precision"] == pytest.approx(chance)
    assert scores.lower["mAP"] < chance < scores.overall["mAP"] < scores.upper["mAP"] == pytest.approx(1)
    assert scores.lower["P@5"] == 0


@pytest.mark.parametrize("block", [None, 7])
def test_every_twin_is_tied_whatever_the_blocks_of_the_product(block: int | None) -> None:
    """Each row twice, in two classes: P@2 depends on the order of the nearest pair if one of the two is a positive."""
    rng = np.random.default_rng(0)
    rows, classes = rng.normal(size=(600, 65)).astype(np.float32), rng.integers(0, 3, 600)
    rows[:, 3] = 0
    twins, labels = np.vstack([rows, rows]), np.concatenate([classes, (classes + 1) % 3])
    twins[600:, 3] = -0.0  # the same value in other bytes
    unit = rows.astype(np.float64) / np.linalg.norm(rows, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    nearest = similarity.argmax(axis=1)
    one_of_two = [
        (classes[nearest] == own) != ((classes[nearest] + 1) % 3 == own) for own in (classes, (classes + 1) % 3)
    ]
    scores = score(twins, labels, similarity="cosine", k=(2,), block=block)
    assert scores.upper["P@2"] - scores.lower["P@2"] == pytest.approx(np.mean(one_of_two) / 2, abs=1e-12)


@pytest.mark.parametrize("codes", [False, True])
def test_order_of_the_gallery_does_not_matter(codes: bool) -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2, (120, 6)) if codes else rng.normal(size=(120, 6))[rng.integers(0, 40, 120)]
    labels, order = rng.integers(0, 4, 120), rng.permutation(120)
    scores, shuffled = score(rows, labels, codes=codes), score(rows[order], labels[order], codes=codes)
    for name, values in scores.per_query.items():
        assert shuffled.per_query[name] == pytest.approx(values[order], abs=1e-12), name
    assert scores.lower == pytest.approx(shuffled.lower)
    assert scores.upper == pytest.approx(shuffled.upper)


def test_bounds_enclose_what_any_file_order_gives() -> None:
    rng = np.random.default_rng(2)
    codes, labels = rng.integers(0, 2, (200, 16)), np.repeat(np.arange(8), 25)
    scores = score(codes, labels, codes=True)
    for seed in range(5):
        broken = codes + np.random.default_rng(seed).uniform(0, 1e-6, codes.shape)  # ties broken at random
        values = score(broken, labels, similarity="euclidean").overall
        for name, value in values.items():
            assert scores.lower[name] <= value <= scores.upper[name]
            assert value == pytest.approx(scores.overall[name], abs=0.02)


def test_precision_recall_of_ties_counts_positives_at_their_expected_rank() -> None:
    codes, labels = np.array([[0], [1], [1], [1]]), np.array([0, 0, 1, 1])
    scores = score(codes, labels, codes=True, queries=[0])  # one positive tied with two others: expected rank 2
    assert scores.precision_recall() == [(level / 10, 0.5) for level in range(11)]
