from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional
from torchvision.ops import box_iou

from rsir_bench.nn.proposals import anchors, best_boxes, crops


def some_boxes(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 5
    return torch.cat([corner, corner + 5 + 20 * torch.rand(count, 2, generator=generator, dtype=torch.float64)], 1)


def some_scores(scenes: int, count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(scenes, count, generator=torch.Generator().manual_seed(seed))


def overlap(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(areas) - common)


def slow_best(boxes: torch.Tensor, scores: torch.Tensor, count: int, limit: float) -> list[int]:
    order = sorted(range(len(boxes)), key=lambda number: (-scores[number].item(), number))
    kept: list[int] = []
    for number in order:
        if all(overlap(boxes[number].tolist(), boxes[other].tolist()) <= limit for other in kept):
            kept.append(number)
    return (kept + [number for number in order if number not in kept])[:count]


def test_anchors_by_hand():
    boxes = anchors((1, 2), (20, 40), sides=[6.0, 12.0], ratios=[1.0, 4.0])
    assert boxes.dtype == torch.float64
    expected = [
        [7, 7, 13, 13], [27, 7, 33, 13],  # side 6, square: around (10, 10) and (30, 10)
        [4, 8.5, 16, 11.5], [24, 8.5, 36, 11.5],  # the same area, four times as wide as high
        [4, 4, 16, 16], [24, 4, 36, 16],
        [-2, 7, 22, 13], [18, 7, 42, 13],
    ]  # fmt: skip
    torch.testing.assert_close(boxes, torch.tensor(expected, dtype=torch.float64))


def test_anchors_follow_the_order_of_a_map():
    sides, ratios, rows, columns = [8.0, 10.0, 16.0], [0.5, 1.0], 4, 3
    boxes = anchors((rows, columns), (96, 60), sides, ratios).view(3, 2, rows, columns, 4)
    for a, b, row, column in [(0, 0, 0, 0), (1, 0, 2, 1), (2, 1, 3, 2)]:
        left, top, right, bottom = boxes[a, b, row, column].tolist()
        assert (left + right) / 2 == pytest.approx((column + 0.5) * 20)
        assert (top + bottom) / 2 == pytest.approx((row + 0.5) * 24)
        assert (right - left) / (bottom - top) == pytest.approx(ratios[b])
        assert (right - left) * (bottom - top) == pytest.approx(sides[a] ** 2)


def test_anchors_a_stride_apart_are_the_official_ones():
    """448 px, a trunk of stride 32: maps of 14, 7 and 4 positions, strides 32, 64 and 128 (official anchors.py)."""
    boxes = anchors((4, 4), (448, 448), [192], [1.0], (128.0, 128.0))
    assert ((boxes[:4, 0] + boxes[:4, 2]) / 2).tolist() == [64, 192, 320, 448]
    assert ((boxes[::4, 1] + boxes[::4, 3]) / 2).tolist() == [64, 192, 320, 448]
    equal = anchors((14, 14), (448, 448), [48], [1.0])
    assert torch.equal(anchors((14, 14), (448, 448), [48], [1.0], (32.0, 32.0)), equal)


# 1000 boxes are where torchvision goes over to a loop over scenes.
@pytest.mark.parametrize(("scenes", "number"), [(1, 30), (5, 40), (9, 120)])
@pytest.mark.parametrize("limit", [0.0, 0.25, 0.6])
def test_suppression_against_a_loop(scenes, number, limit):
    boxes, scores = some_boxes(number), some_scores(scenes, number)
    chosen = best_boxes(boxes, scores, 6, limit)
    assert chosen.tolist() == [slow_best(boxes, row, 6, limit) for row in scores]


def test_the_best_suppressed_boxes_fill_up():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 11, 10], [50, 50, 60, 60]]).double()
    scores = torch.tensor([[0.1, 4.0, 3.0, -2.0], [0.1, 0.0, 3.0, 9.0]])
    assert best_boxes(boxes, scores, 4, 0.25).tolist() == [[1, 3, 2, 0], [3, 2, 0, 1]]


def test_equal_scores_go_by_number():
    boxes = anchors((3, 3), (96, 96), [10.0], [1.0])  # apart from each other
    assert best_boxes(boxes, torch.zeros(2, 9), 4, 0.25).tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("scenes", [4, 40])
def test_a_scene_has_the_same_boxes_alone_and_among_others(scenes):
    boxes, scores = some_boxes(60), some_scores(scenes, 60)
    together = best_boxes(boxes, scores, 6, 0.25)
    assert torch.equal(together, torch.cat([best_boxes(boxes, row[None], 6, 0.25) for row in scores]))


@pytest.mark.parametrize("scenes", [20, 200])
def test_overlaps_at_the_limit_are_judged_alike_in_all_scenes(scenes):
    # Squares around one point, one twice as large as the other: they overlap by exactly a quarter.
    boxes = anchors((1, 1), (32, 32), [3.1 * 2 ** (step / 3) for step in range(1, 9)], [0.667, 1.0, 1.5])
    chosen = best_boxes(boxes, some_scores(1, len(boxes)).expand(scenes, -1), 6, 0.25)
    assert (chosen == chosen[0]).all()


def test_boxes_beyond_a_scene_do_not_reach_into_the_next():
    boxes = torch.tensor([[-20, -20, 0, 0], [0, 0, 20, 20], [-20, 10, 0, 20]]).double()
    scores = torch.tensor([[0.1, 9.0, 0.2], [5.0, 4.0, 3.0]])
    assert best_boxes(boxes, scores, 3, 0.25).tolist() == [[1, 2, 0], [0, 1, 2]]


def test_survivors_do_not_overlap():
    boxes, scores = some_boxes(200), some_scores(3, 200)
    for row in best_boxes(boxes, scores, 4, 0.25):
        assert (box_iou(boxes[row], boxes[row]) - torch.eye(4)).max() <= 0.25


def test_a_part_on_whole_pixels_is_what_is_there():
    scenes = torch.rand(2, 13, 40, 48, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[3, 5, 19, 21], [32, 24, 48, 40]], [[0, 0, 16, 16], [10, 11, 26, 27]]]).double()
    parts = crops(scenes, boxes, 16)
    expected = [
        scenes[0, :, 5:21, 3:19],
        scenes[0, :, 24:40, 32:48],
        scenes[1, :, :16, :16],
        scenes[1, :, 11:27, 10:26],
    ]
    torch.testing.assert_close(parts, torch.stack(expected), atol=1e-4, rtol=0)


def test_a_box_beyond_the_scene_shows_zeros_there():
    scenes = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    part = crops(scenes, torch.tensor([[[-4.0, 12.0, 12.0, 28.0]]]), 16)[0]
    expected = functional.pad(scenes[0], (16, 16, 16, 16))[:, 28:44, 12:28]
    torch.testing.assert_close(part, expected, atol=1e-5, rtol=0)
    assert part[:, :, :4].abs().max() < 1e-5
    assert part[:, 8:].abs().max() < 1e-5


def test_the_whole_scene_resized_is_torchs_resize():
    scenes = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    parts = crops(scenes, torch.tensor([[[0.0, 0.0, 12.0, 12.0]]]).expand(2, -1, -1), 24)
    expected = functional.interpolate(scenes, size=(24, 24), mode="bilinear", align_corners=False)
    # At the border torch repeats the edge where parts fade to what lies beyond.
    torch.testing.assert_close(parts[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_a_wide_box_is_squeezed_into_a_square():
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)  # the value of a pixel is its column
    part = crops(ramp, torch.tensor([[[4.0, 8.0, 28.0, 20.0]]]), 12)[0, 0]
    torch.testing.assert_close(part, (4 + 2 * torch.arange(12.0) + 0.5).expand(12, 12), atol=1e-4, rtol=0)


def test_mixed_precision_leaves_parts_alone():
    scenes, boxes = torch.rand(2, 3, 96, 96), some_boxes(3).expand(2, -1, -1)
    with torch.autocast("cpu", torch.bfloat16):
        parts = crops(scenes, boxes, 32)
    assert torch.equal(parts, crops(scenes, boxes, 32))


def test_gradients_of_parts():
    scenes = torch.rand(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[-1.3, 0.4, 3.1, 4.2], [1.1, 1.7, 4.9, 6.6]]]).double().expand(2, -1, -1)
    assert gradcheck(lambda values: crops(values, boxes, 3), (scenes,))
