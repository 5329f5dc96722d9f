from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import Tiny
from PIL import Image, ImageOps
from tiny import some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.method.contract import trainable
from rsir_bench.runs.runners.campaign import campaign


def front(bands: int = 3):
    return tiny_method("histeq", tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)).front


def as_pixels(scenes: torch.Tensor) -> np.ndarray:
    return (scenes * 255).round().byte().numpy()


@pytest.mark.parametrize(("bands", "side"), [(3, 32), (13, 40), (1, 224)])
def test_each_band_is_equalised_as_pillow_does(bands, side):
    pixels = as_pixels(some_scenes(2, bands, side, seed=4))
    pixels[1] = pixels[1] // 4 + 20  # dull
    result = as_pixels(front(bands)(torch.from_numpy(pixels).float() / 255))
    for before, after in zip(pixels.reshape(-1, side, side), result.reshape(-1, side, side), strict=True):
        assert np.array_equal(after, np.asarray(ImageOps.equalize(Image.fromarray(before))))


def test_against_the_textbook():
    """The textbook's s = (F - F0) / (1 - F0), with F the cumulative histogram and F0 its first value.

    Pillow's table counts the levels below a value, the textbook those up to it; and Pillow divides by whole numbers. So
    they differ by the share of one level and by the rounding of the step.
    """
    pixels = as_pixels(some_scenes(1, 1, 224, seed=2))[0, 0]
    result = as_pixels(front(1)(torch.from_numpy(pixels)[None, None].float() / 255))[0, 0]
    counts = [int((pixels == level).sum()) for level in range(256)]
    total, first = pixels.size, next(count for count in counts if count)
    table, below = [], 0
    for count in counts:
        below += count
        table.append(255 * max(below - first, 0) / (total - first))
    step = (total - counts[pixels.max()]) // 255
    allowed = 255 * max(counts) / (total - max(counts)) + 256 / step + 1
    assert np.abs(result - np.array(table)[pixels]).max() <= allowed
    assert allowed < 12


def test_all_levels_survive_the_way_to_8_bit():
    """A ramp has a flat histogram already: its levels stay as they are, so none was lost on the way."""
    ramp = torch.arange(256).float().repeat(255, 1).view(1, 1, 255, 256) / 255
    torch.testing.assert_close(front(1)(ramp), ramp, rtol=0, atol=1e-6)


def test_the_histogram_is_flat_and_a_scene_of_one_level_stays():
    dull = some_scenes(2, 3, 64) * 0.2 + 0.3
    equal = front()(dull)
    assert (equal.mean((2, 3)) - 0.5).abs().max() < 0.03
    assert (equal.std((2, 3)) - 12**-0.5).abs().max() < 0.02
    flat = torch.full((1, 3, 8, 8), 51 / 255)
    torch.testing.assert_close(front()(flat), flat, rtol=0, atol=1e-6)


def test_scenes_are_independent_and_may_leave_the_range():
    scenes = some_scenes(3) * 1.6 - 0.3
    together = front()(scenes)
    assert torch.equal(together, torch.cat([front()(scenes[n, None]) for n in range(3)]))
    assert torch.equal(together, front()(scenes.clamp(0, 1)))
    assert (together.min(), together.max()) == (0, 1)


def test_fixed_corrections_from_end_to_end(tiny: Tiny):
    names = ["histeq", "gamma+baseline", "histeq+wallis+baseline", "wallis+timm:test_resnet@none"]
    outcome = campaign(tiny.request(",".join(names)), lambda _: None)
    assert outcome.failures == {}
    assert list(dict.fromkeys(record.method.name for record in outcome.records)) == names
    assert {record.row.paper for record in outcome.records} == {None}


@pytest.mark.parametrize("name", ["histeq", "gamma", "wallis"])
class TestEveryFixedCorrection:
    def test_it_has_no_parameters_and_the_method_behind_learns(self, name):
        method = tiny_method(name, tiny_setup("trunk.arguments.zero_init_last=false")).train()
        assert list(method.front.parameters()) == []
        assert len(trainable(method.parameter_groups())) == 1
        method.loss(some_batch()).backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.parameters())

    def test_its_card_says_whether_gradients_pass(self, name):
        front = tiny_method(name, tiny_setup()).front
        assert front(some_scenes().requires_grad_()).requires_grad == front.card.differentiable

    def test_alone_it_stands_before_the_plain_network(self, name):
        alone, named = tiny_method(name, tiny_setup()), tiny_method(f"{name}+baseline", tiny_setup())
        scenes = some_scenes()
        plain = tiny_method("baseline", tiny_setup()).eval()
        rows = alone.eval().describe(scenes)
        assert all(torch.equal(values, named.eval().describe(scenes)[key]) for key, values in rows.items())
        assert torch.equal(rows["FC"], plain.describe(alone.front(scenes))["FC"])
        assert not torch.equal(rows["FC"], plain.describe(scenes)["FC"])

    def test_it_stands_before_an_untrained_method(self, name):
        method = tiny_method(f"{name}+timm:test_resnet@none", tiny_setup())
        assert not method.card.trained
        assert len(method.eval().describe(some_scenes())) > 0

    @pytest.mark.parametrize(("bands", "side"), [(3, 32), (13, 48), (1, 33), (3, 224)])
    def test_any_bands_and_sizes(self, name, bands, side):
        front = tiny_method(name, tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)).front
        scenes = some_scenes(2, bands, side).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            before = scenes.clone()
            result = front(scenes)
        assert (result.shape, result.dtype) == (scenes.shape, torch.float32)
        assert torch.equal(scenes, before)
        assert torch.isfinite(result).all()
        assert 0 <= result.min() < result.max() <= 1

    def test_extreme_scenes_stay_finite(self, name):
        front = tiny_method(name, tiny_setup()).front
        scenes = torch.cat([torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), some_scenes(1) * 1e-4])
        assert torch.isfinite(front(scenes)).all()
