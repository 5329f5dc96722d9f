"""Score descriptors of scenes with several labels; every value is reported with its chance and oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsir_bench.base.terminal.notebook import Tabular
from rsir_bench.ranking.doubts import doubts_about
from rsir_bench.ranking.graded.measure import FloatArray
from rsir_bench.ranking.graded.task import GradedTask
from rsir_bench.ranking.names import METRIC_VERSION

ByName = dict[str, float]

AVERAGE = "mAP(any)"
"""The metric behind ``GradedScores.doubts``; it is always measured."""


@dataclass(frozen=True, eq=False)
class GradedScores(Tabular):
    """The scores of queries with several labels.

    Means over queries exclude queries without a relevant scene. Chance and oracle of a metric are means over the same
    queries as its value.

    Attributes:
        overall: Metric name -> mean over queries.
        lower: Metric name -> the least value under any order of tied scenes, mean over queries.
        upper: Metric name -> the greatest value, likewise.
        chance: Metric name -> the mean over all orders of the gallery.
        oracle: Metric name -> the value of the gallery ranked by the relevance that the metric uses. No value exceeds
            it, except for WAP@kh, which divides by the number of hits.
        per_label: Label -> metric name -> mean over the queries that have the label.
        label_chance: Label -> metric name -> chance of the same queries.
        label_oracle: Label -> metric name -> oracle of the same queries.
        per_query: Metric name -> (Q,) float64 in the order of ``query_index``; NaN without a relevant scene.
        average: (5, Q) float64, the AP (any) of each query, its least and greatest value, chance and oracle.
        query_index: (Q,) int64, the row of ``descriptors`` of each scored query.
        queries: Number of scored queries.
        skipped: Number of queries that share no label with any scene of the gallery.
        without: Metric name -> number of scored queries without a relevant scene.
        constant: Number of scenes without a direction, as in ``rsir_bench.ranking.Scores``.
        equal: Number of scenes in the largest group of equal descriptors; 0: all differ.
        mixed: Number of scenes in this group whose labels differ from most of the group.
        scenes: Number of scenes in the gallery.
        label_names: The labels.
        after_seconds: Processor time of post-processing, all threads together; None: there was none.
    """

    overall: ByName
    lower: ByName
    upper: ByName
    chance: ByName
    oracle: ByName
    per_label: dict[str, ByName]
    label_chance: dict[str, ByName]
    label_oracle: dict[str, ByName]
    per_query: dict[str, FloatArray]
    average: FloatArray
    query_index: np.ndarray[Any, np.dtype[np.int64]]
    queries: int
    skipped: int
    without: dict[str, int]
    constant: int
    equal: int
    mixed: int
    scenes: int
    label_names: tuple[str, ...]
    after_seconds: float | None = None

    __repr__ = Tabular.__repr__  # not the one of dataclasses, which prints every query

    def _title(self) -> str:
        return f"{self.queries} queries, {len(self.per_label)} labels"

    def _rows(self) -> dict[str, ByName]:
        return {"all queries": self.overall, "chance": self.chance, "oracle": self.oracle, **self.per_label}

    def doubts(self) -> list[str]:
        """Return reasons why the scores may not measure retrieval; see ``rsir_bench.ranking.doubts.doubts_about``."""
        mean, least, most, chance, _ = self.average.mean(axis=1).tolist()
        return doubts_about(
            AVERAGE,
            (mean, least, most),
            chance=chance,
            error=float(np.std(self.average[0] - self.average[3])) / self.queries**0.5,
            equal=self.equal,
            mixed=self.mixed,
            constant=self.constant,
            scenes=self.scenes,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the scores for JSON: overall metrics at the top; a query without a value has None."""
        return {
            **self.overall,
            "metric_version": METRIC_VERSION,
            "queries": self.queries,
            "skipped": self.skipped,
            "without": dict(self.without),
            "constant": self.constant,
            "equal": self.equal,
            "chance": dict(self.chance),
            "oracle": dict(self.oracle),
            "doubts": self.doubts(),
            "lower": dict(self.lower),
            "upper": dict(self.upper),
            "labels": list(self.label_names),
            "per_label": {name: dict(values) for name, values in self.per_label.items()},
            "label_chance": {name: dict(values) for name, values in self.label_chance.items()},
            "label_oracle": {name: dict(values) for name, values in self.label_oracle.items()},
            **({} if self.after_seconds is None else {"after_seconds": self.after_seconds}),
            "query_index": self.query_index.tolist(),
            "per_query": {
                name: [None if np.isnan(value) else value for value in values.tolist()]
                for name, values in self.per_query.items()
            },
        }


def assemble_graded(task: GradedTask, measured: Sequence[str], names: Sequence[str], table: FloatArray) -> GradedScores:
    """Put the queries back into the caller's order and take the means.

    Args:
        task: What was scored.
        measured: The metrics of the table; ``AVERAGE`` is one of them.
        names: The metrics to return.
        table: (5, metrics, Q) float64, see ``rsir_bench.ranking.graded.measure.measure_graded``.
    """
    order = np.argsort(task.positions.numpy())
    table = table[:, :, order]
    average = table[:, measured.index(AVERAGE)]
    table = table[:, [measured.index(name) for name in names]]
    has_label = task.members[task.query_classes].numpy()[order]
    overall, lower, upper, chance, oracle = (_means(names, values) for values in table)
    labels = [(name, has_label[:, column]) for column, name in enumerate(task.label_names)]
    labels = [(name, chosen) for name, chosen in labels if chosen.any()]
    per_label, label_chance, label_oracle = (
        {name: _means(names, table[place][:, chosen]) for name, chosen in labels} for place in (0, 3, 4)
    )
    return GradedScores(
        overall=overall,
        lower=lower,
        upper=upper,
        chance=chance,
        oracle=oracle,
        per_label=per_label,
        label_chance=label_chance,
        label_oracle=label_oracle,
        per_query=dict(zip(names, table[0], strict=True)),
        average=average,
        query_index=task.queries.numpy()[order],
        queries=len(order),
        skipped=task.skipped,
        without=dict(zip(names, np.isnan(table[0]).sum(axis=1).tolist(), strict=True)),
        constant=task.constant,
        equal=task.equal,
        mixed=task.mixed,
        scenes=task.gallery_size,
        label_names=task.label_names,
        after_seconds=task.after_seconds,
    )


def _means(names: Sequence[str], values: FloatArray) -> ByName:
    """Return the mean of each metric over the queries with a value, by name; values are (metrics, Q) float64."""
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    sums = np.nansum(values, axis=1)
    return {name: float(total / count) for name, total, count in zip(names, sums, counts, strict=True) if count}
