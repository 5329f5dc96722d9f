"""What a plan lists, what it refuses, and which keys its runs and results have."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import timm
import torch
from conftest import Tiny, write_scenes
from packing import to_tar
from scenes.fake_data import small_card, write_dataset
from tiny import message

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.files import file_digest
from rsir_bench.runs.keys import scenes_as_read
from rsir_bench.runs.plan import Run, find_planned_run, make_plan
from rsir_bench.scenes.card import load_cards

AS_IT_COMES = """
from torch import nn
from rsir_bench.method import Card, Method, Row

class AsItComes(Method):
    card = Card(
        name="as-it-comes", title="As it comes", paper="none", year=2026, trained=False,
        rows={"Pooled": Row(descriptor="pooled")},
    )

    def __init__(self, setup, settings):
        super().__init__(setup, settings)
        self.trunk = setup.trunk()

    def loss(self, batch):
        raise NotImplementedError

    def describe(self, scenes):
        return {"pooled": self.trunk(scenes)}
"""


def _bands(folder: Path, bands: int) -> str:
    """A target of three classes with as many bands, of 16 bit."""
    for number, path in enumerate(sorted(write_scenes(folder, 3, 6, 6).rglob("*.png"))):
        values = np.random.default_rng(number).integers(0, 4000, (32, 32, bands), np.uint16)
        tifffile.imwrite(path.with_suffix(".tif"), values, photometric="minisblack", planarconfig="contig")
        path.unlink()
    return f"folder:{folder}"


def _keys(run: Run) -> set[str]:
    return {run.key, *(cell.key for cell in run.cells), *(str(cell.descriptors) for cell in run.cells)}


# --- how scenes are read ---


@pytest.mark.parametrize("change", [{"rgb": (1, 2, 3)}, {"value_range": (0, 3000)}])
def test_a_card_that_reads_its_scenes_otherwise_makes_other_results(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    card = small_card("eurosat", scenes=6, classes=3)
    write_dataset(card, tmp_path)
    changed = card.model_copy(update=change)
    for options in ({"targets": ["eurosat"]}, {"overrides": ["data.source=eurosat"]}):
        plans = []
        for one in (card, changed):
            monkeypatch.setitem(load_cards(), "eurosat", one)
            plans.append(make_plan(tiny.request(**options)))
        assert plans[0].datasets["eurosat"].fingerprint == plans[1].datasets["eurosat"].fingerprint
        before, after = (_keys(plan.runs[0]) for plan in plans)
        assert not {key for key in before & after if key != plans[0].runs[0].key}
        assert (plans[0].runs[0].key == plans[1].runs[0].key) is ("targets" in options)


def test_plain_scenes_are_known_by_their_fingerprint_alone(tiny: Tiny) -> None:
    """Or every key from before would be another."""
    plan = make_plan(tiny.request(overrides=["data.bands=all"]))
    index = plan.datasets[tiny.target]
    assert scenes_as_read(index, plan.runs[0].transform) == index.fingerprint


def test_the_order_of_the_sources_classes_is_in_the_key_only_where_it_is_not_theirs_by_name(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = small_card("eurosat", scenes=6, classes=3)
    write_dataset(card, tmp_path)
    turned = card.model_copy(update={"classes": card.classes[::-1]})
    keys = []
    for one in (card, turned):
        monkeypatch.setitem(load_cards(), "eurosat", one)
        keys.append(make_plan(tiny.request(overrides=["data.source=eurosat"])).runs[0].key)
    assert keys[0] != keys[1]
    monkeypatch.undo()
    named = {name: [one.name for one in card.classes] for name, card in load_cards().items()}
    assert [name for name, names in named.items() if names != sorted(names, key=str.casefold)] == ["rsscn7"]


CARD = """
name = "mine"
title = "Mine"
description = "Scenes."
citation = "none"
licence = "none"
source = "none"
ground_resolution = "1 m"
pixels = 32
folders = ["target"]
download = { by_hand = "copy them" }
"""


def _keys_with_card(tiny: Tiny, *classes: str) -> set[str]:
    tables = "".join(f'[[classes]]\nname = "{name}"\nscenes = 6\n' for name in classes)
    (tiny.folder / "card.toml").write_text(CARD + tables)
    plan = make_plan(tiny.request(targets=["mine"], cards=[tiny.folder / "card.toml"], data_root=tiny.folder))
    return _keys(plan.runs[0]) - {plan.runs[0].key}


def test_another_order_of_classes_on_a_users_card_makes_other_descriptors_and_results(tiny: Tiny) -> None:
    """Rows of descriptors, the noise of distortions and chosen queries follow it."""
    names = sorted(path.name for path in (tiny.folder / "target").iterdir())
    keys = [_keys_with_card(tiny, *order) for order in (names, names[::-1], [names[1], names[0], *names[2:]])]
    assert not keys[0] & keys[1]
    assert not keys[1] & keys[2]
    assert keys[0] == _keys_with_card(tiny, *names)


# --- what an untrained method starts from ---


def test_an_untrained_method_with_the_protocols_trunk_is_another_with_other_weights(tiny: Tiny) -> None:
    plugin = tiny.folder / "as_it_comes.py"
    plugin.write_text(AS_IT_COMES)
    options: dict[str, Any] = {"plugins": [plugin], "seeds": [0, 1]}
    chance = make_plan(tiny.request("as-it-comes", **options)).runs
    known = make_plan(tiny.request("as-it-comes", overrides=["trunk.weights=imagenet"], **options)).runs
    assert [run.seed for run in chance] == [0, 1]
    assert [run.seed for run in known] == [0]
    assert chance[0].key != known[0].key
    assert known[0].weights == {"trunk": "imagenet:test_resnet"}


def test_one_that_names_its_own_weights_has_nothing_of_the_protocols_trunk(tiny: Tiny) -> None:
    keys = {
        make_plan(tiny.request("timm:test_resnet@none", overrides=overrides)).runs[0].key
        for overrides in ([], ["trunk.weights=imagenet"], ["head.fc1=8"])
    }
    assert len(keys) == 1


def test_a_file_that_a_method_names_is_what_its_trunk_starts_from(tiny: Tiny) -> None:
    file = tiny.folder / "weights" / "sk.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    own = [f"methods.sk.file={file.name}", f"methods.sk.sha256={file_digest(file)}", "trunk.name=resnet34"]
    (run,) = make_plan(tiny.request("sk", overrides=own)).runs
    assert run.weights == {"trunk": f"sha256:{file_digest(file)}"}
    # The protocol's own file is not needed then.
    assert make_plan(tiny.request("sk", overrides=[*own, "trunk.weights=nowhere.pt"])).runs[0].weights == run.weights


SETTINGS_CALLED_WEIGHTS = """
from rsir_bench.method import Settings, Weights
from rsir_bench.methods.baseline import Baseline

class MineSettings(Settings):
    weights: tuple[float, float] = (1.0, 0.5)
    start: Weights = "none"

class Mine(Baseline):
    card = Baseline.card.model_copy(update={"name": "mine"})
    Settings = MineSettings
"""


def test_only_a_setting_that_is_said_to_name_weights_does(tiny: Tiny) -> None:
    plugin, file = tiny.folder / "mine.py", tiny.folder / "w.pt"
    plugin.write_text(SETTINGS_CALLED_WEIGHTS)
    file.write_bytes(b"weights")
    (run,) = make_plan(tiny.request("mine", plugins=[plugin])).runs
    assert run.weights == {"mine.start": "none", "trunk": "none"}
    overrides = [f"methods.mine.start={file}", "methods.mine.weights=[2.0, 1.0]"]
    (other,) = make_plan(tiny.request("mine", plugins=[plugin], overrides=overrides)).runs
    assert other.weights == {"mine.start": f"sha256:{file_digest(file)}", "trunk": "none"}
    assert other.method.label == "mine (mine.start=w.pt, mine.weights=[2.0, 1.0])"


def test_a_request_of_one_method_has_no_settings_of_others(tiny: Tiny) -> None:
    overrides = ["describe.pca=3", "methods.jsst.warp=tps", "methods.se.gate=0.5", "methods.sk.file=none"]
    plan = make_plan(tiny.request("jsst+se,baseline,sk", overrides=[*overrides, "trunk.name=resnet34"]))
    kept = [list(plan.request.restricted_to(run.method.requested_as, run.method.parts).overrides) for run in plan.runs]
    common = ["describe.pca=3", "trunk.name=resnet34"]
    assert kept == [[common[0], *overrides[1:3], common[1]], common, [common[0], overrides[3], common[1]]]


# --- what is left out, refused, and listed once ---


def test_what_cannot_run_costs_no_hashing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tiny.folder / "cache"
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(cache))
    with pytest.raises(UserError) as caught:
        make_plan(tiny.request("baselin", targets=["folder:gone"]))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["method 'baselin'", "folder"]
    assert not (cache / "hashes").exists()
    make_plan(tiny.request())
    assert len(list((cache / "hashes").glob("*.json"))) == 2  # of source and target


def test_a_seed_that_is_named_twice_is_one_run(tiny: Tiny) -> None:
    assert [run.seed for run in make_plan(tiny.request(seeds=[1, 0, 1])).runs] == [1, 0]


def test_a_method_that_is_the_same_with_every_seed_has_seed_0_only(tiny: Tiny) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tiny.folder / "w.pth")
    fixed = f"timm:test_resnet@{tiny.folder / 'w.pth'}"
    plans = [make_plan(tiny.request(fixed, seeds=seeds)) for seeds in ([0], [3], [4, 1])]
    assert [[run.seed for run in plan.runs] for plan in plans] == [[0]] * 3
    assert [run.seed for run in make_plan(tiny.request("timm:test_resnet@none", seeds=[3, 1])).runs] == [3, 1]


def test_an_untrained_method_is_run_on_targets_with_the_bands_of_the_first(tiny: Tiny) -> None:
    five = _bands(tiny.folder / "five", 5)
    options: dict[str, Any] = {"targets": [tiny.target, five], "overrides": ["data.bands=all"]}
    plan = make_plan(tiny.request("timm:test_resnet@none", **options))
    assert {cell.target for cell in plan.runs[0].cells} == {tiny.target}
    assert plan.absent == [
        f"timm:test_resnet@none on {five}: its bands differ from those of {tiny.target}; run it alone"
    ]
    plan = make_plan(tiny.request("timm:test_resnet@none", targets=[five], overrides=["data.bands=all"]))
    assert plan.setup(plan.runs[0]).bands == 5


def test_a_target_without_a_query_is_refused_before_training(tiny: Tiny) -> None:
    few = f"folder:{write_scenes(tiny.folder / 'few', 3, 4, seed=4)}"
    request = tiny.request(targets=[tiny.target, few], overrides=["score.queries=fifth"])
    said = "score.queries=fifth: no class of folder-few has five scenes; set score.queries=all or drop this target"
    assert message(lambda: make_plan(request)) == said
    assert len(make_plan(tiny.request(targets=[few])).runs) == 1


def test_targets_that_no_table_could_tell_apart_are_refused(tiny: Tiny) -> None:
    places = [tiny.folder / "a/scenes", tiny.folder / "b/scenes"]
    one, other = (f"folder:{write_scenes(place, 3, 4, seed)}" for seed, place in enumerate(places))
    said = f"--targets {one},{other}: both are called folder-scenes; rename one of the folders"
    assert message(lambda: make_plan(tiny.request(targets=[one, tiny.target, other]))) == said
    again = f"folder:{places[0]}/../scenes"
    assert "both are called folder-scenes" in message(lambda: make_plan(tiny.request(targets=[one, again])))
    shutil.copytree(places[0], tiny.folder / "copy")
    copy = f"folder:{tiny.folder / 'copy'}"
    said = f"--targets {one},{copy}: both are the same scenes; name one of them"
    assert message(lambda: make_plan(tiny.request(targets=[one, copy]))) == said


def test_the_source_without_what_is_in_the_source_is_no_target(tiny: Tiny) -> None:
    options: dict[str, Any] = {"targets": [tiny.source, tiny.target]}
    assert make_plan(tiny.request("timm:test_resnet@none", **options)).absent == []
    plan = make_plan(tiny.request("timm:test_resnet@none", **options, overrides=["data.leaked=drop"]))
    assert {cell.target for cell in plan.runs[0].cells} == {tiny.target}
    (absent,) = plan.absent
    assert absent.endswith("all its scenes are in the source, and data.leaked=drop leaves them out")


def copy_of_source(tiny: Tiny, classes: Sequence[str]) -> Path:
    """The scenes of the source under other names of classes and files."""
    for number, name in enumerate(classes):
        (tiny.folder / "copy" / name).mkdir(parents=True)
        for scene in sorted((tiny.folder / "source" / f"class{number}").iterdir()):
            shutil.copy(scene, tiny.folder / "copy" / name / f"renamed_{scene.name}")
    return tiny.folder / "copy"


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_the_source_with_other_names_of_classes_is_no_target(kind: str, tiny: Tiny) -> None:
    copy = copy_of_source(tiny, ["Beach", "river", "x"])
    one, *_ = sorted((copy / "river").iterdir())
    shutil.copy(one, copy / "river" / "twice.png")
    place = copy if kind == "folder" else to_tar(copy, tiny.folder / "packed")
    plan = make_plan(tiny.request(targets=[f"{kind}:{place}", tiny.target]))
    assert {cell.target for cell in plan.runs[0].cells} == {tiny.target}
    (absent,) = plan.absent
    assert absent.endswith("it is the source, whose labels the method has seen")
    assert make_plan(tiny.request("timm:test_resnet@none", targets=[f"{kind}:{place}"])).absent == []


def test_a_target_that_holds_some_scenes_of_the_source_is_one(tiny: Tiny) -> None:
    copy = copy_of_source(tiny, ["Beach", "river", "x"])
    next((copy / "x").iterdir()).unlink()
    assert make_plan(tiny.request(targets=[f"folder:{copy}"])).absent == []


def test_a_folder_that_was_moved_has_the_same_run(tiny: Tiny) -> None:
    (before,) = make_plan(tiny.request()).runs
    moved = tiny.folder / "elsewhere"
    moved.mkdir()
    for name in ("source", "target"):
        (tiny.folder / name).rename(moved / name)
    text = tiny.protocol.read_text()
    tiny.protocol.write_text(text.replace(f"folder:{tiny.folder}", f"folder:{moved}"))
    (after,) = make_plan(tiny.request()).runs
    assert (after.folder, after.key) == (before.folder, before.key)
    assert [cell.descriptors for cell in after.cells] == [cell.descriptors for cell in before.cells]


def test_a_run_that_is_not_planned_here_is_one_line(tiny: Tiny) -> None:
    request = tiny.request()
    (run,) = make_plan(request).runs
    assert find_planned_run(request, run.key)[1].folder == run.folder
    with pytest.raises(RunError, match="code, weights or scenes here differ from those where the run was planned"):
        find_planned_run(request, "another")


def test_a_pattern_names_the_methods_that_match(tiny: Tiny) -> None:
    planned = [run.method.name for run in make_plan(tiny.request("jsst-sp?t,ri*,baseline")).runs]
    assert planned == ["jsst-spat", "ride", "baseline"]
    assert message(lambda: make_plan(tiny.request("jst*"))).startswith("--methods 'jst*': matches no method;")
