"""mAP of the same descriptors by the libraries of the field, each as its documentation has it."""

from __future__ import annotations

import numpy as np
from isolated import scenes

N, DIMENSIONS = 4000, 128
Scenes = tuple[np.ndarray, np.ndarray]


def descriptors() -> Scenes:
    """Unit vectors, so that cosine similarity, inner product and Euclidean distance rank alike."""
    rows, labels = scenes(N, DIMENSIONS, classes=20)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), labels


def definition(given: Scenes) -> float:
    """(1/R) sum_i P(i) rel_i, in float64, one query at a time."""
    rows, labels = given[0].astype(np.float64), given[1]
    values = []
    for query in range(len(rows)):
        similarity = rows @ rows[query]
        similarity[query] = -np.inf
        relevance = (labels == labels[query])[np.argsort(-similarity)][:-1]
        values.append((np.cumsum(relevance) / np.arange(1, len(rows)))[relevance].mean())
    return float(np.mean(values))


def rsir_bench(given: Scenes) -> float:
    from rsir_bench.ranking import score

    return score(*given, similarity="cosine").overall["mAP"]


def pytorch_metric_learning(given: Scenes) -> float:
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=("mean_average_precision",), k=None)
    return float(calculator.get_accuracy(*given)["mean_average_precision"])


def torchmetrics(given: Scenes) -> float:
    import torch
    from torchmetrics.retrieval import RetrievalMAP

    rows, labels = torch.from_numpy(given[0]), torch.from_numpy(given[1])
    others = ~torch.eye(len(rows), dtype=torch.bool)
    queries = torch.arange(len(rows))[:, None].expand(-1, len(rows))[others]
    relevant = (labels[:, None] == labels)[others]
    return float(RetrievalMAP()((rows @ rows.T)[others], relevant, queries))


def scikit_learn(given: Scenes) -> float:
    from sklearn.metrics import average_precision_score

    rows, labels = given
    values = []
    for query in range(len(rows)):
        others = np.arange(len(rows)) != query
        values.append(average_precision_score(labels[others] == labels[query], rows[others] @ rows[query]))
    return float(np.mean(values))


def dictionaries(given: Scenes) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Relevance and scores as the libraries of text retrieval take them."""
    rows, labels = given
    similarity = rows @ rows.T
    names = [str(i) for i in range(len(rows))]
    truth, run = {}, {}
    for query, name in enumerate(names):
        truth[name] = {names[i]: 1 for i in np.flatnonzero(labels == labels[query]) if i != query}
        run[name] = dict(zip(names, similarity[query].tolist(), strict=True))
        del run[name][name]
    return truth, run


def pytrec_eval(given: Scenes) -> float:
    import pytrec_eval

    truth, run = dictionaries(given)
    results = pytrec_eval.RelevanceEvaluator(truth, {"map"}).evaluate(run)
    return float(np.mean([result["map"] for result in results.values()]))


def ranx(given: Scenes) -> float:
    from ranx import Qrels, Run, evaluate

    truth, run = dictionaries(given)
    return float(evaluate(Qrels(truth), Run(run), "map"))


LIBRARIES = (rsir_bench, scikit_learn, pytorch_metric_learning, torchmetrics, pytrec_eval, ranx)
