"""Chance and oracle of the values on a target whose scenes have several labels, and the columns of its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsir_bench.ranking.graded.names import GRADED_COLUMNS, GRADED_METRICS
from rsir_bench.records.schema import Record

NOTE = (
    "Scenes have several labels. Gains g are shared labels; mAP counts scenes that share a label (any), half of the "
    "labels that either has (jaccard), or all (equal). Chance is the mean over all orders of the gallery, oracle the "
    "gallery ranked by what the metric counts: no value is above it."
)


@dataclass(frozen=True)
class Reference:
    """Values that no method made.

    Attributes:
        title: ``"Chance"`` or ``"Oracle"``.
        values: By metric.
    """

    title: str
    values: dict[str, float]


def references(records: Sequence[Record]) -> tuple[Reference, ...]:
    """Return chance and oracle of the results on one target; none where each scene has one label.

    They are those of the target's labels and queries, and so of all methods alike.
    """
    graded = next((record.graded for record in records if record.graded is not None), None)
    if graded is None:
        return ()
    return Reference("Chance", graded.chance), Reference("Oracle", graded.oracle)


def columns_for(metrics: Sequence[str], usual: Sequence[str], *, graded: bool) -> tuple[str, ...]:
    """Return those of some metrics that a table can show: of scenes with several labels, or of others.

    Args:
        metrics: What is asked for.
        usual: The columns of other tables where none of these is asked for.
        graded: Whether the table is one of scenes with several labels.
    """
    fitting = tuple(name for name in metrics if (name in GRADED_METRICS) is graded)
    return fitting or (GRADED_COLUMNS if graded else tuple(usual))
