"""Slow, plain definitions to test the scorer against: every order of tied scenes, one by one."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np


def metrics_of(relevance: np.ndarray, k: tuple[int, ...], hits: int) -> dict[str, float]:
    """All metrics of one ranking without ties, given the relevance (0/1) at each rank."""
    relevant, scenes = int(relevance.sum()), len(relevance)
    precision = np.cumsum(relevance) / np.arange(1, scenes + 1) * relevance
    positions = np.flatnonzero(relevance) + 1
    ranks = [rank if rank <= 2 * relevant else 2.5 * relevant for rank in positions]
    ideal = (1 + relevant) / 2
    return {
        "mAP": precision.sum() / relevant,
        f"AP@{hits}h": over_hits(precision, hits),
        **{f"P@{cutoff}": relevance[:cutoff].sum() / cutoff for cutoff in k},
        "mAP@R": precision[:relevant].sum() / relevant,
        "R-precision": relevance[:relevant].sum() / relevant,
        "ANMRR": (np.mean(ranks) - ideal) / (2.5 * relevant - ideal),
        "MRR": 1 / positions[0],
        **{f"recall@{cutoff}": relevance[:cutoff].sum() / relevant for cutoff in k},
        **{f"hit@{cutoff}": float(relevance[:cutoff].any()) for cutoff in k},
        **{f"mAP@{cutoff}": precision[:cutoff].sum() / min(cutoff, relevant) for cutoff in k},
        **{f"mAP@{cutoff}/R": precision[:cutoff].sum() / relevant for cutoff in k},
        **{f"mAP@{cutoff}h": over_hits(precision, cutoff) for cutoff in k},
        **{f"nDCG@{cutoff}": gain(relevance, cutoff) / gain(np.sort(relevance)[::-1], cutoff) for cutoff in k},
    }


def over_hits(precision: np.ndarray, k: int) -> float:
    """The mean of the precision at the hits in the first k ranks; it is 0 elsewhere."""
    return float(precision[:k].sum() / max(1, np.count_nonzero(precision[:k])))


def gain(relevance: np.ndarray, k: int) -> float:
    """Discounted cumulated gain of the first k ranks."""
    return sum(value / np.log2(rank + 1) for rank, value in enumerate(relevance[:k], start=1))


def near_precision(distances: np.ndarray, relevance: np.ndarray, radius: int) -> float:
    """The share of positives among the scenes within a Hamming radius."""
    near = relevance[distances <= radius]
    return float(near.mean()) if len(near) else 0.0


def over_all_orders(
    distances: np.ndarray, relevance: np.ndarray, k: tuple[int, ...], hits: int
) -> dict[str, tuple[float, float, float]]:
    """Mean, least and greatest value of each metric over all orders of tied scenes."""
    groups = [relevance[distances == value] for value in np.unique(distances)]
    orders = product(*(list(permutations(group)) for group in groups))
    values = [metrics_of(np.concatenate(order), k, hits) for order in orders]
    return {
        name: (
            float(np.mean([value[name] for value in values])),
            min(value[name] for value in values),
            max(value[name] for value in values),
        )
        for name in values[0]
    }


def others(n: int, query: int) -> np.ndarray:
    """All indices but the query's."""
    return np.delete(np.arange(n), query)


def has_work(labels: np.ndarray) -> bool:
    """At least two classes, one of them with two scenes: something can be scored."""
    counts = np.unique(labels, return_counts=True)[1]
    return len(counts) > 1 and counts.max() > 1
