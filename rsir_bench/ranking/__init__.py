"""Exact, tie-aware retrieval scores from the ranks of the positives."""

from rsir_bench.ranking.scores import METRIC_VERSION, Scores, score
from rsir_bench.ranking.similarity import SIMILARITIES

__all__ = ["METRIC_VERSION", "SIMILARITIES", "Scores", "score"]
