"""The metrics of retrieval as functions of the ranks of the positives: exact expectations over orders of tied scenes.

Notation: a query has R positives; rel_i is 1 if the scene at rank i is a positive, P(i) is the precision of the first i
ranks, h_k the number of positives in the first k. A tie group has b scenes before it and n in it, of which rb and r are
positives.

Every metric returns (3, S) float64 for S queries: its expectation over a random order of tied scenes, its value with
every tie group in its worst order, and with every tie group in its best order. The examples score rankings of five
scenes, written + for a positive, - for another scene, and in brackets where scenes are tied.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.ranking.ties import PositiveRanks, TieGroups, ranking

__all__ = [
    "average_precision",
    "average_precision_at_hits",
    "average_precision_at_r",
    "harmonic_numbers",
    "nmrr",
    "precision_at",
    "precision_at_recall",
    "r_precision",
    "ranking",
]

RECALL_LEVELS = 101


def harmonic_numbers(n: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the harmonic numbers H(0), ..., H(n), (n + 1,) float64.

    >>> harmonic_numbers(3).tolist()
    [0.0, 1.0, 1.5, 1.8333333333333333]
    """
    terms = 1 / torch.arange(1, n + 1, dtype=torch.float64, device=device)
    return torch.cat([terms.new_zeros(1), terms.cumsum(0)])


def average_precision(ranks: PositiveRanks, harmonic: Tensor) -> Tensor:
    """Return AP = (1/R) sum_i P(i) rel_i over the whole ranking, (3, S) float64; its mean over queries is mAP.

    + - + - -: (1/1 + 2/3) / 2. + (+ -) - -: (1 + 2/2) / 2 or (1 + 2/3) / 2.

    >>> average_precision(ranking([1, 2, 3, 4, 5], [1, 3]), harmonic_numbers(5))[0].tolist()
    [0.8333333333333333]
    >>> average_precision(ranking([1, 2, 2, 4, 5], [1, 2]), harmonic_numbers(5)).flatten().tolist()
    [0.9166666666666666, 0.8333333333333333, 1.0]
    """
    groups = ranks.ordered_groups
    tied = precision_sum(groups, groups.positives, groups.size, groups.size, harmonic)
    return total(ranks, ranks.precision.sum(dim=1), tied) / ranks.relevant


def average_precision_at_r(ranks: PositiveRanks, harmonic: Tensor) -> Tensor:
    """Return AP@R = (1/R) sum_{i<=R} P(i) rel_i, (3, S) float64.

    Its mean over queries is mAP@R (Musgrave et al., ECCV 2020).

    + - + - -: one of two positives is within the first R = 2. + (+ -) - -: both are, in half of the orders.

    >>> average_precision_at_r(ranking([1, 2, 3, 4, 5], [1, 3]), harmonic_numbers(5))[0].tolist()
    [0.5]
    >>> average_precision_at_r(ranking([1, 2, 2, 4, 5], [1, 2]), harmonic_numbers(5)).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    groups = ranks.ordered_groups
    places = places_inside(groups, ranks.relevant)
    tied = precision_sum(groups, groups.positives, groups.size, places, harmonic)
    single = (ranks.precision * (ranks.before < ranks.relevant)).sum(dim=1)
    return total(ranks, single, tied) / ranks.relevant


def average_precision_at_hits(ranks: PositiveRanks, k: int, harmonic: Tensor) -> Tensor:
    """Return AP@kh = (1/h_k) sum_{i<=k} P(i) rel_i, (3, S) float64, and 0 where h_k = 0.

    The divisor is random where a tie group crosses rank k: the number h of positives on its t places inside is
    hypergeometric (n, r, t), and given h they add what a group of t scenes with h positives adds. Since the divisor may
    punish an additional hit, "worst" and "best" are the least and the greatest value over all orders here.

    + - + - -, k = 3: (1/1 + 2/3) / 2. - (+ -) - +, k = 2: (1/2) / 1 in half of the orders, 0 in the others.

    >>> average_precision_at_hits(ranking([1, 2, 3, 4, 5], [1, 3]), 3, harmonic_numbers(5))[0].tolist()
    [0.8333333333333333]
    >>> average_precision_at_hits(ranking([1, 2, 2, 4, 5], [2, 5]), 2, harmonic_numbers(5)).flatten().tolist()
    [0.25, 0.0, 0.5]
    """
    inside = ranks.before[:, :k] < k
    sums = (ranks.precision[:, :k] * inside).sum(dim=1).repeat(3, 1)
    hits = inside.sum(dim=1).double()
    near = ranks.groups[ranks.groups.before < k]
    fits = near.before + near.size <= k
    whole, crossing = near[fits], near[~fits]
    if len(whole):
        groups = whole.in_orders()
        sums.index_add_(1, whole.query, precision_sum(groups, groups.positives, groups.size, groups.size, harmonic))
        hits.index_add_(0, whole.query, whole.positives.double())
    values = sums / hits.clamp(min=1)
    if len(crossing):
        at = crossing.query
        values[:, at] = crossing_average(crossing, k, sums[:, at], hits[at], harmonic)
    return values


def precision_at(ranks: PositiveRanks, k: int) -> Tensor:
    """Return P@k = h_k / k, (3, S) float64; k is the divisor even if the gallery holds fewer than k scenes.

    + - + - -, k = 2: 1/2. + (+ -) - -, k = 2: 2/2 or 1/2.

    >>> precision_at(ranking([1, 2, 3, 4, 5], [1, 3]), 2)[0].tolist()
    [0.5]
    >>> precision_at(ranking([1, 2, 2, 4, 5], [1, 2]), 2).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    return hits_within(ranks, k) / k


def r_precision(ranks: PositiveRanks) -> Tensor:
    """Return R-precision = h_R / R, (3, S) float64.

    + - + - -, R = 2: 1/2. (+ + -) - -, R = 2: 2/2 in one order of three, else 1/2.

    >>> r_precision(ranking([1, 2, 3, 4, 5], [1, 3]))[0].tolist()
    [0.5]
    >>> r_precision(ranking([1, 1, 1, 4, 5], [1, 1])).flatten().tolist()
    [0.6666666666666666, 0.5, 1.0]
    """
    return hits_within(ranks, ranks.relevant) / ranks.relevant


def nmrr(ranks: PositiveRanks) -> Tensor:
    """Return the normalised modified retrieval rank, (3, S) float64 from 0 (perfect) to 1: lower is better.

    It is (mean rank - (1 + R)/2) / (1.25 K - (1 + R)/2), where a positive beyond rank K = 2 R counts as rank 1.25 K
    (MPEG-7; K = 2 R as in PatternNet, Zhou et al., ISPRS 2018). Its mean over queries is ANMRR.

    + - + - -, R = 2, K = 4: mean rank 2, so (2 - 1.5) / (5 - 1.5). + (+ -) - -: mean rank 1.75, 2 or 1.5.
    - - - - +, R = 1, K = 2: rank 2.5, so (2.5 - 1) / (2.5 - 1).

    >>> nmrr(ranking([1, 2, 3, 4, 5], [1, 3]))[0].tolist()
    [0.14285714285714285]
    >>> nmrr(ranking([1, 2, 2, 4, 5], [1, 2])).flatten().tolist()
    [0.07142857142857142, 0.14285714285714285, 0.0]
    >>> nmrr(ranking([1, 2, 3, 4, 5], [5]))[0].tolist()
    [1.0]
    """
    window, ideal = 2 * ranks.relevant, (1 + ranks.relevant) / 2
    penalty = 1.25 * window
    groups = ranks.ordered_groups
    inside = places_inside(groups, window)
    tied = share(groups) * (inside * (penalty - groups.before) - inside * (inside + 1) * 0.5)
    single = torch.where(ranks.before < window, penalty - 1 - ranks.before, 0).sum(dim=1)
    mean_rank = penalty - total(ranks, single, tied) / ranks.relevant
    return (mean_rank - ideal) / (penalty - ideal)


def precision_at_recall(ranks: PositiveRanks) -> Tensor:
    """Return the interpolated precision at recall 0, 0.01, ..., 1: (S, 101) float64 in [0, 1].

    The precision at the i-th positive is i over its expected rank; the interpolated precision at recall l is the
    greatest precision at the ceil(l R)-th positive (the first for l = 0) or a later one.

    + - + - -: 1/1 up to recall 0.5, then 2/3.

    >>> precision_at_recall(ranking([1, 2, 3, 4, 5], [1, 3]))[0, [0, 50, 51, 100]].tolist()
    [1.0, 1.0, 0.6666666666666666, 0.6666666666666666]
    """
    precision = ranks.order / ranks.expected_ranks()
    interpolated = precision.flip(1).cummax(dim=1).values.flip(1)
    level = torch.arange(RECALL_LEVELS, device=precision.device)
    return interpolated[:, ((level * ranks.relevant + 99) // 100 - 1).clamp(min=0)]


def total(ranks: PositiveRanks, single: Tensor, tied: Tensor) -> Tensor:
    """Return the sum of each query in random, worst and best order, (3, S) float64.

    Args:
        ranks: Those of S queries with T tie groups.
        single: (S,) float64, the sum over the positives without ties.
        tied: (3, T) float64, what each tie group adds.
    """
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


def crossing_average(groups: TieGroups, k: int, sums: Tensor, hits: Tensor, harmonic: Tensor) -> Tensor:
    """Return AP@kh of queries whose tie group crosses rank k: expectation, least and greatest value, (3, T) float64.

    Args:
        groups: The crossing tie group of each of T queries.
        k: The cut-off.
        sums: (3, T) float64, the sum of P(i) rel_i before the group: expectation, worst, best.
        hits: (T,) float64, positives before the group.
        harmonic: (M + 1,) float64, see ``harmonic_numbers``.
    """
    columns = TieGroups(*(counts[:, None] for counts in vars(groups).values()))
    places = places_inside(columns, k)
    h = torch.arange(k + 1, device=hits.device)
    chance = hypergeometric(h, columns, places)
    held = torch.where(chance > 0, h, 0)  # (T, k + 1): the possible numbers of positives inside
    late = TieGroups(columns.query, columns.before + places - held, held, columns.positives_before, held)
    divisor = (hits[:, None] + held).clamp(min=1)
    expected, least, most = (
        (before[:, None] + inside) / divisor
        for before, inside in zip(
            sums,
            (
                precision_sum(columns, held, places, places, harmonic),
                precision_sum(late, held, held, held, harmonic),
                precision_sum(columns, held, held, held, harmonic),
            ),
            strict=True,
        )
    )
    return torch.stack(
        [
            (chance * expected).sum(dim=1),
            torch.where(chance > 0, least, torch.inf).amin(dim=1),
            torch.where(chance > 0, most, -torch.inf).amax(dim=1),
        ]
    )


def hits_within(ranks: PositiveRanks, cutoff: int) -> Tensor:
    """Return the number of positives in the first ``cutoff`` ranks, (3, S) float64."""
    groups = ranks.ordered_groups
    single = (ranks.before[:, :cutoff] < cutoff).sum(dim=1).double()
    return total(ranks, single, share(groups) * places_inside(groups, cutoff))


def places_inside(groups: TieGroups, cutoff: int) -> Tensor:
    """Return how many places of each group are within the first ``cutoff`` ranks, (..., T) int64."""
    return (cutoff - groups.before).clamp(min=0).minimum(groups.size)


def share(groups: TieGroups) -> Tensor:
    """Return r/n, the probability that a place of the group holds a positive, (..., T) float64 in [0, 1]."""
    return groups.positives / groups.size.double()


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
    ways = log_choose(groups.positives, h) + log_choose(negatives, misses) - log_choose(groups.size, places)
    return torch.where(possible, ways.exp(), 0)


def log_choose(n: Tensor, k: Tensor) -> Tensor:
    """Return the logarithm of the binomial coefficient, (...) float64; meaningless where k < 0 or k > n."""
    n, k = n.double(), k.double()
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def chance_precision(relevant: Tensor, gallery: int) -> Tensor:
    """Return the average precision of a random order, its exact mean over all orders, (Q,) float64.

    Args:
        relevant: (Q,) integers, at least 1, the positives of each query.
        gallery: Number of scenes that are ranked.

    Examples:
        >>> chance_precision(torch.tensor([1, 4]), 14)
        tensor([0.2323, 0.4094], dtype=torch.float64)
    """
    harmonic = float(harmonic_numbers(gallery)[gallery])
    others = (relevant.double() - 1) / max(gallery - 1, 1)
    return (harmonic + others * (gallery - harmonic)) / gallery
