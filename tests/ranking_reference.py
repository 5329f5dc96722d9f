"""Slow, plain definitions to test the scorer against: every order of tied scenes, one by one."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np


def metrics_of(relevance: np.ndarray, k: tuple[int, ...], hits: int) -> dict[str, float]:
    """All metrics of one ranking without ties, given the relevance (0/1) at each rank."""
    relevant = int(relevance.sum())
    precision = np.cumsum(relevance) / np.arange(1, len(relevance) + 1)
    found = relevance[:hits].sum()
    ranks = [rank if rank <= 2 * relevant else 2.5 * relevant for rank in np.flatnonzero(relevance) + 1]
    ideal = (1 + relevant) / 2
    return {
        "mAP": (precision * relevance).sum() / relevant,
        f"AP@{hits}h": (precision * relevance)[:hits].sum() / found if found else 0.0,
        **{f"P@{cutoff}": relevance[:cutoff].sum() / cutoff for cutoff in k},
        "mAP@R": (precision * relevance)[:relevant].sum() / relevant,
        "R-precision": relevance[:relevant].sum() / relevant,
        "ANMRR": (np.mean(ranks) - ideal) / (2.5 * relevant - ideal),
    }


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
