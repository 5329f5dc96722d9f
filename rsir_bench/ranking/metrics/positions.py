"""How far down the positives are: the normalised modified retrieval rank, and precision against recall."""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.ranking.metrics.groups import places_inside, share, total
from rsir_bench.ranking.ties import PositiveRanks, TieGroups

RECALL_LEVELS = 101


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
    inside = places_inside(groups, window).double()
    tied = share(groups) * (inside * (penalty - groups.before.double()) - inside * (inside + 1) / 2)
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
    level = torch.arange(RECALL_LEVELS, device=ranks.before.device)
    wanted = ((level * ranks.relevant + 99) // 100).clamp(min=1)
    if ranks.grouped:
        return _precision_from(ranks.groups, wanted)
    precision = ranks.order / ranks.expected_ranks()
    return _greatest_from_here(precision)[:, wanted - 1]


def _greatest_from_here(values: Tensor) -> Tensor:
    """Return the greatest value from each column on, (S, G) as given."""
    return values.flip(1).cummax(dim=1).values.flip(1)


def _precision_from(groups: TieGroups, wanted: Tensor) -> Tensor:
    """Return the greatest precision at a positive or a later one, (S, L) float64.

    Within a group, precision only rises or only falls, so that its greatest value is at one of the ends.

    Args:
        groups: (S, G) places, which hold all positives.
        wanted: (L,) int64, the positives, counted from 1.
    """
    ends = groups.positives_before + groups.positives
    step = (groups.size + 1) / (groups.positives + 1).double()
    last = ends / (groups.before + groups.positives * step)
    first = (groups.positives_before + 1) / (groups.before + step)
    group = torch.where(groups.positives > 0, first.maximum(last), 0)
    later = torch.cat([_greatest_from_here(group)[:, 1:], group.new_zeros(len(group), 1)], dim=1)
    rest = later.maximum(last)  # from the group's last positive on
    at = torch.searchsorted(ends, wanted.expand(len(ends), -1).contiguous())
    within = wanted - groups.positives_before.gather(1, at)
    here = wanted / (groups.before.gather(1, at) + within * step.gather(1, at))
    return here.maximum(rest.gather(1, at))
