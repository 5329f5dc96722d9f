"""The metrics of graded relevance: exact expectations over orders of tied scenes, their chance and their oracle.

Notation: the gain g_i of the scene at rank i is the number of labels it shares with the query, rel_i is 1 if it is
relevant, P(i) the precision of the first i ranks, R the number of relevant scenes, M the number of ranked ones. A tie
group has b scenes before it, of gains that sum to CG and of which rb are relevant; of its n scenes r are relevant, and
its gains sum to S.

Every metric returns (3, S) float64 for S queries: its expectation over a random order of tied scenes, its value with
every tie group in its worst order, and with every tie group in its best order. In the examples, scenes are written by
their gains, and in brackets where they are tied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rsir_bench.ranking.graded.rankings import GradedRankings, MixedTies, ranking
from rsir_bench.ranking.metrics.groups import harmonic_numbers, places_inside, precision_sum
from rsir_bench.ranking.ties import TieGroups

__all__ = [
    "Tables",
    "average_precision",
    "discounts",
    "gain_at",
    "ranking",
    "weighted_average_precision",
]

Gain = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tables:
    """Numbers that every ranking needs.

    Attributes:
        harmonic: (N + 1,) float64, H(0) to H(N).
        reciprocals: (N,) float64, 1/1 to 1/N.
    """

    harmonic: Tensor
    reciprocals: Tensor

    @classmethod
    def of(cls, scenes: int, device: torch.device | str = "cpu") -> Tables:
        """Return the tables of rankings of N scenes."""
        ranks = torch.arange(1, scenes + 1, dtype=torch.float64, device=device)
        return cls(harmonic_numbers(scenes, device), 1 / ranks)


def average_precision(rankings: GradedRankings, relevance: str, tables: Tables, k: int | None = None) -> Tensor:
    """Return AP = (1/R) sum_i P(i) rel_i, (3, S) float64; AP@k = (1/min(k, R)) sum_{i<=k} P(i) rel_i; NaN if R = 0.

    1 0 2 0: (1/1 + 2/3) / 2. 1 (0 2) 0, k = 2: (1/1 + 2/2) / 2 or (1/1) / 2.

    >>> average_precision(ranking([1, 2, 3, 4], [1, 0, 2, 0]), "any", Tables.of(4))[0].tolist()
    [0.8333333333333333]
    >>> average_precision(ranking([1, 2, 2, 4], [1, 0, 2, 0]), "any", Tables.of(4), k=2).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    found, width = rankings.found(relevance), rankings.ties.width
    cutoff = width if k is None else min(k, width)
    hits = found * rankings.relevant(relevance)
    weights = pad(tables.reciprocals[:cutoff], width)

    def changes(ties: MixedTies) -> Tensor:
        groups = TieGroups(ties.query, ties.before, ties.size, ties.count_before(found), ties.count_inside(found))
        ordered = groups.in_orders()
        places = places_inside(ordered, cutoff)
        tied = precision_sum(ordered, ordered.positives, ordered.size, places, tables.harmonic)
        return tied - ties.sums(ties.inside(hits) * weights[ties.column])

    sums = in_all_orders(hits[:, :cutoff].double() @ weights[:cutoff], rankings.ties, changes)
    return sums / found[:, -1].clamp(max=cutoff)


def gain_at(rankings: GradedRankings, weights: Tensor, gain: Gain) -> Tensor:
    """Return sum_{i<=k} w_i g_i, (3, S) float64: DCG@k with weights 1 / log2(i + 1), ACG@k with 1/k.

    A place of a tie group has the gain S/n on average.

    1 0 2 0, k = 2, w = 1/2: 1/2. 1 (0 2) 0: (1 + 0) / 2 or (1 + 2) / 2.

    >>> mean = torch.tensor([0.5, 0.5], dtype=torch.float64)
    >>> gain_at(ranking([1, 2, 3, 4], [1, 0, 2, 0]), mean, Tensor.double)[0].tolist()
    [0.5]
    >>> gain_at(ranking([1, 2, 2, 4], [1, 0, 2, 0]), mean, Tensor.double).flatten().tolist()
    [1.0, 0.5, 1.5]

    Args:
        rankings: Those of the S queries.
        weights: (k,) float64, not rising.
        gain: From shared labels, (...) int32, to gains, (...) float64.
    """
    k = min(len(weights), rankings.ties.width)
    every = pad(weights[:k], rankings.ties.width)

    def changes(ties: MixedTies) -> Tensor:
        at = every[ties.column]
        gains, best = gain(ties.inside(rankings.gains)), gain(ties.reversed(rankings.gains))
        worst, random = ties.sums(gains * at), ties.sums(gains) * ties.sums(at) / ties.size
        return torch.stack([random - worst, torch.zeros_like(worst), ties.sums(best * at) - worst])

    present = gain(rankings.gains[:, :k]) @ weights[:k]
    return in_all_orders(present, rankings.ties[rankings.ties.before < k], changes)


def weighted_average_precision(rankings: GradedRankings, tables: Tables) -> Tensor:
    """Return WAP = (1/R) sum_i rel_i ACG(i), where ACG(i) is the mean gain of the first i ranks, (3, S) float64.

    Relevant scenes share a label (Zhao et al., CVPR 2015). With gains of 0 and 1 it is AP.

    1 0 2 0: (1/1 + 3/3) / 2. 1 (0 2) 0: the same or (1 + 3/2) / 2.

    >>> weighted_average_precision(ranking([1, 2, 3, 4], [1, 0, 2, 0]), Tables.of(4))[0].tolist()
    [1.0]
    >>> weighted_average_precision(ranking([1, 2, 2, 4], [1, 0, 2, 0]), Tables.of(4)).flatten().tolist()
    [1.125, 1.0, 1.25]
    """
    present = (rankings.running_gains * rankings.relevant("any")).double() @ tables.reciprocals
    sums = in_all_orders(present, rankings.ties, lambda ties: mean_gain_changes(rankings, ties, tables))
    return sums / rankings.found("any")[:, -1]


def mean_gain_changes(rankings: GradedRankings, ties: MixedTies, tables: Tables) -> Tensor:
    """Return how the sum of rel_i ACG(i) over tie groups changes in random, worst and best order, (3, T) float64.

    The present order is the worst: gains ascend.
    """
    running, reciprocals = rankings.running_gains, tables.reciprocals[ties.column]
    present = ties.inside(running) * (ties.inside(rankings.gains) > 0)
    worst = ties.sums(present * reciprocals)
    before, gain, relevant = (
        ties.count_before(running),
        ties.count_inside(running),
        ties.count_inside(rankings.found("any")),
    )
    random = mean_gain_sum(ties.before, ties.size, relevant, before, gain, tables.harmonic)
    descending = ties.reversed(rankings.gains)
    best = ties.sums((before[ties.group] + ties.running(descending)) * (descending > 0) * reciprocals)
    return torch.stack([random - worst, torch.zeros_like(worst), best - worst])


def mean_gain_sum(
    before: Tensor, size: Tensor, relevant: Tensor, gain_before: Tensor, gain: Tensor, harmonic: Tensor
) -> Tensor:
    """Return the expected sum of rel_i ACG(i) over tie groups, (...) float64.

    It is B n + (A - B (b+1)) (H(b+n) - H(b)) with A = (r/n) CG + S/n and B = (S/n) (r-1)/(n-1).

    Args:
        before: (...) int64, b.
        size: (...) int64, n.
        relevant: (...) int64, r.
        gain_before: (...), CG.
        gain: (...), S.
        harmonic: (N + 1,) float64, see ``rsir_bench.ranking.metrics.harmonic_numbers``.
    """
    n = size.clamp(min=1).double()
    level = (relevant * gain_before + gain) / n
    slope = gain / n * (relevant - 1) / (size - 1).clamp(min=1)
    reciprocals = harmonic[before + size] - harmonic[before]
    return slope * size + (level - slope * (before + 1)) * reciprocals


def discounts(k: int, device: torch.device | str = "cpu") -> Tensor:
    """Return 1 / log2(i + 1) for i from 1 to k, (k,) float64."""
    return 1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64, device=device))


def in_all_orders(present: Tensor, ties: MixedTies, changes: Callable[[MixedTies], Tensor]) -> Tensor:
    """Return the sums of S queries in random, worst and best order, (3, S) float64.

    Args:
        present: (S,) float64, the sums in the present order.
        ties: T tie groups.
        changes: Returns how each group changes the sum in each order, (3, T) float64.
    """
    sums = present.repeat(3, 1)
    return sums.index_add_(1, ties.query, changes(ties)) if len(ties) else sums


def pad(values: Tensor, width: int) -> Tensor:
    """Return values (..., k) with zeros up to (..., N)."""
    missing = width - values.shape[-1]
    return torch.nn.functional.pad(values, (0, missing)) if missing else values
