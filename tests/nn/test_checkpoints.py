"""Weights in files of all kinds: which network is taken, what is resampled, what is refused."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import message

from rsir_bench.base.errors import UserError
from rsir_bench.nn import trunk
from rsir_bench.nn.checkpoints.reading import read_networks
from rsir_bench.nn.trunk import load_backbone

NAME = "test_resnet"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return dict(timm.create_model(NAME, num_classes=5).state_dict())


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines about what was taken of a file."""
    lines: list[str] = []
    monkeypatch.setattr(trunk, "say_what_was_taken", lines.append)
    return lines


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def zeros(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(value) for name, value in state.items()}


def loaded(path: Path, held: Any, name: str = NAME, **arguments: Any) -> dict[str, torch.Tensor]:
    """The tensors of a backbone that a file was loaded into."""
    save_file(held, path) if path.suffix == ".safetensors" else torch.save(held, path)
    return dict(load_backbone(name, str(path), arguments, 3).state_dict())


def held_in(state: dict[str, torch.Tensor]) -> dict[str, tuple[Any, str]]:
    """What files hold, and what is said of it."""
    other = zeros(state)
    return {
        "plain": (state, ""),
        "module.": (prefixed(state, "module."), "names after 'module.'"),
        "state_dict": ({"state_dict": state, "epoch": 3}, ""),
        "state_dict of module.": ({"state_dict": prefixed(state, "module.")}, "entry 'state_dict', names after"),
        "model": ({"model": state, "optimizer": {"state": {}}}, "entry 'model'"),
        "average beside": ({"state_dict": other, "state_dict_ema": state}, "entry 'state_dict_ema'; not 'state_dict'"),
        "model_ema beside": ({"model": other, "model_ema": state}, "entry 'model_ema'; not 'model'"),
        "teacher": (
            {"student": prefixed(other, "module.backbone."), "teacher": prefixed(state, "backbone.")},
            "entry 'teacher', names after 'backbone.'; not 'student'",
        ),
        "both in one": ({**prefixed(other, "student."), **prefixed(state, "teacher.")}, "names after 'teacher.'"),
        "contrast": (
            {"state_dict": {**prefixed(other, "module.encoder_k."), **prefixed(state, "module.encoder_q.")}},
            "names after 'module.encoder_q.'",
        ),
        "lightning": ({"state_dict": prefixed(state, "net.backbone."), "loops": {}}, "names after 'net.backbone.'"),
        "nested": ({"model": {"state_dict": state}}, "entry 'model'"),
        "other name": ({"my_network": state, "step": torch.tensor(3)}, "entry 'my_network'"),
    }


@pytest.mark.parametrize("kind", list(held_in({})))
def test_the_network_that_is_meant_is_taken_and_named(
    kind: str, tmp_path: Path, state: dict[str, torch.Tensor], said: list[str]
) -> None:
    held, words = held_in(state)[kind]
    found = loaded(tmp_path / "w.pth", held)
    assert all(torch.equal(value, state[name]) for name, value in found.items())
    assert words in "".join(said)
    assert bool(words) == bool(said)


def test_safetensors_under_any_name(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    save_file(prefixed(state, "module."), tmp_path / "w.bin")
    found = load_backbone(NAME, str(tmp_path / "w.bin"), {}, 3).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.items())


def test_two_networks_without_a_known_name_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    held = {**prefixed(state, "left."), **prefixed(zeros(state), "right.")}
    assert "several networks (left., right.); save" in message(lambda: loaded(tmp_path / "w.pth", held))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vit_tiny_patch16_224", {"img_size": 96}),
        ("vit_tiny_patch16_224", {"img_size": 96, "patch_size": 8}),
        ("swin_tiny_patch4_window7_224", {"img_size": 96, "window_size": 3}),
        ("deit_tiny_patch16_224", {"img_size": 64}),
        ("beit_base_patch16_224", {"img_size": 64, "depth": 1}),
    ],
)
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": prefixed(state, "module.")}])
def test_other_sizes_are_resampled_as_timm_does(
    name: str, arguments: dict[str, Any], wrap: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    torch.manual_seed(0)
    made = timm.create_model(name, **{key: value for key, value in arguments.items() if key == "depth"}).state_dict()
    found = loaded(tmp_path / "w.pth", wrap(dict(made)), name, **arguments)
    assert not [warning for warning in recwarn if "interpolate" in str(warning.filename)]
    torch.save(made, tmp_path / "plain.pth")
    overlay = {"file": str(tmp_path / "plain.pth"), "custom_load": False}
    timms = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, **arguments)
    for key, value in timms.state_dict().items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)


def changed(state: dict[str, torch.Tensor], value: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**state, "layer1.0.conv1.weight": value}


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("NaN or infinity in layer1.0.conv1.weight", lambda value: value * float("nan")),
        ("int8 numbers in layer1.0.conv1.weight", lambda value: value.to(torch.int8)),
        ("no plain numbers in layer1.0.conv1.weight", lambda value: value.to_sparse()),
        ("another shape of layer1.0.conv1.weight", lambda value: value[:2]),
    ],
)
def test_tensors_that_are_no_weights(words: str, change: Any, tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    held = changed(state, change(state["layer1.0.conv1.weight"]))
    assert words in message(lambda: loaded(tmp_path / "w.pth", held))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken(kind: torch.dtype, tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    held = {name: value.to(kind) if value.is_floating_point() else value for name, value in state.items()}
    found = loaded(tmp_path / "w.pth", held)
    assert torch.equal(found["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"].to(kind).float())


@pytest.mark.parametrize(
    ("larger", "smaller", "layer"),
    [
        ("resnet34", "resnet18", "layer1.2.conv1.weight"),
        ("seresnet18", "resnet18", "layer1.0.se.fc1.weight"),
    ],
)
def test_a_larger_network_is_not_cut_down(larger: str, smaller: str, layer: str, tmp_path: Path) -> None:
    torch.save(timm.create_model(larger).state_dict(), tmp_path / "w.pth")
    text = message(lambda: load_backbone(smaller, str(tmp_path / "w.pth"), {}, 3))
    assert f"it has {layer}, of a larger network" in text


def test_a_network_with_scales_of_its_layers_is_no_plain_one(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit", init_values=1e-5).state_dict(), tmp_path / "w.pth")
    text = message(lambda: load_backbone("test_vit", str(tmp_path / "w.pth"), {}, 3))
    assert "it has blocks.0.ls1.gamma, of a larger network" in text


class Foreign:
    """An object that a checkpoint may hold."""


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (Path("x"), "pathlib."),
        (Foreign(), "test_checkpoints.Foreign"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_foreign_objects_are_refused_in_a_sentence(
    what: Any, named: str, zipped: bool, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    torch.save({"model": state, "args": what}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    text = message(lambda: read_networks(tmp_path / "w.pth"))
    assert f"beside tensors it holds {named}" in text
    assert "could run code; save its tensors alone" in text.replace(")", "")
    assert "weights_only" not in text


@pytest.mark.parametrize("zipped", [True, False])
def test_random_damage_is_one_line_or_the_same_weights(
    zipped: bool, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 4, 64))):
            content[draw.randrange(min(len(content), draw.choice((200, 4000, len(content)))))] = draw.randrange(256)
        path.write_bytes(content[: draw.choice((len(content), draw.randrange(len(content))))])
        text = ""
        try:
            backbone = load_backbone(NAME, str(path), {}, 3)
        except UserError as error:
            text = str(error)
        else:
            assert all(value.isfinite().all() for value in backbone.state_dict().values())
        assert "\n" not in text
        assert "Error" not in text
