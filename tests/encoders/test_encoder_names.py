"""How an encoder is named, and what it is called in tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import message

from rsir_bench.encoders import EncoderFacts
from rsir_bench.encoders.input import Input
from rsir_bench.encoders.settings import read_name
from rsir_bench.method.registry import discover, resolve

FOUND = discover()


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("vit_tiny.in1k", {"model": "vit_tiny.in1k"}),
        ("vit_tiny@none:size=224", {"model": "vit_tiny", "weights": "none", "size": 224}),
        ("vit_tiny:pooling=cls+mean:crop=0.9", {"model": "vit_tiny", "pooling": "cls+mean", "crop": 0.9}),
        ("m@C:/w/a@b.pt:size=32", {"model": "m", "weights": "C:/w/a@b.pt", "size": 32}),
        ("org/name:mean=[0.5]", {"model": "org/name", "mean": [0.5]}),
        ("m:pooling=none", {"model": "m", "pooling": None}),
    ],
)
def test_settings_follow_the_name(text, settings):
    assert read_name(text) == settings


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("vit_tiny:size=64:size=96", "size"),
        ("vit_tiny@none:weights=other.pt", "weights"),
        ("vit_tiny:model=vit_base", "model"),
    ],
)
def test_a_setting_given_twice_is_refused(name, key):
    assert message(lambda: read_name(name)).endswith(f": {key} is set twice; keep one of them")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("size=8", "methods.timm.size: Input should be greater than or equal to 16"),
        ("crop=0", "methods.timm.crop: Input should be greater than 0"),
        ("pooling=best", "methods.timm.pooling: Input should be 'cls', 'mean', 'gem' or 'cls+mean'"),
        ("interpolation=random", "methods.timm.interpolation: Input should be 'nearest'"),
        ("sice=224", "methods.timm.sice: unknown; did you mean 'size'?"),
    ],
)
def test_a_setting_that_does_not_exist_is_named(change, problem):
    assert message(lambda: resolve(f"timm:test_vit@none:{change}", FOUND, {}, {})).startswith(problem)


def test_settings_of_an_input_left_out_are_in_no_record_and_no_key():
    """Records of protocols that train were made before there were such settings."""
    spec = resolve("timm:test_vit@none", FOUND, {}, {})
    assert set(spec.settings_dict) == {f"timm.{key}" for key in ("model", "weights", "arguments", "mean", "std")}
    assert spec.non_default == {"timm.model": "test_vit", "timm.weights": "none"}
    assert resolve("timm:test_vit", FOUND, {"timm": {"size": 64}}, {}).non_default["timm.size"] == 64


@pytest.mark.parametrize(
    ("asked", "plain"),
    [
        ("timm:m@a/b.pt:size=32", "timm:m@b.pt:size=32"),
        ("timm:m:size=32", "timm:m:size=32"),
        ("hf:org/name", "hf:org/name"),
    ],
)
def test_the_plain_name_has_no_folder_of_this_machine(asked, plain):
    assert resolve(asked, FOUND, {}, {}).name == plain


def test_a_folder_goes_by_its_last_part(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    assert resolve(f"hf:{tmp_path}/mine:size=56", FOUND, {}, {}).name == "hf:mine:size=56"


def test_an_encoder_is_called_by_its_weights_and_by_what_was_changed():
    facts = EncoderFacts("timm", "m.in1k", "tensors:0123456789abcdef", Input(224), "mean")
    assert facts.name == "timm:m.in1k@01234567"
    changed = EncoderFacts("timm", "m", "none", Input(96), "GeM", {"size": 96, "pooling": "gem", "std": (0.5, 0.25)})
    assert changed.name == "timm:m@none:pooling=gem:size=96:std=[0.5, 0.25]"
    configured = EncoderFacts("hf", "m", "none", Input(96), "mean", {"size": 96}, configuration="0123456789abcdef")
    assert configured.name == "hf:m@none-01234567:size=96"
    assert configured.identity()["configuration"] == "0123456789abcdef"
    assert "configuration" not in facts.identity()  # keys from before there was one
    assert EncoderFacts("timm", "m", "none", Input(96), "mean", {"crop": 0.9}).name == "timm:m@none:crop=0.9"


@pytest.mark.parametrize("model", ["x" * 300, "a\0b"])
def test_a_model_that_is_no_name_of_a_file_stays_as_it_is(model: str):
    assert resolve(f"hf:{model}", FOUND, {}, {}).name == f"hf:{model}"
