"""The graded metrics, each with its chance and its oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rsir_bench.ranking.graded import references
from rsir_bench.ranking.graded.counted import (
    CountedRankings,
    counted_average_precision,
    counted_gain_at,
    counted_weighted_precision,
)
from rsir_bench.ranking.graded.hits_ratio import weighted_average_precision_at_hits
from rsir_bench.ranking.graded.metrics import (
    Gain,
    Tables,
    average_precision,
    discounts,
    gain_at,
    weighted_average_precision,
)
from rsir_bench.ranking.graded.names import GradedName, graded_name
from rsir_bench.ranking.graded.rankings import GradedRankings
from rsir_bench.ranking.graded.references import Counts

GAINS: dict[str, Gain] = {"g": Tensor.double, "2^g-1": lambda shared: torch.exp2(shared.double()) - 1}


class GradedMetric(Protocol):
    """A metric of S queries; a query without a relevant scene has the value NaN."""

    def values(self, rankings: GradedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return expectation, worst and best value over the orders of tied scenes, (3, S) float64."""
        ...

    def chance(self, counts: Counts, tables: Tables) -> Tensor:
        """Return the mean over all orders of all scenes, (S,) float64."""
        ...

    def oracle(self, counts: Counts, tables: Tables) -> Tensor:
        """Return the value of the ranking by relevance, (S,) float64."""
        ...


@runtime_checkable
class CountedMetric(GradedMetric, Protocol):
    """A metric that follows from the number of scenes at each distance."""

    def counted(self, rankings: CountedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return what ``values`` does, (3, S) float64."""
        ...


@dataclass(frozen=True)
class AveragePrecision:
    """AP, or AP@k over min(k, R), of one relevance."""

    relevance: str
    k: int | None

    def values(self, rankings: GradedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return average_precision(rankings, self.relevance, tables, self._cut(tables))

    def counted(self, rankings: CountedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return counted_average_precision(rankings, self.relevance, tables, self._cut(tables))

    def chance(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        return references.chance_average_precision(counts, self.relevance, tables, self._cut(tables))

    def oracle(self, counts: Counts, tables: Tables) -> Tensor:
        """Return 1 for every query that has a value, (S,) float64."""
        return torch.where(counts.relevant[self.relevance] > 0, 1.0, torch.nan).double()

    def _cut(self, tables: Tables) -> int | None:
        return None if self.k is None else _inside(self.k, tables)


@dataclass(frozen=True)
class DiscountedGain:
    """NDCG@k: DCG@k over that of the ranking by shared labels."""

    k: int
    gain: str

    def values(self, rankings: GradedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return gain_at(
            rankings, discounts(_inside(self.k, tables), rankings.levels.device), GAINS[self.gain]
        ) / self._ideal(counts, tables)

    def counted(self, rankings: CountedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return counted_gain_at(rankings, discounts(_inside(self.k, tables)), GAINS[self.gain], tables) / self._ideal(
            counts, tables
        )

    def chance(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        weights = discounts(_inside(self.k, tables), counts.gains.device)
        return references.chance_gain(counts, weights, GAINS[self.gain]) / self._ideal(counts, tables)

    def oracle(self, counts: Counts, tables: Tables) -> Tensor:
        """Return 1 for every query that has a value, (S,) float64."""
        return self._ideal(counts, tables) / self._ideal(counts, tables)

    def _ideal(self, counts: Counts, tables: Tables) -> Tensor:
        return references.ideal_gain(counts, discounts(_inside(self.k, tables), counts.gains.device), GAINS[self.gain])


@dataclass(frozen=True)
class AverageGain:
    """ACG@k: the mean number of shared labels of the first k scenes; k is the divisor also in a smaller gallery."""

    k: int

    def values(self, rankings: GradedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return gain_at(rankings, self._weights(counts, tables), Tensor.double)

    def counted(self, rankings: CountedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return counted_gain_at(rankings, self._weights(counts, tables), Tensor.double, tables)

    def chance(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        return references.chance_gain(counts, self._weights(counts, tables), Tensor.double)

    def oracle(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        return references.ideal_gain(counts, self._weights(counts, tables), Tensor.double)

    def _weights(self, counts: Counts, tables: Tables) -> Tensor:
        return torch.full((_inside(self.k, tables),), 1 / self.k, dtype=torch.float64, device=counts.gains.device)


@dataclass(frozen=True)
class WeightedPrecision:
    """WAP over the whole ranking."""

    def values(self, rankings: GradedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return weighted_average_precision(rankings, tables)

    def counted(self, rankings: CountedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return counted_weighted_precision(rankings, tables)

    def chance(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        return references.chance_weighted_precision(counts, tables)

    def oracle(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        return references.ideal_weighted_precision(counts, tables)


@dataclass(frozen=True)
class WeightedPrecisionAtHits:
    """WAP@kh over the hits of the first k ranks; few early hits may score above the oracle."""

    k: int

    def values(self, rankings: GradedRankings, counts: Counts, tables: Tables) -> Tensor:
        """Return (3, S) float64."""
        return weighted_average_precision_at_hits(rankings, _inside(self.k, tables), tables)

    def chance(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        return references.chance_weighted_precision_at_hits(counts, _inside(self.k, tables), tables)

    def oracle(self, counts: Counts, tables: Tables) -> Tensor:
        """Return (S,) float64."""
        return references.ideal_weighted_precision_at_hits(counts, _inside(self.k, tables), tables)


def _inside(k: int, tables: Tables) -> int:
    """Return the ranks up to k that the gallery has; a k of millions then takes no memory."""
    return min(k, len(tables.reciprocals))


def graded_metrics(names: Sequence[str]) -> dict[str, GradedMetric]:
    """Return the metrics of some names.

    Raises:
        UserError: A name is not one of a graded metric.
    """
    return {name: _metric(graded_name(name)) for name in names}


def _metric(name: GradedName) -> GradedMetric:
    if name.formula == "mAP":
        return AveragePrecision(name.argument, name.cutoff or None)
    if name.formula == "nDCG@k":
        return DiscountedGain(name.cutoff, name.argument)
    if name.formula == "ACG@k":
        return AverageGain(name.cutoff)
    return WeightedPrecisionAtHits(name.cutoff) if name.cutoff else WeightedPrecision()
