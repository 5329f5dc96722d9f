from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from rsir_bench.nn.warp import (
    IDENTITY,
    PERSPECTIVE_IDENTITY,
    ThinPlateSpline,
    affine,
    affine_grid,
    perspective_grid,
    sample,
)


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


def test_bicubic_is_not_bilinear_and_exact_at_pixels(scenes):
    theta = theta_of(1, 0, 0.1, 0, 1, 0, count=2)
    assert not torch.allclose(affine(scenes, theta, mode="bicubic"), affine(scenes, theta))
    torch.testing.assert_close(affine(scenes, theta_of(*IDENTITY, count=2), mode="bicubic"), scenes)


class TestPerspective:
    def test_identity(self, scenes):
        grid = perspective_grid(theta_of(*PERSPECTIVE_IDENTITY, count=2), scenes)
        torch.testing.assert_close(sample(scenes, grid), scenes)

    def test_every_point_by_hand(self, scenes):
        theta = theta_of(0.9, 0.1, 0.05, -0.2, 1.1, -0.1, 0.3, -0.2, count=2)
        matrix = torch.cat([theta[0], torch.ones(1)]).view(3, 3)
        grid = perspective_grid(theta, scenes)
        for row in (0, 3, 7):
            for column in (0, 5):
                x, y = (2 * column + 1) / 8 - 1, (2 * row + 1) / 8 - 1
                u, v, w = matrix @ torch.tensor([x, y, 1.0])
                torch.testing.assert_close(grid[1, row, column], torch.stack([u / w, v / w]))

    def test_the_horizon_is_kept_out(self, scenes):
        assert perspective_grid(theta_of(1, 0, 0, 0, 1, 0, 50, 0, count=2), scenes).isfinite().all()


class TestThinPlateSpline:
    def test_identity(self, scenes):
        spline = ThinPlateSpline(6)
        points = torch.tensor(spline.identity).view(1, 36, 2).expand(2, -1, -1)
        torch.testing.assert_close(sample(scenes, spline(points, scenes)), scenes, atol=1e-5, rtol=1e-5)

    def test_control_points_are_taken_exactly_where_they_are_told(self):
        """With pixels of 2/5 and a grid of 6, the middle of no pixel is a control point: ask for the basis there."""
        spline = ThinPlateSpline(3)  # control points at -1, 0, 1: the middle one is the middle pixel of 5
        targets = torch.rand(9, 2, dtype=torch.float64)
        grid = spline(targets[None], torch.zeros(1, 1, 5, 5, dtype=torch.float64))
        torch.testing.assert_close(grid[0, 2, 2], targets[4])

    def test_it_solves_bookstein_s_system(self):
        """Against the textbook: weights of the radial terms and an affine part, side conditions included."""
        spline, targets = ThinPlateSpline(4), torch.rand(16, 2, dtype=torch.float64)
        points = spline.points
        squared = torch.cdist(points, points).square()
        kernel = torch.where(squared > 0, squared * squared.clamp_min(1e-300).log(), 0)
        ones = torch.cat([torch.ones(16, 1, dtype=torch.float64), points], dim=1)
        system = torch.cat(
            [torch.cat([kernel, ones], 1), torch.cat([ones.T, torch.zeros(3, 3, dtype=torch.float64)], 1)]
        )
        solved = torch.linalg.solve(system, torch.cat([targets, torch.zeros(3, 2, dtype=torch.float64)]))
        pixel = torch.tensor([[(2 * 2 + 1) / 6 - 1, (2 * 1 + 1) / 6 - 1]], dtype=torch.float64)
        distance = torch.cdist(pixel, points).square()
        row = torch.cat([distance * distance.log(), torch.ones(1, 1, dtype=torch.float64), pixel], dim=1)
        grid = spline(targets[None], torch.zeros(1, 1, 6, 6, dtype=torch.float64))
        torch.testing.assert_close(grid[0, 1, 2], (row @ solved)[0])

    def test_an_affine_move_of_the_points_is_that_affine_map(self, scenes):
        spline, theta = ThinPlateSpline(6), theta_of(0.8, 0.2, 0.1, -0.3, 1.1, 0.0, count=2)
        points = torch.nn.functional.pad(spline.points.float(), (0, 1), value=1.0) @ theta[0].view(2, 3).T
        grid = spline(points[None].expand(2, -1, -1), scenes)
        torch.testing.assert_close(grid, affine_grid(theta.view(2, 2, 3), scenes), atol=1e-5, rtol=1e-5)

    def test_linear_in_the_predictions(self, scenes):
        spline = ThinPlateSpline(6)
        first, second = torch.randn(2, 2, 36, 2)
        torch.testing.assert_close(
            spline(first + 2 * second, scenes),
            spline(first, scenes) + 2 * spline(second, scenes),
            atol=1e-4,
            rtol=1e-4,
        )

    def test_gradient(self):
        spline = ThinPlateSpline(2)
        scenes = torch.rand(1, 1, 4, 4, dtype=torch.float64)
        points = spline.points[None] * 0.7 + 0.01 * torch.randn(1, 4, 2, dtype=torch.float64)
        assert gradcheck(lambda p: sample(scenes, spline(p, scenes)), points.requires_grad_())

    def test_mixed_precision_does_not_move_pixels(self):
        spline, scenes = ThinPlateSpline(6), torch.rand(1, 3, 96, 96)
        points = torch.tensor(spline.identity).view(1, 36, 2)
        with torch.autocast("cpu", torch.bfloat16):
            assert (spline(points, scenes) - affine_grid(theta_of(*IDENTITY).view(1, 2, 3), scenes)).abs().max() < 1e-4
