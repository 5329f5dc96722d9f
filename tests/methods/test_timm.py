from __future__ import annotations

import pytest
import timm
import torch
from tiny import some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.base.errors import UserError
from rsir_bench.methods.timm import Timm


def test_pooled_features_normalised_as_the_weights_want_it():
    method = tiny_method("timm:test_resnet@none", tiny_setup()).eval()
    model = method.trunk.backbone
    scenes = some_scenes()
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    rows = method.describe(scenes)
    assert set(rows) == {"pooled"}
    torch.testing.assert_close(rows["pooled"], model.forward_features((scenes - mean) / std).mean((2, 3)))


@pytest.mark.parametrize(("model", "features"), [("mobilenetv3_small_050", 1024), ("test_vit", 64)])
def test_any_backbone(model, features):
    method = tiny_method(f"timm:{model}@none", tiny_setup())
    assert method.eval().describe(some_scenes(2))["pooled"].shape == (2, features)


def test_mean_and_std_are_settings():
    settings = {"mean": [0.1, 0.2, 0.3], "std": [0.5]}
    method = tiny_method("timm:test_resnet@none", tiny_setup(), timm=settings)
    assert method.trunk.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert method.trunk.std.flatten().tolist() == [0.5] * 3


def test_the_protocols_trunk_does_not_matter():
    changed = tiny_setup("trunk.name=resnet50", "trunk.mean=[0.9]", "trunk.frozen=['layer1']")
    method = tiny_method("timm:test_resnet@none", changed)
    assert method.trunk.features == 96
    assert (method.trunk.mean != 0.9).all()
    assert all(parameter.requires_grad for parameter in method.parameters())


def test_arguments_reach_the_model():
    method = tiny_method("timm:mobilenetv3_small_050@none", tiny_setup(), timm={"arguments": {"pad_type": "same"}})
    assert method.trunk.backbone.conv_stem.padding == (0, 0)


def test_weights_from_a_file_in_a_known_folder(tmp_path):
    torch.manual_seed(5)
    made = timm.create_model("test_resnet", num_classes=3)
    torch.save(made.state_dict(), tmp_path / "w.pt")
    method = tiny_method("timm:test_resnet@w.pt", tiny_setup(weights_folders=(tmp_path,)))
    state = method.trunk.backbone.state_dict()
    assert all(torch.equal(value, made.state_dict()[name]) for name, value in state.items())


def test_missing_weights():
    with pytest.raises(UserError, match=r"weights nowhere\.pt: not found"):
        tiny_method("timm:test_resnet@nowhere.pt", tiny_setup())


def test_unknown_backbone():
    with pytest.raises(UserError, match="'resnet35': not a timm model"):
        tiny_method("timm:resnet35@none", tiny_setup())


def test_thirteen_bands():
    method = tiny_method("timm:test_resnet@none", tiny_setup(bands=13))
    assert method.eval().describe(some_scenes(2, 13))["pooled"].shape == (2, 96)


@pytest.mark.parametrize(
    ("argument", "settings"),
    [
        ("resnet50", {"model": "resnet50"}),
        ("resnet50.a1_in1k", {"model": "resnet50.a1_in1k"}),
        ("resnet50@none", {"model": "resnet50", "weights": "none"}),
        ("resnet50@a/b@c.pt", {"model": "resnet50", "weights": "a/b@c.pt"}),
        ("resnet50@", {"model": "resnet50"}),
    ],
)
def test_argument(argument, settings):
    assert Timm.parse_argument(argument) == settings


def test_it_is_not_trained():
    assert not Timm.card.trained
    method = tiny_method("timm:test_resnet@none", tiny_setup())
    with pytest.raises(NotImplementedError):
        method.loss(some_batch())
