"""Find the ranks of a query's positives, including ties. All scores are computed from these ranks.

A ranking with ties is a sequence of tie groups. A tie group is a set of scenes at the same distance, in no particular
order. Most groups hold a single scene for real-valued descriptors, but many scenes for binary codes. Of real-valued
descriptors, single positives are stored in a dense matrix, larger groups in a flat list; of codes, all groups in a
matrix of queries and distances. Every metric is a sum over both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class TieGroups:
    """Tie groups of S queries: T in a flat list, or G places for each query.

    Tensors are int64, (T,) or (S, G). After ``in_orders``, all except ``query`` are (3, T) or (3, S, G).

    Attributes:
        query: The query, 0 to S-1, whose ranking contains the group.
        before: Number of scenes ranked strictly before the group.
        size: Number of scenes in the group.
        positives_before: Number of positives ranked strictly before the group.
        positives: Number of positives in the group, at least 1; of (S, G), 0 where there is no group.
    """

    query: Tensor
    before: Tensor
    size: Tensor
    positives_before: Tensor
    positives: Tensor

    def __len__(self) -> int:
        """Return T, the number of groups in a flat list."""
        return len(self.query)

    def __getitem__(self, mask: Tensor) -> TieGroups:
        """Return the groups where a mask, bool of their shape, is True, as a flat list."""
        mask = mask & (self.positives > 0)
        return TieGroups(
            self.query[mask],
            self.before[mask],
            self.size[mask],
            self.positives_before[mask],
            self.positives[mask],
        )

    def in_orders(self) -> TieGroups:
        """Return the groups in random, worst (positives last) and best (positives first) order.

        The positives of an ordered group are adjacent, so they form a group without other scenes.
        """
        return TieGroups(
            self.query,
            torch.stack([self.before, self.before + self.size - self.positives, self.before]),
            torch.stack([self.size, self.positives, self.positives]),
            self.positives_before.expand(3, *self.query.shape),
            self.positives.expand(3, *self.query.shape),
        )


@dataclass(frozen=True)
class PositiveRanks:
    """The ranks of the R positives of each of S queries.

    Attributes:
        before: (S, R) float64, number of scenes ranked before the i-th positive, +inf if it is in a tie group; or
            (S, 0), where all are.
        groups: The tie groups that hold at least one positive: of (S, R), those of at least two scenes.
        relevant: R, the number of positives of each query.
        near: (2, S) int64, the number of scenes within Hamming distance 2, and of positives among them; None if
            descriptors are no codes.
    """

    before: Tensor
    groups: TieGroups
    relevant: int
    near: Tensor | None = None

    @property
    def queries(self) -> int:
        """S, the number of queries."""
        return self.before.shape[0]

    @property
    def grouped(self) -> bool:
        """Whether all positives are in tie groups, G places of them for each query."""
        return self.groups.query.dim() == 2

    @cached_property
    def order(self) -> Tensor:
        """The numbers 1, ..., R, (R,) float64."""
        return torch.arange(1, self.relevant + 1, dtype=torch.float64, device=self.before.device)

    @cached_property
    def precision(self) -> Tensor:
        """P(i) at the rank of the i-th positive, as ``before``, float64; 0 if it is in a tie group."""
        return self.order[: self.before.shape[1]] / (self.before + 1)

    @cached_property
    def ordered_groups(self) -> TieGroups:
        """The tie groups in random, worst and best order."""
        return self.groups.in_orders()

    def expected_ranks(self) -> Tensor:
        """Return the expected rank of the i-th positive, (S, R) float64, counted from 1.

        If r positives are placed at random among n positions, the m-th is at position m (n + 1) / (r + 1) on average.
        """
        groups = self.groups[self.groups.positives > 0]
        ranks, held = self.before + 1, groups.positives
        if self.grouped:
            ranks = ranks.new_empty(self.queries, self.relevant)
        m = 1 + torch.arange(int(held.sum()), device=ranks.device) - (held.cumsum(0) - held).repeat_interleave(held)
        first = groups.query * self.relevant + groups.positives_before
        step = (groups.size + 1) / (held + 1).double()
        expected = groups.before.repeat_interleave(held) + m * step.repeat_interleave(held)
        ranks.view(-1)[first.repeat_interleave(held) + m - 1] = expected
        return ranks


def positive_ranks(distances: Tensor, positives: Tensor) -> PositiveRanks:
    """Return the ranks of positives, found by binary search.

    Args:
        distances: (S, N + 1) float, the distances of each query to its gallery, ascending; masked scenes and the last
            column are +inf.
        positives: (S, R) float, the distances of each query's positives, ascending; all finite.

    Examples:
        >>> distances = torch.tensor([[0.1, 0.2, 0.3, 0.3, 0.4, torch.inf]])
        >>> ranks = positive_ranks(distances, torch.tensor([[0.1, 0.3]]))  # at rank 1; at rank 3 or 4, tied
        >>> ranks.before, ranks.groups.before, ranks.groups.size
        (tensor([[0., inf]], dtype=torch.float64), tensor([2]), tensor([2]))
    """
    positives = positives.contiguous()
    return collect_ties(torch.searchsorted(distances, positives), torch.searchsorted(distances, positives, right=True))


def collect_ties(before: Tensor, after: Tensor) -> PositiveRanks:
    """Return the ranks of positives, with tied positives collected in tie groups.

    Args:
        before: (S, R) int64, ascending, number of scenes strictly nearer than each positive.
        after: (S, R) int64, number of scenes at least as near as each positive; before + 1 if it is not tied.
    """
    query, column = torch.nonzero(after - before > 1, as_tuple=True)
    begin, end = before[query, column], after[query, column]
    singles = before.double()
    singles[query, column] = torch.inf
    group = query * (int(end.max()) if len(end) else 1) + begin  # one number for each group, ascending
    _, held = torch.unique_consecutive(group, return_counts=True)
    first = held.cumsum(0) - held
    begin = begin[first]
    groups = TieGroups(query[first], begin, end[first] - begin, column[first], held)
    return PositiveRanks(singles, groups, before.shape[1])


def ranking(distances: Sequence[float], positives: Sequence[float]) -> PositiveRanks:
    """Return the ranks of one query's positives from plain lists; meant for examples.

    Args:
        distances: The distances of all scenes, ascending.
        positives: The distances of the positives among them, ascending.
    """
    row = torch.tensor([[*distances, torch.inf]], dtype=torch.float64)
    return positive_ranks(row, torch.tensor([positives], dtype=torch.float64))
