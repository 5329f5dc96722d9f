"""Rankings of codes by the number of scenes at each distance and level, and the graded metrics as sums over these.

All scenes at one distance are tied. In the worst and in the best order of such a tie group its scenes come gain by
gain, and scenes of one gain are alike: they are a group whose order does not matter, so that the closed forms of the
expectation hold for all three orders. The examples rank a scene of gain 0 and one of gain 1 at one distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rsir_bench.ranking.counting.codes import Bytes, fill_distances
from rsir_bench.ranking.graded.levels import relevant, shared_labels
from rsir_bench.ranking.graded.metrics import Gain, Tables, mean_gain_sum, pad
from rsir_bench.ranking.metrics.groups import places_inside, precision_sum
from rsir_bench.ranking.queries import LeftOut
from rsir_bench.ranking.ties import TieGroups


@dataclass(frozen=True)
class Groups:
    """G groups of the rankings of S queries, in order; each holds scenes in any order.

    Attributes:
        size: (S, G) int64, scenes.
        relevant: (S, G) int64, those that share a label with the query.
        gain: (S, G) int64, the sum of the labels that they share.
    """

    size: Tensor
    relevant: Tensor
    gain: Tensor

    @cached_property
    def before(self) -> Tensor:
        """Scenes before each group, (S, G) int64."""
        return self.size.cumsum(dim=1) - self.size


@dataclass(frozen=True)
class CountedRankings:
    """The rankings of S queries.

    Attributes:
        counts: (S, D, K) int64, ranked scenes of each level at each distance, the nearest first.
        levels: (K,) int32, the levels, ascending.
    """

    counts: Tensor
    levels: Tensor

    @cached_property
    def gains(self) -> Tensor:
        """The numbers of shared labels, (G,) int64, ascending."""
        held = torch.bincount(shared_labels(self.levels)) > 0
        return held.nonzero()[:, 0]

    @cached_property
    def by_gain(self) -> Tensor:
        """The scenes of each gain at each distance, (S, D, G) int64."""
        places = torch.searchsorted(self.gains, shared_labels(self.levels).long())
        counts = self.counts.new_zeros(*self.counts.shape[:2], len(self.gains))
        return counts.index_add_(2, places, self.counts)

    @cached_property
    def orders(self) -> list[Groups]:
        """The groups of a random, the worst and the best order."""
        tied = Groups(self.by_gain.sum(dim=2), self.found("any"), (self.by_gain * self.gains).sum(dim=2))
        ascending = _gain_by_gain(self.by_gain, self.gains)
        return [tied, ascending, _gain_by_gain(self.by_gain.flip(2), self.gains.flip(0))]

    def found(self, relevance: str) -> Tensor:
        """Return the relevant scenes at each distance, (S, D) int64."""
        return (self.counts * relevant(self.levels, relevance)).sum(dim=2)

    def gained(self, gain: Gain) -> list[Tensor]:
        """Return the sums of a gain over the groups of each order, (S, ...) float64."""
        summed = self.by_gain * gain(self.gains)
        return [summed.sum(dim=2), summed.flatten(1), summed.flip(2).flatten(1)]


def _gain_by_gain(counts: Tensor, gains: Tensor) -> Groups:
    return Groups(counts.flatten(1), (counts * (gains > 0)).flatten(1), (counts * gains).flatten(1))


def count(
    queries: Bytes, gallery: Bytes, kinds: Tensor, levels: Tensor, bits: int, left_out: LeftOut
) -> CountedRankings:
    """Rank a gallery of codes for S queries.

    Args:
        queries: (S, bytes) packed codes.
        gallery: (N, bytes) packed codes.
        kinds: (S, N) int32 in [0, K), the level of each scene for each query, as an index of ``levels``.
        levels: (K,) int32, ascending.
        bits: Bits of the codes.
        left_out: What the rankings leave out.

    Examples:
        >>> codes, nothing = np.array([[0], [1]], np.uint8).repeat(8, axis=1), torch.zeros(2, dtype=torch.int64)
        >>> kinds, levels = torch.tensor([[1, 0]], dtype=torch.int32), torch.tensor([0, 4], dtype=torch.int32)
        >>> count(codes[:1], codes, kinds, levels, 8, LeftOut(nothing, nothing[:0], nothing[:1])).counts.tolist()
        [[[0, 1], [1, 0]]]
    """
    shape = len(queries), bits + 1, len(levels)
    distances = np.empty((len(queries), len(gallery)), np.int32)
    fill_distances(queries, gallery, distances, shape[1])
    cells = torch.from_numpy(distances).mul_(shape[2]).add_(kinds)
    most = shape[0] * shape[1] * shape[2]
    every, absent = (torch.bincount(part.flatten(), minlength=most) for part in (cells, cells[left_out.cells()]))
    counts = (every - absent).reshape(shape)
    return CountedRankings(counts[:, counts.any(dim=2).any(dim=0)], levels)


def counted_average_precision(
    rankings: CountedRankings, relevance: str, tables: Tables, k: int | None = None
) -> Tensor:
    """Return what ``average_precision`` does, (3, S) float64.

    >>> tied = CountedRankings(torch.tensor([[[1, 1]]]), torch.tensor([0, 4], dtype=torch.int32))
    >>> counted_average_precision(tied, "any", Tables.of(2)).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    found, tied = rankings.found(relevance), rankings.orders[0]
    cutoff = len(tables.reciprocals) if k is None else k
    near = _first(tied, cutoff)
    before, size, positives = (counts[:, near] for counts in (tied.before, tied.size, found))
    groups = TieGroups(torch.zeros_like(size), before, size, positives.cumsum(dim=1) - positives, positives).in_orders()
    places = places_inside(groups, cutoff)
    sums = precision_sum(groups, groups.positives, groups.size, places, tables.harmonic).sum(dim=2)
    return sums / found.sum(dim=1).clamp(max=cutoff)


def counted_gain_at(rankings: CountedRankings, weights: Tensor, gain: Gain, tables: Tables) -> Tensor:
    """Return what ``gain_at`` does, (3, S) float64.

    >>> tied = CountedRankings(torch.tensor([[[1, 1]]]), torch.tensor([0, 4], dtype=torch.int32))
    >>> counted_gain_at(tied, torch.ones(1).double(), Tensor.double, Tables.of(2)).flatten().tolist()
    [0.5, 0.0, 1.0]
    """
    scenes = len(tables.reciprocals)
    running = pad(weights[:scenes], scenes + 1).roll(1).cumsum(0)  # of the first 0, 1, ..., N places
    sums = []
    for groups, gained in zip(rankings.orders, rankings.gained(gain), strict=True):
        near = _first(groups, len(weights))
        before, size = groups.before[:, near], groups.size[:, near]
        at = running[before + size] - running[before]
        sums.append((gained[:, near] / size.clamp(min=1) * at).sum(dim=1))
    return torch.stack(sums)


def _first(groups: Groups, k: int) -> slice:
    """Return the groups that hold a place of the first k of any query."""
    return slice(int((groups.before < k).any(dim=0).sum()))


def counted_weighted_precision(rankings: CountedRankings, tables: Tables) -> Tensor:
    """Return what ``weighted_average_precision`` does, (3, S) float64.

    >>> tied = CountedRankings(torch.tensor([[[1, 1]]]), torch.tensor([0, 4], dtype=torch.int32))
    >>> counted_weighted_precision(tied, Tables.of(2)).flatten().tolist()
    [0.75, 0.5, 1.0]
    """
    sums = []
    for groups in rankings.orders:
        gain_before = groups.gain.cumsum(dim=1) - groups.gain
        terms = mean_gain_sum(groups.before, groups.size, groups.relevant, gain_before, groups.gain, tables.harmonic)
        sums.append(terms.sum(dim=1))
    return torch.stack(sums) / rankings.found("any").sum(dim=1)
