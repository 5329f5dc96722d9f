"""The first positive: its reciprocal rank, and whether it is among the first k."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rsir_bench.ranking.ties import PositiveRanks, TieGroups

NEVER = 2.0**-60
"""A probability that is too small to change a float64."""


def hit_at(ranks: PositiveRanks, k: int) -> Tensor:
    """Return hit@k, whether a positive is in the first k ranks, (3, S) float64.

    Its mean is called R@k in metric learning and CMC in person re-identification; recall@k is a different metric.

    If t places of the first group with positives are within k, they contain no positive with probability C(n-r, t) /
    C(n, t).

    - + - - -, k = 1: 0; k = 2: 1. - (+ -) - +, k = 2: 1 in half of the orders.

    >>> hit_at(ranking([1, 2, 3, 4, 5], [2]), 1)[0].tolist(), hit_at(ranking([1, 2, 3, 4, 5], [2]), 2)[0].tolist()
    ([0.0], [1.0])
    >>> hit_at(ranking([1, 2, 2, 4, 5], [2, 5]), 2).flatten().tolist()
    [0.5, 0.0, 1.0]
    """
    values = (ranks.before[:, :1] < k).double().sum(dim=1).repeat(3, 1)
    first = first_groups(ranks)
    if len(first):
        inside = (k - first.before).clamp(min=0).minimum(first.size)
        none = none_on_first_places(first, int(inside.max()))
        expected = 1 - none.gather(1, inside[:, None])[:, 0]
        worst, best = first.before + first.size - first.positives < k, first.before < k
        values[:, first.query] = torch.stack([expected, worst.double(), best.double()])
    return values


def reciprocal_rank(ranks: PositiveRanks) -> Tensor:
    """Return one over the rank of the first positive, (3, S) float64; its mean over queries is MRR.

    In the first group with positives, it is 1/(b + m) if the first m - 1 places contain no positive and the m-th
    contains one.

    - + - - -: 1/2. - (+ -) - +: 1/2 or 1/3.

    >>> reciprocal_rank(ranking([1, 2, 3, 4, 5], [2]))[0].tolist()
    [0.5]
    >>> reciprocal_rank(ranking([1, 2, 2, 4, 5], [2, 5])).flatten().tolist()
    [0.41666666666666663, 0.3333333333333333, 0.5]
    """
    values = (1 / (ranks.before[:, :1] + 1)).sum(dim=1).repeat(3, 1)
    first = first_groups(ranks)
    if len(first):
        none = none_on_first_places(first, _places_that_count(first))
        place = torch.arange(1, none.shape[1], device=none.device)
        expected = (-none.diff(dim=1) / (first.before[:, None] + place)).sum(dim=1)
        worst, best = first.before + first.size - first.positives + 1, first.before + 1
        values[:, first.query] = torch.stack([expected, 1 / worst.double(), 1 / best.double()])
    return values


def first_groups(ranks: PositiveRanks) -> TieGroups:
    """Return the tie groups that hold the first positives of their queries; fewer than S where others are not tied."""
    return ranks.groups[ranks.groups.positives_before == 0]


def none_on_first_places(groups: TieGroups, most: int) -> Tensor:
    """Return the probability C(n-r, t) / C(n, t) that the first t places hold no positive.

    Args:
        groups: T tie groups.
        most: The largest t.

    Returns:
        (T, most + 1) float64 for t = 0, ..., most; 0 where t is more than n - r.
    """
    place = torch.arange(most, device=groups.size.device)
    others = (groups.size - groups.positives)[:, None] - place
    left = (groups.size[:, None] - place).clamp(min=1)
    start = torch.ones(len(groups), 1, dtype=torch.float64, device=place.device)
    return torch.cat([start, (others.clamp(min=0) / left.double()).cumprod(dim=1)], dim=1)


def _places_that_count(groups: TieGroups) -> int:
    """Return a number of places that contain the first positive, except with a probability below float64 precision."""
    places = groups.size - groups.positives + 1
    missed = (1 - groups.positives / groups.size.double()).clamp(min=NEVER)  # at each place, at most
    return int(places.minimum((math.log(NEVER) / missed.log()).ceil().long() + 1).max())
