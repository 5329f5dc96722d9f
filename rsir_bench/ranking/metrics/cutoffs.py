"""Positives in the first k ranks: over k, over R, and discounted by rank; positives within a Hamming radius."""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.ranking.metrics.groups import hits_within, places_inside, share, total
from rsir_bench.ranking.ties import PositiveRanks


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


def recall_at(ranks: PositiveRanks, k: int) -> Tensor:
    """Return recall@k = h_k / R, (3, S) float64; at most k / R.

    + - + - -, k = 2: 1/2. (+ -) - + -, k = 1: 1/2 in half of the orders, 0 in the others.

    >>> recall_at(ranking([1, 2, 3, 4, 5], [1, 3]), 2)[0].tolist()
    [0.5]
    >>> recall_at(ranking([1, 1, 3, 4, 5], [1, 4]), 1).flatten().tolist()
    [0.25, 0.0, 0.5]
    """
    return hits_within(ranks, k) / ranks.relevant


def ndcg_at(ranks: PositiveRanks, k: int) -> Tensor:
    """Return nDCG@k of gains 0 and 1, (3, S) float64.

    DCG@k = sum_{i<=k} rel_i / log2(i + 1), over its value where all positives come first (Jarvelin and Kekalainen, TOIS
    2002). This ideal ranking contains neither the query nor ignored scenes.

    + - - - +, k = 3: 1 / (1 + 1/log2(3)). - (- +) + -, k = 3: (1/2 + 1/log2(3)) / 2 over the same.

    >>> ndcg_at(ranking([1, 2, 3, 4, 5], [1, 5]), 3)[0].tolist()
    [0.6131471927654584]
    >>> ndcg_at(ranking([1, 2, 2, 4, 5], [2, 4]), 3).flatten().tolist()
    [0.34671320180863546, 0.30657359638272935, 0.38685280723454163]
    """
    discount = 1 / torch.arange(2, k + 2, dtype=torch.float64, device=ranks.before.device).log2()
    summed = torch.cat([discount.new_zeros(1), discount.cumsum(0)])
    groups, nearest = ranks.ordered_groups, ranks.before[:, :k]
    first, inside = groups.before.clamp(max=k), places_inside(groups, k)
    single = torch.where(nearest < k, 1 / (nearest + 2).log2(), 0).sum(dim=1)
    return (
        total(ranks, single, share(groups) * (summed[first + inside] - summed[first])) / summed[min(k, ranks.relevant)]
    )


def precision_within_radius(ranks: PositiveRanks) -> Tensor:
    """Return P@H2, the share of positives among the scenes within Hamming distance 2, (3, S) float64; 0 of no scenes.

    The order of tied scenes does not matter: all three values are equal.

    >>> from dataclasses import replace
    >>> near = torch.tensor([[4], [3]])  # four scenes, three of them positives
    >>> precision_within_radius(replace(ranking([1, 1, 1, 1, 5], [1, 1, 1]), near=near))[0].tolist()
    [0.75]
    """
    assert ranks.near is not None, "of codes only"
    scenes, positives = ranks.near.double()
    share_near: Tensor = positives / scenes.clamp(min=1)
    return share_near.repeat(3, 1)
