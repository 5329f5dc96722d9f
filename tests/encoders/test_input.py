"""What a network was made to see, against what its library does."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
import timm
from PIL import Image

from rsir_bench.encoders.input import Input, share
from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.scenes.decode import Resize, decode_scene


def picture(width: int, height: int) -> Image.Image:
    """Noise that is smooth enough to be resized, of any shape."""
    coarse = np.random.default_rng(width).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("shape", [(256, 256), (300, 200), (101, 222), (64, 64)])
@pytest.mark.parametrize("size", [96, 101])
@pytest.mark.parametrize(("fit", "mode"), [("crop", "center"), ("squash", "squash")])
@pytest.mark.parametrize("crop", [1.0, 0.875, 0.95])
def test_scenes_become_the_pixels_that_timm_evaluates_with(shape, size, fit, mode, crop):
    transform = Input(size, "bicubic", fit, crop).transform
    ours = np.asarray(Resize(size, Image.Resampling.BICUBIC, True, transform.fit, transform.scale)(picture(*shape)))
    theirs = timm.data.create_transform((3, size, size), interpolation="bicubic", crop_pct=crop, crop_mode=mode)
    steps = [step for step in theirs.transforms if type(step).__name__ in ("Resize", "CenterCrop")]
    image = picture(*shape)
    for step in steps:
        image = step(image)
    assert len(steps) == 2
    np.testing.assert_array_equal(ours, np.asarray(image))


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("float32", -30, 0), ("int16", -1000, 3000), ("float64", -30, 0), ("float32", 5, 10)]
)
def test_padding_is_black_whatever_the_values_range(kind, low, high):
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full((4, 8, 3), (low + high) / 2, kind), photometric="rgb")
    padded = decode_scene(stream.getvalue(), Resize(8, Image.Resampling.BILINEAR, fit="pad"), 3, (0, 1, 2), (low, high))
    assert {*padded[:2].ravel(), *padded[6:].ravel()} == {0}
    assert {*padded[2:6].ravel()} <= {127, 128}


def test_padding_keeps_all_of_a_scene_with_black_around_it():
    made = np.asarray(Resize(40, Image.Resampling.BILINEAR, fit="pad")(Image.new("RGB", (80, 40), (200, 100, 50))))
    assert made.shape == (40, 40, 3)
    assert (made[10:30] == (200, 100, 50)).all()
    assert not made[:10].any()
    assert not made[30:].any()


def test_a_direct_resize_has_the_pixels_and_the_cache_of_before():
    assert Input(224, "bilinear", "squash").transform.scale is None
    image = picture(120, 80)
    direct = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(np.asarray(Resize(64, Image.Resampling.BILINEAR)(image)), direct)


@pytest.mark.parametrize(("size", "scale"), [(224, 256), (518, 592), (224, 224), (256, 293), (448, 512), (96, 48)])
def test_a_share_leads_back_to_the_side_that_was_resized_to(size, scale):
    assert Input(size, crop=share(size, scale)).scale == max(size, scale)


def test_every_scale_of_a_processor_is_met():
    assert all(Input(size, crop=share(size, scale)).scale == scale for size in (224, 384) for scale in range(size, 700))


def test_settings_change_the_input_and_only_what_differs_is_a_change():
    own = Input(224, "bicubic", "crop", 0.9, (0.5, 0.4, 0.3), (0.2,))
    asked = EncoderSettings(model="m", size=96, interpolation="bicubic", fit="squash", crop=0.9, mean=[0.5, 0.4, 0.3])
    found, changes = own.changed(asked)
    assert changes == {"size": 96, "fit": "squash"}
    assert found == Input(96, "bicubic", "squash", 0.9, (0.5, 0.4, 0.3), (0.2,))


def test_statistics_of_stored_values_are_brought_to_the_unit_range():
    read = Input(64, mean=(1000.0, 0.0), std=(2000.0, 4000.0), stored=True)
    assert read.on_unit_range((0.0, 4000.0)) == ((0.25, 0.0), (0.5, 1.0))
    assert read.on_unit_range((1000.0, 3000.0)) == ((0.0, -0.5), (1.0, 2.0))
    assert Input(64, mean=(0.0,), std=(255.0,), stored=True).on_unit_range(None) == ((0.0,), (1.0,))
    given, _ = read.changed(EncoderSettings(model="m", mean=[0.5], std=[0.5]))
    assert given.on_unit_range((0.0, 4000.0)) == ((0.5,), (0.5,))


def test_an_input_is_read_back_from_plain_values():
    read = Input(64, "bilinear", "pad", 0.8, (1.0, 2.0), (3.0,), ("S2-B1", "S2-B2"), True)
    assert Input.of(read.plain()) == read
