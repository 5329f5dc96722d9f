"""Descriptors and their reduction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import Tiny
from sklearn.decomposition import PCA

from rsir_bench.runs.plan import make_plan
from rsir_bench.scenes.batches import unit_range
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.training.describe import MOST, as_bits, batch_size, describe, fit_reduction


def test_describe_equals_the_bare_network_whatever_the_batch(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(tiny.request())
    network = plan.runs[0].method.build(plan.setup(plan.runs[0])).train()
    pixels = open_pixels(plan.datasets[tiny.target], plan.runs[0].transform)
    whole = describe(network, pixels, torch.device("cpu"), "all")
    assert not network.training
    with torch.inference_mode():
        bare = network.describe(unit_range(torch.from_numpy(np.asarray(pixels)).permute(0, 3, 1, 2)))
    assert set(whole) == set(bare) == {"FC", "FC1"}
    monkeypatch.setitem(MOST, "cpu", 5)
    pieces = describe(network, pixels, torch.device("cpu"), "all", {"FC1"})
    assert set(pieces) == {"FC1"}
    for name in pieces:
        np.testing.assert_allclose(whole[name], bare[name].numpy(), atol=1e-5)
        np.testing.assert_allclose(pieces[name], whole[name], atol=1e-5)


def test_bf16_describes_nearly_the_same(tiny: Tiny) -> None:
    plan = make_plan(tiny.request())
    network = plan.runs[0].method.build(plan.setup(plan.runs[0]))
    pixels = open_pixels(plan.datasets[tiny.target], plan.runs[0].transform)
    usual = describe(network, pixels, torch.device("cpu"), "all", {"FC1"})["FC1"]
    rounded = describe(network, pixels, torch.device("cpu"), "all", {"FC1"}, "bf16")["FC1"]
    assert rounded.dtype == np.float32
    assert not np.array_equal(usual, rounded)
    np.testing.assert_allclose(rounded, usual, atol=0.05 * np.abs(usual).max())


def test_the_precision_of_describing_is_part_of_results_and_not_of_networks(tiny: Tiny) -> None:
    usual, other = (make_plan(tiny.request(overrides=overrides)) for overrides in ([], ["describe.precision=bf16"]))
    same = make_plan(tiny.request(overrides=["describe.precision=32"]))
    assert usual.runs[0].key == other.runs[0].key
    assert not {cell.key for cell in usual.runs[0].cells} & {cell.key for cell in other.runs[0].cells}
    assert [cell.key for cell in same.runs[0].cells] == [cell.key for cell in usual.runs[0].cells]


@pytest.mark.parametrize("shape", [(50, 12), (12, 50)])
def test_reduction_equals_scikit_learn(shape: tuple[int, int]) -> None:
    chance = np.random.default_rng(0)
    fitted = chance.normal(size=shape).astype(np.float32) * np.arange(1, shape[1] + 1, dtype=np.float32) + 3
    other = chance.normal(size=(7, shape[1])).astype(np.float32)
    reduction = fit_reduction(fitted, 5)
    expected = PCA(5, svd_solver="full").fit(fitted.astype(np.float64)).transform(other)
    reduced = reduction(other)
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(np.abs(reduced), np.abs(expected), rtol=1e-2, atol=1e-2)


def test_reduction_is_centred_on_the_fitted_mean() -> None:
    fitted = np.random.default_rng(1).normal(5, 1, (40, 6)).astype(np.float32)
    np.testing.assert_allclose(fit_reduction(fitted, 3)(fitted).mean(0), 0, atol=1e-4)


@pytest.mark.parametrize("scenes", [300, 60])
def test_components_far_from_zero_are_those_of_64_bits(scenes: int) -> None:
    """With a mean of a thousand times the spread, squares of 32-bit values hold nothing of the small variances."""
    spread = np.linspace(3, 1, 100)
    fitted = (np.random.default_rng(4).normal(1000, spread, (scenes, 100))).astype(np.float32)
    expected = PCA(20, svd_solver="full").fit(fitted.astype(np.float64))
    cosines = np.abs((fit_reduction(fitted, 20).components * expected.components_).sum(1))
    assert cosines.min() > 0.999


def test_fewer_scenes_than_dimensions() -> None:
    fitted = np.random.default_rng(2).normal(size=(10, 64)).astype(np.float32)
    assert fit_reduction(fitted, 128).dimensions == 9
    assert fit_reduction(fitted.T.copy(), 128).dimensions == 10


def test_bits_are_the_signs() -> None:
    values = np.array([[0.5, -1, 0, 2, -3, -1, 1, 1, -0.1]], np.float32)
    assert np.unpackbits(as_bits(values), axis=1)[0].tolist() == [1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "side", "count"),
    [
        ("cpu", 64, 64),
        ("cpu", 96, 43),
        ("cpu", 224, 8),
        ("cpu", 448, 2),
        ("cuda", 518, 47),
        ("cuda", 1024, 12),
        ("mps", 8192, 1),
    ],
)
def test_large_scenes_are_described_in_smaller_batches(kind: str, side: int, count: int) -> None:
    assert batch_size(kind, side) == count
