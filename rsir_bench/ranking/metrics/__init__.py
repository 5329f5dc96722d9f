"""The metrics of retrieval as functions of the ranks of the positives: exact expectations over orders of tied scenes.

Notation: a query has R positives; rel_i is 1 if the scene at rank i is a positive, P(i) is the precision of the first i
ranks, h_k the number of positives in the first k. A tie group has b scenes before it and n in it, of which rb and r are
positives; t of its places are within a cut-off.

Every metric returns (3, S) float64 for S queries: its expectation over a random order of tied scenes, its value with
every tie group in its worst order, and with every tie group in its best order. The examples score rankings of five
scenes, written + for a positive, - for another scene, and in brackets where scenes are tied.

``rsir_bench.ranking.names`` gives the metrics their names.
"""

from rsir_bench.ranking.metrics.averages import (
    average_precision,
    average_precision_at,
    average_precision_at_hits,
    average_precision_at_r,
)
from rsir_bench.ranking.metrics.cutoffs import ndcg_at, precision_at, precision_within_radius, r_precision, recall_at
from rsir_bench.ranking.metrics.first_positive import hit_at, reciprocal_rank
from rsir_bench.ranking.metrics.groups import harmonic_numbers
from rsir_bench.ranking.metrics.positions import nmrr, precision_at_recall
from rsir_bench.ranking.ties import ranking

__all__ = [
    "average_precision",
    "average_precision_at",
    "average_precision_at_hits",
    "average_precision_at_r",
    "harmonic_numbers",
    "hit_at",
    "ndcg_at",
    "nmrr",
    "precision_at",
    "precision_at_recall",
    "precision_within_radius",
    "r_precision",
    "ranking",
    "recall_at",
    "reciprocal_rank",
]
