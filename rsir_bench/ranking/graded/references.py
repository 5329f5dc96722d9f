"""Chance and oracle of the graded metrics: their exact mean over random orders, and their value of an ideal ranking.

Both follow from what a query finds in its gallery, whatever the order. A random order is one tie group of all scenes.
An oracle ranks by the relevance that the metric counts: by shared labels where it sums gains, else by the relevance
itself, which scores 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rsir_bench.ranking.graded.levels import relevant, shared_labels
from rsir_bench.ranking.graded.metrics import Gain, Tables, mean_gain_sum
from rsir_bench.ranking.graded.names import RELEVANCES
from rsir_bench.ranking.metrics.groups import hypergeometric, precision_sum
from rsir_bench.ranking.ties import TieGroups


@dataclass(frozen=True)
class Counts:
    """What S queries find in their galleries.

    Attributes:
        gains: (S, G + 1) int64, ranked scenes that share 0, 1, ..., G labels.
        relevant: Relevant scenes by relevance, each (S,) int64.
    """

    gains: Tensor
    relevant: dict[str, Tensor]

    @classmethod
    def of(cls, levels: Tensor, scenes: Tensor, rows: Tensor, left_out: Tensor) -> Counts:
        """Return the counts of S queries.

        Args:
            levels: (S, C) int32, the level of each label set for each query, see ``levels_between``.
            scenes: (C,) int64, scenes of the gallery with that label set.
            rows: (P,) int64 in [0, S), the query of each scene that a ranking leaves out.
            left_out: (P,) int64 in [0, C), the label set of each of these scenes.
        """
        ranked = scenes.repeat(len(levels), 1)
        ranked.index_put_((rows, left_out), torch.full_like(rows, -1), accumulate=True)
        kinds = torch.arange(int(levels.max()) + 1, dtype=torch.int32)
        of_kind = torch.zeros(len(levels), len(kinds), dtype=torch.int64).scatter_add_(1, levels.long(), ranked)
        shared = shared_labels(kinds)
        gains = torch.zeros(len(levels), int(shared[-1]) + 1, dtype=torch.int64).index_add_(1, shared, of_kind)
        return cls(gains, {name: of_kind[:, relevant(kinds, name)].sum(dim=1) for name in RELEVANCES})

    def to(self, device: str) -> Counts:
        """Return the counts on a device."""
        return Counts(self.gains.to(device), {name: count.to(device) for name, count in self.relevant.items()})

    @cached_property
    def scenes(self) -> Tensor:
        """M, the number of ranked scenes, (S,) int64."""
        return self.gains.sum(dim=1)

    def total(self, gain: Gain) -> Tensor:
        """Return the sum of the gains of all scenes, (S,) float64."""
        return self.gains.double() @ gain(torch.arange(self.gains.shape[1], device=self.gains.device))

    def ideal(self, k: int) -> Tensor:
        """Return the shared labels at the first k places of the ranking by shared labels, (S, k) int64.

        >>> Counts(torch.tensor([[2, 2, 1]]), {}).ideal(4).tolist()
        [[2, 1, 1, 0]]
        """
        at_least = self.gains.flip(1).cumsum(dim=1).flip(1)[:, 1:]
        places = torch.arange(k, device=self.gains.device)
        return (at_least[:, None] > places[:, None]).sum(dim=2)


def chance_average_precision(counts: Counts, relevance: str, tables: Tables, k: int | None = None) -> Tensor:
    """Return the mean of AP, or AP@k over min(k, R), over all orders, (S,) float64; NaN if R = 0.

    One of two scenes is relevant: (1 + 1/2) / 2.

    >>> counts = Counts(torch.tensor([[1, 1]]), {"any": torch.tensor([1])})
    >>> chance_average_precision(counts, "any", Tables.of(2)).tolist()
    [0.75]
    """
    positives, scenes = counts.relevant[relevance], counts.scenes
    zero = torch.zeros_like(scenes)
    places = scenes if k is None else scenes.clamp(max=k)
    groups = TieGroups(zero, zero, scenes, zero, positives)
    return precision_sum(groups, positives, scenes, places, tables.harmonic) / torch.minimum(positives, places)


def chance_gain(counts: Counts, weights: Tensor, gain: Gain) -> Tensor:
    """Return the mean of sum_i w_i g_i over all orders, (S,) float64, for weights (k,) float64.

    >>> chance_gain(Counts(torch.tensor([[1, 0, 1]]), {}), torch.ones(1).double(), Tensor.double).tolist()
    [1.0]
    """
    running = torch.nn.functional.pad(weights.cumsum(0), (1, 0))
    return counts.total(gain) / counts.scenes * running[counts.scenes.clamp(max=len(weights))]


def ideal_gain(counts: Counts, weights: Tensor, gain: Gain) -> Tensor:
    """Return sum_i w_i g_i of the ranking by shared labels, (S,) float64, for weights (k,) float64.

    >>> ideal_gain(Counts(torch.tensor([[1, 0, 1]]), {}), torch.ones(1).double(), Tensor.double).tolist()
    [2.0]
    """
    running = torch.nn.functional.pad(weights.cumsum(0), (1, 0))
    last = counts.gains.flip(1).cumsum(dim=1)  # of the scenes that share G, G-1, ..., 0 labels
    places = torch.nn.functional.pad(running[last.clamp(max=len(weights))], (1, 0)).diff(dim=1)
    return places.flip(1) @ gain(torch.arange(counts.gains.shape[1], device=weights.device))


def chance_weighted_precision(counts: Counts, tables: Tables) -> Tensor:
    """Return the mean of WAP over all orders, (S,) float64; NaN if R = 0.

    A scene of gain 2 and one of gain 0: (2/1 + 2/2) / 2.

    >>> chance_weighted_precision(Counts(torch.tensor([[1, 0, 1]]), {"any": torch.tensor([1])}), Tables.of(2)).tolist()
    [1.5]
    """
    zero, positives = torch.zeros_like(counts.scenes), counts.relevant["any"]
    gain = counts.total(Tensor.double)
    return mean_gain_sum(zero, counts.scenes, positives, zero, gain, tables.harmonic) / positives


def ideal_weighted_precision(counts: Counts, tables: Tables) -> Tensor:
    """Return WAP of the ranking by shared labels, (S,) float64; NaN if R = 0.

    2 1 0: (2/1 + 3/2) / 2.

    >>> ideal_weighted_precision(Counts(torch.tensor([[1, 1, 1]]), {"any": torch.tensor([2])}), Tables.of(3)).tolist()
    [1.75]
    """
    size = counts.gains.flip(1)[:, :-1]  # scenes of gain G, G-1, ..., 1: each is a group
    gain = size * torch.arange(size.shape[1], 0, -1, device=size.device)
    before, gain_before = size.cumsum(dim=1) - size, gain.cumsum(dim=1) - gain
    sums = mean_gain_sum(before, size, size, gain_before, gain, tables.harmonic)
    return sums.sum(dim=1) / counts.relevant["any"]


def chance_weighted_precision_at_hits(counts: Counts, k: int, tables: Tables) -> Tensor:
    """Return the mean of WAP@kh over all orders, (S,) float64; NaN if R = 0.

    A scene of gain 2 and one of gain 0, k = 1: 2 or 0.

    >>> counts = Counts(torch.tensor([[1, 0, 1]]), {"any": torch.tensor([1])})
    >>> chance_weighted_precision_at_hits(counts, 1, Tables.of(2)).tolist()
    [1.0]
    """
    scenes, positives = counts.scenes[:, None], counts.relevant["any"][:, None]
    places, zero = scenes.clamp(max=k), torch.zeros_like(scenes)
    h = torch.arange(k + 1, device=scenes.device)
    chance = hypergeometric(h, TieGroups(zero, zero, scenes, zero, positives), places)
    held = torch.where(chance > 0, h, 0)
    gain = held * counts.total(Tensor.double)[:, None] / positives
    sums = mean_gain_sum(zero, places, held, zero, gain, tables.harmonic)
    return (chance * sums / held.clamp(min=1)).sum(dim=1)


def ideal_weighted_precision_at_hits(counts: Counts, k: int, tables: Tables) -> Tensor:
    """Return WAP@kh of the ranking by shared labels, (S,) float64; NaN if R = 0.

    2 1 0, k = 3: (2/1 + 3/2) / 2.

    >>> ideal_weighted_precision_at_hits(Counts(torch.tensor([[1, 1, 1]]), {}), 3, Tables.of(3)).tolist()
    [1.75]
    """
    gains = counts.ideal(min(k, len(tables.reciprocals)))
    mean_gain = gains.cumsum(dim=1) * tables.reciprocals[: gains.shape[1]]
    return (mean_gain * (gains > 0)).sum(dim=1) / (gains > 0).sum(dim=1)
