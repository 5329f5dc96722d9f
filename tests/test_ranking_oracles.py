"""Agreement with the field's libraries where they are exact: rankings without ties."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import NO_ORACLES
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking_reference import has_work, others
from sklearn.metrics import average_precision_score

from rsir_bench.ranking import score

CASES = {"seed": st.integers(0, 2**32), "n": st.integers(3, 60), "classes": st.integers(2, 8)}


def scenes(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors at coarse, distinct distances, so that single and double precision rank alike."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    assume(has_work(labels))
    rows = rng.normal(size=(n, 6)) + rng.normal(size=(classes, 6))[labels]
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    gaps = np.diff(np.sort(distances + np.diag(np.full(n, 1e3)), axis=1), axis=1)
    assume(gaps.min() > 1e-5)
    return rows, labels


@settings(max_examples=40, deadline=None)
@given(similarity=st.sampled_from(["euclidean", "inner product", "pearson"]), **CASES)
def test_pytrec_eval(seed: int, n: int, classes: int, similarity: str) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason=NO_ORACLES)
    rows, labels = scenes(seed, n, classes)
    similarities = {
        "euclidean": -np.linalg.norm(rows[:, None] - rows[None], axis=2),
        "inner product": rows @ rows.T,
        "pearson": np.corrcoef(rows),
    }[similarity]
    result = score(rows, labels, similarity=similarity)
    scored = result.query_index
    truth = {str(q): {str(i): int(labels[i] == labels[q]) for i in others(n, q)} for q in scored}
    run = {str(q): {str(i): float(similarities[q, i]) for i in others(n, q)} for q in scored}
    oracle = pytrec_eval.RelevanceEvaluator(truth, {"map", "P.5,10,50,100", "Rprec"}).evaluate(run)
    for theirs, ours in {"map": "mAP", "P_5": "P@5", "P_50": "P@50", "P_100": "P@100", "Rprec": "R-precision"}.items():
        assert [oracle[str(q)][theirs] for q in scored] == pytest.approx(result.per_query[ours].tolist(), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(**CASES)
def test_pytorch_metric_learning(seed: int, n: int, classes: int) -> None:
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator", reason=NO_ORACLES)
    rows, labels = scenes(seed, n, classes)
    names = {
        "mean_average_precision": "mAP",
        "mean_average_precision_at_r": "mAP@R",
        "r_precision": "R-precision",
        "precision_at_1": "P@1",
    }
    oracle = calculator.AccuracyCalculator(include=tuple(names), k=None).get_accuracy(rows.astype(np.float32), labels)
    result = score(rows, labels, similarity="euclidean", k=(1,))
    for theirs, ours in names.items():
        assert result.overall[ours] == pytest.approx(oracle[theirs], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(**CASES)
def test_scikit_learn(seed: int, n: int, classes: int) -> None:
    rows, labels = scenes(seed, n, classes)
    result = score(rows, labels, similarity="inner product")
    for query, value in zip(result.query_index, result.per_query["mAP"], strict=True):
        rest = others(n, query)
        assert value == pytest.approx(average_precision_score(labels[rest] == labels[query], rows[rest] @ rows[query]))


@settings(max_examples=25, deadline=None)
@given(bits=st.integers(1, 12), **CASES)
def test_on_tied_codes_libraries_lie_within_the_bounds(seed: int, n: int, classes: int, bits: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason=NO_ORACLES)
    rng = np.random.default_rng(seed)
    codes, labels = rng.integers(0, 2, (n, bits)), rng.integers(0, classes, n)
    assume(has_work(labels))
    result = score(codes, labels, codes=True)
    distances = (codes[:, None] != codes[None]).sum(axis=2)
    truth = {str(q): {str(i): int(labels[i] == labels[q]) for i in others(n, q)} for q in result.query_index}
    run = {str(q): {str(i): float(-distances[q, i]) for i in others(n, q)} for q in result.query_index}
    oracle = pytrec_eval.RelevanceEvaluator(truth, {"map", "P.5"}).evaluate(run)
    for theirs, ours in {"map": "mAP", "P_5": "P@5"}.items():
        value = np.mean([per_query[theirs] for per_query in oracle.values()])
        assert result.lower[ours] - 1e-6 <= value <= result.upper[ours] + 1e-6
