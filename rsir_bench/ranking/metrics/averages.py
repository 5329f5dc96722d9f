"""Average precision: over the whole ranking, over its first R scenes, and over its first k."""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.ranking.metrics.groups import (
    harmonic_numbers,
    hypergeometric,
    places_inside,
    precision_sum,
    total,
)
from rsir_bench.ranking.ties import PositiveRanks, TieGroups


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
    return average_precision_at(ranks, ranks.relevant, ranks.relevant, harmonic)


def average_precision_at(ranks: PositiveRanks, k: int, over: int, harmonic: Tensor) -> Tensor:
    """Return sum_{i<=k} P(i) rel_i over a fixed number, (3, S) float64.

    Divided by min(k, R), its mean over queries is mAP@k, which is 1 for a perfect ranking; divided by R, it is mAP@k/R.
    The third metric of this kind, mAP@kh, divides by the hits: see ``average_precision_at_hits``.

    + - + - -, k = 2, over 2: (1/1) / 2. - (+ -) - +, k = 2, over 2: (1/2) / 2 in half of the orders, 0 in the others.

    >>> average_precision_at(ranking([1, 2, 3, 4, 5], [1, 3]), 2, 2, harmonic_numbers(5))[0].tolist()
    [0.5]
    >>> average_precision_at(ranking([1, 2, 2, 4, 5], [2, 5]), 2, 2, harmonic_numbers(5)).flatten().tolist()
    [0.125, 0.0, 0.25]
    """
    groups = ranks.ordered_groups
    tied = precision_sum(groups, groups.positives, groups.size, places_inside(groups, k), harmonic)
    single = (ranks.precision[:, :k] * (ranks.before[:, :k] < k)).sum(dim=1)
    return total(ranks, single, tied) / over


def average_precision_at_hits(ranks: PositiveRanks, k: int, harmonic: Tensor) -> Tensor:
    """Return AP@kh = (1/h_k) sum_{i<=k} P(i) rel_i, (3, S) float64, and 0 where h_k = 0; its mean is mAP@kh.

    The divisor is random where a tie group crosses rank k: the number h of positives on its t places inside is
    hypergeometric (n, r, t), and given h they add what a group of t scenes with h positives adds. Because of the
    divisor, an additional hit can lower the value, so "worst" and "best" are the least and the greatest value over all
    orders here.

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
    h = torch.arange(min(int(places.max()), int(groups.positives.max())) + 1, device=hits.device)
    chance = hypergeometric(h, columns, places)
    held = torch.where(chance > 0, h, 0)  # (T, H): the possible numbers of positives inside
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


def chance_precision(relevant: Tensor, ranked: Tensor) -> Tensor:
    """Return the average precision of a random order, its exact mean over all orders, (Q,) float64.

    Args:
        relevant: (Q,) integers, at least 1, the positives of each query.
        ranked: (Q,) integers, the scenes that are ranked for each.

    Examples:
        >>> chance_precision(torch.tensor([1, 4]), torch.tensor([14, 14]))
        tensor([0.2323, 0.4094], dtype=torch.float64)
    """
    harmonic = harmonic_numbers(int(ranked.max()))[ranked]
    others = (relevant.double() - 1) / (ranked - 1).clamp(min=1)
    return (harmonic + others * (ranked - harmonic)) / ranked
