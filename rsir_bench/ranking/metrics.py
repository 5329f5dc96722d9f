"""The metrics of retrieval as functions of tie groups: exact expectations over a random order of tied scenes.

Notation: a query has R positives; rel_i is 1 if the scene at rank i is a positive, P(i) is the precision of the first i
ranks, h_k the number of positives in the first k. A tie group has ``b`` scenes before it and ``n`` in it, of which ``rb``
and ``r`` are positives. All functions take the groups of S queries and return (S,) float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.ranking.positives import TieGroups


def harmonic_numbers(n: int, device: torch.device | str = "cpu") -> Tensor:
    """(n + 1,) float64: H(0) = 0, H(1) = 1, H(2) = 1.5, ..., H(n)."""
    terms = 1.0 / torch.arange(1, n + 1, dtype=torch.float64, device=device)
    return torch.cat([terms.new_zeros(1), terms.cumsum(0)])


def precision_sum(groups: TieGroups, cutoff: Tensor | None, harmonic: Tensor) -> Tensor:
    """Expected sum of P(i) rel_i over the ranks i <= cutoff (all ranks where cutoff is None).

    For a group with t places inside the cutoff the expectation is (r/n) sum_{j=1..t} (rb + 1 + (j-1)(r-1)/(n-1)) / (b + j).

    Args:
        groups: tie groups of S queries.
        cutoff: (S, 1) int64 or None.
        harmonic: H(0) ... H(N) of `harmonic_numbers`, N at least the gallery's size.
    """
    if not groups.tied:
        precision = (groups.positives_before + 1) / (groups.before + 1).double()
        return (precision if cutoff is None else precision * (groups.before < cutoff)).sum(dim=1)
    places = groups.size if cutoff is None else places_inside(groups, cutoff)
    return group_precision_sum(groups, groups.positives, groups.size, places, harmonic).sum(dim=1)


def group_precision_sum(groups: TieGroups, positives: Tensor, size: Tensor, places: Tensor, harmonic: Tensor) -> Tensor:
    """Expected sum of P(i) rel_i over the first ``places`` of ``size`` places that hold ``positives`` in random order.

    With H the harmonic numbers, sum_j 1/(b+j) = H(b+t) - H(b) and sum_j (j-1)/(b+j) = t - (b+1)(H(b+t) - H(b)).
    """
    reciprocals = harmonic[groups.before + places] - harmonic[groups.before]
    slope = (positives - 1) / (size - 1).clamp(min=1).double()
    rising = places - (groups.before + 1) * reciprocals
    return positives / size.clamp(min=1).double() * ((groups.positives_before + 1) * reciprocals + slope * rising)


def places_inside(groups: TieGroups, cutoff: Tensor | int) -> Tensor:
    """(S, G) int64: how many places of each group lie within the first ``cutoff`` ranks."""
    return (cutoff - groups.before).clamp(min=0).minimum(groups.size)


def expected_hits(groups: TieGroups, cutoff: Tensor | int) -> Tensor:
    """Expected number of positives in the first ``cutoff`` ranks: each place of a group holds one with chance r/n."""
    if not groups.tied:
        return (groups.before < cutoff).sum(dim=1).double()
    return (places_inside(groups, cutoff) * groups.positives / groups.size.clamp(min=1).double()).sum(dim=1)


def average_precision(groups: TieGroups, harmonic: Tensor) -> Tensor:
    """AP = (1/R) sum_i P(i) rel_i over the whole ranking; its mean over queries is mAP."""
    return precision_sum(groups, None, harmonic) / groups.relevant[:, 0]


def average_precision_at_r(groups: TieGroups, harmonic: Tensor) -> Tensor:
    """AP@R = (1/R) sum_{i<=R} P(i) rel_i; its mean over queries is mAP@R (Musgrave et al., 2020)."""
    relevant = groups.relevant
    return precision_sum(groups, relevant, harmonic) / relevant[:, 0]


def precision_at(groups: TieGroups, k: int) -> Tensor:
    """P@k = h_k / k; a gallery of fewer than k scenes is not an excuse, k stays the divisor."""
    return expected_hits(groups, k) / k


def r_precision(groups: TieGroups) -> Tensor:
    """R-precision = h_R / R."""
    relevant = groups.relevant
    return expected_hits(groups, relevant) / relevant[:, 0]


def nmrr(groups: TieGroups) -> Tensor:
    """Normalised modified retrieval rank, 0 (perfect) to 1; its mean over queries is ANMRR, lower is better.

    A positive at a rank beyond K = 2 R counts as rank 1.25 K; then (mean rank - (1 + R)/2) / (1.25 K - (1 + R)/2)
    (MPEG-7; K as in Zhou et al., PatternNet, ISPRS 2018).
    """
    relevant = groups.relevant
    window = 2 * relevant
    inside = places_inside(groups, window)
    ranks = inside * groups.before + inside * (inside + 1) // 2 + (groups.size - inside) * (1.25 * window.double())
    mean_rank = (ranks * groups.positives / groups.size.clamp(min=1).double()).sum(dim=1) / relevant[:, 0]
    ideal = (1 + relevant[:, 0].double()) / 2
    return (mean_rank - ideal) / (1.25 * window[:, 0].double() - ideal)


def average_precision_at_hits(groups: TieGroups, k: int, harmonic: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """AP@kh = (1/h_k) sum_{i<=k} P(i) rel_i, 0 where h_k = 0; with its least and greatest value over all tie orders.

    The divisor is random where a tie group crosses rank k: of its t places inside, a hypergeometric (n, r, t) number h are
    hits, and given h they add the sum of a group of t scenes with h positives.

    Returns:
        tuple: expectation, lower bound, upper bound.
    """
    if not groups.tied:
        precision = (groups.positives_before[:, :k] + 1) / (groups.before[:, :k] + 1).double()
        inside = groups.before[:, :k] < k
        value = (precision * inside).sum(dim=1) / inside.sum(dim=1).clamp(min=1).double()
        return value, value, value
    zero = torch.zeros_like(groups.positives)
    whole = (groups.before + groups.size <= k) & (groups.positives > 0)
    crossing = (groups.before < k) & (groups.before + groups.size > k) & (groups.positives > 0)
    inside = TieGroups(
        groups.before, groups.size, groups.positives_before, torch.where(whole, groups.positives, zero)
    )
    hits_inside = inside.positives.sum(dim=1, keepdim=True)
    sums = [precision_sum(g, None, harmonic)[:, None] for g in (inside, inside.worst(), inside.best())]
    column = crossing.int().argmax(dim=1, keepdim=True)
    crosses = crossing.any(dim=1, keepdim=True)
    before, size, positives_before, positives = (
        torch.where(crosses, counts.gather(1, column), 0)
        for counts in (groups.before, groups.size, groups.positives_before, groups.positives)
    )
    group = TieGroups(before, size, positives_before, positives)
    places = places_inside(group, k)
    expected = torch.zeros_like(sums[0])
    lower, upper = torch.full_like(expected, torch.inf), torch.full_like(expected, -torch.inf)
    hits_before = torch.where(crosses, positives_before, hits_inside)
    for h in range(k + 1):
        chance = hypergeometric(h, size, positives, places)
        possible = chance > 0
        count = torch.where(possible, h, 0)
        first = TieGroups(before, count, positives_before, count)
        last = TieGroups(before + places - count, count, positives_before, count)
        divisor = (hits_before + h).clamp(min=1).double()
        random_order = group_precision_sum(group, count, places, places, harmonic)
        expected += torch.where(possible, chance * (sums[0] + random_order) / divisor, 0)
        least = (sums[1] + group_precision_sum(last, count, count, count, harmonic)) / divisor
        most = (sums[2] + group_precision_sum(first, count, count, count, harmonic)) / divisor
        lower = torch.where(possible, lower.minimum(least), lower)
        upper = torch.where(possible, upper.maximum(most), upper)
    return expected[:, 0], lower[:, 0], upper[:, 0]


def hypergeometric(h: int, size: Tensor, positives: Tensor, places: Tensor) -> Tensor:
    """Chance that ``places`` draws without return from ``size`` scenes with ``positives`` hold exactly h of them."""
    misses, negatives = places - h, size - positives
    possible = (positives >= h) & (misses >= 0) & (negatives >= misses)
    log_chance = (
        log_choose(positives, torch.full_like(positives, h))
        + log_choose(negatives, misses)
        - log_choose(size, places)
    )
    return torch.where(possible, log_chance.exp(), 0)


def log_choose(n: Tensor, k: Tensor) -> Tensor:
    """Logarithm of the binomial coefficient, float64; meaningless where k < 0 or k > n."""
    n, k = n.double(), k.double()
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def precision_at_recall(groups: TieGroups) -> Tensor:
    """Interpolated precision at recall 0, 0.01, ..., 1: (S, 101) float64.

    Precision at the x-th positive is x over its expected rank: for the m-th positive of a tie group b + m (n+1) / (r+1).
    Interpolated precision at recall l is the greatest precision at or after the ceil(l R)-th positive (the first for l = 0).
    """
    relevant = groups.relevant
    level = torch.arange(101, device=relevant.device)
    wanted = ((level * relevant + 99) // 100).clamp(min=1)
    last = groups.positives_before + groups.positives
    held = groups.positives > 0
    at_first = torch.where(held, precision_of(groups, torch.ones_like(last)), 0)
    at_last = torch.where(held, precision_of(groups, groups.positives), 0)
    best_from = at_first.maximum(at_last).flip(1).cummax(dim=1).values.flip(1)
    best_after = torch.cat([best_from[:, 1:], torch.zeros_like(best_from[:, :1])], dim=1)
    reached = torch.where(held, last, 0).cummax(dim=1).values
    column = torch.searchsorted(reached, wanted)
    chosen = TieGroups(*(counts.gather(1, column) for counts in (groups.before, groups.size, groups.positives_before)), groups.positives.gather(1, column))
    here = precision_of(chosen, wanted - chosen.positives_before)
    return here.maximum(at_last.gather(1, column)).maximum(best_after.gather(1, column))


def precision_of(groups: TieGroups, m: Tensor) -> Tensor:
    """Precision at the m-th positive of each group, counted at its expected rank."""
    return (groups.positives_before + m) / (groups.before + m * (groups.size + 1) / (groups.positives + 1).double())
