"""What post-processing makes equal is tied, and scored as the mean over all orders."""

from __future__ import annotations

import numpy as np
import plain
import pytest
import torch
from test_definitions import SCENES, some_rows

from rsir_bench import score
from rsir_bench.ranking.metrics.averages import chance_precision


def test_scenes_without_a_shared_neighbour_are_tied_where_only_neighbours_count() -> None:
    rows, labels = some_rows()
    unit = plain.unit(rows)
    distances = plain.k_reciprocal(2 - 2 * unit @ unit.T, 9, 4, 0)
    assert (distances == 1).mean() > 0.15
    found = score(rows, labels, after="kreciprocal:9,4,0")
    assert found.per_query["mAP"] == pytest.approx(plain.tied_average_precision(-distances, labels), abs=1e-6)
    assert found.lower["mAP"] < found.overall["mAP"] < found.upper["mAP"]


def test_scenes_without_a_shared_neighbour_keep_the_order_of_the_plain_distances() -> None:
    """No ties arise where there were none: 1 - cosine differs in its last bits only, far below 1 - w + w d."""
    chance = np.random.default_rng(0)
    near = chance.normal(size=(40, 8)).astype(np.float32)
    far = np.ones((40, 8), np.float32) * 30 + chance.normal(size=(40, 8)).astype(np.float32) * 1e-3
    rows, labels = np.concatenate([near, far]), np.repeat([0, 1, 0, 1], 20)
    for similarity in ("pearson", "cosine"):
        plainly = score(rows, labels, similarity=similarity)
        after = score(rows, labels, similarity=similarity, after="kreciprocal:5,2,0.01")
        assert after.upper["mAP"] - after.lower["mAP"] <= plainly.upper["mAP"] - plainly.lower["mAP"]


def test_scenes_that_no_path_leads_to_are_tied() -> None:
    chance = np.random.default_rng(0)
    centres = np.eye(4, 12)
    place = np.arange(SCENES) % 4
    rows, labels = centres[place] * 9 + chance.normal(size=(SCENES, 12)), (place + (np.arange(SCENES) > 60)) % 4
    unit = plain.unit(rows)
    similarities = plain.diffused(unit @ unit.T, 10, 3, 0.9)
    assert (similarities == 0).mean() > 0.7
    found = score(rows, labels, after="diffusion:10,3,0.9")
    assert found.per_query["mAP"] == pytest.approx(plain.tied_average_precision(similarities, labels), abs=1e-6)


@pytest.mark.parametrize("after", ["aqe:4,3", "dba:4,3", "dba-gallery:4,3", "pca:6", "whiten:6"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_descriptors_stay_tied(after: str, dtype: type) -> None:
    """Copies of every scene, some of another class: any order of the scenes gives the same scores, bounds included."""
    rows, labels = some_rows()
    rows, labels = np.repeat(rows, 4, axis=0).astype(dtype), np.repeat(labels, 4)
    labels[::4] = (labels[::4] + 1) % 5
    found = score(rows, labels, after=after)
    order = np.random.default_rng(1).permutation(len(rows))
    other = score(rows[order], labels[order], after=after)
    for bound in ("overall", "lower", "upper"):
        assert getattr(found, bound) == pytest.approx(getattr(other, bound), abs=1e-9)
    assert found.upper["mAP"] - found.lower["mAP"] > 0.02
    unrepeated = score(rows + 1e-3 * np.random.default_rng(0).normal(size=rows.shape), labels, after=after)
    assert unrepeated.upper["mAP"] == unrepeated.lower["mAP"]


@pytest.mark.parametrize("after", ["aqe:4,3", "dba:4,3", "dba-gallery:4,3"])
def test_equal_descriptors_of_all_scenes_score_chance_exactly(after: str) -> None:
    _, labels = some_rows()
    found = score(np.tile([1.0, 2.0, 4.0], (SCENES, 1)), labels, after=after)
    relevant = torch.from_numpy(np.bincount(labels)[labels] - 1)
    chance = chance_precision(relevant, torch.full((SCENES,), SCENES - 1))
    assert found.per_query["mAP"] == pytest.approx(chance.numpy(), abs=1e-12)
    assert found.doubts()


@pytest.mark.parametrize("after", ["aqe:4,3", "dba:4,3", "kreciprocal:4,2,.3", "diffusion:4,3,.9"])
def test_rows_without_a_direction_are_counted_as_without_post_processing(after: str) -> None:
    rows, labels = some_rows()
    rows[:60] = 5
    found = score(rows, labels, after=after)
    assert found.constant == score(rows, labels).constant == 60
    assert found.doubts()
