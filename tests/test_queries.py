from __future__ import annotations

import numpy as np
import pytest

from rsir_bench.ranking.queries import choose_queries

COUNTS = [1, 4, 5, 9, 10, 99, 100, 800]


@pytest.fixture
def labels() -> np.ndarray:
    """Classes of the given sizes, shuffled."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))


def test_all_scenes_are_queries(labels):
    assert choose_queries(labels, "all", 0) is None


def test_a_fifth_of_each_class_rounded_down(labels):
    queries = choose_queries(labels, "fifth", 0)
    assert np.bincount(labels[queries], minlength=len(COUNTS)).tolist() == [0, 0, 1, 1, 2, 19, 20, 160]


def test_no_class_loses_a_query_to_binary_fractions():
    sizes = np.arange(0, 1500, 35)  # multiples of five, where .2 n is a whole number
    labels = np.repeat(np.arange(len(sizes)), sizes)
    queries = choose_queries(labels, "fifth", 0)
    assert np.bincount(labels[queries], minlength=len(sizes)).tolist() == (sizes // 5).tolist()


def test_queries_are_sorted_different_and_in_range(labels):
    queries = choose_queries(labels, "fifth", 3)
    assert (np.diff(queries) > 0).all()
    assert queries.min() >= 0
    assert queries.max() < len(labels)
    assert np.issubdtype(queries.dtype, np.integer)


def test_the_seed_chooses(labels):
    first, again, other = (choose_queries(labels, "fifth", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_not_simply_the_first_scenes():
    queries = choose_queries(np.zeros(100, np.int64), "fifth", 0)
    assert queries.tolist() != list(range(20))


def test_classes_without_a_query_leave_none():
    assert choose_queries(np.array([0, 0, 1]), "fifth", 0).tolist() == []
