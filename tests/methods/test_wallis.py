from __future__ import annotations

import pytest
import torch
from tiny import some_scenes, tiny_method, tiny_setup

from rsir_bench.nn.contrast import wallis


def front(bands: int = 3, **settings):
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    return tiny_method("wallis", setup, wallis=settings).front


@pytest.mark.parametrize(("share", "side", "radius"), [(0.25, 32, 4), (0.25, 224, 28), (1.0, 32, 16), (0.01, 32, 1)])
def test_the_window_is_a_share_of_the_scene(share, side, radius):
    scenes = some_scenes(2, 3, side)
    expected = wallis(scenes, (radius, radius), 0.5, 0.2, 0.8, 0.8).clamp(0, 1)
    torch.testing.assert_close(front(window=share)(scenes), expected)


@pytest.mark.parametrize(
    "settings", [{"window": 0.5}, {"mean": 0.3}, {"deviation": 0.1}, {"brightness": 0.2}, {"contrast": 0.3}]
)
def test_each_setting_changes_the_scenes(settings):
    assert not torch.allclose(front(**settings)(some_scenes()), front()(some_scenes()), atol=1e-3)


def test_shadow_and_light_become_alike():
    scenes = some_scenes(2) * 0.3 + 0.1
    scenes[..., 16:] += 0.5  # the right half in the light
    halves = [(s[..., :16].mean() - s[..., 16:].mean()).abs() for s in (scenes, front()(scenes))]
    assert halves[1] < 0.4 * halves[0]


def test_scenes_are_independent():
    scenes = some_scenes(3)
    torch.testing.assert_close(front()(scenes), torch.cat([front()(scenes[n, None]) for n in range(3)]))
