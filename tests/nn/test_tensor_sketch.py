from __future__ import annotations

import pytest
import torch

from rsir_bench.nn.tensor_sketch import TensorSketch, signed_sqrt


def sketch_of(channels: int, dimensions: int, seed: int = 0) -> TensorSketch:
    torch.manual_seed(seed)
    return TensorSketch(channels, dimensions)


@pytest.mark.parametrize("dimensions", [7, 16])
def test_every_product_of_two_channels_falls_into_its_bin(dimensions):
    sketch = sketch_of(5, dimensions)
    maps = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    expected = torch.zeros(2, dimensions, dtype=torch.float64)
    for scene in range(2):
        for vector in maps[scene].flatten(1).T:
            for i in range(5):
                for j in range(5):
                    bin_ = (sketch.place[0, i] + sketch.place[1, j]) % dimensions
                    expected[scene, bin_] += sketch.sign[0, i] * sketch.sign[1, j] * vector[i] * vector[j]
    torch.testing.assert_close(sketch(maps), expected)


def test_inner_products_are_unbiased_over_the_hashes():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 8, 1, 1, generator=generator)
    y = x + 0.5 * torch.randn(1, 8, 1, 1, generator=generator)
    products = []
    for seed in range(600):
        sketch = sketch_of(8, 32, seed)
        products.append((sketch(x) * sketch(y)).sum())
    products = torch.stack(products)
    exact = (x * y).sum() ** 2
    assert (products.mean() - exact).abs() < 4 * products.std() / 600**0.5
    assert products.std() / 600**0.5 < 0.05 * exact  # otherwise the line above proves nothing


def test_inner_products_approximate_those_of_bilinear_features():
    maps = torch.rand(2, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    bilinear = torch.einsum("nchw,ndhw->ncd", maps, maps).flatten(1)
    sketches = sketch_of(16, 8192)(maps)
    torch.testing.assert_close(sketches @ sketches.T, bilinear @ bilinear.T, rtol=0.1, atol=0)


def test_gradients():
    sketch = sketch_of(3, 8)
    maps = torch.randn(2, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sketch, maps)
    values = torch.tensor([-2.0, -1e-3, 0.0, 1e-3, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: signed_sqrt(x, 1e-2), values)


def test_signed_square_root():
    values = torch.tensor([-9.0, 0.0, 4.0], requires_grad=True)
    roots = signed_sqrt(values)
    torch.testing.assert_close(roots, torch.tensor([-3.0, 0.0, 2.0]), rtol=1e-5, atol=0)
    roots.sum().backward()
    assert values.grad.isfinite().all()


def test_hashes_are_part_of_the_state_and_follow_the_seed():
    first, again, other = (sketch_of(32, 64, seed) for seed in (0, 0, 1))
    assert set(first.state_dict()) == {"place", "sign"}
    assert torch.equal(first.place, again.place)
    assert not torch.equal(first.place, other.place)
    assert set(first.sign.flatten().tolist()) == {-1.0, 1.0}
    other.load_state_dict(first.state_dict())
    maps = torch.rand(1, 32, 2, 2)
    assert torch.equal(first(maps), other(maps))


def test_in_mixed_precision_nothing_is_rounded_further():
    sketch = sketch_of(16, 64)
    maps = torch.rand(2, 16, 2, 2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sketch(maps)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, sketch(maps.float()))


def test_a_scene_is_sketched_the_same_in_any_company():
    sketch = sketch_of(16, 100)
    maps = torch.rand(5, 16, 2, 2)
    torch.testing.assert_close(sketch(maps)[3:4], sketch(maps[3:4]))
