from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from rsir_bench.nn.warp import IDENTITY, affine


def theta_of(*values: float, count: int = 1) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float32).expand(count, -1)


@pytest.fixture
def scenes() -> torch.Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 13, 7, 5)])
def test_identity(padding, shape):
    scenes = torch.rand(shape)
    torch.testing.assert_close(affine(scenes, theta_of(*IDENTITY, count=shape[0]), padding), scenes)


def test_identity_in_mixed_precision():
    scenes = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(affine(scenes, theta_of(*IDENTITY, count=2)), scenes)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns(scenes, quarters):
    # x to the right and y down: the output at (x, y) is read at R(x, y).
    angle = quarters * math.pi / 2
    cos, sin = round(math.cos(angle)), round(math.sin(angle))
    turned = affine(scenes, theta_of(cos, -sin, 0, sin, cos, 0, count=2))
    torch.testing.assert_close(turned, torch.rot90(scenes, quarters, (2, 3)))


def test_mirror(scenes):
    torch.testing.assert_close(affine(scenes, theta_of(-1, 0, 0, 0, 1, 0, count=2)), scenes.flip(3))
    torch.testing.assert_close(affine(scenes, theta_of(1, 0, 0, 0, -1, 0, count=2)), scenes.flip(2))


def test_shift_by_whole_pixels_maps_output_to_input(scenes):
    # Pixels are areas: the side of 8 pixels spans [-1, 1], one pixel is 2 / 8.
    right, down = 3, 2
    moved = affine(scenes, theta_of(1, 0, right * 2 / 8, 0, 1, down * 2 / 8, count=2), "zeros")
    torch.testing.assert_close(moved[:, :, :-down, :-right], scenes[:, :, down:, right:])
    assert moved[:, :, -down:].abs().max() == 0
    assert moved[:, :, :, -right:].abs().max() == 0


def test_border_padding_repeats_the_edge(scenes):
    moved = affine(scenes, theta_of(1, 0, 3 * 2 / 8, 0, 1, 0, count=2))
    torch.testing.assert_close(moved[..., -3:], scenes[..., -1:].expand(-1, -1, -1, 3))


def test_scale_two_looks_at_twice_the_area():
    scenes = torch.ones(1, 1, 8, 8)
    seen = affine(scenes, theta_of(2, 0, 0, 0, 2, 0), "zeros")
    assert seen[0, 0, 2:6, 2:6].min() == 1
    assert seen.sum() == 16


def test_half_a_pixel_is_interpolated():
    scenes = torch.tensor([[[[0.0, 1.0, 4.0, 9.0]]]])
    moved = affine(scenes, theta_of(1, 0, 0.5 * 2 / 4, 0, 1, 0))
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.5, 2.5, 6.5, 9.0]))


def test_every_scene_has_its_own_parameters(scenes):
    theta = torch.tensor([IDENTITY, (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)])
    seen = affine(scenes, theta)
    torch.testing.assert_close(seen, torch.stack([scenes[0], scenes[1].flip(2)]))


def test_parameters_may_be_a_slice_of_more(scenes):
    theta = torch.cat([theta_of(*IDENTITY, count=2), torch.ones(2, 4)], 1)
    torch.testing.assert_close(affine(scenes, theta[:, :6]), scenes)


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_gradients(padding):
    torch.manual_seed(0)
    scenes = torch.rand(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    # Off the pixels' centres and edges, where bilinear interpolation has no derivative.
    theta = torch.tensor([[0.83, 0.11, 0.031, -0.07, 0.91, 0.043], [1.07, -0.13, 0.017, 0.19, 0.87, -0.029]])
    theta = theta.double().requires_grad_()
    assert gradcheck(lambda a, b: affine(a, b, padding), (scenes, theta))
