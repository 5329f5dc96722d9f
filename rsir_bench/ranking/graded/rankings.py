"""Rankings of scenes by distance that keep the level of each scene, and the ties that matter among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rsir_bench.ranking.graded.levels import MOST_LABELS, relevant, shared_labels

SIGN = 2**31 - 1


@dataclass(frozen=True)
class MixedTies:
    """T tie groups of S queries whose scenes have different levels; the order within other groups does not matter.

    Attributes:
        query: (T,) int64, the query, 0 to S-1.
        before: (T,) int64, scenes ranked before the group.
        size: (T,) int64, scenes in the group, at least 2.
        width: N, the length of a ranking.
    """

    query: Tensor
    before: Tensor
    size: Tensor
    width: int

    def __len__(self) -> int:
        """Return T."""
        return len(self.query)

    def __getitem__(self, mask: Tensor) -> MixedTies:
        """Return the groups where a (T,) bool mask is True."""
        return MixedTies(self.query[mask], self.before[mask], self.size[mask], self.width)

    @cached_property
    def group(self) -> Tensor:
        """(E,) int64, the group of each of its scenes, group after group."""
        return torch.arange(len(self), device=self.size.device).repeat_interleave(self.size)

    @cached_property
    def column(self) -> Tensor:
        """(E,) int64, the place of each of these scenes in its ranking, counted from 0."""
        first = self.size.cumsum(0) - self.size
        within = torch.arange(len(self.group), device=self.size.device) - first[self.group]
        return self.before[self.group] + within

    @cached_property
    def _row(self) -> Tensor:
        return self.query[self.group] * self.width

    def inside(self, values: Tensor) -> Tensor:
        """Return the values (S, N) at the places of the groups, (E,), in the order of the rankings."""
        return values.flatten()[self._row + self.column]

    def reversed(self, values: Tensor) -> Tensor:
        """Return the same with the scenes of each group in the opposite order."""
        opposite = 2 * self.before + self.size - 1
        return values.flatten()[self._row + opposite[self.group] - self.column]

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of (E,) values over each group, (T,) float64."""
        return torch.zeros(len(self), dtype=torch.float64, device=values.device).index_add_(
            0, self.group, values.double()
        )

    def running(self, values: Tensor) -> Tensor:
        """Return the sums of (E,) integers over each group up to each scene, (E,) int64."""
        sums = values.cumsum(0)
        first = self.size.cumsum(0) - self.size
        return sums - (sums[first] - values[first])[self.group]

    def count_before(self, running: Tensor) -> Tensor:
        """Return running sums (S, N) up to the scene before each group, (T,) int64."""
        first = self.query * self.width + self.before
        return torch.where(self.before > 0, running.flatten()[(first - 1).clamp(min=0)].long(), 0)

    def count_inside(self, running: Tensor) -> Tensor:
        """Return what running sums (S, N) gain within each group, (T,) int64."""
        last = self.query * self.width + self.before + self.size - 1
        return running.flatten()[last] - self.count_before(running)


@dataclass(frozen=True)
class GradedRankings:
    """The rankings of S queries, nearest first.

    Attributes:
        levels: (S, N) int32, the level of the scene at each place, see ``levels_between``; ascending in a tie group.
        ties: The tie groups whose order matters.
    """

    levels: Tensor
    ties: MixedTies

    @cached_property
    def gains(self) -> Tensor:
        """The number of shared labels at each place, (S, N) int32."""
        return shared_labels(self.levels)

    @cached_property
    def running_gains(self) -> Tensor:
        """The sum of the gains up to each place, (S, N) int32."""
        return running(self.gains)

    def relevant(self, relevance: str) -> Tensor:
        """Return which places hold a relevant scene, (S, N) bool."""
        return relevant(self.levels, relevance)

    def found(self, relevance: str) -> Tensor:
        """Return the number of relevant scenes up to each place, (S, N) int32."""
        if relevance not in self._found:
            self._found[relevance] = running(self.relevant(relevance))
        return self._found[relevance]

    @cached_property
    def _found(self) -> dict[str, Tensor]:
        return {}


def rank(distances: Tensor, levels: Tensor) -> GradedRankings:
    """Sort scenes by distance.

    Args:
        distances: (S, N) float32 or float64, not NaN; smaller is nearer.
        levels: (S, N) int32, of the same scenes, from 0.

    Examples:
        >>> found = rank(torch.tensor([[0.3, 0.1, 0.3, 0.2]]), torch.tensor([[8, 0, 4, 0]], dtype=torch.int32))
        >>> found.gains.tolist(), found.ties.before.tolist(), found.ties.size.tolist()
        ([[0, 0, 1, 2]], [2], [2])
    """
    keys = sorted_rows(ordered_keys(distances, levels))
    found = keys.int()
    return GradedRankings(found, mixed_ties(keys[:, 1:] >> 32 == keys[:, :-1] >> 32, found))


def ordered_keys(distances: Tensor, levels: Tensor) -> Tensor:
    """Return one number for distance and level of each scene, (S, N) int64: the distance in the upper 32 bits.

    Upper halves ascend with the distance and are equal where distances are; the order of the scenes may change.
    """
    if distances.dtype == torch.float32:
        bits = (distances + 0.0).view(torch.int32)  # -0.0 is 0.0
        return ((bits ^ ((bits >> 31) & SIGN)).long() << 32) | levels
    order = (
        torch.from_numpy(distances.numpy().argsort(axis=1)) if distances.device.type == "cpu" else distances.argsort()
    )
    values = distances.gather(1, order)
    number = torch.zeros_like(order)
    torch.cumsum(values[:, 1:] != values[:, :-1], dim=1, out=number[:, 1:])
    return (number << 32) | levels.gather(1, order)


def sorted_rows(keys: Tensor) -> Tensor:
    """Return rows (S, N) int64 sorted in ascending order; on the CPU, in place, by NumPy, which is faster."""
    if keys.device.type != "cpu":
        return keys.sort(dim=1).values
    keys.numpy().sort(axis=1)
    return keys


def mixed_ties(tied: Tensor, levels: Tensor) -> MixedTies:
    """Return the tie groups that hold different levels.

    Args:
        tied: (S, N-1) bool, whether a scene is as near as the next one.
        levels: (S, N) int32, ascending within a tie group.
    """
    edge = torch.zeros_like(tied[:, :1])
    query, first = torch.nonzero(tied & ~torch.cat([edge, tied[:, :-1]], dim=1), as_tuple=True)
    last = torch.nonzero(tied & ~torch.cat([tied[:, 1:], edge], dim=1), as_tuple=True)[1] + 1
    mixed = levels[query, first] != levels[query, last]
    return MixedTies(query[mixed], first[mixed], (last - first + 1)[mixed], levels.shape[1])


def running(values: Tensor) -> Tensor:
    """Return running sums of rows (S, N) of small integers, (S, N) int32; int64 where they may not fit."""
    fits = values.shape[1] * MOST_LABELS < 2**31
    return values.cumsum(dim=1, dtype=torch.int32 if fits else torch.int64)


def ranking(distances: Sequence[float], gains: Sequence[int]) -> GradedRankings:
    """Return the ranking of one query from plain lists, where each gain is a number of shared labels; for examples."""
    levels = torch.tensor([gains], dtype=torch.int32) << 2
    return rank(torch.tensor([distances], dtype=torch.float32), levels)
