"""Random flips and distortions of training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from rsir_bench.protocol import Train
from rsir_bench.scenes.batches import Batch
from rsir_bench.training.augmentation import Augmentation, Distortions, augmented

FLIP, DISTORT = Train(epochs=1, rate=1, flip=True), Train(epochs=1, rate=1, distort=0.5)
BOTH = Train(epochs=1, rate=1, flip=True, distort=0.5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 400, size: tuple[int, int] = (4, 5)) -> Batch:
    scenes = torch.rand(count, 3, *size, generator=generator(9)).to(memory_format=torch.channels_last)
    return Batch(scenes, torch.arange(count) % 7, torch.arange(count))


def nothing(count: int = 1, bands: int = 3) -> Distortions:
    zero = torch.zeros(count, 1)
    return Distortions(zero.repeat(1, bands), zero, zero, zero.repeat(1, 2), zero)


class TestFlips:
    def test_each_scene_is_itself_or_flipped_one_way_or_both(self):
        given = batch()
        out = augmented(given, FLIP, generator()).scenes
        views = [given.scenes, given.scenes.flip(2), given.scenes.flip(3), given.scenes.flip(2, 3)]
        which = torch.stack([(out == view).flatten(1).all(1) for view in views])
        assert (which.sum(0) == 1).all()
        # 100 of each are expected; five standard deviations are 43.
        assert all(57 <= count <= 143 for count in which.sum(1).tolist())

    def test_memory_stays_channels_last(self):
        assert augmented(batch(), FLIP, generator()).scenes.is_contiguous(memory_format=torch.channels_last)


class TestDistortions:
    def test_no_distortion_leaves_the_scenes(self):
        scenes = batch(2, (8, 8)).scenes
        torch.testing.assert_close(nothing(2).apply(scenes), scenes)

    def test_gain_and_offset(self):
        scenes = torch.full((1, 3, 4, 4), 0.5)
        gains = torch.tensor([[1.2, 1.0, 0.5]])
        found = replace(nothing(), gain=gains.log(), offset=torch.tensor([[0.1]])).apply(scenes)
        torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([0.7, 0.6, 0.35]))

    def test_values_stay_between_0_and_1(self):
        found = replace(nothing(), offset=torch.tensor([[0.7]])).apply(torch.full((1, 3, 4, 4), 0.5))
        assert found.max() == 1

    def test_a_shift_moves_the_content_right_and_down(self):
        scenes = torch.zeros(1, 1, 8, 8)
        scenes[0, 0, 2, 3] = 1
        found = replace(nothing(bands=1), shift=torch.tensor([[0.25, 0.125]])).apply(scenes)  # 2 and 1 of 8 pixels
        assert found[0, 0].argmax().item() == 3 * 8 + 5
        assert found.max().item() == pytest.approx(1)

    def test_a_scale_enlarges_the_content(self):
        scenes = torch.zeros(1, 1, 16, 16)
        scenes[0, 0, 6:10, 6:10] = 1
        found = replace(nothing(bands=1), scale=torch.tensor([[math.log(2)]])).apply(scenes)
        assert found.sum().item() == pytest.approx(64, rel=0.02)  # 16 pixels become 64

    def test_a_rotation_by_a_quarter_turns_clockwise(self):
        scenes = batch(1, (8, 8)).scenes
        found = replace(nothing(), rotation=torch.tensor([[math.pi / 2]])).apply(scenes)
        torch.testing.assert_close(found, scenes.rot90(-1, (2, 3)), atol=1e-5, rtol=0)

    def test_parameters_fill_their_range_and_stay_in_it(self):
        drawn = Distortions.draw(2000, 3, 0.5, generator())
        limits = {"gain": math.log(1.5), "offset": 0.15, "scale": math.log(1.5), "shift": 0.15, "rotation": math.pi / 6}
        for name, limit in limits.items():
            values = getattr(drawn, name)
            assert values.abs().max() <= limit / 2
            assert values.abs().max() > 0.99 * limit / 2
            assert values.mean(dim=0).abs().max() < 0.05 * limit


@pytest.mark.parametrize("recipe", [FLIP, DISTORT, BOTH])
class TestAugmented:
    def test_labels_index_and_the_given_scenes_stay(self, recipe):
        given = batch(20)
        before = given.scenes.clone()
        out = augmented(given, recipe, generator())
        assert torch.equal(given.scenes, before)
        assert out.labels is given.labels
        assert out.index is given.index

    def test_the_generator_decides(self, recipe):
        before = torch.get_rng_state()
        first, again, other = (augmented(batch(40), recipe, generator(seed)).scenes for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_part_is_augmented_as_in_the_whole_batch(self, recipe):
        given = batch(9)
        whole = augmented(given, recipe, generator(1))
        drawn = Augmentation.draw(recipe, 9, 3, generator(1))
        for rows in (slice(0, 5), slice(5, 9)):
            part = drawn[rows].apply(given.part(rows))
            torch.testing.assert_close(part.scenes, whole.scenes[rows])
            assert part.labels.tolist() == whole.labels[rows].tolist()


def test_without_augmentation_nothing_is_drawn():
    given, numbers = batch(3), generator()
    before = numbers.get_state()
    assert augmented(given, Train(epochs=1, rate=1), numbers).scenes is given.scenes
    assert torch.equal(numbers.get_state(), before)
