"""The metrics of retrieval as functions of the ranks of the positives: exact expectations over the orders of tied scenes.

Notation: a query has R positives; rel_i is 1 if the scene at rank i is a positive, P(i) is the precision of the first i
ranks, h_k the number of positives in the first k. A tie group has b scenes before it and n in it, of which rb and r are
positives.

Every metric returns (3, S) float64 for S queries: its expectation over a random order of tied scenes, its value with every
tie group in its worst order, and with every tie group in its best order. The examples score five scenes:

>>> from rsir_bench.ranking.positives import positive_ranks
>>> def ranking(distances, positives):
...     row = torch.tensor([[*distances, torch.inf]], dtype=torch.float64)
...     return positive_ranks(row, torch.tensor([positives], dtype=torch.float64))
>>> plain = ranking([1, 2, 3, 4, 5], [1, 3])  # + - + - -
>>> tied = ranking([1, 2, 2, 4, 5], [1, 2])  # + (+ -) - -, two scenes tied
>>> harmonic = harmonic_numbers(5)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rsir_bench.ranking.positives import PositiveRanks, TieGroups

RECALL_LEVELS = 101


def harmonic_numbers(n: int, device: torch.device | str = "cpu") -> Tensor:
    """(n + 1,) float64: H(0), ..., H(n).

    >>> harmonic_numbers(3).tolist()
    [0.0, 1.0, 1.5, 1.8333333333333333]
    """
    terms = 1 / torch.arange(1, n + 1, dtype=torch.float64, device=device)
    return torch.cat([terms.new_zeros(1), terms.cumsum(0)])


def average_precision(ranks: PositiveRanks, harmonic: Tensor) -> Tensor:
    """AP = (1/R) sum_i P(i) rel_i over the whole ranking; its mean over queries is mAP.

    ``plain``: (1/1 + 2/3) / 2. ``tied``: the second positive is at rank 2 or 3, so (1 + 2/2) / 2 or (1 + 2/3) / 2.

    >>> average_precision(plain, harmonic)[0].tolist()
    [0.8333333333333333]
    >>> average_precision(tied, harmonic).flatten().tolist()
    [0.9166666666666666, 0.8333333333333333, 1.0]
    """

    def in_groups(groups: TieGroups) -> Tensor:
        return precision_sum(groups, groups.positives, groups.size, groups.size, harmonic)

    return over_orders(ranks, ranks.precision.sum(dim=1), in_groups) / ranks.relevant


def average_precision_at_r(ranks: PositiveRanks, harmonic: Tensor) -> Tensor:
    """AP@R = (1/R) sum_{i<=R} P(i) rel_i; its mean over queries is mAP@R (Musgrave et al., ECCV 2020).

    ``plain``: only one positive is within the first R = 2: (1/1) / 2. ``tied``: both are, in half of the orders.

    >>> average_precision_at_r(plain, harmonic)[0].tolist()
    [0.5]
    >>> average_precision_at_r(tied, harmonic).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    cutoff = ranks.relevant

    def in_groups(groups: TieGroups) -> Tensor:
        return precision_sum(groups, groups.positives, groups.size, places_inside(groups, cutoff), harmonic)

    single = (ranks.precision * (ranks.before < cutoff)).sum(dim=1)
    return over_orders(ranks, single, in_groups) / ranks.relevant


def precision_at(ranks: PositiveRanks, k: int) -> Tensor:
    """P@k = h_k / k; k stays the divisor where the gallery holds fewer than k scenes.

    >>> precision_at(plain, 2)[0].tolist()
    [0.5]
    >>> precision_at(tied, 2).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    return hits_within(ranks, k) / k


def r_precision(ranks: PositiveRanks) -> Tensor:
    """R-precision = h_R / R.

    >>> r_precision(plain)[0].tolist()
    [0.5]
    >>> r_precision(tied).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    return hits_within(ranks, ranks.relevant) / ranks.relevant


def nmrr(ranks: PositiveRanks) -> Tensor:
    """Normalised modified retrieval rank, from 0 (perfect) to 1: lower is better; its mean over queries is ANMRR.

    (mean rank - (1 + R)/2) / (1.25 K - (1 + R)/2), where a positive at a rank beyond K = 2 R counts as rank 1.25 K
    (MPEG-7; K = 2 R as in PatternNet, Zhou et al., ISPRS 2018).

    ``plain``: R = 2, K = 4, mean rank (1 + 3)/2: (2 - 1.5) / (5 - 1.5) = 1/7. ``tied``: mean rank 1.75, 2 or 1.5.

    >>> nmrr(plain)[0].tolist()
    [0.14285714285714285]
    >>> nmrr(tied).flatten().tolist()
    [0.07142857142857142, 0.14285714285714285, 0.0]
    """
    window, ideal = 2 * ranks.relevant, (1 + ranks.relevant) / 2
    penalty = 1.25 * window

    def in_groups(groups: TieGroups) -> Tensor:
        inside = places_inside(groups, window)
        saved = inside * (penalty - groups.before) - inside * (inside + 1) / 2.0
        return share(groups) * saved

    single = torch.where(ranks.before < window, penalty - 1 - ranks.before, 0).sum(dim=1)
    mean_rank = penalty - over_orders(ranks, single, in_groups) / ranks.relevant
    return (mean_rank - ideal) / (penalty - ideal)


def average_precision_at_hits(ranks: PositiveRanks, k: int, harmonic: Tensor) -> Tensor:
    """AP@kh = (1/h_k) sum_{i<=k} P(i) rel_i, and 0 where h_k = 0.

    The divisor is random where a tie group crosses rank k: the number h of positives on its t places inside is
    hypergeometric (n, r, t), and given h they add what a group of t scenes with h positives adds. Since the divisor may
    punish an additional hit, "worst" and "best" are the least and the greatest value over all orders here.

    ``plain``, k = 3: (1/1 + 2/3) / 2. A first scene that is no positive, then (+ -), k = 2: (1/2)/1 in half of the orders.

    >>> average_precision_at_hits(plain, 3, harmonic)[0].tolist()
    [0.8333333333333333]
    >>> average_precision_at_hits(ranking([1, 2, 2, 4, 5], [2, 5]), 2, harmonic).flatten().tolist()
    [0.25, 0.0, 0.5]
    """
    near = ranks.groups[ranks.groups.before < k]
    fits = near.before + near.size <= k
    whole, crossing = near[fits], near[~fits]
    inside = ranks.before[:, :k] < k
    single = (ranks.precision[:, :k] * inside).sum(dim=1)
    sums = torch.stack(
        [
            single.index_add(0, g.query, precision_sum(g, g.positives, g.size, g.size, harmonic))
            for g in (whole, whole.worst(), whole.best())
        ]
    )
    hits = inside.sum(dim=1).index_add(0, whole.query, whole.positives).double()
    values = sums / hits.clamp(min=1)
    if len(crossing.query):
        at = crossing.query
        values[:, at] = crossing_average(crossing, k, sums[:, at], hits[at], harmonic)
    return values


def crossing_average(groups: TieGroups, k: int, sums: Tensor, hits: Tensor, harmonic: Tensor) -> Tensor:
    """AP@kh of queries whose tie group crosses rank k: expectation, least and greatest value, (3, T) float64.

    Args:
        groups: the crossing tie group of each of T queries.
        k: the cut-off.
        sums: (3, T) sum of P(i) rel_i before the group: expectation, worst, best.
        hits: (T,) positives before the group.
        harmonic: see `harmonic_numbers`.
    """
    places = places_inside(groups, k)
    values = torch.stack([torch.zeros_like(hits), torch.full_like(hits, torch.inf), torch.full_like(hits, -torch.inf)])
    for h in range(k + 1):
        chance = hypergeometric(h, groups, places)
        held = torch.where(chance > 0, h, 0)
        last = TieGroups(groups.query, groups.before + places - held, held, groups.positives_before, held)
        mixed, late, early = (
            precision_sum(groups, held, places, places, harmonic),
            precision_sum(last, held, held, held, harmonic),
            precision_sum(groups, held, held, held, harmonic),
        )
        given = (sums + torch.stack([mixed, late, early])) / (hits + h).clamp(min=1)
        values[0] += chance * given[0]
        values[1] = torch.where(chance > 0, values[1].minimum(given[1]), values[1])
        values[2] = torch.where(chance > 0, values[2].maximum(given[2]), values[2])
    return values


def precision_at_recall(ranks: PositiveRanks) -> Tensor:
    """Interpolated precision at recall 0, 0.01, ..., 1: (S, 101) float64.

    The precision at the i-th positive is i over its expected rank; the interpolated precision at recall l is the greatest
    precision at the ceil(l R)-th positive (the first for l = 0) or a later one.

    ``plain``: 1/1 up to recall 0.5, then 2/3.

    >>> precision_at_recall(plain)[0, [0, 50, 51, 100]].tolist()
    [1.0, 1.0, 0.6666666666666666, 0.6666666666666666]
    """
    precision = ranks.order / ranks.expected_ranks()
    interpolated = precision.flip(1).cummax(dim=1).values.flip(1)
    level = torch.arange(RECALL_LEVELS, device=precision.device)
    return interpolated[:, ((level * ranks.relevant + 99) // 100 - 1).clamp(min=0)]


def over_orders(ranks: PositiveRanks, single: Tensor, in_groups: Callable[[TieGroups], Tensor]) -> Tensor:
    """(3, S) sums over the positives: those tied with none, (S,), and the tie groups in random, worst and best order."""
    groups = ranks.groups
    if not len(groups.query):
        return single.expand(3, -1)
    return torch.stack(
        [single.index_add(0, groups.query, in_groups(order)) for order in (groups, groups.worst(), groups.best())]
    )


def precision_sum(groups: TieGroups, positives: Tensor, size: Tensor, places: Tensor, harmonic: Tensor) -> Tensor:
    """(T,) float64: expected sum of P(i) rel_i over the first t = ``places`` places of each group.

    The group holds r = ``positives`` positives in random order on n = ``size`` places, so the sum is
    (r/n) sum_{j=1..t} (rb + 1 + (j-1)(r-1)/(n-1)) / (b + j); with H the harmonic numbers, sum_j 1/(b+j) is H(b+t) - H(b)
    and sum_j (j-1)/(b+j) is t - (b+1)(H(b+t) - H(b)).
    """
    reciprocals = harmonic[groups.before + places] - harmonic[groups.before]
    slope = (positives - 1) / (size - 1).clamp(min=1).double()
    rising = places - (groups.before + 1) * reciprocals
    return positives / size.clamp(min=1).double() * ((groups.positives_before + 1) * reciprocals + slope * rising)


def hits_within(ranks: PositiveRanks, cutoff: int) -> Tensor:
    """(3, S) float64: positives in the first ``cutoff`` ranks."""

    def in_groups(groups: TieGroups) -> Tensor:
        return share(groups) * places_inside(groups, cutoff)

    return over_orders(ranks, (ranks.before[:, :cutoff] < cutoff).sum(dim=1).double(), in_groups)


def places_inside(groups: TieGroups, cutoff: int) -> Tensor:
    """(T,) int64: how many places of each group lie within the first ``cutoff`` ranks."""
    return (cutoff - groups.before).clamp(min=0).minimum(groups.size)


def share(groups: TieGroups) -> Tensor:
    """(T,) float64: r/n, the chance that a place of the group holds a positive."""
    return groups.positives / groups.size.double()


def hypergeometric(h: int, groups: TieGroups, places: Tensor) -> Tensor:
    """(T,) float64: the chance that exactly h positives of each group are on its first ``places`` places."""
    misses, negatives = places - h, groups.size - groups.positives
    possible = (groups.positives >= h) & (misses >= 0) & (negatives >= misses)
    chance = (
        log_choose(groups.positives, torch.full_like(places, h))
        + log_choose(negatives, misses)
        - log_choose(groups.size, places)
    ).exp()
    return torch.where(possible, chance, 0)


def log_choose(n: Tensor, k: Tensor) -> Tensor:
    """Logarithm of the binomial coefficient, float64; meaningless where k < 0 or k > n."""
    n, k = n.double(), k.double()
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
