from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny import message, some_scenes, tiny_setup
from torch import nn

from rsir_bench.nn.checkpoints.reading import read_networks
from rsir_bench.nn.trunk import Trunk, find_weights, load_backbone, normalisation

FROZEN = ["conv1", "bn1", "layer1", "layer2.0"]


def backbone(name: str = "test_resnet", bands: int = 3, **arguments: Any) -> nn.Module:
    return load_backbone(name, "none", arguments, bands)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Weights of a network with a classifier of seven classes."""
    torch.manual_seed(5)
    model = timm.create_model("test_resnet", num_classes=7)
    return {name: value.clone() for name, value in model.state_dict().items()}


class TestFreezing:
    @staticmethod
    def trained_one_step() -> tuple[Trunk, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        # By default the last weights of every block are zero and cut the gradient of what is before them.
        trunk = Trunk(backbone(zero_init_last=False), 3, 32, frozen=FROZEN)
        before = {name: value.clone() for name, value in trunk.state_dict().items()}
        optimizer = torch.optim.SGD([p for p in trunk.parameters() if p.requires_grad], 0.1, weight_decay=0.1)
        trunk.train()
        trunk(some_scenes(8)).square().sum().backward()
        optimizer.step()
        return trunk, before

    @staticmethod
    def is_frozen(name: str) -> bool:
        return any(name.startswith(f"backbone.{part}.") for part in FROZEN)

    def test_parameters_and_statistics_of_the_frozen_part_stay_and_all_others_move(self):
        trunk, before = self.trained_one_step()
        moved = {name for name, value in trunk.state_dict().items() if not torch.equal(value, before[name])}
        assert moved == {name for name in before if not self.is_frozen(name)}
        assert any(self.is_frozen(name) and name.endswith("running_mean") for name in before)

    def test_frozen_parameters_get_no_gradient(self):
        trunk, _ = self.trained_one_step()
        without = {name for name, parameter in trunk.named_parameters() if parameter.grad is None}
        assert without == {name for name, _ in trunk.named_parameters() if self.is_frozen(name)}
        assert without

    def test_training_mode_spares_the_frozen_part_even_through_its_parent(self):
        trunk = Trunk(backbone(), 3, 32, frozen=FROZEN)
        nn.Sequential(trunk).eval().train()
        assert trunk.training
        assert trunk.backbone.layer4.training
        assert not trunk.backbone.layer1.training
        assert not any(module.training for module in trunk.backbone.layer2[0].modules())

    def test_nothing_frozen(self):
        trunk = Trunk(backbone(), 3, 32)
        assert all(module.training for module in trunk.modules())
        assert all(parameter.requires_grad for parameter in trunk.parameters())

    @pytest.mark.parametrize("name", ["layer5", "layer1.9", "layer1.0.conv9", "conv1.weight"])
    def test_unknown_part(self, name):
        text = message(lambda: Trunk(backbone(), 3, 32, frozen=["conv1", name]))
        assert text.startswith(f"trunk.frozen: no part '{name}'")
        assert "conv1, bn1, act1, maxpool, layer1, layer2, layer3, layer4" in text


class TestNormalisation:
    def test_given_values_are_used(self):
        torch.manual_seed(0)
        trunk = Trunk(backbone(), 3, 32, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 0.125]).eval()
        scenes = some_scenes()
        scaled = torch.stack([(scenes[:, 0] - 0.1) / 0.5, (scenes[:, 1] - 0.2) / 0.25, (scenes[:, 2] - 0.3) / 0.125], 1)
        torch.testing.assert_close(trunk(scenes), trunk.backbone(scaled))
        torch.testing.assert_close(trunk.maps(scenes), trunk.backbone.forward_features(scaled))

    def test_the_weights_own_where_none_are_given(self):
        model = backbone()
        model.pretrained_cfg = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
        assert normalisation(model, 3, None, None) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
        assert normalisation(model, 3, [0.7], None) == ([0.7] * 3, [0.4, 0.5, 0.6])

    def test_one_value_serves_all_bands(self):
        assert normalisation(backbone(), 3, [0.1], [0.2]) == ([0.1] * 3, [0.2] * 3)

    def test_other_bands_than_three(self):
        assert normalisation(backbone(), 13, None, None) == ([0.5] * 13, [0.25] * 13)

    def test_wrong_number(self):
        text = message(lambda: normalisation(backbone(), 13, [0.5] * 3, None))
        assert text == "trunk.mean: 3 values for 13 bands; give one value, or one per band"
        assert "trunk.std: 2 values for 3 bands" in message(lambda: normalisation(backbone(), 3, None, [1.0, 2.0]))

    def test_it_is_no_part_of_the_weights(self):
        assert not {"mean", "std"} & set(Trunk(backbone(), 3, 32).state_dict())


class TestBackbones:
    @pytest.mark.parametrize(
        ("name", "size", "features", "maps"),
        [
            ("test_resnet", 32, 96, (2, 96, 1, 1)),
            ("test_resnet", 64, 96, (2, 96, 2, 2)),
            ("mobilenetv3_small_050", 64, 1024, (2, 288, 2, 2)),
            ("test_vit", 160, 64, None),
        ],
    )
    def test_features_and_maps(self, name, size, features, maps):
        trunk = Trunk(backbone(name), 3, size).eval()
        scenes = some_scenes(2, size=size)
        assert trunk.features == features
        assert trunk(scenes).shape == (2, features)
        if maps is not None:
            assert trunk.maps(scenes).shape == maps

    @pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050"])  # the second widens after pooling
    def test_pooled_maps_are_the_features(self, name):
        trunk = Trunk(load_backbone(name, "none", {}, 3), 3, 64).eval()
        scenes = torch.rand(2, 3, 64, 64)
        with torch.no_grad():
            maps = trunk.maps(scenes)
            torch.testing.assert_close(trunk.pool(maps), trunk(scenes))
        assert maps.shape[1] == trunk.channels

    def test_counting_features_leaves_statistics_and_chance_alone(self):
        model = backbone()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        chance = torch.get_rng_state()
        Trunk(model, 3, 32)
        assert torch.equal(torch.get_rng_state(), chance)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def test_thirteen_bands(self):
        trunk = Trunk(backbone(bands=13), 13, 32)
        assert trunk(some_scenes(2, bands=13)).shape == (2, 96)

    def test_arguments_reach_the_model(self):
        assert backbone("mobilenetv3_small_050", pad_type="same").conv_stem.padding == (0, 0)
        assert backbone("mobilenetv3_small_050").conv_stem.padding == (1, 1)

    def test_a_size_the_trunk_does_not_take(self):
        fixed = backbone("test_vit", img_size=160, dynamic_img_size=False)
        text = message(lambda: Trunk(fixed, 3, 64))
        assert "64 px" in text
        assert "160" in text

    @pytest.mark.parametrize("name", ["resnet35", "nonesuch", ""])
    def test_unknown_model(self, name):
        assert message(lambda: backbone(name)).startswith(f"trunk {name!r}: not a timm model")

    def test_unknown_model_names_its_neighbours(self):
        assert "resnet" in message(lambda: backbone("resnet35")).split("similar names:")[1]

    @pytest.mark.parametrize(
        ("name", "arguments", "named"),
        [
            ("test_resnet", {"pad_typo": "same"}, "pad_typo"),
            ("test_resnet", {"output_stride": 7}, "output_stride"),
            ("test_resnet", {"act_layer": "nonesuch"}, "nonesuch"),
            ("test_resnet.nonesuch", {}, "nonesuch"),
        ],
    )
    @pytest.mark.parametrize("weights", ["none", "imagenet"])
    def test_what_the_model_does_not_take(self, name, arguments, named, weights):
        text = message(lambda: load_backbone(name, weights, arguments, 3))
        assert text.startswith(f"trunk {name!r}: cannot be built with")
        assert named in text

    def test_a_model_without_weights_is_not_started_at_random(self):
        text = message(lambda: load_backbone("seresnet34", "imagenet", {}, 3))
        assert "No pretrained weights exist for seresnet34" in text

    class NotInCache(FileNotFoundError, ValueError):
        """As the hub's client has it."""

    OFFLINE = (URLError("no network"), OSError("offline"), ConnectionError("refused"), NotInCache("offline"))

    @pytest.mark.parametrize("error", OFFLINE, ids=lambda error: type(error).__name__)
    def test_imagenet_without_a_network(self, monkeypatch, error):
        def offline(name: str, pretrained: bool, **_: Any) -> None:
            assert pretrained
            raise error

        monkeypatch.setattr(timm, "create_model", offline)
        text = message(lambda: load_backbone("resnet34.tv_in1k", "imagenet", {}, 3))
        assert text.startswith("trunk 'resnet34.tv_in1k': its ImageNet weights cannot be fetched")
        assert "--set trunk.weights=FILE" in text

    def test_imagenet_asks_for_the_weights_and_none_does_not(self, monkeypatch):
        asked = []
        made = backbone()
        monkeypatch.setattr(timm, "create_model", lambda _, pretrained, **__: asked.append(pretrained) or made)
        load_backbone("test_resnet", "imagenet", {}, 3)
        load_backbone("test_resnet", "none", {}, 3)
        assert asked == [True, False]


class TestWeights:
    @staticmethod
    def save(path: Path, state: Any) -> Path:
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
        return path

    @staticmethod
    def same(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
    def test_files_with_a_classifier_of_their_own(self, tmp_path, state, name):
        path = self.save(tmp_path / name, state)
        assert self.same(load_backbone("test_resnet", str(path), {}, 3), state)

    def test_a_state_dict_inside_a_checkpoint(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", {"state_dict": state, "epoch": 3})
        assert self.same(load_backbone("test_resnet", str(path), {}, 3), state)

    def test_other_values_beside_the_tensors(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", {**state, "epoch": 3})
        assert self.same(load_backbone("test_resnet", str(path), {}, 3), state)

    def test_folders_are_searched_in_order(self, tmp_path, state):
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
        self.save(tmp_path / "b" / "w.pt", state)
        folders = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
        assert find_weights("w.pt", folders) == tmp_path / "b" / "w.pt"
        self.save(tmp_path / "a" / "w.pt", state)
        assert find_weights("w.pt", folders) == tmp_path / "a" / "w.pt"

    def test_adapted_to_thirteen_bands(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", state)
        first = load_backbone("test_resnet", str(path), {}, 13).state_dict()["conv1.0.weight"]
        three = state["conv1.0.weight"]
        assert first.shape == (three.shape[0], 13, *three.shape[2:])
        torch.testing.assert_close(first[:, 4], three[:, 1] * 3 / 13)

    def test_weights_made_for_thirteen_bands(self, tmp_path):
        made = backbone(bands=13)
        path = self.save(tmp_path / "w.pt", made.state_dict())
        assert self.same(load_backbone("test_resnet", str(path), {}, 13), made.state_dict())

    def test_adapted_to_one_band(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", state)
        first = load_backbone("test_resnet", str(path), {}, 1).state_dict()["conv1.0.weight"]
        torch.testing.assert_close(first, state["conv1.0.weight"].sum(1, keepdim=True))

    def test_code_in_a_pickle_is_refused_and_not_run(self, tmp_path):
        class Code:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "ran",))

        torch.save({"conv1.0.weight": Code()}, tmp_path / "w.pt")
        (tmp_path / "plain.pt").write_bytes(pickle.dumps(Code(), protocol=2))
        for name in ("w.pt", "plain.pt"):
            text = message(lambda name=name: read_networks(tmp_path / name))
            assert f"{name}: not a readable file of weights" in text
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
    @pytest.mark.parametrize(
        "content", [b"", b"hello world", b"\x80\x02.", b"PK\x03\x04abc", b"(lp0\n.", b"\x00" * 100, b"\x80\x02\x95\xff"]
    )
    def test_damaged_files(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        assert "not a readable file of weights" in message(lambda: read_networks(tmp_path / name))

    @pytest.mark.parametrize("cut", [0.3, 0.9])
    @pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
    def test_files_cut_short(self, tmp_path, state, name, cut):
        path = self.save(tmp_path / name, state)
        content = path.read_bytes()
        path.write_bytes(content[: int(cut * len(content))])
        assert "not a readable file of weights" in message(lambda: read_networks(path))

    @pytest.mark.parametrize("held", [torch.zeros(3), [1, 2], {"state_dict": 5}, 7])
    def test_files_without_a_state_dict(self, tmp_path, held):
        path = self.save(tmp_path / "w.pt", held)
        assert "not a readable file of weights" in message(lambda: read_networks(path))

    def test_weights_of_another_model(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", state)
        assert "not weights of resnet18 (no " in message(lambda: load_backbone("resnet18", str(path), {}, 3))

    def test_weights_of_another_width(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", {**state, "layer4.0.conv1.weight": torch.zeros(2, 2)})
        text = message(lambda: load_backbone("test_resnet", str(path), {}, 3))
        assert "not weights of test_resnet (another shape of layer4.0.conv1.weight)" in text

    def test_a_missing_tensor(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", {k: v for k, v in state.items() if k != "layer2.0.bn1.running_var"})
        assert "no layer2.0.bn1.running_var" in message(lambda: load_backbone("test_resnet", str(path), {}, 3))

    def test_a_missing_file_names_every_place(self, tmp_path):
        text = message(lambda: find_weights("w.pt", [tmp_path / "a", tmp_path / "b"]))
        assert str(tmp_path / "a") in text
        assert str(tmp_path / "b") in text
        assert "--set trunk.weights=" in text

    def test_sha256(self, tmp_path, state):
        path = self.save(tmp_path / "w.pt", state)
        right = hashlib.sha256(path.read_bytes()).hexdigest()
        assert find_weights(str(path), [], right) == path
        assert "sha256 differs" in message(lambda: find_weights(str(path), [], "0" * 64))
        assert "sha256 differs" in message(lambda: load_backbone("test_resnet", str(path), {}, 3, (), "0" * 64))


class TestOfTheProtocol:
    def test_every_setting_reaches_the_trunk(self, tmp_path):
        torch.manual_seed(5)
        made = timm.create_model("mobilenetv3_small_050", num_classes=0)
        torch.save(made.state_dict(), tmp_path / "w.pt")
        right = hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()
        overrides = [
            "trunk.name=mobilenetv3_small_050",
            "trunk.weights=w.pt",
            f"trunk.sha256={right}",
            "trunk.arguments.pad_type=same",
            "trunk.frozen=['conv_stem', 'blocks.0']",
            "trunk.mean=[0.1]",
            "trunk.std=[0.2]",
        ]
        trunk = tiny_setup(*overrides, weights_folders=(tmp_path,)).trunk()
        assert torch.equal(trunk.backbone.conv_head.weight, made.conv_head.weight)
        assert trunk.backbone.conv_stem.padding == (0, 0)
        assert not trunk.backbone.blocks[0].training
        assert trunk.backbone.blocks[1].training
        assert trunk.mean.flatten().tolist() == pytest.approx([0.1] * 3)
        assert trunk.std.flatten().tolist() == pytest.approx([0.2] * 3)

    def test_a_wrong_hash_stops_it(self, tmp_path):
        torch.save({}, tmp_path / "w.pt")
        setup = tiny_setup("trunk.weights=w.pt", f"trunk.sha256={'0' * 64}", weights_folders=(tmp_path,))
        assert "sha256 differs" in message(setup.trunk)
