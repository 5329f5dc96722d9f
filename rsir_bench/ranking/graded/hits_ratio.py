"""WAP@kh, the mean of ACG(i) over the hits of the first k ranks: a ratio, whose divisor is random under ties."""

from __future__ import annotations

import torch
from torch import Tensor

from rsir_bench.ranking.graded.metrics import Tables, in_all_orders, mean_gain_changes, mean_gain_sum, ranking
from rsir_bench.ranking.graded.rankings import GradedRankings, MixedTies
from rsir_bench.ranking.metrics.groups import hypergeometric
from rsir_bench.ranking.ties import TieGroups

__all__ = ["ranking", "weighted_average_precision_at_hits"]


def weighted_average_precision_at_hits(rankings: GradedRankings, k: int, tables: Tables) -> Tensor:
    """Return WAP@kh = (1/h_k) sum_{i<=k} rel_i ACG(i), (3, S) float64, and 0 where no hit is among the first k.

    Where a tie group crosses rank k, the number h of relevant scenes on its t places inside is hypergeometric
    (n, r, t), and given h they add what a group of t scenes with h relevant ones of mean gain S/r adds. Since the
    divisor may punish a further hit, "worst" and "best" are the least and the greatest value over all orders, and one
    early hit may score above the ranking by shared labels.

    2 0 1 0, k = 3: (2/1 + 3/3) / 2. (2 0) 1 0, k = 1: 2 or 0.

    >>> weighted_average_precision_at_hits(ranking([1, 2, 3, 4], [2, 0, 1, 0]), 3, Tables.of(4))[0].tolist()
    [1.5]
    >>> weighted_average_precision_at_hits(ranking([1, 1, 3, 4], [2, 0, 1, 0]), 1, Tables.of(4)).flatten().tolist()
    [1.0, 0.0, 2.0]
    """
    k = min(k, rankings.ties.width)
    ties = rankings.ties
    crossing = ties[(ties.before < k) & (ties.before + ties.size > k)]
    inside = rankings.relevant("any")[:, :k].clone()
    inside[crossing.query] &= torch.arange(k, device=inside.device) < crossing.before[:, None]
    present = (rankings.running_gains[:, :k] * inside).double() @ tables.reciprocals[:k]
    whole = ties[ties.before + ties.size <= k]
    sums = in_all_orders(present, whole, lambda ties: mean_gain_changes(rankings, ties, tables))
    hits = inside.sum(dim=1)
    values = sums / hits.clamp(min=1)
    if len(crossing):
        values[:, crossing.query] = _crossing(rankings, crossing, k, sums[:, crossing.query], hits, tables)
    return values


def _crossing(rankings: GradedRankings, ties: MixedTies, k: int, sums: Tensor, hits: Tensor, tables: Tables) -> Tensor:
    """Return the metric of queries whose tie group crosses rank k: mean, least and greatest value, (3, T) float64.

    Args:
        rankings: Those of S queries.
        ties: The crossing group of each of T queries.
        k: The cut-off.
        sums: (3, T) float64, the sum of rel_i ACG(i) before the group: expectation, worst, best.
        hits: (S,) int64, relevant scenes before the groups.
        tables: Those of rankings of N scenes.
    """
    relevant, gain = ties.count_inside(rankings.found("any")), ties.count_inside(rankings.running_gains)
    before = ties.count_before(rankings.running_gains)
    groups = TieGroups(
        *(counts[:, None] for counts in (ties.query, ties.before, ties.size, hits[ties.query], relevant))
    )
    places = k - groups.before
    h = torch.arange(k + 1, device=gain.device)
    chance = hypergeometric(h, groups, places)
    held = torch.where(chance > 0, h, 0)  # (T, k + 1): the possible numbers of relevant scenes inside
    mean = (gain.double() / relevant.clamp(min=1))[:, None]
    expected = mean_gain_sum(groups.before, places, held, before[:, None], held * mean, tables.harmonic)
    divisor = (hits[ties.query][:, None] + held).clamp(min=1)
    least = _latest(rankings, ties, k, before, relevant, tables)
    most = _earliest(rankings, ties, k, before, relevant, tables)
    inside = torch.stack([expected, least, most])
    random, worst, best = (sums[:, :, None] + inside) / divisor
    return torch.stack(
        [
            (chance * random).sum(dim=1),
            torch.where(chance > 0, worst, torch.inf).amin(dim=1),
            torch.where(chance > 0, best, -torch.inf).amax(dim=1),
        ]
    )


def _earliest(
    rankings: GradedRankings, ties: MixedTies, k: int, before: Tensor, relevant: Tensor, tables: Tables
) -> Tensor:
    """Return what the h greatest gains of a group add on its first places, (T, k + 1) float64 for h from 0."""
    number = torch.arange(k, device=before.device)
    last = (ties.before + ties.size)[:, None] - 1 - number
    running = before[:, None] + _gains(rankings, ties, last, number < relevant[:, None]).cumsum(dim=1)
    terms = running * _reciprocals(tables, ties.before[:, None] + number)
    return torch.nn.functional.pad(terms.cumsum(dim=1), (1, 0))


def _latest(
    rankings: GradedRankings, ties: MixedTies, k: int, before: Tensor, relevant: Tensor, tables: Tables
) -> Tensor:
    """Return what the h least gains of a group add on its last places inside the cut, (T, k + 1) float64."""
    number = torch.arange(k, device=before.device)
    first = (ties.before + ties.size - relevant)[:, None] + number
    running = before[:, None] + _gains(rankings, ties, first, number < relevant[:, None]).cumsum(dim=1)
    added = torch.zeros(len(ties), k + 1, dtype=torch.float64, device=before.device)
    for h in range(1, int(relevant.max().clamp(max=k)) + 1):  # the i-th of h is at rank k - h + i
        added[:, h] = running[:, :h].double() @ tables.reciprocals[k - h : k]
    return added


def _gains(rankings: GradedRankings, ties: MixedTies, column: Tensor, held: Tensor) -> Tensor:
    """Return the gains at some places (T, k) of the groups' rankings, 0 where not ``held``."""
    return torch.where(held, rankings.gains[ties.query[:, None], torch.where(held, column, 0)], 0)


def _reciprocals(tables: Tables, column: Tensor) -> Tensor:
    """Return 1/rank of places counted from 0, (T, k), also of places beyond the ranking, which hold nothing."""
    return tables.reciprocals[column.clamp(max=len(tables.reciprocals) - 1)]
