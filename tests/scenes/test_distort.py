"""Distortions: seeded, as strong as the severity says, and equal to an independent computation of the change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.distortions import (
    AIRLIGHT,
    KINDS,
    SEVERITIES,
    Distorted,
    Distortion,
    distort,
    parse_distortions,
)

SIDE = 48
PER_SCENE = ["rotation", "scale", "shear", "perspective", "flip", "gain", "offset", "colour-cast", "gamma", "haze"]


def smooth(count: int, bands: int = 3, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Scenes (count, side, side, bands) uint8 without fine detail, of middle brightness."""
    chance = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(chance.standard_normal((count, side, side, bands)), (0, 3, 3, 0), mode="wrap")
    return np.clip(110 + 25 * noise / noise.std(), 60, 160).astype(np.uint8)


def change(scenes: np.ndarray, name: str, severity: int) -> np.ndarray:
    return Distorted(scenes, Distortion(name, severity))[np.arange(len(scenes))]


def difference(scenes: np.ndarray, name: str, severity: int) -> float:
    return float(np.abs(change(scenes, name, severity).astype(float) - scenes).mean())


@pytest.mark.parametrize("name", KINDS)
class TestEveryKind:
    def test_gives_scenes_of_the_same_shape_and_type(self, name: str) -> None:
        changed = change(smooth(2), name, 3)
        assert (changed.shape, changed.dtype) == ((2, SIDE, SIDE, 3), np.uint8)

    def test_serves_thirteen_bands(self, name: str) -> None:
        scenes = smooth(2, bands=13)
        changed = change(scenes, name, 5)
        assert changed.shape == scenes.shape
        assert (changed != scenes).any()

    def test_harms_more_the_higher_the_severity(self, name: str) -> None:
        scenes = smooth(16, seed=3, side=128)  # large enough for the mildest blur to reach a neighbour
        scenes += np.random.default_rng(3).integers(0, 60, scenes.shape, np.uint8)
        harm = [difference(scenes, name, severity) for severity in SEVERITIES]
        if name == "rotation":  # a quarter turn and a half turn of a scene without direction differ from it alike
            harm = harm[:3]
        assert harm[0] > 0
        assert all(later > earlier for earlier, later in itertools.pairwise(harm))

    def test_does_the_same_again_whatever_is_read_with_it(self, name: str) -> None:
        scenes = smooth(6)
        together = change(scenes, name, 4)
        alone = Distorted(scenes, Distortion(name, 4))[np.array([4, 1])]
        np.testing.assert_array_equal(alone, together[[4, 1]])

    def test_has_strengths_in_order(self, name: str) -> None:
        strengths = KINDS[name].strengths
        assert list(strengths) == sorted(strengths, reverse=name == "jpeg")
        assert len(strengths) == len(SEVERITIES)


@pytest.mark.parametrize("name", PER_SCENE)
def test_the_same_scene_at_other_places_of_a_dataset_changes_otherwise(name: str) -> None:
    scenes = np.repeat(smooth(1), 12, axis=0)
    assert len({changed.tobytes() for changed in change(scenes, name, 5)}) > 1


@pytest.mark.parametrize("name", ["blur", "jpeg", "resolution"])
def test_quality_is_lost_alike_everywhere(name: str) -> None:
    scenes = np.repeat(smooth(1), 3, axis=0)
    assert len({changed.tobytes() for changed in change(scenes, name, 5)}) == 1


def test_kinds_do_not_share_their_chance() -> None:
    scenes = np.full((30, 8, 8, 3), 100, np.uint8)
    gains = change(scenes, "gain", 5).mean((1, 2, 3))
    offsets = change(scenes, "offset", 5).mean((1, 2, 3))
    assert abs(np.corrcoef(gains, offsets)[0, 1]) < 0.6


class TestAgainstAnIndependentComputation:
    """The drawn strength, read off the result, is within the severity and explains every pixel."""

    def test_gain(self) -> None:
        scenes, limit = smooth(20), KINDS["gain"].strengths[2]
        for scene, changed in zip(scenes, change(scenes, "gain", 3), strict=True):
            below = changed < 255
            factor = changed[below].astype(float).sum() / scene[below].sum()
            assert 1 / limit - 0.01 <= factor <= limit + 0.01
            assert np.abs(changed[below] - factor * scene[below]).max() <= 1.5

    def test_offset(self) -> None:
        scenes = smooth(20)
        for scene, changed in zip(scenes, change(scenes, "offset", 3), strict=True):
            added = changed.astype(int) - scene
            assert np.ptp(added) == 0
            assert abs(added.flat[0]) <= 0.15 * 255 + 0.5

    def test_colour_cast_has_a_gain_for_each_band(self) -> None:
        scenes = smooth(10)
        ratios = change(scenes, "colour-cast", 4).mean((1, 2)) / scenes.mean((1, 2))
        assert (ratios.std(axis=1) > 0.01).mean() > 0.8
        assert ratios.max() <= 1.35 + 0.01
        assert ratios.min() >= 1 / 1.35 - 0.01

    def test_gamma(self) -> None:
        scenes = smooth(10)
        for scene, changed in zip(scenes, change(scenes, "gamma", 5), strict=True):
            exponent = np.median(np.log(changed / 255) / np.log(scene / 255))
            assert 1 / 2.6 - 0.02 <= exponent <= 2.6 + 0.02
            np.testing.assert_allclose(changed, 255 * (scene / 255) ** exponent, atol=2.5)

    def test_haze(self) -> None:
        scenes = smooth(10)
        for scene, changed in zip(scenes, change(scenes, "haze", 5), strict=True):
            slope, intercept = np.polyfit(scene.ravel() / 255.0, changed.ravel() / 255.0, 1)
            assert 0.35 - 0.01 <= slope <= 1.01
            assert intercept == pytest.approx((1 - slope) * AIRLIGHT, abs=0.01)

    def test_noise(self) -> None:
        scenes = np.full((4, SIDE, SIDE, 3), 128, np.uint8)
        added = change(scenes, "noise", 2).astype(float) - scenes
        assert added.std() / 255 == pytest.approx(0.04, rel=0.03)
        assert abs(added.mean()) < 0.3

    def test_blur(self) -> None:
        scene = smooth(1, seed=5)
        expected = ndimage.gaussian_filter(scene[0].astype(float), (0.024 * SIDE, 0.024 * SIDE, 0), mode="mirror")
        np.testing.assert_allclose(change(scene, "blur", 5)[0], expected, atol=1.0)

    def test_jpeg_leaves_flat_blocks_flat_and_quantises_the_rest(self) -> None:
        """At quality 8 nearly all of a block's detail is gone; the block's mean stays."""
        scene = np.random.default_rng(0).integers(90, 170, (1, SIDE, SIDE, 3), np.uint8)
        changed = change(scene, "jpeg", 5)
        blocks, before = (x.reshape(SIDE // 8, 8, SIDE // 8, 8, 3).astype(float) for x in (changed, scene))
        assert blocks.std((1, 3)).mean() < before.std((1, 3)).mean() / 1.5
        assert np.abs(blocks.mean((1, 3, 4)) - before.mean((1, 3, 4))).max() < 16

    def test_resolution(self) -> None:
        """What is left of stripes of two pixels after a fourth of the pixels: nothing."""
        stripes = np.zeros((1, SIDE, SIDE, 3), np.uint8)
        stripes[:, ::2] = 200
        assert np.ptp(change(stripes, "resolution", 5)[0, 6:-6]) <= 2

    def test_rotation_is_one_and_its_angle_within_the_limit(self) -> None:
        scenes = smooth(12, seed=7)
        for scene, changed in zip(scenes, change(scenes, "rotation", 3), strict=True):
            angles = np.arange(-45, 45.5, 1.5)
            turned = [ndimage.rotate(scene.astype(float), angle, (1, 0), False, order=1) for angle in angles]
            distances = np.abs(np.stack(turned) - changed)[:, SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
            assert distances.mean((1, 2, 3)).min() < 2.0

    def test_flips_are_exact_and_as_often_as_said(self) -> None:
        scenes = smooth(400)
        kinds = [0, 0, 0, 0]
        for scene, changed in zip(scenes, change(scenes, "flip", 5), strict=True):
            options = [scene, scene[:, ::-1], scene[::-1], scene[::-1, ::-1]]
            kinds[next(number for number, option in enumerate(options) if np.array_equal(option, changed))] += 1
        assert min(kinds) > 60

    def test_no_view_finds_black_beyond_the_edge(self) -> None:
        white = np.full((10, SIDE, SIDE, 3), 255, np.uint8)
        for name in ("rotation", "scale", "shear", "perspective"):
            assert change(white, name, 5).min() >= 254, name

    def test_scale(self) -> None:
        """A bar's width changes by the drawn factor, larger for some scenes and smaller for others."""
        bars = np.zeros((20, SIDE, SIDE, 3), np.uint8)
        bars[:, :, SIDE // 2 - 6 : SIDE // 2 + 6] = 255
        middle = change(bars, "scale", 3)[:, SIDE // 2, SIDE // 4 : -SIDE // 4, 0]
        factors = middle.astype(float).sum(axis=1) / 255 / 12
        assert factors.min() >= 1 / 1.4 - 0.05
        assert factors.max() <= 1.4 + 0.05
        assert factors.min() < 0.95 < 1.05 < factors.max()

    def test_shear(self) -> None:
        """A vertical bar leans by at most the tangent."""
        bars = np.zeros((20, SIDE, SIDE, 3), np.uint8)
        bars[:, :, SIDE // 2 - 2 : SIDE // 2 + 2] = 255
        sheared = change(bars, "shear", 5)[..., 0].astype(float)
        columns = np.arange(SIDE)
        centre = (sheared * columns).sum(axis=2) / sheared.sum(axis=2)
        tangents = (centre[:, -5] - centre[:, 4]) / (SIDE - 9)
        assert np.abs(tangents).max() <= 0.4 + 0.02
        assert np.abs(tangents).max() > 0.2
        assert tangents.min() < 0 < tangents.max()


class TestWords:
    def test_one_severity(self) -> None:
        assert parse_distortions(["haze:3"]) == [Distortion("haze", 3)]

    def test_all_severities_of_a_kind_and_nothing_twice(self) -> None:
        assert parse_distortions(["haze", "haze:3"]) == [Distortion("haze", severity) for severity in SEVERITIES]

    def test_all(self) -> None:
        assert len(parse_distortions(["all"])) == len(KINDS) * len(SEVERITIES)
        assert len(parse_distortions(["all:2"])) == len(KINDS)

    @pytest.mark.parametrize("word", ["fog", "haze:0", "haze:6", "haze:", "haze:x", "Haze:1", "all:9"])
    def test_anything_else_is_told_with_the_names(self, word: str) -> None:
        with pytest.raises(UserError, match=rf"--distort {word}: .*severities 1 to 5; names: rotation, scale"):
            parse_distortions([word])


def test_a_scene_is_left_untouched() -> None:
    scene = smooth(1)[0]
    before = scene.copy()
    for name in KINDS:
        distort(scene, Distortion(name, 5), 0)
    np.testing.assert_array_equal(scene, before)
