"""Sums over tie groups, from which the metrics are made; see ``rsir_bench.ranking.metrics`` for the notation."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from rsir_bench.ranking.ties import PositiveRanks, TieGroups


def harmonic_numbers(n: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the harmonic numbers H(0), ..., H(n), (n + 1,) float64.

    >>> harmonic_numbers(3).tolist()
    [0.0, 1.0, 1.5, 1.8333333333333333]
    """
    terms = 1 / torch.arange(1, n + 1, dtype=torch.float64, device=device)
    return torch.cat([terms.new_zeros(1), terms.cumsum(0)])


def total(ranks: PositiveRanks, single: Tensor, tied: Tensor) -> Tensor:
    """Return the sum of each query in random, worst and best order, (3, S) float64.

    Args:
        ranks: Those of S queries.
        single: (S,) float64, the sum over the positives without ties.
        tied: What each tie group adds, (3, T) or (3, S, G) float64.
    """
    if ranks.grouped:
        return single + tied.sum(dim=2)
    return single.repeat(3, 1).index_add_(1, ranks.groups.query, tied)


def precision_sum(groups: TieGroups, positives: Tensor, size: Tensor, places: Tensor, harmonic: Tensor) -> Tensor:
    """Return the expected sum of P(i) rel_i over the first t places of each group.

    With r positives in random order on n places it is (r/n) sum_{j=1..t} (rb + 1 + (j-1)(r-1)/(n-1)) / (b + j).
    With H the harmonic numbers, sum_j 1/(b+j) is H(b+t) - H(b), and sum_j (j-1)/(b+j) is t - (b+1)(H(b+t) - H(b)).

    Args:
        groups: T tie groups, of shape (..., T).
        positives: (..., T) int64, r.
        size: (..., T) int64, n.
        places: (..., T) int64, t.
        harmonic: (M + 1,) float64, see ``harmonic_numbers``; M is the size of the gallery.

    Returns:
        (..., T) float64.
    """
    reciprocals = harmonic[groups.before + places] - harmonic[groups.before]
    slope = (positives - 1) / (size - 1).clamp(min=1).double()
    rising = places - (groups.before + 1) * reciprocals
    return positives / size.clamp(min=1).double() * ((groups.positives_before + 1) * reciprocals + slope * rising)


def places_inside(groups: TieGroups, cutoff: int) -> Tensor:
    """Return how many places of each group are within the first ``cutoff`` ranks, (..., T) int64."""
    return (cutoff - groups.before).clamp(min=0).minimum(groups.size)


def share(groups: TieGroups) -> Tensor:
    """Return r/n, the probability that a place of the group holds a positive, (..., T) float64 in [0, 1]."""
    return groups.positives / groups.size.clamp(min=1).double()


def hits_within(ranks: PositiveRanks, cutoff: int) -> Tensor:
    """Return the number of positives in the first ``cutoff`` ranks, (3, S) float64."""
    groups = ranks.ordered_groups
    single = (ranks.before[:, :cutoff] < cutoff).sum(dim=1).double()
    return total(ranks, single, share(groups) * places_inside(groups, cutoff))


@lru_cache(maxsize=4)
def log_factorials(n: int, device: torch.device) -> Tensor:
    """Return log 0!, ..., log n!, (n + 1,) float64."""
    return torch.lgamma(torch.arange(1, n + 2, dtype=torch.float64, device=device))


def log_choose(n: Tensor, k: Tensor, logs: Tensor) -> Tensor:
    """Return the logarithm of the binomial coefficient, (...) float64; meaningless where k < 0 or k > n.

    Args:
        n: (...) int64.
        k: (...) int64.
        logs: See ``log_factorials``; up to the greatest n and k.
    """
    k = k.clamp(min=0)
    return logs[n] - logs[k] - logs[(n - k).clamp(min=0)]


def hypergeometric(h: Tensor, groups: TieGroups, places: Tensor) -> Tensor:
    """Return the probability that exactly h positives of each group are on its first ``places`` places.

    Args:
        h: (H,) int64.
        groups: T tie groups, of shape (T, 1).
        places: (T, 1) int64.

    Returns:
        (T, H) float64 in [0, 1].
    """
    misses, negatives = places - h, groups.size - groups.positives
    possible = (groups.positives >= h) & (misses >= 0) & (negatives >= misses)
    most = max(int(numbers.max()) for numbers in (groups.size, places, h))
    logs = log_factorials(1 << most.bit_length(), h.device)  # of few lengths
    chosen = log_choose(groups.positives, h, logs) + log_choose(negatives, misses, logs)
    ways = chosen - log_choose(groups.size, places, logs)
    return torch.where(possible, ways.exp(), 0)
