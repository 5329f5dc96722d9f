"""Score descriptors: descriptors and labels in, every retrieval metric out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.base.terminal.notebook import Tabular
from rsir_bench.ranking.after.contract import PostProcessing
from rsir_bench.ranking.after.named import named
from rsir_bench.ranking.blocks import block_queries, measure_blocks
from rsir_bench.ranking.doubts import doubts_about
from rsir_bench.ranking.graded.label_sets import is_multi_label
from rsir_bench.ranking.graded.measure import measure_graded
from rsir_bench.ranking.graded.names import graded_names
from rsir_bench.ranking.graded.scores import AVERAGE as AVERAGE_ANY
from rsir_bench.ranking.graded.scores import GradedScores, assemble_graded
from rsir_bench.ranking.graded.task import GradedTask, graded_task
from rsir_bench.ranking.metrics.averages import chance_precision
from rsir_bench.ranking.metrics.formulas import measured
from rsir_bench.ranking.metrics.groups import harmonic_numbers
from rsir_bench.ranking.metrics.positions import RECALL_LEVELS, precision_at_recall
from rsir_bench.ranking.names import METRIC_VERSION, Metric, cutoff_names, metric_names, named_metric
from rsir_bench.ranking.task import Task, checked_device, scoring_task
from rsir_bench.ranking.threads import workers
from rsir_bench.ranking.ties import PositiveRanks

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Measure = Callable[[Task, int | None, Sequence[str]], tuple[FloatArray, FloatArray]]
"""The type of ``measure_queries``: called with a task, queries per block, and the names of metrics."""

CUTOFFS, HITS = (5, 10, 50, 100), 10
"""The default cut-offs of P@k and AP@kh."""

AVERAGE = "mAP"
"""The metric behind ``Scores.doubts``; it is always measured."""


@dataclass(frozen=True, eq=False)
class Scores(Tabular):
    """The scores of one set of queries.

    Attributes:
        overall: Metric name -> mean over the scored queries (not over classes).
        lower: Metric name -> the least value under any order of tied scenes, mean over queries.
        upper: Metric name -> the greatest value, likewise. For ANMRR, where lower is better, this is the pessimistic
            bound.
        per_class: Class name -> metric name -> mean over the scored queries of that class. A class without a scored
            query is left out.
        class_queries: Class name -> the number of its scored queries.
        per_query: Metric name -> (Q,) float64 in the order of ``query_index``.
        query_index: (Q,) int64, the row of ``descriptors`` of each scored query.
        queries: Number of scored queries.
        skipped: Number of queries without a positive in the gallery; all means exclude them.
        constant: Number of scenes without a direction (constant vectors under Pearson, zero vectors under cosine);
            their similarity to every scene is 0. For codes: the number of scenes with the most frequent code if the
            codes have collapsed, see ``doubts``.
        equal: Number of scenes in the largest group of equal descriptors; 0: all differ.
        mixed: Number of scenes in this group that do not belong to its main class.
        scenes: Number of scenes in the gallery.
        chance: The mAP of a random order.
        ranked: The mAP of the rankings, and its least and greatest values under any order of tied scenes.
        error: The standard error of the mAP over queries.
        curve: (101,) float64 in [0, 1], interpolated precision at recall 0, 0.01, ..., 1, mean over queries.
        class_curves: Class name -> (101,) float64, the mean curve of the queries of that class.
        after_seconds: Processor time of post-processing, all threads together; None: there was none.
    """

    overall: dict[str, float]
    lower: dict[str, float]
    upper: dict[str, float]
    per_class: dict[str, dict[str, float]]
    class_queries: dict[str, int]
    per_query: dict[str, FloatArray]
    query_index: np.ndarray[Any, np.dtype[np.int64]]
    queries: int
    skipped: int
    constant: int
    equal: int
    mixed: int
    scenes: int
    chance: float
    ranked: tuple[float, float, float]
    error: float
    curve: FloatArray
    class_curves: dict[str, FloatArray]
    after_seconds: float | None = None

    __repr__ = Tabular.__repr__  # not the one of dataclasses, which prints every query

    def _title(self) -> str:
        return f"{self.queries} queries, {len(self.per_class)} classes"

    def _rows(self) -> dict[str, dict[str, float]]:
        return {"all queries": self.overall, **self.per_class}

    def doubts(self) -> list[str]:
        """Return reasons why the scores may not measure retrieval; see ``rsir_bench.ranking.doubts.doubts_about``."""
        return doubts_about(
            AVERAGE,
            self.ranked,
            chance=self.chance,
            error=self.error,
            equal=self.equal,
            mixed=self.mixed,
            constant=self.constant,
            scenes=self.scenes,
        )

    def precision_recall(self, points: int = 11, class_name: str | None = None) -> list[tuple[float, float]]:
        """Return points of the precision-recall curve.

        Args:
            points: 11 or 101 recall levels, evenly from 0 to 1.
            class_name: The class; None: over all queries.

        Returns:
            Pairs of recall and interpolated precision; see ``rsir_bench.ranking.metrics.precision_at_recall``.

        Raises:
            UserError: ``points`` is neither 11 nor 101.
        """
        if points not in (11, 101):
            raise UserError(f"precision-recall curve: {points} points are not offered; ask for 11 or 101")
        curve = self.curve if class_name is None else self.class_curves[class_name]
        step = 100 // (points - 1)
        return [(level / 100, float(curve[level])) for level in range(0, 101, step)]

    def as_dict(self) -> dict[str, Any]:
        """Return the scores for JSON: overall metrics at the top, then bounds, counts, classes, queries and curve."""
        return {
            **self.overall,
            "metric_version": METRIC_VERSION,
            "queries": self.queries,
            "skipped": self.skipped,
            "constant": self.constant,
            "equal": self.equal,
            "chance": self.chance,
            "doubts": self.doubts(),
            "lower": dict(self.lower),
            "upper": dict(self.upper),
            "per_class": {name: dict(values) for name, values in self.per_class.items()},
            "precision_recall": [list(point) for point in self.precision_recall(11)],
            **({} if self.after_seconds is None else {"after_seconds": self.after_seconds}),
            "query_index": self.query_index.tolist(),
            "per_query": {name: values.tolist() for name, values in self.per_query.items()},
        }


def score(
    descriptors: Any,
    labels: Any,
    *,
    similarity: str = "pearson",
    codes: bool = False,
    bits: int | None = None,
    bit_order: str = "big",
    queries: Any = None,
    gallery: Any = None,
    gallery_labels: Any = None,
    own: Any = None,
    ignore: Any = None,
    metrics: Sequence[str] | None = None,
    k: Sequence[int] | None = None,
    hits: int | None = None,
    block: int | None = None,
    device: str | torch.device = "cpu",
    class_names: Sequence[str] | Mapping[Any, str] | None = None,
    after: str | PostProcessing | None = None,
    measure: Measure | None = None,
) -> Scores | GradedScores:
    """Rank the gallery for every query and score the rankings, exactly, with ties taken as an expectation.

    Scenes at equal distance are tied: each metric is the exact mean over all orders of the tied scenes, so neither file
    names nor the order of the gallery matters. Rows with equal values (and all rows without a direction) get equal
    distances. Other distances are products in the descriptors' own precision (half precision: float32; integers,
    Euclidean distances, and descriptors with nearly the same direction: float64). Their rounding can separate distances
    that are equal in exact arithmetic, for example between codes of -1 and +1 under Pearson. Therefore, score binary
    codes with ``codes``, which is exact.

    Args:
        descriptors: (N, D) array or tensor of real numbers; with ``codes`` (N, bits) of 0/1 or bool, or
            (N, ceil(bits / 8)) uint8 packed in ``bit_order``, together with ``bits``.
        labels: (N,) integers or strings, the classes; or several labels per scene: (N, L) of 0 and 1, or N lists of
            names.
        similarity: "pearson", "cosine", "inner product", "euclidean" or "hamming" (implied by ``codes``).
        codes: Whether the descriptors are binary codes.
        bits: Number of bits of packed codes.
        bit_order: The bit order of packed codes: the first bit of a byte is the highest ("big") or the lowest
            ("little", as in faiss). Bits that pad the last byte must be 0.
        queries: The scenes that are queries: (Q,) integers or an (N,) bool mask; None: every scene. The gallery of
            a query leaves out the query itself.
        gallery: (M, D) numbers, a separate gallery; then only the rows in ``own`` and ``ignore`` are left out.
        gallery_labels: (M,) integers or strings, its classes, or several labels per scene as in ``labels``.
        own: (N,) integers, the gallery row of the same scene as each descriptor, which its ranking leaves out; -1 if
            the gallery does not contain the scene.
        ignore: For each descriptor a list of gallery rows that count neither as hits nor as misses (junk) and are left
            out of its ranking; or (N, W) integers, padded with -1.
        metrics: Names of metrics with their cut-offs, for example ``["mAP", "recall@10", "hit@1"]``; see
            ``rsir_bench.ranking.names``. None: mAP, AP@10h, P@5, P@10, P@50, P@100, mAP@R, R-precision, ANMRR.
            With several labels per scene: see ``rsir_bench.ranking.graded.names``.
        k: The cut-offs of P@k, if ``metrics`` is not given.
        hits: The cut-off of AP@{hits}h, if ``metrics`` is not given.
        block: Queries per block; None chooses by memory. It changes scores only by rounding.
        device: The device for products, sorting and searching, for example "cuda"; the CPU uses
            ``torch.get_num_threads`` threads.
        class_names: The names of integer labels in ``per_class``, or of the columns of an (N, L) matrix.
        after: Post-processing of the rankings, for example ``"aqe:10,3"``; see ``rsir_bench.ranking.after.named``. Do
            not compare its scores with scores of plain rankings.
        measure: Ranks and measures, for example ``rsir_bench.runs.runners.cluster.Cluster.measure``; None: this
            process.

    Returns:
        Scores over all queries, per class and per query, with the bounds over tied orders; with several labels per
        scene, ``GradedScores``, which include chance and oracle of each value.

    Raises:
        UserError: The input cannot be scored; the message is one line.

    Examples:
        Two classes; the first scene's nearest neighbour is of the other class.

        >>> scores = score([[0.0], [2.0], [1.0], [9.0]], ["a", "a", "b", "b"], similarity="euclidean", k=(1,))
        >>> scores.per_query["mAP"].tolist()  # ranks of the positive: 2, 1 or 2 (tied with the third), 3, 2
        [0.5, 0.5, 0.3333333333333333, 0.5]
    """
    if metrics is not None and (k is not None or hits is not None):
        raise UserError("metrics: names hold their cut-offs; omit k and hits")
    device = checked_device(device)
    inputs: dict[str, Any] = {
        "similarity": similarity,
        "codes": codes,
        "bits": bits,
        "bit_order": bit_order,
        "queries": queries,
        "gallery": gallery,
        "gallery_labels": gallery_labels,
        "own": own,
        "ignore": ignore,
        "class_names": class_names,
        "device": device,
        "after": _processing(after),
    }
    ranked = measure or measure_queries
    if is_multi_label(labels):
        names = graded_names(metrics, k, hits)
        with workers(device) as pool:
            graded = graded_task(descriptors, labels, **inputs, workers=pool)
        every = list(dict.fromkeys([AVERAGE_ANY, *names]))
        return assemble_graded(graded, every, names, ranked(graded, block, every)[0])
    wanted = cutoff_names(CUTOFFS if k is None else k, HITS if hits is None else hits) if metrics is None else metrics
    names = metric_names(wanted, codes=(codes or similarity == "hamming") and after is None)
    with workers(device) as pool:
        task = scoring_task(descriptors, labels, **inputs, workers=pool)
    every = names if AVERAGE in names else [AVERAGE, *names]
    table, curves = ranked(task, block, every)
    return assemble(task, every, names, table, curves)


def _processing(after: str | PostProcessing | None) -> PostProcessing | None:
    """Return post-processing that is given by name or as an object.

    Raises:
        UserError: It is neither, or the name is not known.
    """
    if after is None or isinstance(after, PostProcessing):
        return after
    if not isinstance(after, str):
        raise UserError(f"after {after!r:.60}: give one name, for example 'aqe:10,3', or a PostProcessing")
    return named(after)


def measure_queries(
    task: Task,
    block: int | None,
    names: Sequence[str],
    curve: Callable[[PositiveRanks], Tensor] = precision_at_recall,
    show: Callable[[Iterable[Any], str, int], Iterable[Any]] = lambda parts, title, total: parts,
) -> tuple[FloatArray, FloatArray]:
    """Rank the gallery for every query of a task and measure the rankings, in this process.

    Args:
        task: Queries and gallery.
        block: Queries per block; None chooses.
        names: The metrics, see ``rsir_bench.ranking.names``.
        curve: Returns the precision-recall curves of S queries, (S, 101) float64.
        show: Shows progress through the parts, given a title and their approximate number.

    Returns:
        (3, metrics, Q) float64, expectation, lower and upper bound, queries in the order of the task; and (classes,
        101) float64, sums of the precision-recall curves of the queries of each class. With several labels per scene,
        the result of ``rsir_bench.ranking.graded.measure.measure_graded``, and no curves.
    """
    if isinstance(task, GradedTask):
        return measure_graded(task, block, names, show), np.empty((0, RECALL_LEVELS))
    metrics, harmonic = [named_metric(name) for name in names], harmonic_numbers(task.gallery_size, task.device)
    table = torch.empty(3, len(metrics), len(task.queries), dtype=torch.float64)
    curves = torch.zeros(len(task.class_names), RECALL_LEVELS, dtype=torch.float64)

    def measure(ranks: PositiveRanks) -> tuple[Tensor, Tensor]:
        return score_ranks(ranks, metrics, harmonic).cpu(), curve(ranks).sum(dim=0).cpu()

    with workers(task.device) as pool:
        count = -(-len(task.queries) // block_queries(task, block, pool.count)) + len(task.class_names)
        for rows, (values, class_curve) in show(measure_blocks(task, pool, block, measure), "ranking queries", count):
            table[:, :, rows] = values
            curves[task.query_classes[rows.start]] += class_curve
    return table.numpy(), curves.numpy()


def score_ranks(ranks: PositiveRanks, metrics: Sequence[Metric], harmonic: Tensor) -> Tensor:
    """Return metrics of S queries of one class: expectation, least and greatest value, (3, metrics, S) float64.

    Args:
        ranks: The ranks of the S queries.
        metrics: The metrics.
        harmonic: (M + 1,) float64, see ``rsir_bench.ranking.metrics.groups.harmonic_numbers``.
    """
    values = torch.stack([measured(metric, ranks, harmonic) for metric in metrics], dim=1)
    expected, worst, best = values.clamp(0, 1)  # sums round: a perfect ranking may come to 1 + 2e-16
    return torch.stack([expected, worst.minimum(best), worst.maximum(best)])


def assemble(task: Task, every: list[str], names: list[str], table: FloatArray, curves: FloatArray) -> Scores:
    """Put the queries back into the caller's order and take the means.

    Args:
        task: What was scored.
        every: The metrics of the table; mAP is one of them.
        names: The metrics to return.
        table: (3, metrics, Q) float64, expectation, lower and upper bound, queries in the order of the task.
        curves: (classes, 101) float64, sums of the precision-recall curves of the queries of each class.
    """
    counts = np.bincount(task.query_classes.numpy(), minlength=len(curves))
    average = table[:, every.index(AVERAGE)]
    expected, least, greatest = average.mean(axis=1).tolist()
    table = table[:, [every.index(name) for name in names]]
    scored = np.flatnonzero(counts)
    sums = np.add.reduceat(table[0], np.concatenate([[0], counts[scored].cumsum()[:-1]]), axis=1)
    overall, lower, upper = (by_name(names, bound.mean(axis=1)) for bound in table)
    order = np.argsort(task.positions.numpy())
    return Scores(
        overall=overall,
        lower=lower,
        upper=upper,
        per_class={task.class_names[c]: by_name(names, sums[:, i] / counts[c]) for i, c in enumerate(scored)},
        class_queries={task.class_names[c]: int(counts[c]) for c in scored},
        per_query={name: table[0, i][order] for i, name in enumerate(names)},
        query_index=task.queries.numpy()[order],
        queries=len(order),
        skipped=task.skipped,
        constant=task.constant,
        equal=task.equal,
        mixed=task.mixed,
        scenes=task.gallery_size,
        chance=float(chance_precision(task.relevant, task.ranked).mean()),
        ranked=(expected, least, greatest),
        error=float(np.std(average[0])) / len(order) ** 0.5,
        curve=curves.sum(axis=0) / len(order),
        class_curves={task.class_names[c]: curves[c] / counts[c] for c in scored},
        after_seconds=task.after_seconds,
    )


def by_name(names: list[str], values: FloatArray) -> dict[str, float]:
    """Return values (metrics,) float64 by the name of the metric."""
    return dict(zip(names, values.tolist(), strict=True))
