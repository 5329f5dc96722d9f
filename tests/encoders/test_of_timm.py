"""Encoders of timm: built by name, with the input, the pooling and the weights that belong to each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save, save_file
from tiny import message, some_scenes

from rsir_bench.encoders import facts as facts_module
from rsir_bench.encoders.facts import EncoderFacts, build_encoder, find_facts
from rsir_bench.methods.timm import TimmSettings

create = timm.create_model


def settings(model: str, weights: str = "none", **changes: Any) -> TimmSettings:
    return TimmSettings(model=model, weights=weights, **changes)


def facts(model: str, weights: str = "none", folders: tuple[Path, ...] = (), **changes: Any) -> EncoderFacts:
    return find_facts("timm", settings(model, weights, **changes), folders)


def encoder(model: str, weights: str = "none", folders: tuple[Path, ...] = (), **changes: Any):
    torch.manual_seed(3)
    return build_encoder("timm", settings(model, weights, **changes), 3, None, folders)[0]


def normalised(network: Any, scenes: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (scenes - mean) / std


def saved(model: str, path: Path, **arguments: Any) -> Path:
    """Weights of a network with a classifier, as one would be handed."""
    torch.manual_seed(11)
    save_file(create(model, num_classes=5, **arguments).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("model", "size", "filter", "pooling", "name"),
    [
        ("test_vit", 160, "bicubic", "CLS", "timm:test_vit.r160_in1k@none"),
        ("test_resnet.r160_in1k", 160, "bilinear", "mean", "timm:test_resnet.r160_in1k@none"),
        ("vit_small_patch14_reg4_dinov2", 518, "bicubic", "CLS", "timm:vit_small_patch14_reg4_dinov2.lvd142m@none"),
        ("vit_base_patch16_siglip_224.v2_webli", 224, "bicubic", "attention", None),
        ("tf_efficientnet_lite2", 260, "bicubic", "mean", "timm:tf_efficientnet_lite2.in1k@none"),
        ("hiera_tiny_224", 224, "bicubic", "mean", None),
    ],
)
def test_the_configuration_of_the_weights_is_known_from_the_name(model, size, filter, pooling, name):
    known = facts(model)
    assert (known.input.size, known.input.interpolation, known.pooling) == (size, filter, pooling)
    assert known.input.mean == pytest.approx(timm.get_pretrained_cfg(model).mean)
    assert known.weights == "none"
    assert name in (None, known.name)


def test_a_scene_is_described_as_timm_does():
    made = encoder("test_resnet")
    network, scenes = made.backbone.network, some_scenes(3, size=160)
    with torch.inference_mode():
        torch.testing.assert_close(made(scenes), network(normalised(network, scenes)))


@pytest.mark.parametrize("model", ["test_vit", "test_convnext", "test_mambaout"])
def test_poolings_are_of_the_layer_before_the_head(model):
    scenes = some_scenes(2, size=160)
    with torch.inference_mode():
        network = encoder(model).backbone.network
        last = network.forward_features(normalised(network, scenes))
        if last.ndim == 4:
            turned = last.shape[-1] == network.num_features
            last = last.flatten(1, 2) if turned else last.flatten(2).transpose(1, 2)
        prefix = getattr(network, "num_prefix_tokens", 0)
        places = last[:, prefix:]
        gem = encoder(model, pooling="gem")(scenes)
        torch.testing.assert_close(gem, places.clamp_min(1e-6).pow(3).mean(1).pow(1 / 3))
        if not prefix:
            assert message(lambda: encoder(model, pooling="cls")(scenes)).startswith(
                "has no class token; append :pooling="
            )
            return
        torch.testing.assert_close(encoder(model, pooling="mean")(scenes), places.mean(1))
        both = encoder(model, pooling="cls+mean")(scenes)
        torch.testing.assert_close(both, torch.cat([last[:, 0], places.mean(1)], 1))


def test_asking_for_the_pooling_that_the_weights_have_changes_nothing():
    assert facts("test_vit", pooling="cls") == facts("test_vit")
    assert facts("test_convnext", pooling="mean").changes == {}
    assert facts("test_vit", pooling="mean").name == "timm:test_vit.r160_in1k@none:pooling=mean"
    scenes = some_scenes(2, size=160)
    with torch.inference_mode():
        torch.testing.assert_close(encoder("test_convnext", pooling="mean")(scenes), encoder("test_convnext")(scenes))


@pytest.mark.parametrize(("model", "size"), [("test_vit", 96), ("test_resnet", 70)])
def test_another_size_is_what_timm_gives_for_it(model, size, tmp_path):
    path = saved(model, tmp_path / "w.safetensors")
    arguments = {"img_size": size} if "vit" in model else {}
    wanted = create(
        model, num_classes=0, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **arguments
    ).eval()
    scenes = some_scenes(2, size=size)
    with torch.inference_mode():
        made = encoder(model, str(path), size=size)
        torch.testing.assert_close(made(scenes), wanted(normalised(wanted, scenes)), rtol=1e-4, atol=1e-5)


def test_the_same_weights_are_known_at_every_size(tmp_path):
    path = str(saved("test_vit", tmp_path / "w.safetensors"))
    assert facts("test_vit", path, size=96).weights == facts("test_vit", path).weights


def test_a_size_that_is_not_taken_is_refused_with_those_that_are():
    made = encoder("test_resnet")
    assert made(some_scenes(1, size=45)).shape == (1, 96)
    text = message(lambda: encoder("test_vit", size=100)(some_scenes(1, size=100)))
    assert text.startswith("does not accept scenes of 100 px (")
    assert text.endswith("append :size=160 to its name, the size of its weights, or another multiple of 16")


def test_scenes_are_squares():
    text = message(lambda: facts("vit_base_patch16_sapiens2.fb"))
    assert text == "its own input is 768 x 1024, and scenes are squares; append :size=768 to its name"


def test_mistakes_are_one_line_that_says_what_to_do(tmp_path):
    text = message(lambda: facts("resnet35"))
    assert text.startswith("not a timm model; similar names: resnet")
    assert set(text.partition(": ")[2].split(", ")) <= set(timm.list_models("*resnet*"))
    assert message(lambda: facts("test_vit.nosuch")).startswith("cannot be built: RuntimeError: Invalid pretrained tag")
    assert message(lambda: facts("test_vit", "nowhere.pt", (tmp_path,))) == (
        f"weights nowhere.pt: not found (looked in ., {tmp_path}); put the file there, or name it with its folder"
    )
    for odd in ("x" * 300, "a\0b"):
        assert "not found" in message(lambda odd=odd: facts("test_vit", odd))
    other = saved("test_resnet", tmp_path / "other.safetensors")
    assert "not weights of test_vit" in message(lambda: facts("test_vit", str(other)))
    text = message(lambda: facts("test_vit", arguments={"nosuch": 1}))
    assert text.startswith("cannot be built: TypeError")


def test_without_a_connection_one_line_says_what_else_there_is(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    text = message(lambda: facts("test_resnet", "imagenet"))
    assert text == (
        "its weights cannot be fetched (OSError: no route to host); go online, or name a file, timm:test_resnet@FILE, "
        "or random weights, timm:test_resnet@none"
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that timm has downloaded ``test_resnet`` to: what it would read by itself."""
    (tmp_path / "hub").mkdir()
    cached = saved("test_resnet", tmp_path / "hub" / "model.safetensors")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    def from_cache(name: str, pretrained: bool = False, **arguments: Any) -> Any:
        overlay = {"pretrained_cfg_overlay": {"file": str(cached)}} if pretrained else {}
        return create(name, pretrained=pretrained, **arguments, **overlay)

    monkeypatch.setattr(timm, "create_model", from_cache)
    monkeypatch.setattr("rsir_bench.encoders.from_timm.hub_files", lambda repository, names: (cached,))
    return tmp_path / "hub"


def test_a_file_and_a_download_of_equal_weights_are_one_encoder(hub: Path, tmp_path: Path):
    downloaded = facts("test_resnet", "imagenet")
    copy = saved("test_resnet", tmp_path / "my_copy.safetensors")
    assert copy.read_bytes() == (hub / "model.safetensors").read_bytes()
    assert facts("test_resnet", "my_copy.safetensors", (tmp_path,)) == downloaded
    assert downloaded.weights.startswith("tensors:")
    assert downloaded.name == f"timm:test_resnet.r160_in1k@{downloaded.weights[8:16]}"


def test_weights_that_are_replaced_under_their_name_are_noticed(hub: Path, monkeypatch: pytest.MonkeyPatch):
    before = facts("test_resnet", "imagenet", mean=[0.25, 0.5, 0.75])
    built: list[str] = []
    opened = facts_module._opened
    monkeypatch.setattr(facts_module, "_opened", lambda *given: built.append("") or opened(*given))
    assert facts("test_resnet", "imagenet", mean=[0.25, 0.5, 0.75]) == before
    assert not built  # known without building it again
    torch.manual_seed(12)
    save_file(create("test_resnet", num_classes=5).state_dict(), hub / "model.safetensors")
    after = facts("test_resnet", "imagenet", mean=[0.25, 0.5, 0.75])
    assert built
    assert after.weights != before.weights
    assert after.identity() != before.identity()


def test_facts_of_files_that_are_no_longer_read_are_corrected_by_the_next_build(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = facts("test_resnet", "imagenet")
    torch.manual_seed(13)
    save_file(create("test_resnet", num_classes=5).state_dict(), tmp_path / "elsewhere.safetensors")
    overlay = {"file": str(tmp_path / "elsewhere.safetensors")}
    monkeypatch.setattr(
        timm, "create_model", lambda name, **given: create(name, **given, pretrained_cfg_overlay=overlay)
    )
    assert facts("test_resnet", "imagenet") == before  # what is kept is of files that have not changed
    _, built = build_encoder("timm", settings("test_resnet", "imagenet"), 3, None, ())
    assert built == facts("test_resnet", "imagenet")
    assert built.weights != before.weights


def test_a_file_that_is_touched_is_read_again_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved("test_resnet", tmp_path / "w.safetensors")
    before = facts("test_resnet", str(path))
    os.utime(path, (1, 1))
    assert facts("test_resnet", str(path)) == before
    path.unlink()
    assert "not found" in message(lambda: facts("test_resnet", str(path)))


def test_other_weights_of_the_same_size_and_time_are_noticed(tmp_path: Path):
    """As ``cp -p`` leaves them, from an archive in which all files have one time."""
    path = saved("test_resnet", tmp_path / "w.safetensors")
    os.utime(path, (1, 1))
    before, state = facts("test_resnet", str(path)), path.stat()
    torch.manual_seed(14)
    path.write_bytes(save(create("test_resnet", num_classes=5).state_dict()))
    os.utime(path, (1, 1))
    replaced = path.stat()
    assert [replaced.st_size, replaced.st_mtime_ns, replaced.st_ino] == [state.st_size, state.st_mtime_ns, state.st_ino]
    assert facts("test_resnet", str(path)).weights != before.weights


def test_what_is_kept_of_an_encoder_may_be_damaged(tmp_path: Path):
    path = saved("test_resnet", tmp_path / "w.safetensors")
    before = facts("test_resnet", str(path), size=96, mean=[0.25])
    (kept,) = (
        file for file in (Path(os.environ["RSIR_BENCH_CACHE"]) / "encoders").iterdir() if str(path) in file.read_text()
    )
    for content in ("", "{}", '{"facts": {}, "files": []}'):
        kept.write_text(content)
        assert facts("test_resnet", str(path), size=96, mean=[0.25]) == before


def test_statistics_are_one_for_each_band_or_one_for_all():
    assert encoder("test_resnet", mean=[0.25]).mean.flatten().tolist() == [0.25] * 3
    text = message(lambda: encoder("test_resnet", std=[0.1, 0.2]))
    assert text == "std: 2 values for 3 bands; give one value, or one per band"


def test_arguments_reach_the_model_and_its_name():
    changed = facts("mobilenetv2_100", arguments={"pad_type": "same"})
    assert changed.name == "timm:mobilenetv2_100.ra_in1k@none:pad_type=same"
    assert changed.identity() != facts("mobilenetv2_100").identity()
    assert encoder("mobilenetv2_100", arguments={"pad_type": "same"}).backbone.network.conv_stem.padding == (0, 0)


def test_memory_that_runs_out_is_no_matter_of_size(monkeypatch):
    made = encoder("test_resnet")

    def full(values):
        raise torch.OutOfMemoryError("no memory is left")

    monkeypatch.setattr(made.backbone, "pooled", full)
    with pytest.raises(torch.OutOfMemoryError):
        made(some_scenes(1, size=160))
