"""Every kind of post-processing is what plain code gives from its definition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plain
import pytest

from rsir_bench import score
from rsir_bench.ranking.after.contract import Vectors
from rsir_bench.ranking.after.named import named

SCENES, CLASSES = 90, 5


def some_rows(seed: int = 0, scenes: int = SCENES, length: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors around five centres that overlap, and their classes, in no order."""
    chance = np.random.default_rng(seed)
    labels = chance.permutation(np.arange(scenes) % CLASSES)
    return chance.normal(size=(CLASSES, length))[labels] + 1.3 * chance.normal(size=(scenes, length)), labels


@pytest.mark.parametrize(
    ("after", "similarities"),
    [
        ("aqe:7,2.5", lambda rows: plain.expanded_queries(rows, 7, 2.5)),
        ("aqe:5,0", lambda rows: plain.expanded_queries(rows, 5, 0)),
        ("dba-gallery:6,3", lambda rows: plain.augmented(rows, 6, 3, both=False)),
        ("dba:6,3", lambda rows: plain.augmented(rows, 6, 3, both=True)),
        ("kreciprocal:9,4,0.3", lambda rows: -plain.k_reciprocal(2 - 2 * rows @ rows.T, 9, 4, 0.3)),
        ("kreciprocal:12,1,0.6", lambda rows: -plain.k_reciprocal(2 - 2 * rows @ rows.T, 12, 1, 0.6)),
        ("diffusion:12,3,0.9", lambda rows: plain.diffused(rows @ rows.T, 12, 3, 0.9)),
    ],
)
@pytest.mark.parametrize("similarity", ["pearson", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_average_precision_is_that_of_the_definition(
    after: str, similarities: Callable[[np.ndarray], np.ndarray], similarity: str, dtype: type
) -> None:
    rows, labels = some_rows()
    rows = rows.astype(dtype)
    expected = plain.average_precision(similarities(plain.unit(rows, similarity == "pearson")), labels)
    found = score(rows, labels, similarity=similarity, after=after)
    assert found.per_query["mAP"] == pytest.approx(expected, abs=1e-9)
    assert not np.allclose(found.per_query["mAP"], score(rows, labels, similarity=similarity).per_query["mAP"])
    assert found.after_seconds is not None
    assert found.after_seconds > 0


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("shape", [(90, 24), (30, 60)])
def test_components_of_the_target(whitened: bool, shape: tuple[int, int]) -> None:
    rows, labels = some_rows(scenes=shape[0], length=shape[1])
    reduced = plain.unit(plain.components(plain.unit(rows), 8, whitened=whitened), centred=False)
    found = score(rows, labels, after="whiten:8" if whitened else "pca:8")
    assert found.per_query["mAP"] == pytest.approx(plain.average_precision(reduced @ reduced.T, labels), abs=1e-9)


@pytest.mark.parametrize(("k1", "k2", "weight"), [(9, 4, 0.3), (20, 6, 0.3), (5, 1, 0.7), (5, 7, 0.3), (5, 20, 0.3)])
def test_distances_of_k_reciprocal_are_those_of_the_dense_algorithm(k1: int, k2: int, weight: float) -> None:
    rows, _ = some_rows(scenes=200)
    unit = plain.unit(rows)
    distances = 2 - 2 * unit @ unit.T
    dense = plain.k_reciprocal(distances, k1, k2, weight)
    correct = named(f"kreciprocal:{k1},{k2},{weight}").apply(Vectors(rows, rows, np.arange(200), "pearson")).correct
    assert correct is not None
    found = -unit @ unit.T
    correct(np.arange(200), found)
    # The order is that of (1 - w) J + w d; the constants of a row, which order nothing, are put back here.
    farthest = distances.max(axis=1, keepdims=True) / 2
    others = ~np.eye(200, dtype=bool)
    assert (1 - weight + weight * (found + 1) / farthest)[others] == pytest.approx(dense[others], abs=1e-6)
    assert (dense[others] == 1 - weight + weight * distances[others] / 2 / np.repeat(farthest, 199)).any()


def test_k_reciprocal_ranks_codes_by_hamming_distance() -> None:
    rows, labels = some_rows(length=64)
    codes = rows > 0
    hamming = (codes[:, None] != codes[None]).sum(axis=2).astype(float)
    expected = plain.tied_average_precision(-plain.k_reciprocal(hamming, 9, 4, 0.3), labels)
    packed = np.packbits(codes, axis=1)
    for found in (
        score(codes, labels, codes=True, after="kreciprocal:9,4,0.3"),
        score(packed, labels, codes=True, bits=64, after="kreciprocal:9,4,0.3"),
    ):
        assert found.per_query["mAP"] == pytest.approx(expected, abs=1e-6)
    assert not np.allclose(expected, score(codes, labels, codes=True).per_query["mAP"])


def test_nothing_of_a_query_is_in_what_it_is_compared_with() -> None:
    """Masked: a gallery that is augmented without the query. Unmasked, the query would pull its neighbours closer."""
    rows, labels = some_rows()
    unmasked = named("dba-gallery:6,3").apply(Vectors(rows, rows, np.full(SCENES, -1), "pearson")).gallery
    assert unmasked is not None
    masked = score(rows, labels, after="dba-gallery:6,3").overall["mAP"]
    wrong = score(rows, labels, gallery=unmasked, gallery_labels=labels, own=np.arange(SCENES)).overall["mAP"]
    assert abs(masked - wrong) > 1e-4


def test_a_query_that_is_expanded_does_not_find_itself() -> None:
    rows, labels = some_rows()
    queries = named("aqe:7,3").apply(Vectors(rows, rows, np.arange(SCENES), "pearson")).queries
    right = score(queries, labels, gallery=rows, gallery_labels=labels, own=np.arange(SCENES))
    wrong = score(queries, labels, gallery=rows, gallery_labels=labels)
    after = score(rows, labels, after="aqe:7,3")
    assert after.overall == pytest.approx(right.overall, abs=1e-12)
    assert wrong.overall["P@5"] > after.overall["P@5"] + 0.05


@pytest.mark.parametrize(
    "after", ["aqe:7,3", "dba:6,3", "dba-gallery:6,3", "kreciprocal:9,4,.3", "diffusion:12,3,.9", "pca:8"]
)
def test_a_query_has_its_result_whoever_else_is_one(after: str) -> None:
    rows, labels = some_rows()
    every = score(rows, labels, after=after).per_query["mAP"]
    chosen = np.random.default_rng(1).permutation(SCENES)[:30]
    part = score(rows, labels, queries=chosen, after=after, block=7)
    assert part.query_index.tolist() == chosen.tolist()
    assert part.per_query["mAP"] == pytest.approx(every[chosen], abs=1e-12)


@pytest.mark.parametrize(
    "after", ["aqe:7,3", "dba:6,3", "dba-gallery:6,3", "kreciprocal:9,4,.3", "diffusion:12,3,.9", "pca:8"]
)
def test_a_separate_gallery_of_the_same_scenes_gives_the_same(after: str) -> None:
    rows, labels = some_rows()
    one = score(rows, labels, after=after)
    chosen = np.arange(0, SCENES, 3)
    other = score(rows[chosen], labels[chosen], gallery=rows, gallery_labels=labels, own=chosen, after=after)
    assert other.per_query["mAP"] == pytest.approx(one.per_query["mAP"][chosen], abs=1e-12)


@pytest.mark.parametrize("after", ["aqe:7,3", "dba:6,3", "kreciprocal:9,4,.3", "diffusion:12,3,.9", "pca:8"])
def test_the_order_of_scenes_changes_nothing(after: str) -> None:
    rows, labels = some_rows()
    order = np.argsort(labels, kind="stable")
    given = score(rows, labels, after=after).per_query["mAP"][order]
    assert score(rows[order], labels[order], after=after).per_query["mAP"] == pytest.approx(given, abs=1e-9)


def test_queries_from_outside_are_part_of_the_set() -> None:
    rows, labels = some_rows()
    known, new = np.arange(60), np.arange(60, SCENES)
    unit = plain.unit(rows)
    whole = {
        "kreciprocal:9,4,0.3": -plain.k_reciprocal(2 - 2 * unit @ unit.T, 9, 4, 0.3),
        "diffusion:12,3,0.9": plain.diffused(unit @ unit.T, 12, 3, 0.9),
    }
    for after, similarities in whole.items():
        found = score(rows[new], labels[new], gallery=rows[known], gallery_labels=labels[known], after=after)
        for q, value in zip(new, found.per_query["mAP"], strict=True):
            relevant = labels[known[np.argsort(-similarities[q, known])]] == labels[q]
            expected = (np.cumsum(relevant) / np.arange(1, 61))[relevant].mean()
            assert value == pytest.approx(expected, abs=1e-9), after


def test_junk_is_left_out_of_rankings_as_without_post_processing() -> None:
    rows, labels = some_rows()
    junk = [[(q + 1) % SCENES] for q in range(SCENES)]
    unit = plain.unit(rows)
    similarities = plain.expanded_queries(unit, 7, 3)
    found = score(rows, labels, ignore=junk, after="aqe:7,3").per_query["mAP"]
    for q in range(SCENES):
        others = np.delete(np.arange(SCENES), [q, *junk[q]])
        relevant = labels[others[np.argsort(-similarities[q, others])]] == labels[q]
        expected = (np.cumsum(relevant) / np.arange(1, len(others) + 1))[relevant].mean()
        assert found[q] == pytest.approx(expected, abs=1e-9)


def test_several_labels_per_scene() -> None:
    rows, labels = some_rows()
    several = np.stack([labels == 0, labels % 2 == 1, labels > 2, labels <= 2], axis=1).astype(int)
    several[:, 0] |= np.arange(SCENES) % 3 == 0
    unit = plain.unit(rows)
    similarities = plain.expanded_queries(unit, 7, 3)
    found = score(rows, several, metrics=["mAP(any)"], after="aqe:7,3")
    for place, q in enumerate(found.query_index):
        others = np.delete(np.arange(SCENES), q)
        relevant = (several[others[np.argsort(-similarities[q, others])]] & several[q]).any(axis=1)
        expected = (np.cumsum(relevant) / np.arange(1, SCENES))[relevant].mean()
        assert found.per_query["mAP(any)"][place] == pytest.approx(expected, abs=1e-9)
    assert found.after_seconds is not None
