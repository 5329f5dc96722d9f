"""The one primitive of scoring: where the positives of a query stand in its ranking, ties included.

A ranking with ties is a sequence of tie groups: scenes at one distance, in no order. Most groups of real descriptors hold a
single scene, most groups of binary codes hold many, so the two kinds are kept apart: single positives as a dense matrix,
larger groups as a flat list. Every metric is a sum over both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class TieGroups:
    """T tie groups of S queries; all tensors are (T,) int64.

    Attributes:
        query: the query, 0 to S-1, in whose ranking the group stands.
        before: scenes ranked strictly before the group.
        size: scenes in the group.
        positives_before: positives ranked strictly before the group.
        positives: positives in the group, at least 1.
    """

    query: Tensor
    before: Tensor
    size: Tensor
    positives_before: Tensor
    positives: Tensor

    def best(self) -> TieGroups:
        """The most favourable order: the positives of each group first."""
        return TieGroups(self.query, self.before, self.positives, self.positives_before, self.positives)

    def worst(self) -> TieGroups:
        """The least favourable order: the positives of each group last."""
        before = self.before + self.size - self.positives
        return TieGroups(self.query, before, self.positives, self.positives_before, self.positives)

    def __getitem__(self, chosen: Tensor) -> TieGroups:
        """The groups at the given places, or where a mask is True."""
        return TieGroups(
            self.query[chosen],
            self.before[chosen],
            self.size[chosen],
            self.positives_before[chosen],
            self.positives[chosen],
        )


@dataclass(frozen=True)
class PositiveRanks:
    """Where the R positives of each of S queries stand.

    Attributes:
        before: (S, R) float64: scenes ranked before the i-th positive, +inf where that positive is tied with another scene.
        groups: the tie groups of at least two scenes, of which at least one is a positive.
    """

    before: Tensor
    groups: TieGroups

    @property
    def queries(self) -> int:
        """S, the number of queries."""
        return self.before.shape[0]

    @property
    def relevant(self) -> int:
        """R, the number of positives of each query."""
        return self.before.shape[1]

    @cached_property
    def order(self) -> Tensor:
        """(R,) float64: 1, ..., R."""
        return torch.arange(1, self.relevant + 1, dtype=torch.float64, device=self.before.device)

    @cached_property
    def precision(self) -> Tensor:
        """(S, R) float64: P(i) at the rank of the i-th positive, 0 where it is tied with another scene."""
        return self.order / (self.before + 1)

    def expected_ranks(self) -> Tensor:
        """(S, R) float64: the expected rank, from 1, of the i-th positive.

        The m-th of r positives in random order on n places stands at place m (n + 1) / (r + 1) on average.
        """
        ranks = self.before + 1
        groups, counts = self.groups, self.groups.positives
        total = int(counts.sum())
        start = groups.query * self.relevant + groups.positives_before
        m = 1 + torch.arange(total, device=ranks.device) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        step = ((groups.size + 1) / (counts + 1).double()).repeat_interleave(counts)
        ranks.view(-1)[start.repeat_interleave(counts) + m - 1] = groups.before.repeat_interleave(counts) + m * step
        return ranks


def positive_ranks(distances: Tensor, positives: Tensor) -> PositiveRanks:
    """Ranks positives by bisection.

    Args:
        distances: (S, N + 1) the distances of each query to its gallery, ascending; masked scenes and the last column +inf.
        positives: (S, R) the distances of each query's positives, ascending; all finite.

    Examples:
        Two positives at ranks 1 and 3, the second tied with a scene that is none:

        >>> distances = torch.tensor([[0.1, 0.2, 0.3, 0.3, 0.4, torch.inf]])
        >>> ranks = positive_ranks(distances, torch.tensor([[0.1, 0.3]]))
        >>> ranks.before, ranks.groups.before, ranks.groups.size
        (tensor([[0., inf]], dtype=torch.float64), tensor([2]), tensor([2]))
    """
    before = torch.searchsorted(distances, positives)
    return with_ties(distances, positives, before, distances.gather(1, before + 1) == positives)


def with_ties(distances: Tensor, positives: Tensor, before: Tensor, tied: Tensor) -> PositiveRanks:
    """Collects the tie groups.

    Args:
        distances: (S, N + 1) as for `positive_ranks`.
        positives: (S, R) as for `positive_ranks`.
        before: (S, R) int64: scenes nearer than each positive.
        tied: (S, R) bool: True where another scene has the same distance as the positive.
    """
    first = tied.clone()
    first[:, 1:] &= before[:, 1:] != before[:, :-1]
    query, positives_before = torch.nonzero(first, as_tuple=True)
    begin = before[query, positives_before]
    value = positives[query, positives_before]
    groups = TieGroups(
        query=query,
        before=begin,
        size=first_greater(distances, query, begin, value) - begin,
        positives_before=positives_before,
        positives=first_greater(positives, query, positives_before, value) - positives_before,
    )
    return PositiveRanks(before.double().masked_fill_(tied, torch.inf), groups)


def first_greater(rows: Tensor, row: Tensor, low: Tensor, value: Tensor) -> Tensor:
    """(T,) int64: the first column at or after ``low`` whose value is greater than ``value``, by bisection.

    Args:
        rows: (S, N) ascending rows.
        row: (T,) int64 which row each search is in.
        low: (T,) int64 where each search begins.
        value: (T,) what is searched for.
    """
    high = torch.full_like(low, rows.shape[1])
    for _ in range(rows.shape[1].bit_length()):
        middle = (low + high) // 2
        not_greater = (rows[row, middle.clamp(max=rows.shape[1] - 1)] <= value) & (low < high)
        low = torch.where(not_greater, middle + 1, low)
        high = torch.where(not_greater, high, middle)
    return low
