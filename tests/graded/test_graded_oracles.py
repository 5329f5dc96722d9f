"""Agreement with the field's libraries on graded relevance, where they are exact: rankings without ties."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import NO_ORACLES
from graded_reference import relevance_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking_reference import others
from sklearn.metrics import ndcg_score

from rsir_bench.ranking import GradedScores, score

CASES = {"seed": st.integers(0, 2**32), "n": st.integers(4, 50), "labels": st.integers(2, 6)}


def scored(seed: int, n: int, labels: int, metrics: list[str]) -> tuple[GradedScores, np.ndarray, np.ndarray]:
    """Scores, similarities without ties and label sets of n scenes."""
    rng = np.random.default_rng(seed)
    sets = (rng.random((n, labels)) < 0.4).astype(int)
    sets[np.arange(n), rng.integers(0, labels, n)] = 1
    shared = sets @ sets.T
    assume((shared - np.diag(np.diag(shared))).any())
    assume(len(np.unique(sets, axis=0)) > 1)
    rows = rng.normal(size=(n, 6))
    scores = score(rows, sets, similarity="inner product", metrics=metrics)
    assert isinstance(scores, GradedScores)
    return scores, rows @ rows.T, sets


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_scikit_learn(seed: int, n: int, labels: int) -> None:
    names = {"nDCG@5(g)": (5, 0), "nDCG@100(g)": (100, 0), "nDCG@5(2^g-1)": (5, 1), "nDCG@100(2^g-1)": (100, 1)}
    scores, similarity, sets = scored(seed, n, labels, list(names))
    for place, query in enumerate(scores.query_index):
        rest = others(n, query)
        gains = relevance_of(sets[query], sets[rest])[0]
        for name, (k, exponential) in names.items():
            truth = 2.0**gains - 1 if exponential else gains
            expected = ndcg_score([truth], [similarity[query, rest]], k=k)
            assert scores.per_query[name][place] == pytest.approx(expected, abs=1e-9), name


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_pytrec_eval(seed: int, n: int, labels: int) -> None:
    """It counts grades from 1 as relevant, and its gains are the grades."""
    pytrec_eval = pytest.importorskip("pytrec_eval", reason=NO_ORACLES)
    names = {"mAP(any)": "map", "nDCG@5(g)": "ndcg_cut_5", "nDCG@100(g)": "ndcg_cut_100"}
    scores, similarity, sets = scored(seed, n, labels, list(names))
    truth, run = {}, {}
    for query in scores.query_index:
        rest = others(n, query)
        gains = relevance_of(sets[query], sets[rest])[0]
        truth[str(query)] = {str(scene): int(gain) for scene, gain in zip(rest, gains, strict=True)}
        run[str(query)] = {str(scene): float(similarity[query, scene]) for scene in rest}
    oracle = pytrec_eval.RelevanceEvaluator(truth, {"map", "ndcg_cut.5,100"}).evaluate(run)
    for ours, theirs in names.items():
        expected = [oracle[str(query)][theirs] for query in scores.query_index]
        assert scores.per_query[ours].tolist() == pytest.approx(expected, abs=1e-9), ours


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_pytrec_eval_with_half_or_all_labels_shared(seed: int, n: int, labels: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason=NO_ORACLES)
    scores, similarity, sets = scored(seed, n, labels, ["mAP(jaccard)", "mAP(equal)"])
    for relevance in ("jaccard", "equal"):
        truth, run = {}, {}
        for query in scores.query_index:
            rest = others(n, query)
            kind = relevance_of(sets[query], sets[rest])[1][relevance]
            truth[str(query)] = {str(scene): int(hit) for scene, hit in zip(rest, kind, strict=True)}
            run[str(query)] = {str(scene): float(similarity[query, scene]) for scene in rest}
        oracle = pytrec_eval.RelevanceEvaluator(truth, {"map"}).evaluate(run)
        for place, query in enumerate(scores.query_index):
            value = scores.per_query[f"mAP({relevance})"][place]
            assert np.isnan(value) != any(truth[str(query)].values())
            assert np.nan_to_num(value) == pytest.approx(oracle[str(query)]["map"], abs=1e-9)
