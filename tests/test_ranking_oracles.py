"""Agreement with the field's libraries where they are exact: rankings without ties."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import NO_ORACLES
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking_reference import has_work, others
from sklearn.metrics import average_precision_score, ndcg_score

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
    names = {
        **{"map": "mAP", "Rprec": "R-precision", "recip_rank": "MRR", "map_cut_10": "mAP@10/R", "success_5": "hit@5"},
        **{f"P_{k}": f"P@{k}" for k in (5, 10, 100)},
        **{f"recall_{k}": f"recall@{k}" for k in (5, 10, 100)},
        **{f"ndcg_cut_{k}": f"nDCG@{k}" for k in (5, 10, 100)},
    }
    result = score(rows, labels, similarity=similarity, metrics=list(names.values()))
    scored = result.query_index
    truth = {str(q): {str(i): int(labels[i] == labels[q]) for i in others(n, q)} for q in scored}
    run = {str(q): {str(i): float(similarities[q, i]) for i in others(n, q)} for q in scored}
    wanted = {"map", "Rprec", "recip_rank", "map_cut.10", "success.5", "P.5,10,100", "recall.5,10,100"}
    oracle = pytrec_eval.RelevanceEvaluator(truth, wanted | {"ndcg_cut.5,10,100"}).evaluate(run)
    for theirs, ours in names.items():
        values = [oracle[str(q)][theirs] for q in scored]
        assert values == pytest.approx(result.per_query[ours].tolist(), abs=1e-9), ours


@settings(max_examples=20, deadline=None)
@given(**CASES)
def test_ir_measures(seed: int, n: int, classes: int) -> None:
    ir_measures = pytest.importorskip("ir_measures", reason=NO_ORACLES)
    rows, labels = scenes(seed, n, classes)
    names = {
        **{"AP": "mAP", "RR": "MRR", "Rprec": "R-precision", "AP@5": "mAP@5/R", "nDCG@10": "nDCG@10", "P@5": "P@5"},
        **{"R@10": "recall@10", "Success@1": "hit@1", "Success@5": "hit@5"},
    }
    result = score(rows, labels, similarity="euclidean", metrics=list(names.values()))
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    truth = {str(q): {str(i): int(labels[i] == labels[q]) for i in others(n, q)} for q in result.query_index}
    run = {str(q): {str(i): -float(distances[q, i]) for i in others(n, q)} for q in result.query_index}
    measures = [ir_measures.parse_measure(name) for name in names]
    place = {str(query): number for number, query in enumerate(result.query_index)}
    for found in ir_measures.iter_calc(measures, truth, run):
        ours = result.per_query[names[str(found.measure)]][place[found.query_id]]
        assert found.value == pytest.approx(ours, abs=1e-9), found.measure


@settings(max_examples=25, deadline=None)
@given(**CASES)
def test_pytorch_metric_learning(seed: int, n: int, classes: int) -> None:
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator", reason=NO_ORACLES)
    rows, labels = scenes(seed, n, classes)
    names = {
        "mean_average_precision": "mAP",
        "mean_average_precision_at_r": "mAP@R",
        "r_precision": "R-precision",
        "precision_at_1": "hit@1",
    }
    asked = (*names, "mean_reciprocal_rank")
    oracle = calculator.AccuracyCalculator(include=asked, k=None).get_accuracy(rows.astype(np.float32), labels)
    result = score(rows, labels, similarity="euclidean", metrics=[*names.values(), "MRR"])
    for theirs, ours in names.items():
        assert result.overall[ours] == pytest.approx(oracle[theirs], abs=1e-9)
    assert result.overall["MRR"] == pytest.approx(oracle["mean_reciprocal_rank"], abs=1e-6)  # in float32


@settings(max_examples=12, deadline=None)
@given(**CASES)
def test_scikit_learn(seed: int, n: int, classes: int) -> None:
    rows, labels = scenes(seed, n, classes)
    result = score(rows, labels, similarity="inner product", metrics=["mAP", "mAP@5h", "nDCG@5", "nDCG@100"])
    for place, query in enumerate(result.query_index):
        rest = others(n, query)
        relevance, similarity = labels[rest] == labels[query], rows[rest] @ rows[query]
        nearest = np.argsort(-similarity)[:5]
        values = {
            "mAP": average_precision_score(relevance, similarity),
            "nDCG@100": ndcg_score([relevance], [similarity], k=100),
            "nDCG@5": ndcg_score([relevance], [similarity], k=5),
        }
        if relevance[nearest].any():  # average precision over the hits, if there is one
            values["mAP@5h"] = average_precision_score(relevance[nearest], similarity[nearest])
        for name, value in values.items():
            assert result.per_query[name][place] == pytest.approx(value, abs=1e-9), name


@settings(max_examples=12, deadline=None)
@given(bits=st.integers(1, 12), **CASES)
def test_scikit_learn_takes_ties_as_an_expectation_too(seed: int, n: int, classes: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    codes, labels = rng.integers(0, 2, (n, bits)), rng.integers(0, classes, n)
    assume(has_work(labels))
    result = score(codes, labels, codes=True, metrics=["nDCG@3", "nDCG@10"])
    for place, query in enumerate(result.query_index):
        rest = others(n, query)
        relevance, near = labels[rest] == labels[query], -(codes[rest] != codes[query]).sum(axis=1)
        for k in (3, 10):
            value = ndcg_score([relevance], [near], k=k)
            assert result.per_query[f"nDCG@{k}"][place] == pytest.approx(value, abs=1e-9)


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
