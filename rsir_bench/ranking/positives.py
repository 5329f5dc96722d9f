"""The one primitive of scoring: where the positives of a query stand in its ranking, ties included.

A ranking with ties is a sequence of tie groups. A group is described by four counts, and every metric is a function of them:
how many scenes stand before it, how many it holds, and how many of both are positives.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TieGroups:
    """The tie groups that hold the positives of S queries; all four tensors are (S, G), int64.

    Groups stand in order of rank. A column without positives (``positives`` 0) counts for nothing: it fills a row up where
    the tie groups of its query are fewer than G.

    Attributes:
        before: scenes ranked strictly before the group.
        size: scenes in the group.
        positives_before: positives ranked strictly before the group.
        positives: positives in the group.
        tied: False where every group is known to hold one scene, so that metrics may skip the arithmetic of ties.
    """

    before: Tensor
    size: Tensor
    positives_before: Tensor
    positives: Tensor
    tied: bool = True

    @property
    def relevant(self) -> Tensor:
        """(S, 1) int64: R, the positives of each query."""
        return self.positives.sum(dim=1, keepdim=True)

    def best(self) -> TieGroups:
        """The most favourable order of every group: its positives come first."""
        return TieGroups(self.before, self.positives, self.positives_before, self.positives, self.tied)

    def worst(self) -> TieGroups:
        """The least favourable order of every group: its positives come last."""
        before = self.before + self.size - self.positives
        return TieGroups(before, self.positives, self.positives_before, self.positives, self.tied)


def tie_groups(distances: Tensor, positives: Tensor) -> TieGroups:
    """Finds the tie groups of the positives by bisection.

    Args:
        distances: (S, N) each row the distances of one query to its gallery, ascending; a masked scene has +inf.
        positives: (S, R) each row the distances of that query's positives, ascending; all finite.

    Returns:
        TieGroups: G = R; the first positive of a group carries its counts, the others are empty columns.
    """
    before = torch.searchsorted(distances, positives)
    rank = torch.arange(positives.shape[1], device=positives.device).expand_as(before)
    following = distances.gather(1, (before + 1).clamp_(max=distances.shape[1] - 1))
    if not bool(((following == positives) & (before + 1 < distances.shape[1])).any()):
        one = torch.ones((), dtype=torch.int64, device=positives.device).expand_as(before)
        return TieGroups(before, one, rank, one, tied=False)
    size = torch.searchsorted(distances, positives, right=True) - before
    positives_before = torch.searchsorted(positives, positives)
    count = torch.searchsorted(positives, positives, right=True) - positives_before
    return TieGroups(before, size, positives_before, count * (positives_before == rank))
