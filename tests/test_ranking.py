"""The scorer on rankings without ties: definitions, settings, invariances, and what comes back."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking_reference import has_work, metrics_of, others

import rsir_bench
from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard import statistics
from rsir_bench.ranking import METRIC_VERSION, names, score, scores, ties
from rsir_bench.ranking.after.few import few_distances
from rsir_bench.ranking.blocks import counts_near
from rsir_bench.ranking.counting import codes as counted_codes
from rsir_bench.ranking.counting import distances as counted_distances
from rsir_bench.ranking.counting.distances import counts_before
from rsir_bench.ranking.metrics import averages, cutoffs, first_positive, groups, positions
from rsir_bench.ranking.nearest import nearest
from rsir_bench.ranking.queries import LeftOut
from rsir_bench.ranking.similarity import spread
from rsir_bench.ranking.threads import workers

KEYS = ["mAP", "AP@10h", "P@5", "P@10", "P@50", "P@100", "mAP@R", "R-precision", "ANMRR"]


@pytest.fixture
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """300 noisy float64 descriptors of 5 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    return rng.normal(size=(300, 16)) + 0.5 * rng.normal(size=(5, 16))[labels], labels


@pytest.mark.parametrize(
    "module",
    [
        counted_codes,
        counted_distances,
        averages,
        cutoffs,
        first_positive,
        groups,
        names,
        positions,
        ties,
        scores,
        statistics,
    ],
)
def test_examples_in_docstrings(module: object) -> None:
    result = doctest.testmod(module, extraglobs={"ranking": ties.ranking})
    assert result.attempted > 0
    assert result.failed == 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(3, 40),
    classes=st.integers(2, 6),
    similarity=st.sampled_from(["pearson", "cosine", "inner product", "euclidean"]),
    block=st.sampled_from([1, 7, 512, None]),
)
def test_equals_the_plain_definitions(seed: int, n: int, classes: int, similarity: str, block: int | None) -> None:
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(size=(n, 9)), rng.integers(0, classes, n)
    assume(has_work(labels))
    k, hits = (1, 5, 20), 4
    names = list(metrics_of(np.ones(1), k, hits))
    result = score(rows, labels, similarity=similarity, metrics=names, block=block)
    similarities = plain_similarities(rows, similarity)
    scored = [i for i in range(n) if (labels == labels[i]).sum() > 1]
    assert result.query_index.tolist() == scored
    assert (result.queries, result.skipped) == (len(scored), n - len(scored))
    for place, query in enumerate(scored):
        rest = others(n, query)
        order = rest[np.argsort(-similarities[query][rest])]
        expected = metrics_of((labels[order] == labels[query]).astype(int), k, hits)
        assert {name: values[place] for name, values in result.per_query.items()} == pytest.approx(expected, abs=1e-12)
    assert result.lower == result.overall == result.upper


def plain_similarities(rows: np.ndarray, similarity: str) -> np.ndarray:
    if similarity == "pearson":
        return np.corrcoef(rows)
    if similarity == "euclidean":
        return -np.linalg.norm(rows[:, None] - rows[None], axis=2)
    if similarity == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def test_means_are_over_queries_and_over_the_queries_of_a_class(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    names = ["airport", "beach", "church", "desert", "farm"]
    result = score(rows, labels, class_names=names)
    assert list(result.overall) == list(result.lower) == list(result.upper) == list(result.per_query) == KEYS
    assert list(result.per_class) == names
    for metric in KEYS:
        values = result.per_query[metric]
        assert values.dtype == np.float64
        assert result.overall[metric] == pytest.approx(values.mean())
        for number, name in enumerate(names):
            assert result.per_class[name][metric] == pytest.approx(values[labels == number].mean())


def test_a_subset_of_queries_scores_as_those_queries_do_among_all(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    everything = score(rows, labels)
    chosen = np.array([250, 3, 7, 100])
    mask = np.isin(np.arange(300), chosen)
    for queries, index in ((chosen, chosen), (mask, np.flatnonzero(mask)), (torch.tensor(chosen), chosen)):
        result = score(rows, labels, queries=queries)
        assert result.query_index.tolist() == index.tolist()
        for name, values in result.per_query.items():
            assert values == pytest.approx(everything.per_query[name][index], abs=1e-12)


def test_a_separate_gallery_masks_nothing(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    result = score(rows[:40], labels[:40], gallery=rows[40:], gallery_labels=labels[40:], similarity="cosine")
    similarities = plain_similarities(rows, "cosine")[:40, 40:]
    for query in range(40):
        relevance = labels[40:][np.argsort(-similarities[query])] == labels[query]
        assert result.per_query["mAP"][query] == pytest.approx(metrics_of(relevance.astype(int), (5,), 10)["mAP"])
    own = score(rows, labels, gallery=rows, gallery_labels=labels, k=(1,))
    assert own.overall["P@1"] == 1  # each query finds itself


def test_queries_of_a_class_that_the_gallery_lacks_are_skipped(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    kept = labels[100:] != 2
    result = score(rows[:100], labels[:100], gallery=rows[100:][kept], gallery_labels=labels[100:][kept])
    assert result.skipped == (labels[:100] == 2).sum() > 0
    assert "2" not in result.per_class


def test_negated_scores_reverse_the_ranking(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    options = {"gallery": rows[100:], "gallery_labels": labels[100:], "similarity": "inner product"}
    reverse = score(-rows[:100], labels[:100], **options)
    similarities = rows[:100] @ rows[100:].T
    for query in range(100):
        relevance = labels[100:][np.argsort(similarities[query])] == labels[query]
        assert reverse.per_query["mAP"][query] == pytest.approx(metrics_of(relevance.astype(int), (), 10)["mAP"])
    forward = score(rows[:100], labels[:100], **options)
    assert forward.overall["mAP"] > 0.3 > reverse.overall["mAP"]


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "inner product", "euclidean"])
def test_blocks_change_scores_by_rounding_only(clusters: tuple[np.ndarray, np.ndarray], similarity: str) -> None:
    rows, labels = clusters
    reference = score(rows, labels, similarity=similarity)
    for block in (1, 7, 512):
        result = score(rows, labels, similarity=similarity, block=block)
        assert result.overall == pytest.approx(reference.overall, abs=1e-12)
        single = score(rows.astype(np.float32), labels, similarity=similarity, block=block)
        assert single.overall == pytest.approx(reference.overall, abs=2e-5)


def test_metrics_are_chosen_by_name(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    usual = score(rows, labels)
    chosen = score(rows, labels, metrics=["nDCG@10", "P@5", "hit@1"])
    assert list(chosen.overall) == list(chosen.per_query) == list(chosen.per_class["1"]) == ["nDCG@10", "P@5", "hit@1"]
    assert chosen.overall["P@5"] == usual.overall["P@5"]
    assert chosen.overall["hit@1"] == pytest.approx(score(rows, labels, k=(1,)).overall["P@1"])
    assert (chosen.doubts(), chosen.ranked, chosen.error) == (usual.doubts(), usual.ranked, usual.error)
    assert list(score(rows > 0, labels, codes=True, metrics=["P@H2"]).overall) == ["P@H2"]
    assert list(score(rows, labels, metrics=["MRR", "mAP", "MRR"]).overall) == ["MRR", "mAP"]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (
            {"metrics": ["map"]},
            "metric 'map': unknown, did you mean mAP.*; known: mAP, .*, P@H2; k is a number$",
        ),
        ({"metrics": ["R@1"]}, r"metric 'R@1': unknown, did you mean hit@1 or recall@1\?; known:"),
        ({"metrics": ["mAP@100H"]}, r"metric 'mAP@100H': unknown, did you mean mAP@100h or .*\?; known:"),
        ({"metrics": ["ndcg@20"]}, r"metric 'ndcg@20': unknown, did you mean nDCG@20\?; known:"),
        ({"metrics": ["recall"]}, r"metric 'recall': unknown, did you mean recall@10\?; known:"),
        ({"metrics": ["P@0"]}, r"metric 'P@0': unknown, did you mean P@10.*; known:"),
        ({"metrics": ["beauty"]}, "metric 'beauty': unknown; known: mAP, mAP@R, mAP@k, mAP@k/R"),
        ({"metrics": ["P@H2"]}, "metric P@H2: .* so it needs codes; give bits, or omit it$"),
        ({"metrics": []}, "metrics: none given; known:"),
        ({"metrics": "mAP"}, "metrics: 'mAP' is one string; give a list of names"),
        ({"metrics": ["mAP"], "k": (1,)}, "metrics: names hold their cut-offs; omit k and hits"),
        ({"metrics": ["mAP"], "hits": 5}, "metrics: names hold their cut-offs; omit k and hits"),
    ],
)
def test_a_metric_that_is_not_known_is_one_line(asked: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=f"^{line}") as caught:
        score(np.eye(4), [0, 0, 1, 1], **asked)
    assert "\n" not in str(caught.value)


def test_types_of_descriptors_agree(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    rows = np.round(rows * 16) / 16  # exact in half precision
    reference = score(rows, labels, similarity="inner product").overall
    variants = [
        rows.astype(np.float16),
        rows.tolist(),
        np.asfortranarray(rows),
        rows.astype(">f4"),
        torch.tensor(rows, requires_grad=True),
        torch.tensor(rows, dtype=torch.bfloat16).float(),
        (rows * 16).astype(np.int16),
        (rows * 16).astype(np.int64),
    ]
    for variant in variants:
        assert score(variant, labels, similarity="inner product").overall == pytest.approx(reference, abs=1e-12)


def test_types_of_labels_agree(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    reference = score(rows, labels).overall
    for variant in (labels.tolist(), torch.tensor(labels), labels.astype(np.uint8), labels.astype(float)):
        assert score(rows, variant).overall == reference
    for variant in ([f"class {label}" for label in labels], labels.astype(str).astype(object), labels.astype("S")):
        assert score(rows, variant).overall == reference


def test_packed_and_plain_codes_agree() -> None:
    rng = np.random.default_rng(0)
    codes, labels = rng.integers(0, 2, (150, 13)), rng.integers(0, 3, 150)
    reference = score(codes, labels, codes=True)
    for variant in (codes.astype(bool), codes.astype(np.float32), codes.tolist()):
        assert score(variant, labels, codes=True).overall == reference.overall
    assert score(np.packbits(codes, axis=1), labels, codes=True, bits=13).overall == reference.overall
    assert score(codes, labels, codes=True, bits=13).overall == reference.overall
    assert score(codes, labels, similarity="hamming").overall == reference.overall


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_a_gallery_of_whole_numbers_is_not_rounded_to_the_queries_type(kind: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 10)
    queries = torch.from_numpy(2000 + 10.0 * classes[:, None] + rng.normal(0, 8, (40, 3))).to(kind)
    gallery = torch.from_numpy((2000 + 10 * classes[:, None] + rng.normal(0, 8, (40, 3))).round()).long()
    asked = {"gallery_labels": classes, "similarity": "euclidean"}
    found = score(queries, classes, gallery=gallery, **asked).per_query["mAP"]
    expected = score(queries.double(), classes, gallery=gallery.double(), **asked).per_query["mAP"]
    assert found == pytest.approx(expected, abs=1e-12)


def test_near_neighbours_far_from_the_origin_keep_their_euclidean_order() -> None:
    """|a|^2 + |b|^2 - 2ab in float32 would lose these distances entirely."""
    near = np.array([0.0, 1.0, 2.5, 4.5, 7.0, 10.0])[:, None] * 1e-3
    rows, labels = np.vstack([near + 1000, near - 1000]), [0, 0, 1, 1, 0, 1] * 2
    for given_rows in (rows, rows.astype(np.float32)):
        result = score(given_rows, labels, similarity="euclidean", k=(1,))
        assert result.per_query["P@1"].tolist() == [1, 1, 0, 1, 0, 0] * 2


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "inner product"])
@pytest.mark.parametrize("separate", [False, True])
def test_descriptors_in_a_narrow_cone_keep_their_order(
    clusters: tuple[np.ndarray, np.ndarray], similarity: str, separate: bool
) -> None:
    descriptors, labels = clusters
    for offset in (100, 10_000):
        rows = (descriptors + offset * np.linspace(-1, 1, 16)).astype(np.float32)
        values = []
        for each in (rows, rows.astype(float)):
            apart = {"gallery": each, "gallery_labels": labels} if separate else {}
            values.append(score(each, labels, similarity=similarity, **apart).per_query["mAP"])
        np.testing.assert_array_equal(*values)
    with workers("cpu") as pool:  # what a collapse leaves has no spread, and zeros no direction
        assert [spread(torch.full((9, 2), value), pool) for value in (0.5, 0.0)] == [0.0, 1.0]


def test_a_search_orders_a_narrow_cone_as_the_scorer_does(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows = (clusters[0] + 10_000 * np.linspace(-1, 1, 16)).astype(np.float32)
    exact, own = rows.astype(float), np.arange(9)
    order = [np.argsort(few_distances(each[:9], each, own, "cosine"), axis=1) for each in (rows, exact)]
    np.testing.assert_array_equal(*order)
    found = [nearest(each, 10, "cosine")[1] for each in (rows, exact)]
    np.testing.assert_array_equal(found[0], found[1])
    similarity = np.corrcoef(np.c_[exact, -exact])  # of a row and its negative, centred: the cosine
    np.fill_diagonal(similarity, -np.inf)
    np.testing.assert_array_equal(found[0], np.argsort(-similarity, axis=1, kind="stable")[:, :10])


def test_near_constant_vectors_are_not_constant() -> None:
    rows = np.full((4, 8), 1000.0)
    rows[np.arange(4), [0, 0, 1, 1]] += 1e-6 * np.array([1, 2, 1, 2])
    result = score(rows, [0, 0, 1, 1], k=(1,))
    assert result.constant == 0
    assert result.overall["P@1"] == 1


def test_all_ways_to_rank_agree() -> None:
    """The GPU's path, run on the CPU; counting; and sorting, as when another worker is counting."""
    rng = np.random.default_rng(0)
    for tied in (False, True):
        values = rng.integers(0, 9, (20, 50)).astype(float) if tied else rng.normal(size=(20, 50))
        distances = torch.tensor(np.pad(values, ((0, 0), (0, 1)), constant_values=np.inf), dtype=torch.float32)
        wanted = distances[:, 3:11].sort(dim=1).values
        ranks = ties.positive_ranks(distances.sort(dim=1).values, wanted)
        for count in (True, False):
            counts = counts_before(distances.numpy().copy(), wanted.numpy(), count)
            found = ties.collect_ties(*map(torch.from_numpy, counts))
            assert torch.equal(ranks.before, found.before)
            for name, values in vars(ranks.groups).items():
                assert torch.equal(values, getattr(found.groups, name))
        assert bool(len(ranks.groups)) is tied


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(3, 300),
    bits=st.sampled_from([1, 2, 7, 64, 65, 130]),
    share=st.floats(0, 1),
)
def test_counting_codes_gives_what_sorting_distances_gives(seed: int, n: int, bits: int, share: float) -> None:
    """Ranks, curves and every metric, with scenes that are left out, whether or not they are positives."""
    rng = np.random.default_rng(seed)
    codes = torch.from_numpy(rng.choice([-1.0, 1.0], (n, bits), p=[share / 2, 1 - share / 2])).float()
    columns = slice(int(rng.integers(0, n - 1)), n)
    left_out = torch.from_numpy(rng.random((3, n)) < 0.2)
    left_out[:, columns] = left_out[0, columns]  # equally many positives for each query
    relevant = int((~left_out[0, columns]).sum())
    assume(relevant > 0)
    distances = torch.where(left_out, torch.inf, -(codes[:3] @ codes.T))
    wanted = distances[:, columns].sort(dim=1).values[:, :relevant]
    padded = torch.cat([distances, torch.full((3, 1), torch.inf)], dim=1)
    sorted_ranks = replace(
        ties.positive_ranks(padded.sort(dim=1).values, wanted), near=counts_near(distances, wanted, bits)
    )
    cells = left_out.nonzero()
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), left_out.sum(dim=1).cumsum(0)])
    given_codes = counted_codes.packed(codes)
    absent = LeftOut(starts, cells[:, 1], left_out[:, columns].sum(dim=1))
    counted = counted_codes.counted_ranks(given_codes[:3], given_codes, columns, relevant, bits, absent)
    assert torch.equal(counted.near, sorted_ranks.near)
    torch.testing.assert_close(counted.expected_ranks(), sorted_ranks.expected_ranks(), rtol=1e-12, atol=0)
    wanted_metrics = [names.named_metric(name) for name in (*names.RECORDED, *names.OF_CODES)]
    found, expected = (
        [scores.score_ranks(ranks, wanted_metrics, groups.harmonic_numbers(n)), positions.precision_at_recall(ranks)]
        for ranks in (counted, sorted_ranks)
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(2, 400),
    share=st.floats(0, 1),
    scale=st.sampled_from([1e-38, 1e-6, 1.0, 1e18]),
    single=st.booleans(),
    outlier=st.sampled_from([0, -1e9, 1e9]),
)
def test_counting_gives_what_sorting_gives(
    seed: int, n: int, share: float, scale: float, single: bool, outlier: float
) -> None:
    """Ties, values next to each other and far from each other, values so small or large that buckets degenerate."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((3, n)) < share, rng.integers(0, 5, (3, n)), rng.normal(size=(3, n)))
    values[:, 0] += outlier
    rows = np.pad(values * scale, ((0, 0), (0, 1)), constant_values=np.inf).astype(np.float32 if single else float)
    wanted = np.sort(rows[:, : rng.integers(1, n + 1)], axis=1)
    expected = counts_before(rows.copy(), wanted, count=False)
    for theirs, ours in zip(expected, counts_before(rows, wanted), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_counting_stays_exact_where_float32_cannot_number_the_scenes() -> None:
    """With one bucket per scene, the farthest positive would be in a bucket beyond the last."""
    scenes = 2**24 + 4
    rows = np.zeros((1, scenes), np.float32)
    rows[0, -4:] = [1, 2, 3, np.inf]
    before, up_to = counts_before(rows, rows[:, [-4, -2]])
    assert before.tolist() == [[scenes - 4, scenes - 2]]
    assert up_to.tolist() == [[scenes - 3, scenes - 1]]


FAILING = """
import torch
from rsir_bench.ranking import score, scores

def fail(*_):
    raise ZeroDivisionError

torch.set_num_threads(2)
scores.score_ranks = fail
score(torch.rand(40, 3), [0, 1] * 20, block=1)
"""


def test_a_failure_while_measuring_ends_every_worker() -> None:
    """In a separate process, which can be killed if a worker waits forever."""
    call = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, timeout=300, check=False)
    assert call.stderr.endswith("ZeroDivisionError\n")


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_scores(clusters: tuple[np.ndarray, np.ndarray], threads: int) -> None:
    rows, labels = clusters
    usual, before = score(rows, labels, block=7), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert score(rows, labels, block=7).overall == usual.overall
        codes = score(rows > 0, labels, codes=True, block=7)
    finally:
        torch.set_num_threads(before)
    assert codes.overall == score(rows > 0, labels, codes=True).overall


def test_precision_recall(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    result = score(rows, labels)
    curve = dict(result.precision_recall(101))
    assert dict(result.precision_recall()) == {level / 10: curve[level / 10] for level in range(11)}
    assert (np.diff(list(curve.values())) <= 0).all()
    query = int(np.flatnonzero(labels == 0)[0])
    rest = others(300, query)
    relevance = labels[rest][np.argsort(-np.corrcoef(rows)[query][rest])] == 0
    precision = (np.cumsum(relevance) / np.arange(1, 300))[relevance]
    count = relevance.sum()
    expected = [precision[max(1, -(-level * count // 100)) - 1 :].max() for level in range(101)]
    assert score(rows, labels, queries=[query]).curve == pytest.approx(expected)
    per_class = [np.array(result.precision_recall(101, str(c)))[:, 1] * (labels == c).sum() for c in range(5)]
    assert np.sum(per_class, axis=0) / 300 == pytest.approx(list(curve.values()))


def test_json_has_the_metrics_at_the_top(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    result = score(rows, labels)
    read = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert {name: read[name] for name in KEYS} == result.overall
    assert read["metric_version"] == METRIC_VERSION
    assert read["queries"] == 300
    assert read["per_class"]["3"] == result.per_class["3"]
    assert read["per_query"]["P@5"] == result.per_query["P@5"].tolist()
    assert rsir_bench.score(rows, labels).overall == result.overall


def test_settings_of_torch_are_left_as_they_were(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        result = score(clusters[0].astype(np.float32), clusters[1])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before[1])
    assert torch.get_num_threads() == before[0]
    assert result.overall == score(clusters[0].astype(np.float32), clusters[1]).overall


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("codes", [False, True])
def test_a_gpu_gives_the_same_scores(codes: bool) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 3000)
    rows = (rng.normal(size=(3000, 64)) + rng.normal(size=(20, 64))[labels]).astype(np.float32)
    rows = rows > 0 if codes else rows
    cpu, gpu = (score(rows, labels, codes=codes, device=device) for device in ("cpu", "cuda"))
    assert gpu.overall == pytest.approx(cpu.overall, abs=1e-5)
    assert gpu.upper == pytest.approx(cpu.upper, abs=1e-5)
