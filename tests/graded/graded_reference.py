"""Slow, plain definitions of the graded metrics to test the scorer against: every order of tied scenes, one by one."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

NAMES = (
    "mAP(any)",
    "mAP(jaccard)",
    "mAP(equal)",
    "mAP@2(any)",
    "mAP@3(jaccard)",
    "nDCG@3(g)",
    "nDCG@2(2^g-1)",
    "nDCG@100(g)",
    "ACG@1",
    "ACG@3",
    "ACG@100",
    "WAP",
    "WAP@1h",
    "WAP@3h",
    "WAP@100h",
)


def metrics_of(gains: np.ndarray, relevance: dict[str, np.ndarray]) -> dict[str, float]:
    """All metrics of one ranking without ties, given the gain and the kinds of relevance (0/1) at each rank."""
    found = {}
    for name in NAMES:
        head, _, argument = name.rstrip(")").partition("(")
        kind, _, cutoff = head.partition("@")
        k = int(cutoff.rstrip("h")) if cutoff else len(gains)
        if kind == "mAP":
            found[name] = average_precision(relevance[argument], k)
        elif kind == "nDCG":
            gained = gains if argument == "g" else 2.0**gains - 1
            found[name] = discounted(gained, k) / discounted(np.sort(gained)[::-1], k)
        elif kind == "ACG":
            found[name] = gains[:k].sum() / k
        else:
            found[name] = weighted_precision(gains, k, hits="@" in head)
    return found


def average_precision(relevance: np.ndarray, k: int) -> float:
    relevant = relevance.sum()
    precision = np.cumsum(relevance) / np.arange(1, len(relevance) + 1)
    return (precision * relevance)[:k].sum() / min(k, relevant) if relevant else np.nan


def discounted(gains: np.ndarray, k: int) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2)))[:k].sum())


def weighted_precision(gains: np.ndarray, k: int, hits: bool) -> float:
    relevance = (gains > 0).astype(int)
    acg = np.cumsum(gains) / np.arange(1, len(gains) + 1)
    divisor = relevance[:k].sum() if hits else relevance.sum()
    return (acg * relevance)[:k].sum() / divisor if divisor else 0.0


def over_all_orders(
    distances: np.ndarray, gains: np.ndarray, relevance: dict[str, np.ndarray]
) -> dict[str, tuple[float, float, float]]:
    """Mean, least and greatest value of each metric over all orders of tied scenes."""
    groups = [np.flatnonzero(distances == value) for value in np.unique(distances)]
    values = []
    for parts in product(*(list(permutations(group)) for group in groups)):
        order = np.concatenate([np.array(part, int) for part in parts])
        values.append(metrics_of(gains[order], {name: kind[order] for name, kind in relevance.items()}))
    return {
        name: (
            float(np.mean([value[name] for value in values])),
            min(value[name] for value in values),
            max(value[name] for value in values),
        )
        for name in NAMES
    }


def relevance_of(query: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The gain of other scenes, and whether each is relevant, from label sets (L,) and (N, L) of 0 and 1."""
    shared, either = (query & others).sum(axis=1, dtype=int), (query | others).sum(axis=1, dtype=int)
    kinds = {"any": shared > 0, "jaccard": shared / either >= 0.5, "equal": (query == others).all(axis=1)}
    return shared, {name: kind.astype(int) for name, kind in kinds.items()}
