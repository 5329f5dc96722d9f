"""The board of encoders: one protocol without a training, every encoder at its own input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from command import InProcess
from conftest import write_scenes
from safetensors.torch import save_file
from tiny import message

from rsir_bench.encoders import facts as facts_module
from rsir_bench.leaderboard import render_leaderboards, terminal_table
from rsir_bench.leaderboard.boards import boards
from rsir_bench.records.commands import request_of
from rsir_bench.records.store import read_record, write_record
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.locate import locate
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.request import Request, UserFiles
from rsir_bench.runs.runners.campaign import CampaignResult, campaign

TEN = [
    *("test_resnet", "test_vit", "test_convnext", "test_mambaout", "test_byobnet"),
    *("test_efficientnet", "test_vit2", "test_vit3", "test_efficientnet_ln", "nosuch"),
]


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "scenes", 3, 6, seed=2)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def ask(scenes: Path, *methods: str, **changes: Any) -> Request:
    options = {"targets": [f"folder:{scenes}"], "protocol": "frozen", "out": scenes.parent / "runs"}
    return Request(methods=methods, **{**options, **changes})


def run(scenes: Path, *methods: str, **changes: Any) -> CampaignResult:
    return campaign(ask(scenes, *methods, **changes), lambda line: None)


@pytest.mark.slow
def test_one_broken_encoder_of_ten_leaves_nine_lines(scenes: Path, cli: InProcess):
    names = [f"timm:{name}@none" for name in TEN]
    done = cli("run", "--protocol", "frozen", "--methods", ",".join(names), "--targets", f"folder:{scenes}")
    assert done.code == 1
    table = done.out.partition("\n\n")[0].splitlines()[3:]
    assert len(table) == 10
    assert [line.split()[0] for line in table if line.split()[1] == "failed"] == ["timm:nosuch@none"]
    assert sum(" px " in line for line in table) == 9
    assert "failed: timm:nosuch@none: not a timm model; similar names: none; see timm.list_models()" in done.out
    assert "failed    1 of 10 runs" in done.err


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            "timm:test_vit@none:size=100",
            "append :size=160 to its name, the size of its weights, or another multiple of 16",
        ),
        (
            "timm:test_resnet@none:pooling=cls",
            "has no class token; append :pooling=mean or :pooling=gem to its name",
        ),
        ("timm:test_vit.r160_in1k@nowhere.pt", "put the file there, or name it with its folder"),
    ],
)
def test_an_encoder_that_cannot_run_names_what_does_and_costs_only_its_own_line(scenes: Path, broken: str, reason: str):
    outcome = run(scenes, broken, "timm:test_resnet@none")
    assert [record.method.label for record in outcome.records] == ["timm:test_resnet.r160_in1k@none"]
    (failure,) = outcome.failures.values()
    assert reason in failure
    assert failure in terminal_table(outcome.records, failed=outcome.failures)


def test_where_no_encoder_can_be_built_there_is_nothing_to_run(scenes: Path):
    with pytest.raises(Exception, match="not a timm model") as caught:
        run(scenes, "timm:nosuch@none", "timm:neither@none")
    assert str(caught.value).splitlines() == [
        f"timm:{name}@none: not a timm model; similar names: none; see timm.list_models()"
        for name in ("nosuch", "neither")
    ]


def test_a_record_says_what_the_encoder_saw_and_how_it_was_pooled(scenes: Path):
    (record,) = run(scenes, "timm:test_vit@none:size=96:pooling=mean").records
    assert record.encoder is not None
    assert record.pixels is not None
    assert record.encoder.model_dump() == {
        "library": "timm",
        "model": "test_vit.r160_in1k",
        "weights": "none",
        "pooling": "mean",
        "fit": "crop",
        "crop": 0.95,
        "changed": ["pooling", "size"],
    }
    assert (record.pixels.size, record.pixels.filter) == (96, "bicubic")
    assert record.pixels.mean == pytest.approx(timm.get_pretrained_cfg("test_vit").mean)
    assert record.row.name == "mean"
    assert (record.source, record.protocol.settings["data"]["size"]) == (None, None)
    assert record.method.name == record.method.label == record.method.title
    assert request_of(record).method == "timm:test_vit@none:size=96:pooling=mean"
    assert record.command.startswith(
        "rsir-bench run --protocol frozen --methods timm:test_vit@none:size=96:pooling=mean"
    )
    assert record.cost["macs"] > 0


def test_every_size_is_on_one_board_and_the_input_is_a_column(scenes: Path):
    made = run(scenes, "timm:test_vit@none:size=96", "timm:test_vit@none", "timm:test_resnet@none").records
    (board,) = boards(made)
    assert board.name == "frozen"
    (table, *_) = render_leaderboards(made, scenes.parent / "boards", ["md"])
    named = {path.name for path in (scenes.parent / "boards" / "frozen").iterdir()}
    assert named == {"leaderboard.md", "costs.md"}
    text = (table.parent / "leaderboard.md").read_text()
    assert "| Method" in text
    for header in ("Input", "Parameters (M)", "MACs (G)"):
        assert header in text
    for cell in ("96 px bicubic, crop 0.95", "160 px bicubic, crop 0.95", "160 px bilinear, crop 0.95"):
        assert cell in text
    assert "nothing is trained, and every encoder sees scenes at the input size of its weights" in text


def test_a_row_is_named_by_its_pooling(scenes: Path):
    names = ["", ":pooling=mean", ":pooling=gem", ":pooling=cls+mean"]
    made = run(scenes, *(f"timm:test_vit@none{name}" for name in names)).records
    assert [record.row.name for record in made] == ["CLS", "mean", "GeM", "CLS+mean"]
    assert [record.row.dimensions for record in made] == [64, 64, 64, 128]


def test_a_file_and_a_hub_share_a_line(scenes: Path, weights: Path, monkeypatch: pytest.MonkeyPatch):
    create = timm.create_model
    (of_file,) = run(scenes, f"timm:test_resnet@{weights}").records
    digest = str(of_file.weights["timm.weights"])
    assert of_file.method.label == f"timm:test_resnet.r160_in1k@{digest.removeprefix('tensors:')[:8]}"
    assert of_file.seed == 0

    def hub(name: str, pretrained: bool = False, **given: Any) -> Any:
        overlay = {"pretrained_cfg_overlay": {"file": str(weights)}} if pretrained else {}
        return create(name, pretrained=pretrained, **given, **overlay)

    monkeypatch.setattr(timm, "create_model", hub)
    plan = make_plan(ask(scenes, "timm:test_resnet", seeds=[7]))
    ((cell,),) = (run.cells for run in plan.runs)
    assert cell.key == of_file.key
    assert cell.done
    (shown,) = boards([of_file])[0].records
    text = terminal_table([shown])
    assert of_file.method.label in text
    render_leaderboards([of_file], scenes.parent / "boards")
    page = (scenes.parent / "boards" / "frozen" / "leaderboard.md").read_text()
    said = f"weights of SHA-256 {digest.removeprefix('tensors:')}, asked for as timm:test_resnet@w.safetensors"
    assert said in page.replace("\\", "")


def test_weights_that_change_between_plan_and_run_are_refused(scenes: Path, weights: Path):
    plan = make_plan(ask(scenes, f"timm:test_resnet@{weights}"))
    torch.manual_seed(5)
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), weights)
    (planned,) = plan.runs
    with pytest.raises(
        Exception, match="its weights or its configuration have changed since the run was planned; run it again"
    ):
        RunArtifacts(plan, planned).network(1).build()
    (again,) = make_plan(plan.request).runs
    assert again.key != planned.key


def test_random_weights_have_seeds_and_others_have_one(scenes: Path, weights: Path):
    plan = make_plan(ask(scenes, "timm:test_resnet@none", f"timm:test_resnet@{weights}", seeds=[3, 5]))
    assert [(run.method.label.partition("@")[2][:4], run.seed) for run in plan.runs][:2] == [("none", 3), ("none", 5)]
    assert [run.seed for run in plan.runs[2:]] == [0]
    assert len({run.key for run in plan.runs}) == 3


def test_what_is_described_is_scored_again_without_a_network(scenes: Path, monkeypatch: pytest.MonkeyPatch):
    run(scenes, "timm:test_resnet@none")
    monkeypatch.setattr(facts_module, "_opened", lambda *_: pytest.fail("a network is built"))
    again = run(scenes, "timm:test_resnet@none", overrides=["score.similarity=cosine"])
    assert not again.failures
    (record,) = again.records
    assert record.protocol.board.startswith("frozen~")


def test_front_ends_stand_before_encoders(scenes: Path):
    plain, behind = run(scenes, "timm:test_resnet@none", "wallis+timm:test_resnet@none").records
    assert behind.method.label == "wallis+timm:test_resnet.r160_in1k@none"
    assert behind.effect is not None
    assert behind.effect.metrics["mAP"] == pytest.approx(plain.metrics["mAP"])
    twice = make_plan(ask(scenes, "wallis+wallis+timm:test_resnet@none", "wallis+timm:test_resnet@none")).runs
    assert len({run.key for run in twice}) == 2


def test_only_encoders_take_part_and_only_there(scenes: Path, tmp_path: Path):
    plugin = tmp_path / "plain.py"
    plugin.write_text(
        "from rsir_bench.method import Card, Method, Row\n"
        "class Plain(Method):\n"
        "    card = Card(name='plain', title='Plain', paper='none', year=2026, rows={'A': Row(descriptor='a')},"
        " trained=False)\n"
        "    def loss(self, batch): raise NotImplementedError\n"
        "    def describe(self, scenes): return {'a': scenes.mean((2, 3))}\n"
    )
    plan = make_plan(ask(scenes, "baseline", "plain", "timm:test_resnet@none", plugins=[plugin]))
    assert plan.absent == [
        "baseline: is trained, and frozen has no source; use a protocol that trains",
        "plain: is not an encoder, and frozen has no input size",
    ]
    text = message(lambda: make_plan(ask(scenes, "hf:some/model", protocol="demo")))
    assert "hf:some/model: describes scenes at the input size of its weights; use --protocol frozen" in text


@pytest.mark.parametrize("change", ["size=96", "pooling=gem", "crop=1", "fit=squash", "interpolation=nearest"])
def test_a_protocol_that_trains_has_one_input_for_all(scenes: Path, change: str):
    request = ask(scenes, f"timm:test_resnet@none:{change}", protocol="demo")
    text = message(lambda: campaign(request, lambda line: None))
    name = change.partition("=")[0]
    assert f"{name} changes nothing under demo, whose methods share its scenes" in text


def test_other_verbs_find_what_encoders_made(scenes: Path, weights: Path, tmp_path: Path, cli: InProcess):
    request = ask(scenes, f"timm:test_resnet@{weights}", "timm:test_vit@none", data_root=tmp_path / "data")
    (tmp_path / "weights").mkdir()
    shutil.copy(weights, tmp_path / "weights")  # where a file of weights is found without its folder
    made = campaign(request, lambda line: None).records
    found = locate(made, request.out, UserFiles(tmp_path / "data"))
    assert found.keys() == {record.key for record in made}
    words = [str(request.out), "--runs", str(request.out), "--data-root", str(tmp_path / "data"), "--out"]
    assert cli("report", *words, str(tmp_path / "report")).code == 0
    pages = [(tmp_path / "report" / name).read_text() for name in ("index.html", "boards/frozen.html")]
    assert ">CLS <small>160 px bicubic, crop 0.95</small></td>" in pages[0]
    assert all("Nothing is trained, retrieved on" in page for page in pages)
    assert any("test_resnet.r160_in1k" in path.read_text() for path in (tmp_path / "report").rglob("*.html"))
    query = next(scenes.rglob("*.png"))
    options = ["--method", "timm:test_vit@none", "--protocol", "frozen", "--target", f"folder:{scenes}"]
    shown = cli("search", str(query), *options, "--out", str(request.out), "--json")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)


def test_a_record_is_written_and_read_without_loss(scenes: Path, tmp_path: Path):
    (record,) = run(scenes, "timm:test_resnet@none").records
    write_record(tmp_path / "copy.json", record)
    assert read_record(tmp_path / "copy.json") == record
