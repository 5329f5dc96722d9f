"""Whole campaigns on tiny scenes: plan, run, resume, failures, and that every setting counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Tiny, write_scenes

from rsir_bench.campaign import Outcome, campaign
from rsir_bench.errors import UserError
from rsir_bench.plan import Request, make_plan
from rsir_bench.results import Record, read_records
from rsir_bench.stages import Stages

PLUGINS = Path(__file__).parent / "plugins"


def _run(request: Request) -> Outcome:
    return campaign(request, lambda line: None)


def _scores(records: list[Record]) -> dict[tuple[str, str, str | None], dict[str, float]]:
    return {(record.method.label, record.row.name, record.row.fit): record.metrics for record in records}


def test_methods_are_trained_described_scored_and_recorded(tiny: Tiny) -> None:
    outcome = _run(tiny.request("baseline,jsst,timm:test_resnet@none", seeds=[0, 1]))
    assert outcome.failures == {}
    rows = [(record.method.label, record.row.name, record.seed) for record in outcome.records]
    assert rows == [
        *[(method, row, seed) for method in ("baseline", "jsst") for seed in (0, 1) for row in ("FC", "PCA")],
        *[("timm:test_resnet@none", "Pooled", seed) for seed in (0, 1)],
    ]
    record = outcome.records[1]
    assert record.row.kind == "pca"
    assert (record.row.dimensions, record.row.fit) == (4, "source")
    assert record.protocol.board.startswith("tiny~")
    assert record.source is not None
    assert record.source.scenes == 24
    assert (record.target.scenes, record.target.classes, record.queries.count) == (18, 3, 18)
    assert set(record.per_class) == {"class0", "class1", "class2"}
    assert 0 < record.metrics["mAP"] <= 1
    assert record.cost["parameters"] is not None
    assert outcome.records[-1].source is None
    assert {record.key for record in read_records([tiny.folder / "runs"])} == {r.key for r in outcome.records}


def test_the_same_command_again_computes_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _run(tiny.request())
    monkeypatch.setattr(Stages, "__call__", lambda self: pytest.fail("worked again"))
    monkeypatch.setattr("rsir_bench.campaign.open_pixels", lambda *_: pytest.fail("opened pixels"))
    assert _run(tiny.request()).records == first.records


def test_a_lost_record_is_made_again_without_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _run(tiny.request())
    for path in (tiny.folder / "runs").rglob("results/**/*.json"):
        path.unlink()
    monkeypatch.setattr("rsir_bench.stages.train", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr("rsir_bench.stages.describe", lambda *_: pytest.fail("described again"))
    lines: list[str] = []
    campaign(tiny.request(), lines.append, plan_only=True)
    assert "estimate  about 0 s on cpu; at most 0 MB" in lines[0]
    assert _scores(_run(tiny.request()).records) == _scores(first.records)


def test_another_pca_is_another_board_of_the_same_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _run(tiny.request())
    monkeypatch.setattr("rsir_bench.stages.train", lambda *_: pytest.fail("trained again"))
    request = tiny.request(overrides=["describe.pca=3", 'describe.pca_fit=["source", "target"]'])
    second = _run(request)
    rows = [(record.row.name, record.row.dimensions, record.row.fit) for record in second.records]
    assert rows == [("FC", 3, None), ("PCA", 3, "source"), ("PCA", 3, "target")]
    assert {record.protocol.board for record in second.records} != {record.protocol.board for record in first.records}
    assert second.records[1].metrics != second.records[2].metrics


def test_a_failing_method_is_reported_and_never_costs_the_others(tiny: Tiny) -> None:
    plugin = tiny.folder / "broken.py"
    plugin.write_text(
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Broken(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'broken'})\n"
        "    def loss(self, batch):\n"
        "        raise ValueError('no such loss')\n"
    )
    outcome = _run(tiny.request("broken,baseline", plugins=[plugin]))
    assert list(outcome.failures) == ["broken seed 0"]
    assert "ValueError: no such loss (traceback in " in outcome.failures["broken seed 0"]
    assert [record.method.name for record in outcome.records] == ["baseline", "baseline"]
    report = next((tiny.folder / "runs").rglob("error.txt")).read_text()
    assert "raise ValueError('no such loss')" in report


def test_every_hook_of_the_contract_end_to_end(tiny: Tiny) -> None:
    pool = write_scenes(tiny.folder / "pool", 3, 5, seed=9)
    text = tiny.protocol.read_text().replace("size = 32", f'size = 32\nunlabelled = "folder:{pool}"')
    tiny.protocol.write_text(text)
    request = tiny.request("everything", plugins=[PLUGINS / "everything.py"], targets=[tiny.target, f"folder:{pool}"])
    outcome = _run(request)
    assert outcome.failures == {}
    kinds = {record.row.name: record.row.kind for record in outcome.records}
    assert {"code", "pca"} <= set(kinds.values())
    assert {record.target.name for record in outcome.records} == {"folder-target"}
    assert any("unlabelled pool" in reason for reason in outcome.plan.absent)
    rounds = sorted(path.parent.name for path in (tiny.folder / "runs").rglob("trained.json"))
    assert rounds == ["round1", "round2"]


def test_all_problems_are_reported_together_before_anything_starts(tmp_path: Path) -> None:
    request = Request(["jst", "baseline", "nope"], ["all"], data_root=tmp_path / "data", out=tmp_path / "runs")
    with pytest.raises(UserError) as caught:
        make_plan(request)
    lines = str(caught.value).splitlines()
    assert any("'jst'" in line and "did you mean 'jsst'" in line for line in lines)
    assert any("'nope'" in line for line in lines)
    for name in ("patternnet", "rs19", "ucm", "rsscn7", "nwpu"):
        expected = f"rsir-bench datasets download {name} --data-root {tmp_path / 'data'}"
        assert any(line.startswith(f"{name}: not found") and expected in line for line in lines), name
    assert any(line.startswith("aid: not found") and "by hand" in line and "AID" in line for line in lines)
    assert not (tmp_path / "runs").exists()


def test_corrupt_scenes_are_named_before_training(tiny: Tiny) -> None:
    damaged = tiny.folder / "target" / "class1" / "scene03.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(UserError, match=str(damaged)):
        _run(tiny.request())
    assert not list((tiny.folder / "runs").rglob("log.csv"))


def test_the_source_is_no_target(tiny: Tiny) -> None:
    plan = make_plan(tiny.request("baseline,timm:test_resnet@none", targets=[tiny.source, tiny.target]))
    assert {cell.target for cell in plan.runs[0].cells} == {tiny.target}
    assert {cell.target for cell in plan.runs[1].cells} == {tiny.source, tiny.target}
    assert any("source, whose labels" in reason for reason in plan.absent)
    with pytest.raises(UserError, match="nothing to run"):
        make_plan(tiny.request(targets=[tiny.source]))


def test_a_method_with_its_own_trunk_is_absent_with_the_reason(tiny: Tiny) -> None:
    plugin = tiny.folder / "own.py"
    plugin.write_text(
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Own(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'own', 'trunk': 'resnet34'})\n"
    )
    plan = make_plan(tiny.request("own,baseline", plugins=[plugin]))
    assert [run.method.name for run in plan.runs] == ["baseline"]
    assert plan.absent == ["own: brings its own trunk in the place of resnet34; the protocol has test_resnet"]


def test_a_plan_alone_makes_nothing(tiny: Tiny) -> None:
    lines: list[str] = []
    campaign(tiny.request("baseline,jsst"), lines.append, plan_only=True)
    assert "runs      2: 0 done, 2 to do" in lines[0]
    assert "estimate  about" in lines[0]
    assert not list((tiny.folder / "runs").rglob("*"))


def test_weights_that_were_changed_on_disk_are_refused(tiny: Tiny) -> None:
    _run(tiny.request())
    weights = next((tiny.folder / "runs").rglob("weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    outcome = _run(tiny.request(overrides=["describe.pca=2"]))
    assert "damaged or gone; delete" in outcome.failures["baseline seed 0"]


def test_queries_of_a_fifth(tiny: Tiny) -> None:
    records = _run(tiny.request(overrides=["score.queries=fifth"])).records
    assert {record.queries.count for record in records} == {3}


TRAINING_SETTINGS = [
    "train.epochs=3",
    "train.batch=12",
    "train.optimizer=adam",
    "train.rate=0.02",
    "train.momentum=0.5",
    "train.nesterov=true",
    "train.weight_decay=0.05",
    "train.schedule=steps",
    "train.warmup=0.6",
    "train.flip=true",
    "train.precision=bf16",
    "head.fc1=12",
    "trunk.name=test_resnet.r160_in1k",
    'trunk.frozen=["layer1"]',
    "trunk.mean=[0.1, 0.1, 0.1]",
    "trunk.std=[0.7, 0.7, 0.7]",
    "trunk.arguments.stem_width=8",
    "data.size=24",
    "data.resize=nearest",
    "methods.jsst.rate=1.0",
    "methods.jsst.spread=0.1",
    "methods.jsst.padding=zeros",
]


@pytest.mark.parametrize("setting", TRAINING_SETTINGS)
def test_each_setting_of_the_training_changes_the_descriptors(tiny: Tiny, setting: str) -> None:
    usual = _descriptors(tiny, ["data.size=28"])
    changed = _descriptors(tiny, [setting])
    # The same network under its full name is the one change that must leave everything as it is.
    same = setting == "trunk.name=test_resnet.r160_in1k"
    assert (usual.shape == changed.shape and np.array_equal(usual, changed)) is same


def _descriptors(tiny: Tiny, overrides: list[str]) -> np.ndarray:
    if not any("size" in override for override in overrides):
        overrides = ["data.size=28", *overrides]  # another size than the files', so that the filter counts
    request = tiny.request("jsst", overrides=overrides, out=f"runs{len(overrides)}")
    cell = next(cell for cell in make_plan(request).runs[0].cells if cell.row_name == "FC")
    outcome = _run(request)
    assert outcome.failures == {}
    return np.load(cell.descriptors)


def test_decay_and_milestones_change_the_descriptors(tiny: Tiny) -> None:
    steps = ["train.schedule=steps", "train.milestones=[2]"]
    variants = [["train.schedule=steps"], steps, [*steps, "train.decay=0.5"]]
    results = [_descriptors(tiny, overrides).tobytes() for overrides in variants]
    assert len(set(results)) == 3


@pytest.mark.parametrize("similarity", ["cosine", "inner product", "euclidean"])
def test_the_similarity_changes_the_scores(tiny: Tiny, similarity: str) -> None:
    usual = _scores(_run(tiny.request()).records)
    other = _scores(_run(tiny.request(overrides=[f'score.similarity="{similarity}"'])).records)
    assert usual != other


def test_the_query_seed_chooses_other_queries(tiny: Tiny) -> None:
    fifth = ["score.queries=fifth"]
    one = _scores(_run(tiny.request(overrides=fifth)).records)
    other = _scores(_run(tiny.request(overrides=[*fifth, "score.query_seed=5"])).records)
    assert one != other
