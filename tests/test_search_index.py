"""Indices: exact ones agree with the scorer, approximate ones are measured, files are whole or made again."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

import rsir_bench
from rsir_bench.base.errors import UserError
from rsir_bench.base.files import seal_of
from rsir_bench.ranking.nearest import VectorSpace
from rsir_bench.search import index as indices
from rsir_bench.search.index import build, compare, ivf_lists, nearest, nearest_others
from rsir_bench.search.index_cache import kept_index

CHANCE = np.random.default_rng(0)


def _descriptors(scenes: int, dimensions: int = 16) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(scenes) % 4
    noise = CHANCE.standard_normal((scenes, dimensions), dtype=np.float32)
    centres = CHANCE.standard_normal((4, dimensions), dtype=np.float32)
    return 3 + noise * CHANCE.uniform(0.5, 2, (scenes, 1)).astype(np.float32) + centres[labels], labels


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "inner product", "euclidean"])
def test_exact_search_ranks_as_the_scorer(similarity: str) -> None:
    descriptors, labels = _descriptors(120)
    space = VectorSpace.of(descriptors, similarity)
    rows = space.rows(descriptors)
    _, found = nearest_others(build(rows, space, "flat"), rows, np.arange(120), 10)
    precision = float((labels[found] == labels[:, None]).mean())
    assert precision == pytest.approx(rsir_bench.score(descriptors, labels, similarity=similarity).overall["P@10"])


def test_values_are_the_similarities_that_they_are_called() -> None:
    descriptors, _ = _descriptors(30)
    pearson = VectorSpace.of(descriptors, "pearson")
    values, found = nearest(build(pearson.rows(descriptors), pearson, "flat"), pearson.rows(descriptors[:1]), 30)
    assert values[0] == pytest.approx(np.corrcoef(descriptors)[0][found[0]], abs=1e-5)
    euclidean = VectorSpace.of(descriptors, "euclidean")
    values, found = nearest(build(euclidean.rows(descriptors), euclidean, "flat"), euclidean.rows(descriptors[:1]), 30)
    distances = np.linalg.norm(descriptors - descriptors[0], axis=1)
    assert euclidean.shown(values)[0] == pytest.approx(distances[found[0]], abs=1e-3)
    assert [space.unit for space in (pearson, euclidean)] == ["Pearson", "Euclidean distance"]


def test_euclidean_distances_survive_a_large_common_value() -> None:
    descriptors, _ = _descriptors(60)
    far = descriptors.astype(np.float64) + 1e6
    space = VectorSpace.of(far, "euclidean")
    _, found = nearest(build(space.rows(far), space, "flat"), space.rows(far[:1]), 10)
    assert found[0].tolist() == np.argsort(np.linalg.norm(far - far[0], axis=1))[:10].tolist()


def test_codes_are_compared_by_differing_bits_and_refuse_an_approximate_index() -> None:
    codes = CHANCE.integers(0, 256, (50, 4), dtype=np.uint8)
    space = VectorSpace.of(codes, "hamming")
    values, found = nearest(build(space.rows(codes), space, "flat"), codes[:1], 50)
    distances = np.unpackbits(codes ^ codes[0], axis=1).sum(axis=1)
    assert found[0].tolist() == np.lexsort((np.arange(50), distances)).tolist()  # ties in the order of the scenes
    assert values[0].tolist() == sorted(distances.tolist())
    with pytest.raises(UserError, match="--ann hnsw: codes are searched exactly"):
        build(codes, space, "hnsw")


def test_a_query_is_left_out_by_its_row_where_scenes_are_there_twice() -> None:
    descriptors, _ = _descriptors(20)
    descriptors[7] = descriptors[3]
    space = VectorSpace.of(descriptors, "pearson")
    rows = space.rows(descriptors)
    index = build(rows, space, "flat")
    _, found = nearest_others(index, rows[[3, 7]], np.array([3, 7]), 5)
    assert found[:, 0].tolist() == [7, 3]
    everyone = nearest_others(index, rows[:1], np.array([0]), 99)[1][0]
    assert everyone[-1] == -1
    assert sorted(everyone[:-1].tolist()) == list(range(1, 20))
    assert -1 not in nearest_others(index, rows[:1], np.array([-1]), 99)[1]
    strangers = nearest_others(index, rows[:1], np.array([-1]), 3)[1][0]
    assert strangers[0] == 0
    assert len(strangers) == 3


@pytest.mark.parametrize("kind", indices.APPROXIMATE)
@pytest.mark.parametrize("scenes", [2, 5, 50, 300])
def test_approximate_indices_of_small_sets_find_all_without_a_warning(
    kind: str, scenes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    descriptors, _ = _descriptors(scenes)
    space = VectorSpace.of(descriptors, "pearson")
    rows = space.rows(descriptors)
    _, found = nearest(build(rows, space, kind), rows[:1], scenes)
    assert sorted(found[0].tolist()) == list(range(scenes))
    assert capfd.readouterr() == ("", "")


def test_recall_is_the_share_of_true_neighbours_that_are_found() -> None:
    descriptors = CHANCE.standard_normal((10_000, 32), dtype=np.float32)
    space = VectorSpace.of(descriptors, "pearson")
    rows = space.rows(descriptors)
    exact, poor = build(rows, space, "flat"), build(rows, space, "ivf")
    measured = compare(poor, exact, lambda own: rows[own], 10)
    own = np.sort(np.random.default_rng(0).permutation(10_000)[: measured.scenes])
    true = nearest_others(exact, rows[own], own, 10)[1]
    found = nearest_others(poor, rows[own], own, 10)[1]
    overlap = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(true, found, strict=True)])
    assert measured.recall == pytest.approx(overlap)
    assert 0.1 < measured.recall < 0.9
    assert min(measured.milliseconds, measured.exact_milliseconds) > 0
    assert compare(exact, exact, lambda own: rows[own], 10).recall == 1


@pytest.mark.parametrize("kind", indices.APPROXIMATE)
def test_usual_settings_find_nearly_all_neighbours(kind: str) -> None:
    descriptors, _ = _descriptors(3000)
    space = VectorSpace.of(descriptors, "pearson")
    rows = space.rows(descriptors)
    measured = compare(build(rows, space, kind), build(rows, space, "flat"), lambda own: rows[own], 10)
    assert measured.recall >= 0.95


def test_no_list_is_fitted_on_too_few_scenes() -> None:
    assert [ivf_lists(scenes) for scenes in (1, 39, 400, 10_000, 1_000_000)] == [1, 1, 10, 200, 2000]


def test_an_index_is_kept_and_a_damaged_one_built_again(tmp_path: Path) -> None:
    descriptors, _ = _descriptors(40)
    space = VectorSpace.of(descriptors, "pearson")
    rows = space.rows(descriptors)
    path, said = tmp_path / "search" / "hnsw.faiss", []
    first = kept_index(path, False, lambda: build(rows, space, "hnsw"), said.append)
    again = kept_index(path, False, lambda: pytest.fail("built again"), said.append)
    assert nearest(again, rows, 5)[1].tolist() == nearest(first, rows, 5)[1].tolist()
    assert said == []
    whole = path.read_bytes()
    for damaged in (whole[:-7], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b"short"):
        path.write_bytes(damaged)
        kept_index(path, False, lambda: build(rows, space, "hnsw"), said.append)
        assert said.pop() == f"{path}: damaged; building the index again"
        assert path.read_bytes() == whole
    seal_of(path).unlink()
    kept_index(path, False, lambda: build(rows, space, "hnsw"), said.append)
    assert said.pop() == f"{path}: damaged; building the index again"
    assert sorted(path.parent.iterdir()) == [path, seal_of(path)]


def test_an_index_of_codes_is_kept(tmp_path: Path) -> None:
    codes = CHANCE.integers(0, 256, (50, 4), dtype=np.uint8)
    space = VectorSpace.of(codes, "hamming")
    path = tmp_path / "flat.faiss"
    kept_index(path, True, lambda: build(codes, space, "flat"), print)
    again = kept_index(path, True, lambda: pytest.fail("built again"), print)
    assert isinstance(again, faiss.IndexBinaryFlat)
    assert again.ntotal == 50
