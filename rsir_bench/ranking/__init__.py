"""Exact, tie-aware retrieval scores from the ranks of the positives.

Names are imported when they are first used: tables need the names of metrics, but not torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsir_bench.ranking.graded.scores import GradedScores
    from rsir_bench.ranking.names import METRIC_VERSION
    from rsir_bench.ranking.scores import Scores, score
    from rsir_bench.ranking.similarity import SIMILARITIES

__all__ = ["METRIC_VERSION", "SIMILARITIES", "GradedScores", "Scores", "score"]

_HOMES = {"METRIC_VERSION": "names", "SIMILARITIES": "similarity", "GradedScores": "graded.scores"}


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module(f"rsir_bench.ranking.{_HOMES.get(name, 'scores')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__doc__"]
