"""Every method is tried once before the first run: what its author got wrong is said at once, in the author's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Tiny, write_scenes
from tiny import message

from rsir_bench.method.registry import discover, least_schedules
from rsir_bench.runs import trial
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.campaign import campaign

PLUGIN = """import torch
from rsir_bench.methods.baseline import Baseline

class Odd(Baseline):
    \"\"\"An odd baseline.\"\"\"
    card = Baseline.card.model_copy(update={{"name": "odd"}})

    {body}
"""

SAID = {
    "loss of each scene": (
        "def loss(self, batch): return torch.stack([super(Odd, self).loss(batch)] * 3)",
        "loss() returned a tensor of shape (3,); return a scalar",
    ),
    "no return": ("def loss(self, batch): super().loss(batch)", "loss() returned None; forgot return?"),
    "a loss in NumPy": ("def loss(self, batch): return super().loss(batch).detach().numpy()", "returned numpy.ndarray"),
    "a detached loss": ("def loss(self, batch): return super().loss(batch).detach()", "without a gradient"),
    "an exception in loss": ("def loss(self, batch): raise KeyError('mine')", "KeyError: 'mine' (odd.py:8)"),
    "a tensor for descriptors": (
        "def describe(self, scenes): return next(iter(super().describe(scenes).values()))",
        "describe() must return {name: Tensor}, but returned Tensor",
    ),
    "NumPy for descriptors": (
        "def describe(self, scenes): return {k: v.numpy() for k, v in super().describe(scenes).items()}",
        "returned numpy.ndarray as",
    ),
    "squeezed descriptors": (
        "def describe(self, scenes): return {k: v.squeeze() for k, v in super().describe(scenes).items()}",
        "for 1 scenes, not (1, D)",
    ),
    "no row": ("def describe(self, scenes): return {}", "describe() returns nothing but no"),
    "no numbers": (
        "def describe(self, scenes): return {k: v * float('nan') for k, v in super().describe(scenes).items()}",
        "are not finite, before any training",
    ),
    "larger batches": (
        "def batches(self, labels, size, generator): return [torch.arange(len(labels))]",
        "more than the 8 asked for",
    ),
    "labels for indices": (
        "def batches(self, labels, size, generator): return list(labels.split(size))",
        "return indices, not labels",
    ),
    "batches of one scene": (
        "def batches(self, labels, size, generator): return list(torch.arange(8).split(7))\n"
        "    def loss(self, batch):\n        assert len(batch.labels) > 1, 'two or more'\n"
        "        return super().loss(batch)",
        "AssertionError: two or more",
    ),
    "a figure that is none": ("def epoch_metrics(self): return {'figure': 'many'}", "returned 'many' as 'figure'"),
    "super().__init__ forgotten": ("def __init__(self, setup, settings): self.trunk = setup.trunk()", "(odd.py:8)"),
}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def odd(tiny: Tiny, body: str) -> Path:
    path = tiny.folder / "odd.py"
    path.write_text(PLUGIN.format(body=body))
    return path


def run(tiny: Tiny, methods: str, **changes: Any) -> tuple[Any, list[str]]:
    lines: list[str] = []
    changes = {"overrides": ["train.batch=8"], **changes}
    return campaign(tiny.request(methods, **changes), lines.append), "\n".join(lines).splitlines()


@pytest.mark.parametrize("what", SAID)
def test_a_mistake_is_said_before_anything_is_trained(what: str, tiny: Tiny, cache: Path) -> None:
    body, words = SAID[what]
    outcome, lines = run(tiny, "odd", plugins=[odd(tiny, body)])
    (said,) = (line for line in lines if line.startswith("failed: odd seed 0: "))
    assert words in said
    assert outcome.failures == {"odd seed 0": said.removeprefix("failed: odd seed 0: ")}
    assert said.count("odd seed 0") == 1
    assert not list((tiny.folder / "runs").rglob("log.csv"))


def test_a_failing_method_costs_only_its_own_runs(tiny: Tiny, cache: Path) -> None:
    plugin = odd(tiny, SAID["NumPy for descriptors"][0])
    outcome, _ = run(tiny, "odd,baseline", plugins=[plugin], seeds=[0, 1])
    assert set(outcome.failures) == {"odd seed 0", "odd seed 1"}
    assert {record.method.name for record in outcome.records} == {"baseline"}
    assert {record.seed for record in outcome.records} == {0, 1}


def test_a_method_is_tried_once_with_its_code(tiny: Tiny, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    usual = trial._describe
    monkeypatch.setattr(trial, "_describe", lambda plan, run, *rest: (tried.append(run.title), usual(plan, run, *rest)))
    plugin = odd(tiny, "factor = 1.0")
    run(tiny, "odd", plugins=[plugin], seeds=[0, 1])
    run(tiny, "odd", plugins=[plugin], seeds=[2], out="other")
    assert tried == ["odd seed 0"]
    odd(tiny, "factor = 1.0  # prose")
    run(tiny, "odd", plugins=[plugin], out="third")
    assert tried == ["odd seed 0"]
    odd(tiny, "factor = 2.0")
    run(tiny, "odd", plugins=[plugin], out="fourth")
    assert tried == ["odd seed 0"] * 2


def test_a_trial_is_that_of_the_scenes_without_labels_too(tiny: Tiny, cache: Path) -> None:
    places = []
    for name, seed in (("pool", 3), ("moved", 3), ("other", 4)):
        pool = write_scenes(tiny.folder / name, 3, 5, seed=seed)
        plan = make_plan(tiny.request("self-training", overrides=[f'data.unlabelled="folder:{pool}"']))
        places.append(trial._place(plan, plan.runs[0]))
    assert places[0] == places[1] != places[2]


def test_a_trial_changes_no_number(tiny: Tiny, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_trial = run(tiny, "baseline")[0].records
    monkeypatch.setattr("rsir_bench.runs.runners.campaign.is_tried", lambda plan, run: True)
    without = run(tiny, "baseline", out="other")[0].records
    assert [record.metrics for record in with_trial] == [record.metrics for record in without]


def test_a_method_that_needs_more_than_a_few_scenes_gets_a_whole_batch(tiny: Tiny, cache: Path) -> None:
    body = (
        "def loss(self, batch):\n        assert len(batch.labels) > 8\n        return super().loss(batch)\n"
        "    def batches(self, labels, size, generator): return [torch.arange(9)]"
    )
    outcome, _ = run(tiny, "odd", plugins=[odd(tiny, body)], overrides=["train.batch=9"])
    assert not outcome.failures


def fits(card: Any) -> bool:
    """Whether a card's method can be trained under the tiny protocol."""
    of_encoder = card.name in ("timm", "hf", "open_clip", "torchgeo")
    return not getattr(card, "trunk", None) and not getattr(card, "needs_unlabelled", False) and not of_encoder


@pytest.mark.parametrize("name", [name for name, entry in discover().items() if fits(entry.method_class.card)])
def test_every_shipped_method_passes(name: str, tiny: Tiny, cache: Path) -> None:
    schedule = [f"methods.{name}.epochs=1"] if name in least_schedules(discover()) else []
    plan = make_plan(tiny.request(name, overrides=["train.batch=8", *schedule]))
    (planned,) = plan.runs
    trial.try_method(plan, planned)
    assert trial.is_tried(plan, planned)


@pytest.mark.parametrize("plan_only", [True, False])
def test_batches_that_are_too_small_stop_the_plan(plan_only: bool, tiny: Tiny, cache: Path) -> None:
    lines: list[str] = []
    request = tiny.request("baseline,dhn", overrides=["train.batch=2"])
    for _ in range(2):
        text = message(lambda: campaign(request, lines.append, plan_only=plan_only))
        assert text == "train.batch=2: too small for two scenes of each of two classes; set 4 or more"
    assert not lines


def test_a_trunk_without_maps_leaves_methods_out_with_the_reason(tiny: Tiny, cache: Path) -> None:
    overrides = ["trunk.name=test_vit", "trunk.arguments={img_size=32}", "train.batch=8"]
    for _ in range(2):  # measured, then kept
        lines: list[str] = []
        request = tiny.request("baseline,cbp,t-nlnn", overrides=overrides)
        plan = campaign(request, lines.append, plan_only=True).plan
        assert [run.method.name for run in plan.runs] == ["baseline"]
        assert "absent    cbp: the method needs feature maps, which the trunk does not have" in lines[0]
        assert "absent    t-nlnn: the method needs feature maps" in lines[0]
    text = message(lambda: campaign(tiny.request("cbp", overrides=overrides), lines.append))
    assert text.startswith("nothing to run: cbp: the method needs feature maps")


def test_the_plan_alone_says_why_a_step_fails(tiny: Tiny, cache: Path) -> None:
    lines: list[str] = []
    plugin = odd(tiny, SAID["an exception in loss"][0])
    campaign(tiny.request("odd", plugins=[plugin]), lines.append, plan_only=True)
    assert "time unknown, its step fails: KeyError: 'mine' (odd.py:8)" in lines[0]
