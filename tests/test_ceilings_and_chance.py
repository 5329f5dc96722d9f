"""What the sizes of a dataset's classes alone say of every metric: the best possible value, and that of no ranking.

The values expected here are computed from the sizes, by no code of the scorer. A query that counts as its own hit, a
denominator that is not the one of the name, or a gallery that is one scene too large moves them.
"""

from __future__ import annotations

import math
import re
from functools import cache

import numpy as np
import pytest

from rsir_bench.ranking import Scores, score
from rsir_bench.ranking.names import FORMULAS, OF_CODES
from rsir_bench.scenes.card import load_cards

CARDS = {name: card for name, card in load_cards().items() if card.labels is None}
CUTOFFS = (1, 10, 100)
WHOLE = [formula for formula in FORMULAS if "@k" not in formula]
NAMES = [*WHOLE, *(name.replace("@k", f"@{k}") for name in FORMULAS if "@k" in name for k in CUTOFFS)]
BITS = 8


def discounts(k: int) -> float:
    return sum(1 / math.log2(rank + 1) for rank in range(1, k + 1))


def cut(name: str) -> tuple[str, int]:
    """``("mAP@k/R", 100)`` for ``"mAP@100/R"``."""
    found = re.fullmatch(r"(.+@)(\d+)(.*)", name)
    return (f"{found[1]}k{found[3]}", int(found[2])) if found else (name, 0)


def ceiling(name: str, relevant: int) -> float:
    """The value of a ranking with all positives first."""
    formula, k = cut(name)
    if formula == "P@k":
        return min(k, relevant) / k
    if formula in ("recall@k", "mAP@k/R"):
        return min(k, relevant) / relevant
    return 0.0 if formula == "ANMRR" else 1.0


@cache
def chance(name: str, relevant: int, scenes: int) -> float:
    """The mean over all orders of a gallery with so many positives among its scenes."""
    formula, k = cut(name)
    share = relevant / scenes
    inside = min(k, scenes)
    if formula in ("R-precision", "P@H2"):  # the ball around equal codes holds everything
        return share
    if formula == "P@k":
        return share * inside / k
    if formula == "recall@k":
        return inside / scenes
    if formula == "hit@k":
        return 1 - math.comb(scenes - relevant, inside) / math.comb(scenes, inside)
    if formula == "nDCG@k":
        return share * discounts(inside) / discounts(min(k, relevant))
    if formula == "MRR":
        return mean_reciprocal(relevant, scenes)
    if formula == "ANMRR":
        return mean_nmrr(relevant, scenes)
    if formula in ("AP@kh", "mAP@kh"):
        return mean_over_hits(inside, relevant, scenes)
    cutoff = {"mAP": scenes, "mAP@R": relevant}.get(formula, inside)
    return summed_precision(cutoff, relevant, scenes) / (min(k, relevant) if formula == "mAP@k" else relevant)


def summed_precision(places: int, relevant: int, scenes: int) -> float:
    """The sum of P(i) rel_i over the first places: at each, a positive, and before it as many as is usual."""
    others = (relevant - 1) / max(scenes - 1, 1)
    return relevant / scenes * sum((1 + (place - 1) * others) / place for place in range(1, places + 1))


def mean_reciprocal(relevant: int, scenes: int) -> float:
    none = np.cumprod(1 - relevant / np.arange(scenes, relevant, -1.0))
    at_place = -np.diff(np.concatenate([[1.0], none, [0.0]]))[: scenes - relevant + 1]
    return float((at_place / np.arange(1, len(at_place) + 1)).sum())


def mean_nmrr(relevant: int, scenes: int) -> float:
    window, ideal = min(2 * relevant, scenes), (1 + relevant) / 2
    rank = (sum(range(1, window + 1)) + (scenes - window) * 2.5 * relevant) / scenes
    return (rank - ideal) / (2.5 * relevant - ideal)


def mean_over_hits(places: int, relevant: int, scenes: int) -> float:
    """Of as many hits as the first places may hold, their usual precision."""
    total = math.comb(scenes, places)
    return sum(
        math.comb(relevant, hits) * math.comb(scenes - relevant, places - hits) / total
        * summed_precision(places, hits, places) / hits
        for hits in range(1, min(places, relevant) + 1)
    )  # fmt: skip


def descriptors(kind: str, labels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Scenes at one of some points each: real vectors, or codes more than two bits apart."""
    if kind == "real":
        return np.random.default_rng(0).normal(size=(points.max() + 1, 6)).astype(np.float32)[points]
    return np.repeat((points[:, None] >> np.arange(BITS)) & 1, 3, axis=1)


def scored(kind: str, rows: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> Scores:
    names = [name for name in NAMES if kind == "code" or name not in OF_CODES]
    return score(rows, labels, codes=kind == "code", queries=queries, metrics=names)


@pytest.mark.parametrize("kind", ["real", "code"])
@pytest.mark.parametrize("dataset", CARDS)
def test_perfect_equal_and_random_descriptors(dataset: str, kind: str) -> None:
    sizes = np.array([one.scenes for one in CARDS[dataset].classes])
    labels = np.repeat(np.arange(len(sizes)), sizes)
    different = np.unique(sizes, return_index=True)[1]  # classes; queries of equally large ones have the same values
    first = (np.cumsum(sizes) - sizes)[different]
    relevant, scenes = sizes[different] - 1, len(labels) - 1

    perfect = scored(kind, descriptors(kind, labels, labels), labels, first)
    equal = scored(kind, descriptors(kind, labels, np.zeros_like(labels)), labels, first)
    for name, values in perfect.per_query.items():
        assert values == pytest.approx([ceiling(name, r) for r in relevant], abs=1e-9), name
        assert perfect.lower[name] == pytest.approx(perfect.upper[name], abs=1e-9), name
        expected = [chance(name, int(r), scenes) for r in relevant]
        assert equal.per_query[name] == pytest.approx(expected, abs=1e-9), name
    assert equal.chance == pytest.approx(np.mean([chance("mAP", int(r), scenes) for r in relevant]), abs=1e-9)

    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(labels), 4)) if kind == "real" else rng.integers(0, 2, (len(labels), BITS))
    some = np.flatnonzero(np.isin(labels, rng.permutation(len(sizes))[:6]))
    random = scored(kind, noise, labels, rng.choice(some, min(200, len(some)), replace=False))
    for name, values in random.per_query.items():
        usual = np.mean([chance(name, int(sizes[labels[query]] - 1), scenes) for query in random.query_index])
        error = (values.std() + 0.1) / len(values) ** 0.5  # the first hit of a few queries may be far from usual
        assert abs(values.mean() - usual) <= 4 * error, name


def test_what_the_sizes_of_rs19_allow() -> None:
    """P@100 cannot reach 1 where classes have 50 to 61 scenes."""
    sizes = [one.scenes for one in CARDS["rs19"].classes]
    assert max(ceiling("P@100", size - 1) for size in sizes) == 0.6
    assert [ceiling("recall@10", r) for r in (49, 60)] == [10 / 49, 10 / 60]
    assert chance("hit@1", 49, 1012) == pytest.approx(49 / 1012)
    assert chance("mAP", 1, 3) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert {cut(name)[0] for name in NAMES} == {*FORMULAS}


def test_a_perfect_ranking_is_never_above_1() -> None:
    """Sums of discounts and of precisions round: they came to 1 + 2e-16, which no record may hold."""
    for relevant in range(1, 90):
        labels = np.arange(2 * (relevant + 1)) % 2
        scores = score(np.eye(2)[labels], labels, metrics=["nDCG@100", "mAP", "mAP@R", "AP@10h", "mAP@100/R"])
        assert set(scores.overall.values()) | set(scores.upper.values()) == {1.0}
    suffixes = ["1100", "0011", "1010", "0101", "1001", "0110"]
    codes = [[int(bit) for bit in 8 * prefix + suffix] for prefix in "01" for suffix in suffixes]
    found = score(codes, list("aaaaaabbbbbb"), codes=True)
    assert max(*found.overall.values(), *found.upper.values(), *found.per_class["a"].values()) == 1
