"""The functions behind the names of ``rsir_bench.ranking.names``."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rsir_bench.ranking.metrics.averages import (
    average_precision,
    average_precision_at,
    average_precision_at_hits,
    average_precision_at_r,
)
from rsir_bench.ranking.metrics.cutoffs import ndcg_at, precision_at, precision_within_radius, r_precision, recall_at
from rsir_bench.ranking.metrics.first_positive import hit_at, reciprocal_rank
from rsir_bench.ranking.metrics.positions import nmrr
from rsir_bench.ranking.names import Metric
from rsir_bench.ranking.ties import PositiveRanks

FORMULAS: dict[str, Callable[[PositiveRanks, int, Tensor], Tensor]] = {
    "mAP": lambda ranks, _, harmonic: average_precision(ranks, harmonic),
    "mAP@R": lambda ranks, _, harmonic: average_precision_at_r(ranks, harmonic),
    "mAP@k": lambda ranks, k, harmonic: average_precision_at(ranks, k, min(k, ranks.relevant), harmonic),
    "mAP@k/R": lambda ranks, k, harmonic: average_precision_at(ranks, k, ranks.relevant, harmonic),
    "mAP@kh": average_precision_at_hits,
    "AP@kh": average_precision_at_hits,
    "P@k": lambda ranks, k, _: precision_at(ranks, k),
    "recall@k": lambda ranks, k, _: recall_at(ranks, k),
    "hit@k": lambda ranks, k, _: hit_at(ranks, k),
    "nDCG@k": lambda ranks, k, harmonic: ndcg_at(ranks, min(k, len(harmonic) - 1)),
    "MRR": lambda ranks, *_: reciprocal_rank(ranks),
    "R-precision": lambda ranks, *_: r_precision(ranks),
    "ANMRR": lambda ranks, *_: nmrr(ranks),
    "P@H2": lambda ranks, *_: precision_within_radius(ranks),
}


def measured(metric: Metric, ranks: PositiveRanks, harmonic: Tensor) -> Tensor:
    """Return a metric of S queries, (3, S) float64: expectation, worst and best order of tied scenes.

    Args:
        metric: The metric.
        ranks: The ranks of the S queries.
        harmonic: (M + 1,) float64, see ``rsir_bench.ranking.metrics.groups.harmonic_numbers``.
    """
    return FORMULAS[metric.formula](ranks, metric.cutoff, harmonic)
