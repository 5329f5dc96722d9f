"""Encoders of optional libraries: tiny models, offline. Each part is skipped, loudly, where its library is missing."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from conftest import write_scenes
from safetensors.torch import save_file
from tiny import message, some_scenes

from rsir_bench.base.errors import RunError
from rsir_bench.encoders.backbone import Backbone
from rsir_bench.encoders.facts import EncoderFacts, build_encoder
from rsir_bench.encoders.fetching import building, hub_files
from rsir_bench.encoders.from_transformers import _check_pixels, _read
from rsir_bench.encoders.input import Input
from rsir_bench.encoders.method import encoder_facts
from rsir_bench.encoders.settings import EncoderSettings
from rsir_bench.leaderboard import terminal_table
from rsir_bench.method.registry import discover, resolve
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.card import load_cards
from rsir_bench.scenes.pixel_cache import open_pixels

FOUND = discover()
MISSING = "NO {}: pip install -e '.[encoders]' to test its encoders"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the network fails, and says so."""

    def refuse(*_: Any) -> None:
        raise ConnectionError("this test has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def known(name: str, folders: tuple[Path, ...] = ()) -> EncoderFacts:
    return encoder_facts(resolve(name, FOUND, {}, {}), folders)


def built(name: str, limits: tuple[float, float] | None = None) -> Any:
    spec = resolve(name, FOUND, {}, {})
    facts = encoder_facts(spec, ())
    torch.manual_seed(6)
    return build_encoder(facts.library, spec.settings, len(facts.input.bands) or 3, limits, ())[0]


def normalised(scenes: torch.Tensor, mean: Any, std: Any) -> torch.Tensor:
    return (scenes - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("hf:a/b", "transformers", "hf"),
        ("open_clip:a", "open_clip", "open-clip"),
        ("torchgeo:a", "torchgeo", "torchgeo"),
    ],
)
def test_a_library_that_is_missing_is_one_line_with_its_extra(name, module, extra, monkeypatch):
    monkeypatch.setattr("rsir_bench.encoders.fetching.find_spec", lambda asked: None)
    text = message(lambda: known(name))
    assert text == f"{module} is not installed; install it with `pip install 'rsir-bench[{extra}]'`"


def test_a_model_that_needs_a_further_library_is_one_line():
    def needs() -> None:
        with building("go online"):
            raise ImportError("this needs einops")

    assert message(needs) == "cannot be built: ImportError: this needs einops; see the library's list of models"


# --- transformers ---

PLAIN = {"size": {"height": 64, "width": 64}, "do_rescale": True, "do_normalize": True}
PLAIN |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], "resample": 2}


def test_settings_of_a_processor_are_read_as_it_follows_them():
    assert _read(PLAIN) == Input(64, "bilinear", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    assert _read({**PLAIN, "resample": 0}).interpolation == "nearest"
    assert _read({**PLAIN, "resample": None}).interpolation == "bicubic"
    without = {name: value for name, value in PLAIN.items() if name != "do_normalize"}
    assert (_read(without).mean, _read(without).std) == ((0.0,), (1.0,))


class Processing:
    """A processor that follows ``PLAIN``, and then does a further step."""

    def __init__(self, step: Any = None) -> None:
        self.step = step or (lambda values: values)

    def __call__(self, images: Any, return_tensors: str) -> dict[str, torch.Tensor]:
        pixels = np.asarray(_read(PLAIN).transform.resizing(images)) / 255
        values = (pixels - PLAIN["image_mean"]) / PLAIN["image_std"]
        return {"pixel_values": self.step(torch.from_numpy(values).permute(2, 0, 1).float())[None]}


def test_a_processor_that_makes_other_pixels_is_refused():
    own = _read(PLAIN)
    _check_pixels(Processing(), own, own)
    _check_pixels(Processing(lambda values: values + 0.4 / 255 / 0.2), own, own)  # where it rounds
    wide = Processing(lambda values: torch.nn.functional.pad(values, (16, 16)))
    _check_pixels(wide, own, own)  # the middle of what is no square
    text = message(lambda: _check_pixels(Processing(lambda values: values.flip(0)), own, own))
    assert text.startswith(
        "its processor produces different pixels than :size=64:interpolation=bilinear:fit=squash:crop=1 "
    )
    assert text.endswith(
        " of 255 levels apart); correct these by settings after its name, or compute descriptors with transformers, "
        "and score them with `rsir-bench score`"
    )
    small = Processing(lambda values: values[:, :32, :32])
    assert "(3 x 32 x 32 values for a picture)" in message(lambda: _check_pixels(small, own, own))


def test_settings_after_the_name_may_correct_what_was_read():
    twice = Processing(lambda values: (values - 0.1) / 0.5)
    own = _read(PLAIN)
    mean, std = ([m + 0.1 * s for m, s in zip(own.mean, own.std, strict=True)], [s * 0.5 for s in own.std])
    corrected, _ = own.changed(EncoderSettings(model="a", mean=mean, std=std))
    assert "levels apart" in message(lambda: _check_pixels(twice, own, own))
    _check_pixels(twice, own, corrected)


@pytest.fixture(scope="module")
def hf(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders as ``save_pretrained`` writes them: one model of each kind."""
    transformers = pytest.importorskip("transformers", reason=MISSING.format("TRANSFORMERS"))
    transformers.utils.logging.disable_progress_bar()
    place = tmp_path_factory.mktemp("hf")
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision |= {"image_size": 56, "patch_size": 14}
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    text |= {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    kinds = {
        "dino": transformers.Dinov2WithRegistersConfig(**vision, num_register_tokens=4),
        "vit": transformers.ViTConfig(**vision),
        "clip": transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24),
        "siglip": transformers.SiglipConfig(text_config=text, vision_config=vision),
        "resnet": transformers.ResNetConfig(hidden_sizes=[8, 16], depths=[1, 1], embedding_size=8),
    }
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 56, "width": 56}, image_mean=[0.4] * 3, image_std=[0.2] * 3
    )
    torch.manual_seed(1)
    for name, config in kinds.items():
        transformers.AutoModel.from_config(config).save_pretrained(place / name)
        processor.save_pretrained(place / name)
    return SimpleNamespace(library=transformers, place=place)


def test_a_processor_says_what_a_model_sees(hf):
    facts = known(f"hf:{hf.place}/dino")
    assert (facts.input.size, facts.input.scale, facts.input.fit) == (56, 64, "crop")
    assert (facts.input.interpolation, facts.input.mean, facts.input.std) == ("bicubic", (0.4,) * 3, (0.2,) * 3)
    assert facts.name == f"hf:dino@{facts.weights[8:16]}-{facts.configuration[:8]}"
    assert facts.identity()["configuration"] == facts.configuration


def processed_by(hf: SimpleNamespace, folder: Path, processor: str, **settings: Any) -> str:
    """Return the name of the model ``dino`` with another processor."""
    shutil.copytree(hf.place / "dino", folder)
    getattr(hf.library, processor)(**settings).save_pretrained(folder)
    return f"hf:{folder}"


WHOLE, SHORTER, CUT = ({"height": 56, "width": 56}, {"shortest_edge": 64}, {"height": 56, "width": 56})


@pytest.mark.parametrize(
    ("processor", "settings", "correction"),
    [
        ("LevitImageProcessor", {"size": {"shortest_edge": 56}, "crop_size": CUT}, "crop=0.875"),
        ("MobileViTImageProcessor", {"size": SHORTER, "crop_size": CUT}, None),
        ("EfficientNetImageProcessor", {"size": WHOLE, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, None),
        ("EfficientNetImageProcessor", {"size": WHOLE, "include_top": False, "rescale_offset": True}, None),
        ("PerceiverImageProcessor", {"size": WHOLE, "crop_size": {"height": 64, "width": 64}}, None),
    ],
)
def test_a_step_that_settings_do_not_show_is_refused(hf, tmp_path, processor, settings, correction):
    name = processed_by(hf, tmp_path / "dino", processor, **settings)
    assert "its processor produces different pixels than :size=" in message(lambda: known(name))
    if correction:
        assert known(f"{name}:{correction}").input.scale == 64


@pytest.mark.parametrize(
    ("processor", "settings", "seen"),
    [
        ("ViTImageProcessor", {"size": WHOLE, "resample": 0}, Input(56, "nearest")),
        ("DeiTImageProcessor", {"size": {"height": 64, "width": 64}, "crop_size": CUT}, Input(56, crop=0.875)),
        ("SegformerImageProcessor", {"size": WHOLE}, Input(56, "bilinear")),
        (
            "MobileViTImageProcessor",
            {"size": SHORTER, "crop_size": CUT, "do_flip_channel_order": False},
            Input(56, "bicubic", "crop", 0.875, (0.0,), (1.0,)),
        ),
        ("EfficientNetImageProcessor", {"size": WHOLE, "include_top": False, "resample": 0}, Input(56, "nearest")),
    ],
)
def test_a_processor_is_read_as_it_works(hf, tmp_path, processor, settings, seen):
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    found = known(processed_by(hf, tmp_path / "dino", processor, **{**half, **settings})).input
    statistics = {name: (getattr(seen, name) * 3)[: len(getattr(found, name))] for name in ("mean", "std")}
    assert found == replace(seen, **statistics)


@pytest.mark.parametrize(
    ("kind", "pooling", "features"),
    [("dino", "CLS", 32), ("vit", "pooler", 32), ("clip", "image features", 24), ("siglip", "image features", 32)],
)
def test_each_kind_is_pooled_as_its_model_does(hf, kind, pooling, features):
    made = built(f"hf:{hf.place}/{kind}")
    assert made.pooling == pooling
    whole = hf.library.AutoModel.from_pretrained(hf.place / kind).eval()
    scenes = some_scenes(3, size=56)
    call = whole.get_image_features if hasattr(whole, "get_image_features") else whole
    with torch.inference_mode():
        wanted = call(pixel_values=normalised(scenes, [0.4], [0.2])).pooler_output
        torch.testing.assert_close(made(scenes), wanted)
    assert wanted.shape == (3, features)


def test_tokens_are_pooled_without_registers(hf):
    whole = hf.library.AutoModel.from_pretrained(hf.place / "dino").eval()
    scenes = some_scenes(2, size=56)
    with torch.inference_mode():
        last = whole(pixel_values=normalised(scenes, [0.4], [0.2])).last_hidden_state
        assert last.shape == (2, 1 + 4 + 16, 32)
        both = built(f"hf:{hf.place}/dino:pooling=cls+mean")(scenes)
        torch.testing.assert_close(both, torch.cat([last[:, 0], last[:, 5:].mean(1)], 1))
        assert built(f"hf:{hf.place}/resnet:pooling=gem")(scenes).shape == (2, 16)
        assert "has no class token" in message(lambda: built(f"hf:{hf.place}/siglip:pooling=cls")(scenes))


def test_a_pooler_that_the_weights_lack_is_none(hf, tmp_path):
    """Many checkpoints of ViT come without one; the library would fill in random numbers."""
    whole = hf.library.AutoModel.from_pretrained(hf.place / "vit")
    hf.library.ViTModel(whole.config, add_pooling_layer=False).save_pretrained(tmp_path / "headless")
    (hf.place / "vit" / "preprocessor_config.json").rename(tmp_path / "headless" / "preprocessor_config.json")
    try:
        facts = known(f"hf:{tmp_path}/headless")
        assert facts.pooling == "CLS"
        made = built(f"hf:{tmp_path}/headless")
        scenes = some_scenes(2, size=56)
        with torch.inference_mode():
            torch.testing.assert_close(made(scenes), built(f"hf:{tmp_path}/headless")(scenes))
    finally:
        (tmp_path / "headless" / "preprocessor_config.json").rename(hf.place / "vit" / "preprocessor_config.json")


def test_only_the_part_for_images_is_built_and_known(hf):
    made = built(f"hf:{hf.place}/clip")
    names = set(made.backbone.network.state_dict())
    assert {name.partition(".")[0] for name in names} == {"vision_model", "visual_projection"}


@pytest.mark.parametrize("kind", ["dino", "vit", "clip"])
def test_other_sizes_are_interpolated(hf, kind):
    assert built(f"hf:{hf.place}/{kind}:size=84")(some_scenes(2, size=84)).shape[0] == 2


def test_a_model_of_the_hub_without_a_network_names_the_ways_out(hf, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it would try for twenty seconds
    text = message(lambda: known("hf:no/such-model"))
    assert text.startswith("its weights cannot be fetched (OSError: ")
    assert text.endswith("name a folder, hf:FOLDER, that save_pretrained has written, or hf:no/such-model@none")


def test_a_model_without_a_processor_needs_its_input_from_the_user(hf, tmp_path):
    hf.library.AutoModel.from_pretrained(hf.place / "dino").save_pretrained(tmp_path / "bare")
    assert "has no preprocessor_config.json; set size, mean and std" in message(lambda: known(f"hf:{tmp_path}/bare"))
    facts = known(f"hf:{tmp_path}/bare:size=56:mean=[0.5]:std=[0.25]")
    assert (facts.input.size, facts.input.mean, facts.input.std) == (56, (0.5,), (0.25,))


def test_weights_of_a_file_and_of_a_folder_are_one_encoder(hf, tmp_path):
    state = hf.library.AutoModel.from_pretrained(hf.place / "dino").state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "w.safetensors")
    assert known(f"hf:{hf.place}/dino@{tmp_path}/w.safetensors") == known(f"hf:{hf.place}/dino")


def copied(folder: Path, to: Path, **changes: Any) -> Path:
    """Return a copy of a model's folder, with another configuration."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | changes))
    return to


@pytest.mark.parametrize("change", [{"num_attention_heads": 4}, {"hidden_act": "relu"}, {"layer_norm_eps": 1e-3}])
def test_a_setting_that_no_tensor_shows_is_another_encoder(hf, tmp_path, change):
    folder = copied(hf.place / "dino", tmp_path / "dino")
    before = known(f"hf:{folder}")
    assert before == known(f"hf:{hf.place}/dino")
    copied(hf.place / "dino", tmp_path / "changed", **change)
    shutil.copy(tmp_path / "changed" / "config.json", folder)
    after = known(f"hf:{folder}")
    assert (after.weights, after.input) == (before.weights, before.input)
    assert after.identity() != before.identity()
    assert after.name != before.name


def test_a_setting_of_the_image_encoder_within_a_model_is_one(hf, tmp_path):
    vision = json.loads((hf.place / "clip" / "config.json").read_text())["vision_config"]
    folder = copied(hf.place / "clip", tmp_path / "clip", vision_config=vision | {"hidden_act": "gelu"})
    assert known(f"hf:{folder}").weights == known(f"hf:{hf.place}/clip").weights
    assert known(f"hf:{folder}").identity() != known(f"hf:{hf.place}/clip").identity()


def test_what_changes_no_descriptor_is_the_same_encoder(hf, tmp_path):
    """Names, versions and labels, and a setting that is as usual, as a later release writes it."""
    names = {"_name_or_path": "else/where", "transformers_version": "5.0.0", "architectures": ["Dinov2ForClassifying"]}
    labels = {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}, "dtype": "float16"}
    folder = copied(hf.place / "dino", tmp_path / "dino", **names, **labels)
    assert known(f"hf:{folder}").identity() == known(f"hf:{hf.place}/dino").identity()
    config = json.loads((folder / "config.json").read_text())
    del config["layerscale_value"]
    (folder / "config.json").write_text(json.dumps(config))
    assert known(f"hf:{folder}").identity() == known(f"hf:{hf.place}/dino").identity()


def test_code_that_comes_with_the_weights_is_part_of_the_encoder(hf, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    folder = copied(hf.place / "dino", tmp_path / "mine", auto_map={"AutoModel": "own.OwnModel"})
    state = hf.library.AutoModel.from_pretrained(folder).state_dict()
    save_file(state, folder / "model.safetensors", {"format": "pt"})  # by the names that the class has
    base = "Dinov2WithRegistersModel"
    code = f"from transformers import {base}\nclass OwnModel({base}):\n    power = {{}}\n"
    found = []
    for power in (1, 2, 1):
        (folder / "own.py").write_text(code.format(power))
        found.append(known(f"hf:{folder}:trust_remote_code=true"))
    assert found[0].weights == found[1].weights == known(f"hf:{hf.place}/dino").weights
    assert found[0].identity() == found[2].identity() != found[1].identity()


def test_two_configurations_of_the_same_tensors_are_two_lines(hf, tmp_path):
    target = f"folder:{write_scenes(tmp_path / 'scenes', 3, 6, seed=2)}"
    folder = copied(hf.place / "dino", tmp_path / "dino")
    request = Request(methods=[f"hf:{folder}"], targets=[target], protocol="frozen", out=tmp_path / "runs")
    made = campaign(request, lambda line: None).records
    plan = make_plan(request)
    copied(hf.place / "dino", tmp_path / "changed", hidden_act="relu")
    shutil.copy(tmp_path / "changed" / "config.json", folder)
    with pytest.raises(RunError, match="its weights or its configuration have changed since the run was planned"):
        RunArtifacts(plan, plan.runs[0]).network(1).build()
    made += campaign(request, lambda line: None).records
    assert len({record.key for record in made}) == 2
    table = terminal_table(made)
    assert all(record.method.label in table for record in made)


def in_the_hubs_cache(cache: Path, refs: dict[str, str], files: tuple[str, ...] = ()) -> Path:
    """Return the folder of org/name in a cache of the hub, whose branches name commits."""
    place = cache / "models--org--name"
    (place / "refs").mkdir(parents=True)
    for branch, commit in refs.items():
        (place / "refs" / branch).write_text(commit)
        (place / "snapshots" / commit).mkdir(parents=True)
        for name in files:
            (place / "snapshots" / commit / name).write_text(commit)
    return place


def test_files_of_the_hub_are_those_of_the_revision(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commits = {"main": "a" * 40, "dev": "b" * 40}
    place = in_the_hubs_cache(tmp_path, commits, ("config.json", "w.bin"))
    names = ("config.json", "nosuch.json", "w.bin")
    for branch, commit in commits.items():
        snapshot = place / "snapshots" / commit
        found = (snapshot / "config.json", snapshot / "w.bin")
        assert hub_files("org/name", names, branch) == (*found, place / "refs" / branch)
        assert hub_files("org/name", names, commit) == found  # a commit does not change
    assert hub_files("org/name", names) == hub_files("org/name", names, "main")
    assert hub_files("org/name", names, "nosuch") is None


def test_a_revision_that_moves_on_is_noticed(hf, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place = in_the_hubs_cache(tmp_path, {"main": "a" * 40, "dev": "b" * 40, "next": "c" * 40})
    model = hf.library.AutoModel.from_pretrained(hf.place / "dino")
    for number, commit in enumerate("abc"):
        torch.nn.init.constant_(model.layernorm.bias, number)
        model.save_pretrained(place / "snapshots" / (commit * 40))
        shutil.copy(hf.place / "dino" / "preprocessor_config.json", place / "snapshots" / (commit * 40))
    before = known("hf:org/name:revision=dev")
    assert before == known("hf:org/name:revision=dev")
    (place / "refs" / "dev").write_text("c" * 40)
    assert known("hf:org/name:revision=dev").weights == known("hf:org/name:revision=next").weights != before.weights


class Grey(Backbone):
    """A network of one weight, which a folder's file gives."""

    def pooled(self, values: torch.Tensor) -> torch.Tensor:
        return values.mean(dim=(2, 3))

    def local(self, values: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, values.flatten(2).transpose(1, 2)


def open_grey(settings: Any, folders: Any) -> Grey:
    here = next(path for path in (Path(settings.model), *(f / settings.model for f in folders)) if path.is_dir())
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, float((here / "weight.txt").read_text()))
    torch.nn.init.zeros_(network.bias)
    return Grey(network, here.name, Input(32), "mean", (here / "weight.txt",))


def test_the_same_name_in_another_folder_is_another_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("rsir_bench.encoders.from_transformers.open_backbone", open_grey)
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    roots = [tmp_path / name for name in ("a", "b", "here")]
    for number, root in enumerate(roots):
        (root / "grey").mkdir(parents=True)
        (root / "grey" / "weight.txt").write_text(str(number))
    found = [known("hf:grey", (root,)) for root in roots[:2]]
    monkeypatch.chdir(roots[2])
    found.append(known("hf:grey", (roots[0],)))
    assert len({facts.weights for facts in found}) == 3
    assert found == [known(f"hf:{root}/grey") for root in roots]


def test_a_model_is_known_by_the_folder_in_which_it_was_found(hf, tmp_path, monkeypatch):
    model = hf.library.AutoModel.from_pretrained(hf.place / "dino")
    for number, root in enumerate(roots := (tmp_path / "a", tmp_path / "b", tmp_path / "cwd")):
        torch.nn.init.constant_(model.layernorm.bias, number)
        model.save_pretrained(root / "dino")
        shutil.copy(hf.place / "dino" / "preprocessor_config.json", root / "dino")
    monkeypatch.chdir(tmp_path)
    found = [known("hf:dino", (root,)).weights for root in roots[:2]]
    monkeypatch.chdir(roots[2])
    found += [known("hf:dino", roots[:1]).weights]
    assert found == [known(f"hf:{root}/dino").weights for root in roots]
    assert len(set(found)) == 3


# --- OpenCLIP ---


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    library = pytest.importorskip("open_clip", reason=MISSING.format("OPENCLIP"))
    place = tmp_path_factory.mktemp("configurations")
    text = {"context_length": 8, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
    vit = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32}
    resnet = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}
    for name, vision in {"tiny-vit": vit, "tiny-resnet": resnet}.items():
        configuration = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
        (place / f"{name}.json").write_text(json.dumps(configuration))
    library.add_model_config(place)
    return library


def test_image_features_are_those_of_the_whole_model(clip, tmp_path):
    torch.manual_seed(2)
    whole = clip.create_model("tiny-vit").eval()
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in whole.state_dict().items()}}, tmp_path / "w.pt"
    )
    made = built(f"open_clip:tiny-vit@{tmp_path}/w.pt")
    scenes = some_scenes(3, size=32)
    known_as = clip.get_model_preprocess_cfg(whole)
    with torch.inference_mode():
        values = normalised(scenes, known_as["mean"], known_as["std"])
        torch.testing.assert_close(made(scenes), whole.encode_image(values))
        tokens = whole.visual.forward_intermediates(
            values, indices=1, normalize_intermediates=True, intermediates_only=True, output_fmt="NLC"
        )["image_intermediates"][-1]
        mean = built(f"open_clip:tiny-vit@{tmp_path}/w.pt:pooling=mean")(scenes)
        torch.testing.assert_close(mean, tokens.mean(1))


def test_text_that_a_file_lacks_or_has_plays_no_part(clip, tmp_path):
    torch.manual_seed(2)
    state = clip.create_model("tiny-vit").state_dict()
    torch.save(state, tmp_path / "whole.pt")
    torch.save({name: value for name, value in state.items() if name.startswith("visual.")}, tmp_path / "part.pt")
    assert known(f"open_clip:tiny-vit@{tmp_path}/whole.pt") == known(f"open_clip:tiny-vit@{tmp_path}/part.pt")


def test_what_a_model_sees_is_read_from_its_configuration(clip):
    facts = known("open_clip:tiny-vit@none")
    assert (facts.input.size, facts.input.fit, facts.input.interpolation) == (32, "crop", "bicubic")
    assert facts.input.mean == pytest.approx(clip.OPENAI_DATASET_MEAN)
    assert facts.name == "open_clip:tiny-vit@none"
    siglip = known("open_clip:ViT-B-16-SigLIP-256.webli@none")
    assert (siglip.input.size, siglip.input.fit, siglip.input.mean) == (256, "squash", (0.5, 0.5, 0.5))


@pytest.mark.parametrize("change", ["size=48", "size=48:pooling=cls+mean", "pooling=gem"])
def test_other_sizes_and_poolings(clip, change):
    size = 48 if "size" in change else 32
    assert built(f"open_clip:tiny-vit@none:{change}")(some_scenes(2, size=size)).shape[0] == 2
    assert built("open_clip:tiny-resnet@none:pooling=mean")(some_scenes(2, size=64)).shape == (2, 512)


def test_weights_must_be_named_and_fit_the_activation(clip):
    assert message(lambda: known("open_clip:ViT-B-32")).startswith("name its weights: ViT-B-32.openai, ")
    assert message(lambda: known("open_clip:tiny-vit.nosuch")) == "no weights 'nosuch' of tiny-vit; it has none"
    text = message(lambda: known("open_clip:ViT-B-32.openai"))
    assert text == "the weights openai were made with another activation; name ViT-B-32-quickgelu.openai"
    assert message(lambda: known("open_clip:nosuch-model")).startswith("not an OpenCLIP model")
    refused = message(lambda: built("open_clip:tiny-resnet@none:size=96"))
    assert "append :size=64 to its name, the size of its weights" in refused


# --- TorchGeo ---


@pytest.fixture(scope="module")
def geo() -> Any:
    return pytest.importorskip("torchgeo.models", reason=MISSING.format("TORCHGEO"))


@pytest.mark.parametrize(
    ("name", "size", "scale", "mean", "std", "bands", "stored"),
    [
        ("resnet18.SENTINEL2_ALL_MOCO", 224, 256, (0.0,), (10000.0,), 13, True),
        ("resnet50.FMOW_RGB_GASSL", 224, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0, False),
        ("swin_v2_t.SENTINEL2_SI_RGB_SATLAS", 256, 256, (0.0,), (1.0,), 0, False),
        ("resnet50.SENTINEL2_ALL_SECO_ECO", 224, 224, (0.0,), (10000.0,), 12, True),
    ],
)
def test_what_weights_of_satellite_images_see(geo, name, size, scale, mean, std, bands, stored):
    read = known(f"torchgeo:{name}@none").input
    assert (read.size, read.scale, read.fit) == (size, scale, "squash")
    assert (read.mean, read.std) == (pytest.approx(mean), pytest.approx(std))
    assert (len(read.bands), read.stored) == (bands, stored)


def test_several_normalisations_in_a_row_are_one(geo):
    read = known("torchgeo:resnet18.SENTINEL2_RGB_SECO@none").input
    weights = geo.get_model_weights("resnet18").SENTINEL2_RGB_SECO
    pixels = torch.randint(0, 256, (1, 3, 224, 224)).float()
    steps = [step for step in weights.transforms if type(step).__name__ == "Normalize"]
    wanted = pixels.clone()
    for step in steps:
        wanted = step(wanted.clone())
    torch.testing.assert_close(normalised(pixels / 255, read.mean, read.std), wanted, rtol=1e-4, atol=1e-2)


def test_weights_in_a_file_are_those_of_the_model(geo, tmp_path):
    torch.manual_seed(3)
    whole = geo.resnet18(in_chans=13).eval()
    torch.save(whole.state_dict(), tmp_path / "moco.pth")
    made = built(f"torchgeo:resnet18.SENTINEL2_ALL_MOCO@{tmp_path}/moco.pth", (0.0, 4000.0))
    stored = torch.rand(2, 13, 224, 224) * 4000
    with torch.inference_mode():
        wanted = whole.forward_head(whole.forward_features(stored / 10000), pre_logits=True)
        torch.testing.assert_close(made(stored / 4000), wanted, rtol=1e-4, atol=1e-4)


def test_poolings_of_networks_of_timm_and_of_torchvision(geo):
    scenes = some_scenes(2, size=224)
    for name in ("resnet18", "swin_t", "vit_small_patch16_224"):
        made = built(f"torchgeo:{name}@none:pooling=gem")
        with torch.inference_mode():
            assert made(scenes).shape[0] == 2
    assert known("torchgeo:swin_t@none").pooling == "mean"
    assert known("torchgeo:vit_small_patch16_224@none").pooling == "CLS"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nosuch", "not a model of TorchGeo; it has "),
        ("resnet18", "name its weights: resnet18.LANDSAT_TM_TOA_MOCO, "),
        ("resnet18.NOSUCH", "no weights 'NOSUCH': resnet18.LANDSAT_TM_TOA_MOCO, "),
        (
            "dofa_base_patch16_224",
            "it needs more than pixels (wavelengths, dates or several sensors); compute descriptors",
        ),
        ("resnet50.SENTINEL2_SI_MS_SATLAS@none", "its bands mix 8-bit colours with reflectances"),
        ("resnet50.SENTINEL1_GRD_CLOSP@none", "its weights do not say how values are normalised"),
    ],
)
def test_what_cannot_be_taken_says_why(geo, name, reason):
    assert message(lambda: known(f"torchgeo:{name}")).startswith(reason)


@pytest.fixture
def sentinel(tmp_path: Path) -> SimpleNamespace:
    """Scenes of 13 bands with a card; band n of scene s holds 100 n + s + 1 everywhere."""
    bands = list(load_cards()["eurosat"].band_names)
    card = tmp_path / "sentinel.toml"
    card.write_text(
        f"""
        name = "sentinel"
        title = "Sentinel"
        description = "-"
        citation = "-"
        licence = "-"
        source = "-"
        ground_resolution = "10 m"
        pixels = 64
        bands = 13
        rgb = [3, 2, 1]
        band_names = {json.dumps(bands)}
        value_range = [0, 4000]
        folders = ["Sentinel"]
        classes = [{{ name = "a", scenes = 2 }}, {{ name = "b", scenes = 2 }}]
        download = {{ by_hand = "-" }}
        """
    )
    for name in ("a", "b"):
        folder = tmp_path / "data" / "Sentinel" / name
        folder.mkdir(parents=True)
        for scene in range(2):
            values = (100 * np.arange(13) + scene + 1).astype(np.uint16)
            tifffile.imwrite(folder / f"s{scene}.tif", np.tile(values, (64, 64, 1)), planarconfig="contig")
    return SimpleNamespace(data_root=tmp_path / "data", cards=[card], out=tmp_path / "runs", bands=bands)


def ask(sentinel: SimpleNamespace, targets: list[str], *methods: str) -> Request:
    given = {"data_root": sentinel.data_root, "cards": sentinel.cards, "out": sentinel.out}
    return Request(methods=methods, targets=targets, protocol="frozen", **given)


def test_thirteen_bands_come_in_the_order_and_the_units_of_the_weights(geo, sentinel, monkeypatch):
    plan = make_plan(ask(sentinel, ["sentinel"], "torchgeo:resnet18.SENTINEL2_ALL_MOCO@none"))
    (run,) = plan.runs
    setup = plan.setup(run)
    assert (setup.bands, setup.size, setup.value_range) == (13, 224, (0.0, 4000.0))
    seen: list[torch.Tensor] = []
    network = run.method.build(setup)
    pooled = network.encoder.backbone.pooled
    monkeypatch.setattr(network.encoder.backbone, "pooled", lambda values: seen.append(values) or pooled(values))
    pixels = torch.from_numpy(np.array(open_pixels(plan.datasets["sentinel"], run.transform)[:1]))
    network.describe(pixels.permute(0, 3, 1, 2).float() / 255)
    order = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]
    stored = [100 * sentinel.bands.index(f"S2-{band}") + 1 for band in order]
    found = seen[0][0, :, 100, 100] * 10000
    assert (found - torch.tensor(stored, dtype=torch.float32)).abs().max() <= 4000 / 255 / 2 + 1e-2  # of eight bits


def test_datasets_without_the_bands_or_the_units_are_left_out(geo, sentinel, tmp_path):
    colours = f"folder:{write_scenes(tmp_path / 'colours', 2, 3, seed=1)}"
    tags = ("SENTINEL2_ALL_MOCO", "SENTINEL2_RGB_MOCO", "LANDSAT_TM_TOA_MOCO")
    methods = [f"torchgeo:resnet18.{tag}@none" for tag in tags]
    plan = make_plan(ask(sentinel, [colours, "sentinel"], *methods, "torchgeo:resnet18@none"))
    taken = [{cell.target for cell in run.cells} for run in plan.runs]
    assert taken == [{"sentinel"}, {"sentinel"}, {colours, "sentinel"}]
    text = "\n".join(plan.absent)
    assert "no band S2-B1 (it has no card that names its bands); score it with an encoder for RGB" in text
    assert "the weights need reflectances, but it stores 8-bit colours" in text
    assert "no band LANDSAT_TM_TOA-B1 (its card names S2-B1, " in text


@pytest.mark.slow
def test_all_libraries_are_on_one_board(hf, clip, geo, tmp_path):
    scenes = write_scenes(tmp_path / "scenes", 3, 4, seed=2)
    names = [f"hf:{hf.place}/dino", "open_clip:tiny-vit@none", "torchgeo:resnet18@none", "timm:test_resnet@none"]
    request = Request(methods=names, targets=[f"folder:{scenes}"], protocol="frozen", out=tmp_path / "runs")
    outcome = campaign(request, lambda line: None)
    assert not outcome.failures
    assert {record.protocol.board for record in outcome.records} == {"frozen"}
    libraries = [record.encoder.library for record in outcome.records if record.encoder]
    assert libraries == ["hf", "open_clip", "torchgeo", "timm"]
