"""mAP of the same descriptors by the libraries of the field, each called as its documentation says.

Descriptors have length 1, so that cosine similarity, inner product and Euclidean distance rank alike.
"""

from __future__ import annotations

import numpy as np


def definition(rows: np.ndarray, labels: np.ndarray) -> float:
    """(1/R) sum_i P(i) rel_i, in float64, one query at a time."""
    rows = rows.astype(np.float64)
    values = []
    for query in range(len(rows)):
        similarity = rows @ rows[query]
        similarity[query] = -np.inf
        relevance = (labels == labels[query])[np.argsort(-similarity)][:-1]
        values.append((np.cumsum(relevance) / np.arange(1, len(rows)))[relevance].mean())
    return float(np.mean(values))


def rsir_bench(rows: np.ndarray, labels: np.ndarray) -> float:
    from rsir_bench.ranking import score

    return score(rows, labels, similarity="cosine").overall["mAP"]


def pytorch_metric_learning(rows: np.ndarray, labels: np.ndarray) -> float:
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=("mean_average_precision",), k=None)
    return float(calculator.get_accuracy(rows, labels)["mean_average_precision"])


def torchmetrics(rows: np.ndarray, labels: np.ndarray) -> float:
    import torch
    from torchmetrics.retrieval import RetrievalMAP

    scores, classes = torch.from_numpy(rows @ rows.T), torch.from_numpy(labels)
    others = ~torch.eye(len(rows), dtype=torch.bool)
    queries = torch.arange(len(rows))[:, None].expand(-1, len(rows))[others]
    return float(RetrievalMAP()(scores[others], (classes[:, None] == classes)[others], queries))


def scikit_learn(rows: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score

    values = []
    for query in range(len(rows)):
        others = np.arange(len(rows)) != query
        values.append(average_precision_score(labels[others] == labels[query], rows[others] @ rows[query]))
    return float(np.mean(values))


def dictionaries(rows: np.ndarray, labels: np.ndarray) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Relevance and scores in the form that libraries of text retrieval take."""
    similarity = rows @ rows.T
    names = [str(i) for i in range(len(rows))]
    truth, run = {}, {}
    for query, name in enumerate(names):
        truth[name] = {names[i]: 1 for i in np.flatnonzero(labels == labels[query]) if i != query}
        run[name] = dict(zip(names, similarity[query].tolist(), strict=True))
        del run[name][name]
    return truth, run


def pytrec_eval(rows: np.ndarray, labels: np.ndarray) -> float:
    import pytrec_eval

    truth, run = dictionaries(rows, labels)
    results = pytrec_eval.RelevanceEvaluator(truth, {"map"}).evaluate(run)
    return float(np.mean([result["map"] for result in results.values()]))


def ranx(rows: np.ndarray, labels: np.ndarray) -> float:
    from ranx import Qrels, Run, evaluate

    truth, run = dictionaries(rows, labels)
    return float(evaluate(Qrels(truth), Run(run), "map"))


LIBRARIES = (rsir_bench, scikit_learn, pytorch_metric_learning, torchmetrics, pytrec_eval, ranx)
