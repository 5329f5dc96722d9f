from __future__ import annotations

import pytest
import torch
from tiny import some_scenes, tiny_method, tiny_setup


def front(bands: int = 3, **settings):
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    return tiny_method("gamma", setup, gamma=settings).front


def eight_bit(scenes: torch.Tensor) -> torch.Tensor:
    return (scenes * 255).round() / 255


@pytest.mark.parametrize("mean", [0.5, 0.35])
@pytest.mark.parametrize("bands", [3, 13])
def test_the_mean_brightness_is_reached(bands, mean):
    scenes = eight_bit(some_scenes(4, bands) * torch.tensor([0.4, 0.7, 1, 0.5]).view(-1, 1, 1, 1))
    corrected = front(bands, mean=mean)(scenes)
    torch.testing.assert_close(corrected.mean((1, 2, 3)), torch.full((4,), mean), atol=1e-5, rtol=0)
    assert (corrected.mean((2, 3)) - mean).abs().max() > 0.01  # the bands differ as before
    each = front(bands, mean=mean, per_band=True)(scenes)
    torch.testing.assert_close(each.mean((2, 3)), torch.full((4, bands), mean), atol=1e-5, rtol=0)


def test_it_is_one_power_of_the_scene():
    scenes = eight_bit(some_scenes(2)).clamp_min(1 / 255)
    powers = front()(scenes).log() / scenes.log()
    inside = scenes < 0.99
    for scene, mask in zip(powers, inside, strict=True):
        assert scene[mask].std() < 1e-4


def test_between_the_levels_the_mean_is_nearly_reached():
    corrected = front()(some_scenes(4) * 0.5)
    assert (corrected.mean((1, 2, 3)) - 0.5).abs().max() < 1e-3


def test_the_limit():
    dark = eight_bit(some_scenes(1) * 0.05).clamp_min(1 / 255)
    torch.testing.assert_close(front(limit=1.5)(dark), dark ** (1 / 1.5))
    assert front(limit=1.5)(dark).mean() < front()(dark).mean() < 0.5
    assert front(limit=20)(dark).mean().item() == pytest.approx(0.5, abs=1e-5)


def test_scenes_are_independent():
    scenes = some_scenes(3)
    torch.testing.assert_close(front()(scenes), torch.cat([front()(scenes[n, None]) for n in range(3)]))


def test_the_gradient_of_black_is_finite():
    scenes = some_scenes(1).clone()
    scenes[..., :8] = 0
    scenes.requires_grad_()
    front()(scenes).sum().backward()
    assert torch.isfinite(scenes.grad).all()
