"""Whole campaigns on tiny scenes: plan, run, resume, failures, and that every setting counts."""

from __future__ import annotations

import json
import platform
import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import tifffile
import torch
from conftest import Tiny, make_tiny, write_scenes
from PIL import Image
from scenes.fake_data import small_card, write_dataset
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import write_sealed
from rsir_bench.leaderboard import terminal_table
from rsir_bench.publishing.publish import publish
from rsir_bench.records.cells import machine_of
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_records
from rsir_bench.runs import keys
from rsir_bench.runs.artifacts import network
from rsir_bench.runs.artifacts.environment import environment, processor
from rsir_bench.runs.estimate import Estimate, StepCost, estimate, training_seconds
from rsir_bench.runs.plan import Plan, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import CampaignResult, campaign, describe_plan
from rsir_bench.scenes.card import load_cards
from rsir_bench.training import loop

PLUGINS = Path(__file__).parent / "plugins"


def _run(request: Request) -> CampaignResult:
    return campaign(request, lambda line: None)


def _files(folder: Path, *names: str) -> dict[Path, tuple[int, int]]:
    """When each file of these names was last written, and which file it is: another where one took its place."""
    found = [path for name in names for path in folder.rglob(name) if path.is_file()]
    assert found
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


TRAINED = ("weights.safetensors", "trained.json")
DESCRIBED = ("described.json", "descriptors/**/*.npy", "pca/*.npz")


def _scores(records: list[Record]) -> dict[tuple[str | None, ...], dict[str, float]]:
    """The metrics of each record by method, row and target."""
    return {(one.method.label, one.row.name, one.row.fit, one.target.name): one.metrics for one in records}


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
    assert record.queries.by_class == {"class0": 6, "class1": 6, "class2": 6}
    assert (record.target.scenes, record.target.classes, record.queries.count) == (18, 3, 18)
    assert set(record.per_class) == {"class0", "class1", "class2"}
    assert 0 < record.metrics["mAP"] <= 1
    assert record.cost["parameters"] is not None
    assert outcome.records[-1].source is None
    assert {record.key for record in read_records([tiny.folder / "runs"])} == {r.key for r in outcome.records}


def test_the_same_command_again_computes_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tiny.folder / "cache"
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(cache))
    first = _run(tiny.request())
    shutil.rmtree(cache / "pixels")
    before, lines = _files(tiny.folder / "runs", "*"), list[str]()
    assert campaign(tiny.request(), lines.append).records == first.records
    assert _files(tiny.folder / "runs", "*") == before
    assert len(lines) == 1  # the plan, and no run that ended
    assert not (cache / "pixels").exists()  # no scene was decoded


def test_a_lost_record_is_made_again_without_training(tiny: Tiny) -> None:
    first = _run(tiny.request())
    for path in (tiny.folder / "runs").rglob("results/**/*.json"):
        path.unlink()
    before = _files(tiny.folder / "runs", *TRAINED, *DESCRIBED)
    lines: list[str] = []
    campaign(tiny.request(), lines.append, plan_only=True)
    assert "estimate  about 0 s on cpu; at most 0 MB" in lines[0]
    assert _scores(_run(tiny.request()).records) == _scores(first.records)
    assert _files(tiny.folder / "runs", *TRAINED, *DESCRIBED) == before


def test_published_results_count_as_done_and_can_be_made_again(tiny: Tiny) -> None:
    results = tiny.folder / "leaderboards" / "results"
    first = _run(tiny.request())
    publish([tiny.folder / "runs"], results)
    lines: list[str] = []
    elsewhere = campaign(tiny.request(out="elsewhere", published=results), lines.append)
    assert elsewhere.records == first.records
    assert f"results   2: 2 done (2 published, in {results}), 0 to make" in lines[0]
    assert not (tiny.folder / "elsewhere").exists()  # nothing was trained
    changed = tiny.request(out="elsewhere", published=results, overrides=["describe.pca=3"])
    assert not any(cell.done for run in make_plan(changed).runs for cell in run.cells)
    again = _run(tiny.request(out="elsewhere"))
    assert _scores(again.records) == _scores(first.records)
    assert len(list((tiny.folder / "elsewhere").rglob("results/**/*.json"))) == 2


def test_another_pca_is_another_board_of_the_same_training(tiny: Tiny) -> None:
    first = _run(tiny.request())
    before = _files(tiny.folder / "runs", *TRAINED)
    request = tiny.request(overrides=["describe.pca=3", 'describe.pca_fit=["source", "target"]'])
    second = _run(request)
    rows = [(record.row.name, record.row.dimensions, record.row.fit) for record in second.records]
    assert rows == [("FC", 3, None), ("PCA", 3, "source"), ("PCA", 3, "target")]
    assert {record.protocol.board for record in second.records} != {record.protocol.board for record in first.records}
    assert second.records[1].metrics != second.records[2].metrics
    assert _files(tiny.folder / "runs", *TRAINED) == before


def _broken(tiny: Tiny) -> Path:
    """A plugin whose loss raises."""
    plugin = tiny.folder / "broken.py"
    plugin.write_text(
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Broken(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'broken'})\n"
        "    def loss(self, batch):\n"
        "        raise ValueError('no such loss')\n"
    )
    return plugin


def test_a_failing_method_is_reported_and_never_costs_the_others(tiny: Tiny) -> None:
    plugin = _broken(tiny)
    outcome = _run(tiny.request("broken,baseline", plugins=[plugin]))
    assert list(outcome.failures) == ["broken seed 0"]
    assert "ValueError: no such loss (broken.py:5) (traceback in " in outcome.failures["broken seed 0"]
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
    used = {(record.source.name, record.unlabelled.name, record.unlabelled.scenes) for record in outcome.records}
    assert used == {("folder-source", "folder-pool", 15)}
    assert len({record.unlabelled.fingerprint for record in outcome.records}) == 1
    rounds = sorted(path.parent.name for path in (tiny.folder / "runs").rglob("trained.json"))
    assert rounds == ["round1", "round2"]


def test_a_round_goes_on_from_the_network_as_its_training_left_it(tiny: Tiny) -> None:
    """On the same device, and with the same order in memory: the next round labels scenes with it."""
    plugin, seen = tiny.folder / "again.py", tiny.folder / "seen"
    plugin.write_text(
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Again(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'again'})\n"
        "    rounds = 2\n"
        "    def training_set(self, number, previous, source, pool):\n"
        "        if previous is not None:\n"
        "            weights = [tensor for tensor in previous.parameters() if tensor.dim() == 4]\n"
        f"            with open({str(seen)!r}, 'a') as file:\n"
        "                print([(tensor.device, tensor.stride()) for tensor in weights], file=file)\n"
        "        return source\n"
    )
    request = tiny.request("again", plugins=[plugin])
    _run(request)
    folder = next((tiny.folder / "runs/again").iterdir())
    for rest in ("round2", "results"):
        shutil.rmtree(folder / rest)
    before = _files(folder, *TRAINED)
    assert _run(request).failures == {}
    assert _files(folder / "round1", *TRAINED) == before
    trained, loaded = seen.read_text().splitlines()
    assert "cpu" in trained
    assert trained == loaded


def test_a_network_that_is_trained_again_keeps_nothing_of_the_lost_one(tiny: Tiny) -> None:
    """Elsewhere a training ends with other bits; another loss stands for that here."""
    plugin = tiny.folder / "here.py"
    text = (
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Here(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'here'})\n"
        "    def loss(self, batch):\n"
        "        return super().loss(batch)\n"
    )
    plugin.write_text(text)
    targets = [tiny.target, f"folder:{write_scenes(tiny.folder / 'second', 3, 4, seed=3)}"]
    first = _run(tiny.request("here", plugins=[plugin], targets=targets))
    folder = next((tiny.folder / "runs/here").iterdir())
    shutil.rmtree(folder / "results")
    (folder / "round1/weights.safetensors").unlink()
    (folder / "round1/trained.json").unlink()
    plugin.write_text(text.replace("loss(batch)\n", "loss(batch) * 0.9\n"))
    again, other = (
        _run(tiny.request("here", plugins=[plugin], targets=targets, out=out)) for out in ("runs", "elsewhere")
    )
    assert _scores(again.records) == _scores(other.records)
    assert _scores(again.records) != _scores(first.records)


def test_weights_that_are_tied_are_kept_and_loaded(tiny: Tiny) -> None:
    plugin = tiny.folder / "tied.py"
    plugin.write_text(
        "from torch import nn\n"
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Tied(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'tied'})\n"
        "    def __init__(self, setup, settings):\n"
        "        super().__init__(setup, settings)\n"
        "        self.again = self.head\n"
    )
    first = _run(tiny.request("tied", plugins=[plugin]))
    assert first.failures == {}
    shutil.rmtree(next((tiny.folder / "runs").rglob("results")))
    shutil.rmtree(next((tiny.folder / "runs").rglob("descriptors")))
    before = _files(tiny.folder / "runs", *TRAINED)
    assert _scores(_run(tiny.request("tied", plugins=[plugin])).records) == _scores(first.records)
    assert _files(tiny.folder / "runs", *TRAINED) == before


def test_components_are_fitted_again_for_another_way_of_describing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tiny.request())
    monkeypatch.setattr(keys, "DESCRIBING_VERSION", 2)
    _run(tiny.request())
    assert len(list((tiny.folder / "runs").rglob("pca/*.npz"))) == 2


def test_times_of_a_training_elsewhere_are_no_times_of_this_machine(tiny: Tiny) -> None:
    (here, *_) = _run(tiny.request()).records
    note = next((tiny.folder / "runs").rglob("trained.json"))
    trained = json.loads(note.read_text())
    assert trained["environment"] == here.environment
    assert here.cost["train_seconds"] == pytest.approx(trained["seconds"])
    kept = {"train_seconds", "train_images_per_second"}
    older = {key: value for key, value in trained.items() if key not in ("precision", "environment")}
    for written, known in (
        (trained | {"environment": trained["environment"] | {"device": "cuda (another)"}}, False),
        (trained | {"environment": trained["environment"] | {"threads": "64"}}, False),
        (trained | {"environment": trained["environment"] | {"ranks": "2"}}, False),
        (trained | {"environment": trained["environment"] | {"torch": "3.0"}}, True),
        (older, True),
    ):
        shutil.rmtree(next((tiny.folder / "runs").rglob("results")))
        write_sealed(note, lambda path, written=written: path.write_text(json.dumps(written)))
        (record, *_) = _run(tiny.request()).records
        assert {record.cost[name] for name in kept} == ({here.cost[name] for name in kept} if known else {None})
        assert record.cost["train_loss"] == here.cost["train_loss"]


def _interrupted(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, before: dict[str, str], **request: Any) -> Record:
    """Train one of two epochs in an environment with these changes and the other here, and score."""
    keep = loop._keep

    def keep_and_stop(*state: Any) -> None:
        keep(*state)
        raise KeyboardInterrupt

    def elsewhere(*here: str) -> dict[str, str]:
        return environment(*here) | before

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_keep", keep_and_stop)
        patched.setattr(loop, "compiled_loss", lambda *_: nullcontext())  # a compiler takes minutes
        patched.setattr(network, "environment", elsewhere)
        with pytest.raises(KeyboardInterrupt):
            _run(tiny.request(**request))
    return _run(tiny.request()).records[0]


@pytest.mark.parametrize(
    ("before", "timed"),
    [
        ({}, True),
        ({"torch": "3.0"}, True),
        ({"device": "cpu (another)"}, False),
        ({"threads": "64"}, False),
        ({"precision": "bf16"}, False),
        ({"ranks": "2"}, False),
    ],
)
def test_a_training_that_was_resumed_elsewhere_tells_no_times(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, before: dict[str, str], timed: bool
) -> None:
    record = _interrupted(tiny, monkeypatch, before)
    known = [record.cost[name] is not None for name in ("train_seconds", "train_images_per_second")]
    assert known == [timed] * 2
    assert not {"trained on", "compiled"} & {*record.environment}
    assert record.environment["precision"] == ("32 and bf16" if "precision" in before else "32")
    assert record.cost["describe_images_per_second"] is not None


def test_a_training_on_two_kinds_of_devices_names_both(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    record = _interrupted(tiny, monkeypatch, {"device": "cuda:1 (another)"})
    assert record.environment["trained on"] == f"cuda:1 (another); {record.environment['device']}"
    assert machine_of(record) == "cpu and cuda, 32"
    assert record.cost["train_seconds"] is None


def test_a_training_that_was_compiled_for_an_epoch_is_a_compiled_one_without_times(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _interrupted(tiny, monkeypatch, {}, compile=True)
    assert record.environment["compiled"] == "training"
    assert record.cost["train_seconds"] is record.cost["train_images_per_second"] is None


def test_rounds_on_two_kinds_of_devices_are_named(tiny: Tiny) -> None:
    """The last round decides no more than the others."""
    pool = f"folder:{write_scenes(tiny.folder / 'pool', 3, 5, seed=9)}"
    overrides = [f'data.unlabelled="{pool}"', "methods.self-training.threshold=0.1"]
    request = tiny.request("self-training", overrides=overrides)
    first = _run(request).plan.runs[0].note(1)
    trained = json.loads(first.read_text())
    written = trained | {"environment": trained["environment"] | {"device": "cuda (another)"}}
    shutil.rmtree(next((tiny.folder / "runs").rglob("results")))
    write_sealed(first, lambda path: path.write_text(json.dumps(written)))
    for record in _run(request).records:
        assert record.environment["trained on"].startswith("cuda (another)")


def test_a_speed_of_describing_elsewhere_is_none_of_this_machine(tiny: Tiny) -> None:
    (here, *_) = _run(tiny.request()).records
    note = next((tiny.folder / "runs").rglob("described.json"))
    described = json.loads(note.read_text())
    assert described["environment"] == here.environment
    older = {key: value for key, value in described.items() if key != "environment"}
    for written, known in (
        (described | {"environment": described["environment"] | {"device": "cuda (another)"}}, False),
        (described | {"environment": described["environment"] | {"torch": "3.0"}}, True),
        (older, True),
    ):
        shutil.rmtree(next((tiny.folder / "runs").rglob("results")))
        write_sealed(note, lambda path, written=written: path.write_text(json.dumps(written)))
        (record, *_) = _run(tiny.request()).records
        assert record.cost["describe_images_per_second"] == (described["images_per_second"] if known else None)
        assert record.cost["parameters"] == here.cost["parameters"]


def test_parameters_macs_and_normalisation_are_those_for_the_bands_of_the_target(tiny: Tiny) -> None:
    """Runs on three and on five bands share a folder; one is recorded again after the other was described."""
    five = tiny.folder / "five"
    for name, bright in (("a", 60), ("b", 180)):
        (five / name).mkdir(parents=True)
        for number in range(3):
            scene = np.random.default_rng(number).integers(bright, bright + 60, (32, 32, 5), np.uint8)
            tifffile.imwrite(five / name / f"{number}.tif", scene, photometric="minisblack", planarconfig="contig")

    def run(target: str, out: str) -> Record:
        options: dict[str, Any] = {"targets": [target], "overrides": ["data.bands=all"], "out": out}
        return _run(tiny.request("timm:test_resnet@none", **options)).records[0]

    def facts(record: Record) -> tuple[Any, ...]:
        return record.cost["parameters"], record.cost["macs"], record.pixels.mean, record.pixels.std

    three_alone, five_alone = run(tiny.target, "three"), run(f"folder:{five}", "alone")
    assert (len(three_alone.pixels.mean), len(five_alone.pixels.mean)) == (3, 5)
    assert three_alone.cost["macs"] < five_alone.cost["macs"]
    assert facts(run(tiny.target, "both")) == facts(three_alone)
    assert facts(run(f"folder:{five}", "both")) == facts(five_alone)
    shutil.rmtree(next((tiny.folder / "both").rglob("results")))
    assert facts(run(tiny.target, "both")) == facts(three_alone)
    assert facts(run(f"folder:{five}", "both")) == facts(five_alone)


def test_the_speed_of_describing_in_another_precision_is_in_no_other_result(tiny: Tiny) -> None:
    """Descriptors of the first run are there for the last one, whose folder notes the speed of the one between."""
    speeds = [
        _run(tiny.request(overrides=overrides)).records[0].cost["describe_images_per_second"]
        for overrides in ([], ["describe.precision=bf16"], ["score.similarity=cosine"])
    ]
    assert [speed is not None for speed in speeds] == [True, True, False]


def test_the_precision_of_a_record_is_that_of_the_methods_recipe(tiny: Tiny) -> None:
    plugin = tiny.folder / "halved.py"
    plugin.write_text(
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Halved(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'halved'})\n"
        "    def recipe(self, train):\n"
        "        return train.model_copy(update={'precision': 'bf16'})\n"
    )
    (record, *_) = _run(tiny.request("halved", plugins=[plugin])).records
    assert record.environment["precision"] == "bf16"
    assert record.cost["train_seconds"] is not None


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


def test_all_weights_that_cannot_be_loaded_are_told_together(tiny: Tiny) -> None:
    names = [tiny.folder / f"{number}.safetensors" for number in (1, 2)]
    for path in names:
        path.write_bytes(b"no weights")
    with pytest.raises(UserError) as caught:
        _run(tiny.request(",".join(f"timm:test_resnet@{path}" for path in names)))
    assert [str(path) in line for path, line in zip(names, str(caught.value).splitlines(), strict=True)] == [True, True]


def test_damaged_scenes_are_named_before_training(tiny: Tiny) -> None:
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


def test_the_estimate_counts_a_weights_update_once_a_batch(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(tiny.request())
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tiny.folder / "cache"))
    quick = _estimate(plan)
    shutil.rmtree(tiny.folder / "cache" / "steps")  # where what is measured is kept
    slowed = register_optimizer_step_pre_hook(lambda *_: time.sleep(0.25))
    try:
        slow = _estimate(plan)
    finally:
        slowed.remove()
    epochs, batches = plan.protocol.train.epochs, 24 / plan.protocol.train.batch
    assert slow.seconds - quick.seconds == pytest.approx(0.25 * epochs * batches, rel=0.3)


@pytest.mark.parametrize(("kind", "sizes"), [("cuda", {64}), ("cpu", {8, 24})])
def test_what_a_device_prepares_at_first_is_not_taken_for_its_speed(kind: str, sizes: set[int]) -> None:
    asked: list[int] = []

    def step(count: int) -> float:
        # A GPU prepares for each size of a batch; a CPU gets the memory of the largest so far.
        prepared = count in asked or (kind == "cpu" and max(asked, default=0) > count)
        asked.append(count)
        return 0.02 + 0.001 * count + 5 * (not prepared)

    assert training_seconds(step, 64, kind) == pytest.approx(0.02 / 64 + 0.001)
    assert set(asked) == sizes


def _estimate(plan: Plan, known: dict[str, StepCost | None] | None = None, number: int = 0) -> Estimate:
    found = estimate(plan, plan.runs[number], {} if known is None else known)
    assert found is not None
    return found


def test_a_step_is_measured_once_and_scaled_to_what_each_run_has_left(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tiny.folder / "cache"
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(cache))
    _run(tiny.request(seeds=[0]))
    plan = make_plan(tiny.request(seeds=[0, 1], overrides=["describe.pca=3"]))
    known: dict[str, StepCost | None] = {}
    trained = _estimate(plan, known)
    step = known["baseline"]
    assert step is not None
    shutil.rmtree(cache / "steps")
    new = _estimate(plan, known, 1)
    assert known == {"baseline": step}
    assert not (cache / "steps").exists()  # it was not measured again
    # 18 scenes of the target, with 3 values in each row, and 24 of the source; 2 epochs of these in a training. The
    # first seed has its row FC.
    assert trained.seconds == pytest.approx(step.describing * (18 + 24))
    assert new.seconds == pytest.approx(trained.seconds + step.training * 24 * 2)
    assert trained.run_bytes == 18 * 4 * 3
    assert new.run_bytes == 2 * trained.run_bytes + 2 * (step.state + 4 * step.parameters)


def test_a_measured_step_is_kept_between_plans(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tiny.folder / "cache"))
    first = _estimate(make_plan(tiny.request()))
    (kept,) = (tiny.folder / "cache" / "steps").iterdir()
    before = _files(kept.parent, "*")
    assert _estimate(make_plan(tiny.request())) == first  # to the last bit of its seconds
    assert _estimate(make_plan(tiny.request(seeds=[7]))) == first
    moved = write_scenes(tiny.folder / "moved", 3, 8, seed=1)  # the same scenes
    assert _estimate(make_plan(tiny.request(overrides=[f"data.source=folder:{moved}"]))) == first
    assert _files(kept.parent, "*") == before
    kept.write_text("{")  # damaged: measured again
    assert _estimate(make_plan(tiny.request())).run_bytes == first.run_bytes
    other = write_scenes(tiny.folder / "other", 3, 8, seed=3)
    changes = (["train.batch=4"], ["trunk.arguments={}", "data.size=48"], [f"data.source=folder:{other}"])
    for overrides in changes:
        _estimate(make_plan(tiny.request(overrides=overrides)))
    assert len(list(kept.parent.iterdir())) == 1 + len(changes)


def test_the_disk_is_estimated_from_what_is_written(tiny: Tiny) -> None:
    """Rows at their own lengths, codes as bits, and what each optimizer keeps of its parameters."""
    known: dict[str, StepCost | None] = {}
    pool = f'data.unlabelled="folder:{write_scenes(tiny.folder / "pool", 3, 5, seed=9)}"'
    plan = make_plan(tiny.request("everything", plugins=[PLUGINS / "everything.py"], overrides=[pool]))
    taken = _estimate(plan, known)
    step = known["everything"]
    assert step is not None
    assert step.lengths == {"FC": 3, "FC1": 16, "bits": 16}
    assert taken.run_bytes == 3 * step.state + 2 * 4 * step.parameters * 2 + 18 * (4 * 3 + 2 + 4 * 4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_disk_holds_two_checkpoints_while_one_takes_the_place_of_the_other(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    request = tiny.request(overrides=[f"train.optimizer={optimizer}"])
    told = _estimate(make_plan(request)).run_bytes
    sizes: list[int] = []
    save = torch.save

    def measured(state: Any, path: Path) -> None:
        save(state, path)
        sizes.append(sum(file.stat().st_size for file in request.out.rglob("*") if file.is_file()))

    monkeypatch.setattr(torch, "save", measured)
    _run(request)
    assert max(sizes) == pytest.approx(told, rel=0.03)  # names and places of the tensors come on top


def test_what_cannot_be_measured_is_said(tiny: Tiny) -> None:
    plugin = _broken(tiny)
    lines: list[str] = []
    campaign(tiny.request("broken,baseline", plugins=[plugin], seeds=[0, 1]), lines.append, plan_only=True)
    told = lines[0].splitlines()
    assert (
        "to do     broken seed 1: 2 results, time unknown, its step fails: ValueError: no such loss (broken.py:5)"
        in told
    )
    assert told[-1].startswith("estimate  at least ")
    assert told[-1].endswith(" of new pixel cache; 2 runs unknown")


def test_weights_that_were_changed_on_disk_are_refused(tiny: Tiny) -> None:
    _run(tiny.request())
    weights = next((tiny.folder / "runs").rglob("weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    outcome = _run(tiny.request(overrides=["describe.pca=2"]))
    assert "damaged or missing; delete" in outcome.failures["baseline seed 0"]


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
    "data.antialias=false",
    "methods.jsst.rate=1.0",
    "methods.jsst.spread=0.1",
    "methods.jsst.padding=zeros",
]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Descriptors under the tiny protocol, but for the size of the scenes."""
    return _descriptors(make_tiny(tmp_path_factory.mktemp("usual")), ["data.size=28"])


@pytest.mark.parametrize("setting", TRAINING_SETTINGS)
def test_each_setting_of_the_training_changes_the_descriptors(tiny: Tiny, usual: np.ndarray, setting: str) -> None:
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


def test_distorted_targets_are_scored_beside_the_target_as_it_is(tiny: Tiny) -> None:
    clean = _run(tiny.request("baseline,jsst"))
    both = _run(tiny.request("baseline,jsst", distortions=["rotation:5", "gamma:5"]))
    kept = [record for record in both.records if record.distortion is None]
    assert kept == clean.records  # nothing of them is made again, and their keys are those of before
    distorted = [record for record in both.records if record.distortion is not None]
    assert len(distorted) == 2 * len(clean.records)
    assert {f"{part.name}:{part.severity}" for r in distorted if (part := r.distortion)} == {"rotation:5", "gamma:5"}
    assert len({record.key for record in both.records}) == len(both.records)
    assert all(f"--distort {r.distortion.name}:5" in r.command for r in distorted if r.distortion)
    fc = {str(r.distortion): r.metrics for r in both.records if (r.method.name, r.row.name) == ("baseline", "FC")}
    assert len({tuple(metrics.values()) for metrics in fc.values()}) == 3
    plan = make_plan(tiny.request("baseline", distortions=["rotation:5"]))
    assert all(cell.done for cell in plan.runs[0].cells)


def test_the_source_of_a_pca_is_never_distorted(tiny: Tiny) -> None:
    """Distorted descriptors are projected on the components that were fitted on the source as it is."""
    _run(tiny.request())
    fitted = _files(tiny.folder / "runs", "pca/*.npz")
    content = next(iter(fitted)).read_bytes()
    assert _run(tiny.request(distortions=["haze:5"])).failures == {}
    assert _files(tiny.folder / "runs", "pca/*.npz") == fitted  # nothing was fitted again
    assert next(iter(fitted)).read_bytes() == content


def test_the_record_says_how_files_became_pixels(tiny: Tiny) -> None:
    settings = ["data.size=28", "data.resize=bicubic", "data.antialias=false", "trunk.mean=[0.1, 0.2, 0.3]"]
    pixels = _run(tiny.request(overrides=settings)).records[0].pixels
    assert pixels is not None
    assert (pixels.size, pixels.filter, pixels.antialias, pixels.bands) == (28, "bicubic", False, [0, 1, 2])
    assert pixels.mean == pytest.approx([0.1, 0.2, 0.3])
    assert pixels.std == [0.5, 0.5, 0.5]  # of timm's test network
    assert pixels.decoders["pillow"] == PIL.__version__
    assert {"jpeg", "tifffile"} <= pixels.decoders.keys()


def test_thirteen_bands_go_from_the_card_to_the_record(tiny: Tiny, tmp_path: Path, monkeypatch) -> None:
    """A small tree in EuroSAT's layout, 16 bit: as it shows to the eye and with all its bands."""
    card = small_card("eurosat", scenes=4, classes=3)
    write_dataset(card, tmp_path)
    target = tmp_path / "other"
    for number, path in enumerate(sorted(write_scenes(target, 3, 6, 6).rglob("*.png"))):
        values = np.random.default_rng(number).integers(0, 4000, (32, 32, 13), np.uint16)
        tifffile.imwrite(path.with_suffix(".tif"), values, photometric="minisblack", planarconfig="contig")
        path.unlink()
    monkeypatch.setitem(load_cards(), "eurosat", card)
    usual = ["data.source=eurosat", "trunk.mean=[0.5]", "trunk.std=[0.25]"]
    found = {}
    for bands in ("rgb", "all"):
        request = tiny.request("jsst", targets=[f"folder:{target}"], overrides=[*usual, f"data.bands={bands}"])
        outcome = _run(request)
        assert outcome.failures == {}
        found[bands] = outcome.records
    shown, every = (record[0].pixels for record in found.values())
    assert shown is not None
    assert every is not None
    assert (every.bands, len(every.mean or [])) == (list(range(13)), 13)
    assert len(shown.bands) == 3
    assert _scores(found["rgb"]) != _scores(found["all"])


@pytest.fixture
def unlike(tmp_path: Path) -> Path:
    """A target of three classes whose scenes are noise, and so duplicates of nothing."""
    chance = np.random.default_rng(9)
    for number in range(18):
        path = tmp_path / f"unlike/class{number % 3}/noise{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    return tmp_path / "unlike"


def _kept_and_dropped(tiny: Tiny, target: Path) -> list[list[Record]]:
    options = {"methods": "baseline,timm:test_resnet@none", "targets": [f"folder:{target}"]}
    return [_run(tiny.request(**options, overrides=[f"data.leaked={choice}"])).records for choice in ("keep", "drop")]


def test_scenes_that_leaked_from_the_source_can_be_left_out(tiny: Tiny, unlike: Path, tmp_path: Path) -> None:
    for number in (0, 1):  # two scenes of the source, under other names in the target
        copy = unlike / f"class{number}/zz_copy.png"
        copy.write_bytes((tmp_path / f"source/class{number}/scene03.png").read_bytes())
    kept, dropped = _kept_and_dropped(tiny, unlike)
    assert {(r.target.scenes, r.target.excluded, r.queries.count) for r in kept} == {(20, 0, 20)}
    assert {(r.target.scenes, r.target.excluded, r.queries.count) for r in dropped} == {(18, 2, 18)}
    assert all(one.metrics["mAP"] != other.metrics["mAP"] for one, other in zip(kept, dropped, strict=True))
    assert "2 duplicates of source scenes excluded" in terminal_table(dropped)
    assert len(list((tiny.folder / "runs/baseline").iterdir())) == 1  # the same training serves both


def test_where_nothing_leaked_nothing_changes(tiny: Tiny, unlike: Path) -> None:
    kept, dropped = _kept_and_dropped(tiny, unlike)
    assert [record.metrics for record in kept] == [record.metrics for record in dropped]


def test_the_record_names_the_weights_that_a_method_of_its_own_trunk_starts_from(tiny: Tiny) -> None:
    overrides = ["trunk.name=resnet34", "trunk.weights=imagenet"]
    runs = make_plan(tiny.request("baseline,se,sk,jsst+sk", overrides=overrides)).runs
    legacy = make_plan(tiny.request("se", overrides=[*overrides, "methods.se.legacy=true"])).runs
    assert {run.method.label: run.weights["trunk"] for run in [*runs, *legacy]} == {
        "baseline": "imagenet:resnet34",
        "se": "imagenet:resnet34",
        "sk": "imagenet:skresnet34.ra_in1k",
        "jsst+sk": "imagenet:skresnet34.ra_in1k",
        "se (se.legacy=True)": "imagenet:legacy_seresnet34.in1k",
    }


def test_the_model_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(
        "processor\t: 0\nmodel\t\t: 207\nmodel name\t: Quick CPU 7763 64-Core Processor   \nflags\t\t: fpu\n"
    )
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert processor(told) == "Quick CPU 7763 64-Core Processor, AVX2"
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert processor(tmp_path / "none") == "arm, AVX2"
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert processor(tmp_path / "none") == "unknown model, AVX2"


def test_a_record_names_the_model_of_the_cpu(tiny: Tiny) -> None:
    (record, *_) = _run(tiny.request("timm:test_resnet@none")).records
    assert record.environment["device"] == f"cpu ({processor()})"


def test_an_interrupted_campaign_says_what_is_kept_and_the_plan_where_it_resumes(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second of two epochs."""
    keep, lines = loop._keep, []
    known: dict[str, StepCost | None] = {}
    whole = _estimate(make_plan(tiny.request()), known)

    def interrupted(checkpoint: Path, state: dict[str, Any]) -> None:
        keep(checkpoint, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            campaign(tiny.request(), lines.append)
    kept = f"{tiny.folder / 'runs'}: 0 of 2 results, baseline seed 0 up to epoch 1"
    assert lines[-1] == f"stopped   kept in {kept}; run the same command to resume"
    left, step = _estimate(make_plan(tiny.request()), known), known["baseline"]
    assert step is not None
    assert left.seconds == pytest.approx(whole.seconds - step.training * 24)  # the scenes of the first epoch
    lines.clear()
    assert not campaign(tiny.request(), lines.append).failures
    assert "; resumes at epoch 2" in lines[0]
    assert "resumes" not in describe_plan(make_plan(tiny.request()))
