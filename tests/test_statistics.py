"""Intervals, comparisons and marks: small cases by hand, and their error rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard.statistics import (
    compare,
    compare_over_targets,
    holm,
    interval,
    not_worse_than_best,
)

CLASS_COUNTS = (7, 19, 45)  # those of RSSCN7, WHU-RS19 and NWPU-RESISC45
RUNS = 1000


def runs(
    rng: np.random.Generator, classes: np.ndarray, seeds: int, seed_sd: float = 0.05, sd: float = 0.1
) -> np.ndarray:
    """(seeds, classes) scores of a method from 0 to 1: class, seed and seed x class effects on the logit scale."""
    by_seed = rng.normal(0, seed_sd, (seeds, 1))
    return expit(classes + by_seed + rng.normal(0, sd, (seeds, len(classes))))


def share(outcomes: list[bool]) -> float:
    return float(np.mean(outcomes))


# --- intervals ---


@pytest.mark.parametrize("classes", CLASS_COUNTS)
@pytest.mark.parametrize("seeds", [1, 5])
def test_intervals_cover(classes: int, seeds: int) -> None:
    """Skewed class effects as large as those of real datasets; a network differs little from the mean of many."""
    rng = np.random.default_rng(classes)
    truth = float(expit(rng.normal(0.5, 0.9, 10**6)).mean())
    covered = []
    for _ in range(RUNS):
        found = interval(runs(rng, rng.normal(0.5, 0.9, classes), seeds, seed_sd=0.03))
        covered.append(found.low <= truth <= found.high)
    assert 0.925 <= share(covered) <= 0.97


def test_intervals_cover_where_seeds_matter_as_much_as_classes() -> None:
    rng = np.random.default_rng(0)
    truth = float(expit(rng.normal(0.5, np.sqrt(0.3**2 + 0.2**2 + 0.2**2), 10**6)).mean())
    covered = []
    for _ in range(RUNS):
        found = interval(runs(rng, rng.normal(0.5, 0.3, 19), 5, seed_sd=0.2, sd=0.2))
        covered.append(found.low <= truth <= found.high)
    assert 0.925 <= share(covered) <= 0.98


def test_percentile_bootstrap_over_classes_covers_too_little() -> None:
    """Why the interval is not that one."""
    rng = np.random.default_rng(0)
    truth = float(expit(rng.normal(0.5, 0.9, 10**6)).mean())
    covered = []
    for _ in range(RUNS):
        values = expit(rng.normal(0.5, 0.9, 7))
        low, high = np.quantile(values[rng.integers(0, 7, (500, 7))].mean(axis=1), [0.025, 0.975])
        covered.append(low <= truth <= high)
    assert share(covered) < 0.91


def test_interval_of_one_seed_is_the_t_interval_over_classes() -> None:
    values = np.array([0.2, 0.5, 0.9, 0.6])
    found = interval(values)
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert (found.seeds, found.classes) == (1, 4)


def test_interval_is_centred_on_the_mean_over_queries() -> None:
    found = interval([[0.2, 0.6], [0.4, 0.8]], weights=[30, 10])
    assert found.mean == pytest.approx(0.75 * 0.3 + 0.25 * 0.7)
    assert interval([[0.2, 0.6]], weights=[5, 5]) == interval([[0.2, 0.6]])


@pytest.mark.parametrize("weights", [[4, 2, 2, 1, 1, 1, 1], [10, 1, 1, 1, 1], [20, 1, 1, 1, 1, 1, 1]])
def test_intervals_cover_where_one_class_has_most_queries(weights: list[int]) -> None:
    """Deviations from the weighted mean would cover .87, .72 and .54: the mean follows the class that dominates it."""
    rng = np.random.default_rng(len(weights) + weights[0])
    one, apart = [], []
    for _ in range(RUNS):
        found = interval(runs(rng, rng.normal(0, 0.9, len(weights)), 5, seed_sd=0.03), weights)
        one.append(found.low <= 0.5 <= found.high)
        classes = rng.normal(0, 0.1, len(weights))
        tables = [scale * classes + rng.normal(0, 0.05, (5, len(weights))) for scale in (1, 0)]
        compared = compare_over_targets([tables[0]], [tables[1]], [weights])
        assert compared.low is not None
        assert compared.high is not None
        apart.append(compared.low <= 0 <= compared.high)
    assert 0.91 <= share(one) <= 0.995  # scores from 0 to 1 have no tails
    assert 0.91 <= share(apart) <= 0.99


# --- comparisons ---


@pytest.mark.parametrize("classes", CLASS_COUNTS)
@pytest.mark.parametrize(("seed_sd", "sd"), [(0.03, 0.1), (0.1, 0.1), (0.0, 0.1), (0.05, 0.3)])
def test_other_seeds_of_one_method_are_called_different_in_at_most_five_percent(
    classes: int, seed_sd: float, sd: float
) -> None:
    rng = np.random.default_rng(classes)
    alarms = []
    for _ in range(RUNS):
        effects = rng.normal(0.5, 0.9, classes)
        p = compare(runs(rng, effects, 5, seed_sd, sd), runs(rng, effects, 5, seed_sd, sd)).p
        alarms.append(p is not None and p < 0.05)
    assert 0.015 <= share(alarms) <= 0.07


@pytest.mark.parametrize(("classes", "apart"), [(19, 0.3), (7, 0.3), (7, 0.15), (7, 0.08)])
def test_methods_that_merely_suit_different_classes_are_called_different_in_five_percent(
    classes: int, apart: float
) -> None:
    """With seven classes, differences of .08 to .15 are too small to be significant and large enough to matter."""
    rng = np.random.default_rng(0)
    alarms = []
    for _ in range(RUNS):
        effects = rng.normal(0.5, 0.5, classes)
        other = effects + rng.normal(0, apart, classes)
        p = compare(runs(rng, effects, 5), runs(rng, other, 5)).p
        alarms.append(p is not None and p < 0.05)
    assert 0.025 <= share(alarms) <= 0.075


def test_a_better_method_is_found() -> None:
    """A tenth of a logit is about .023 of mAP, twice the standard deviation of a seed's mean here."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        effects = rng.normal(0.5, 0.9, 19)
        comparison = compare(runs(rng, effects + 0.1, 5, 0.03), runs(rng, effects, 5, 0.03))
        found.append(comparison.p is not None and comparison.p < 0.05 and comparison.difference > 0)
    assert share(found) > 0.85


def test_t_test_over_classes_or_queries_would_call_seeds_methods() -> None:
    """Why neither classes nor queries are the unit: five seeds of one method, two at a time."""
    rng = np.random.default_rng(0)
    by_class, by_query = [], []
    for _ in range(200):
        effects = rng.normal(0.5, 0.9, 45)
        first, second = runs(rng, effects, 1, 0.05)[0], runs(rng, effects, 1, 0.05)[0]
        by_class.append(stats.ttest_rel(first, second).pvalue < 0.05)
        noise = rng.normal(0, 0.1, (2, 45 * 40))
        queries = np.repeat(first, 40) + noise[0], np.repeat(second, 40) + noise[1]
        by_query.append(stats.ttest_rel(*queries).pvalue < 0.05)
    assert share(by_class) > 0.15
    assert share(by_query) > 0.3


def test_without_interaction_the_comparison_is_welchs() -> None:
    rng = np.random.default_rng(3)
    classes = rng.normal(size=7)
    a, b = rng.normal(size=(5, 1)) + classes, 0.5 * rng.normal(size=(6, 1)) + classes + 1
    comparison = compare(a, b)
    welch = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    assert comparison.p == pytest.approx(welch.pvalue)
    assert comparison.difference == pytest.approx(a.mean() - b.mean())
    expected = welch.confidence_interval()
    assert (comparison.low, comparison.high) == pytest.approx((expected.low, expected.high))


def test_where_classes_disagree_the_interval_has_their_variance_too() -> None:
    """Two methods without luck: the difference is known as well as that of one class in so many, paired."""
    by_class = np.random.default_rng(4).normal(size=(2, 9))
    a, b = (np.tile(one, (5, 1)) for one in by_class)
    expected = stats.ttest_rel(*by_class).confidence_interval()
    found = compare(a, b)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_holds_zero_where_the_test_finds_nothing() -> None:
    rng = np.random.default_rng(5)
    for shift in np.linspace(0, 0.2, 40):
        effects = rng.normal(0.5, 0.9, 19)
        found = compare(runs(rng, effects + shift, 5), runs(rng, effects, 6))
        assert found.p is not None
        assert found.low is not None
        assert found.high is not None
        assert (found.low <= 0 <= found.high) == (found.p >= 0.05)


# --- over targets ---


def test_over_targets_a_seed_is_one_training() -> None:
    """Without interaction it is Welch's test on the means over targets, in which the luck of a seed is shared."""
    rng = np.random.default_rng(6)
    luck, other = rng.normal(size=(5, 1)), rng.normal(size=(6, 1))
    targets = [rng.normal(size=7), rng.normal(size=30)]
    a, b = [luck + classes for classes in targets], [other + 1 + classes for classes in targets]
    found = compare_over_targets(a, b)
    welch = stats.ttest_ind(luck[:, 0], other[:, 0] + 1, equal_var=False)
    expected = welch.confidence_interval()
    assert found.p == pytest.approx(welch.pvalue)
    assert found.difference == pytest.approx(luck.mean() - other.mean() - 1)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_over_targets_each_counts_alike_and_keeps_its_classes_apart() -> None:
    """Two targets of which one is worse by far, by the same for all its classes, differ by nothing but their mean."""
    rng = np.random.default_rng(7)
    plain = [rng.normal(size=(5, 7)), rng.normal(size=(5, 30))]
    better = [plain[0] + 0.1, plain[1] + 0.5]
    found, level = compare_over_targets(better, plain), compare_over_targets([each + 0.3 for each in plain], plain)
    assert found.difference == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((level.low, level.high))


def test_over_targets_intervals_cover() -> None:
    rng = np.random.default_rng(8)
    covered = []
    for _ in range(RUNS):
        first, second = [], []
        luck = rng.normal(0, 0.05, (2, 5, 1))  # of a training, on every target
        for classes in (7, 19):
            effects, apart = rng.normal(0.5, 0.5, classes), rng.normal(0, 0.2, classes)
            first.append(effects + apart + luck[0] + rng.normal(0, 0.1, (5, classes)))
            second.append(effects + luck[1] + rng.normal(0, 0.1, (5, classes)))
        found = compare_over_targets(first, second)
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= 0 <= found.high)
    assert 0.93 <= share(covered) <= 0.98


def test_fewer_than_five_seeds_are_not_tested() -> None:
    a, b = np.random.default_rng(0).random((5, 7)), np.random.default_rng(1).random((4, 7))
    comparison = compare(a, b)
    assert comparison.p is None
    assert comparison.note == "not tested: 4 of at least 5 seeds"
    assert (comparison.low, comparison.high) == (None, None)
    assert comparison.difference == pytest.approx(a.mean() - b.mean())


def test_identical_scores_do_not_differ() -> None:
    table = np.tile([0.25, 0.5, 0.75], (5, 1))
    assert compare(table, table).p == 1
    assert compare(table, table + 0.125).p == 0
    assert (compare(table, table + 0.125).low, compare(table, table + 0.125).high) == (-0.125, -0.125)


# --- boards ---


def test_holm_equals_its_definition() -> None:
    p = [0.02, 0.3, 0.001, 0.04]
    ordered = [0.001 * 4, 0.02 * 3, max(0.02 * 3, 0.04 * 2), 0.3]
    assert holm(p) == pytest.approx([ordered[1], ordered[3], ordered[0], ordered[2]])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_a_board_of_one_method_leaves_hardly_any_unmarked() -> None:
    rng = np.random.default_rng(0)
    false_claims = []
    for _ in range(150):
        effects = rng.normal(0.5, 0.9, 7)
        marks = not_worse_than_best({str(i): runs(rng, effects, 5) for i in range(8)})
        false_claims.append(not all(marks.values()))
    assert share(false_claims) <= 0.05


def test_marks() -> None:
    rng = np.random.default_rng(0)
    effects = rng.normal(0.5, 0.9, 19)
    board = {
        "good": runs(rng, effects + 1, 5),
        "as good": runs(rng, effects + 1, 5),
        "worse": runs(rng, effects, 5),
        "few seeds": runs(rng, effects + 2, 4),
    }
    assert not_worse_than_best(board) == {"good": True, "as good": True, "worse": False, "few seeds": None}
    assert not_worse_than_best(board, higher_is_better=False) == {
        "good": False,
        "as good": False,
        "worse": True,
        "few seeds": None,
    }
    assert not_worse_than_best({"alone": board["good"]}) == {"alone": True}
    assert not_worse_than_best({"few seeds": board["few seeds"]}) == {"few seeds": None}
    assert not_worse_than_best({}) == {}


# --- input ---


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interval([0.5]), "two classes or more"),
        (lambda: interval([[0.5, np.nan]]), "finite"),
        (lambda: interval([0.5, 0.6], weights=[1, 0]), "positive"),
        (lambda: interval([0.5, 0.6], weights=[1, 2, 3]), "one per class"),
        (lambda: compare(np.ones((5, 3)), np.ones((5, 4))), "on one target"),
        (lambda: compare_over_targets([np.ones((5, 3)), np.ones((6, 3))], [np.ones((5, 3))] * 2), "more seeds"),
    ],
)
def test_bad_input_in_one_line(call, words) -> None:
    with pytest.raises(UserError, match=words):
        call()
