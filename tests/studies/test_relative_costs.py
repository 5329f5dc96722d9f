"""Paired ratios: robust against a machine that slows down, and against the first step."""

from __future__ import annotations

import itertools
from types import ModuleType

import pytest
import torch
from by_path import load
from conftest import Tiny

from rsir_bench.runs.plan import make_plan


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("relative_costs")


class Clock:
    """A clock that a step moves on; the machine gets slower with every pair."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def step(self, seconds: float, first: float = 1.0):
        slowness = itertools.chain([first], itertools.count(1, 3))

        def work() -> None:
            self.now += seconds * next(slowness)

        return work


def test_what_slows_both_alike_cancels(study: ModuleType) -> None:
    clock = Clock()
    assert study.paired_ratio(clock.step(2.0), clock.step(1.0), 5, clock) == pytest.approx(0.5)


def test_the_first_pair_does_not_count(study: ModuleType) -> None:
    clock = Clock()
    assert study.paired_ratio(clock.step(1.0, first=100), clock.step(1.0), 1, clock) == pytest.approx(1)


@pytest.mark.parametrize(("device", "waits"), [("cuda:0", ["work", "cuda:0"]), ("cpu", ["work"])])
def test_a_step_ends_when_the_device_is_done(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, device: str, waits: list[str]
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: happened.append(str(device)))
    study.finished(lambda: happened.append("work"), torch.device(device))()
    assert happened == waits


def test_both_steps_wait_for_the_device(study: ModuleType, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(study, "finished", lambda step, device: lambda: (step(), waited.append(str(device))))
    plan = make_plan(tiny.request("jsst"))
    for step in study.steps(plan, plan.runs[0]):
        step()
    assert waited == ["cpu", "cpu"]


def test_steps_train_and_describe(study: ModuleType, tiny: Tiny) -> None:
    plan = make_plan(tiny.request("jsst,timm:test_resnet@none"))
    training, describing = study.steps(plan, plan.runs[0])
    training()
    describing()
    assert study.steps(plan, plan.runs[1])[0] is None
