"""Tuned rows have a separate schedule, and run only if a protocol gives it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from conftest import Tiny
from tiny import message, tiny_protocol, tiny_setup

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "frozen"))
from listing import fake_plan

from rsir_bench.method.registry import discover, resolve
from rsir_bench.protocol import load_protocol
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.request import Request
from rsir_bench.training.loop import make_optimizer

FOUND = discover()
TUNED = [name for name in FOUND if name.endswith("-tuned")]
SCHEDULE = {"epochs": 5, "train_rate": 0.3, "flip": True, "distort": 0.25}


@pytest.mark.parametrize("name", TUNED)
def test_a_tuned_row_trains_by_its_schedule_and_is_otherwise_the_method(name: str) -> None:
    setup, base = tiny_setup(), name.removesuffix("-tuned")
    usual = resolve(base, FOUND, {}, {}).build(setup)
    tuned = resolve(name, FOUND, {name: SCHEDULE}, {}).build(setup)
    train = setup.protocol.train
    changed = train.model_copy(update={"epochs": 5, "rate": 0.3, "flip": True, "distort": 0.25})
    assert tuned.recipe(train) == usual.recipe(changed)
    assert [name for name, _ in tuned.named_parameters()] == [name for name, _ in usual.named_parameters()]
    highest = max(group["lr"] for group in make_optimizer(tuned, tuned.recipe(train)).param_groups)
    assert highest == 0.3


def test_what_the_schedule_leaves_out_is_the_protocols() -> None:
    train = tiny_protocol().train
    network = resolve("baseline-tuned", FOUND, {"baseline-tuned": {"epochs": 5}}, {}).build(tiny_setup())
    assert network.recipe(train) == train.model_copy(update={"epochs": 5})


@pytest.mark.parametrize(
    ("name", "settings", "rate"),
    [
        ("nts-net-tuned", {"nts-net-tuned": {"epochs": 5, "train_rate": 0.3}}, 0.001),
        ("jsst-tuned+dhn", {"jsst-tuned": {"epochs": 5, "train_rate": 0.3, "absolute_rate": 0.02}}, 0.01),
    ],
)
def test_a_rate_of_its_own_stays_whatever_the_schedule(name: str, settings: dict, rate: float) -> None:
    network = resolve(name, FOUND, settings, {}).build(tiny_setup())
    optimizer = make_optimizer(network, network.recipe(tiny_protocol().train))
    rates = {group["lr"] for group in optimizer.param_groups}
    assert {rate, 0.3} <= rates


def test_a_schedule_that_does_not_go_with_the_protocols_is_refused() -> None:
    """Milestones 16 and 31 of ten epochs: the rate would never fall."""
    network = resolve("baseline-tuned", FOUND, {"baseline-tuned": {"epochs": 10}}, {}).build(tiny_setup())
    with pytest.raises(ValueError, match="milestones"):
        network.recipe(load_protocol("patternnet").train)


def test_idle_epochs_are_counted_in_the_epochs_of_the_row() -> None:
    def built(epochs: int) -> torch.nn.Module:
        settings = {"jsst-tuned": {"epochs": epochs, "idle_epochs": 4}}
        return resolve("jsst-tuned", FOUND, settings, {}).build(tiny_setup())

    assert built(5)
    with pytest.raises(ValueError, match="idle_epochs=4: no epoch of 4 remains"):
        built(4)
    behind = {"jsst": {"idle_epochs": 2}, "baseline-tuned": {"epochs": 1}}
    with pytest.raises(ValueError, match="idle_epochs=2: no epoch of 1 remains"):
        resolve("jsst+baseline-tuned", FOUND, behind, {}).build(tiny_setup())


def test_a_tuned_row_without_a_schedule_is_left_out_of_all_and_says_what_it_needs(tiny: Tiny) -> None:
    names = {run.method.name for run in make_plan(tiny.request("all")).runs}
    assert not names & {*TUNED}
    said = message(lambda: make_plan(tiny.request("jsst-tuned")))
    assert said == (
        "method 'jsst-tuned': needs epochs; use a protocol that sets it, or --set methods.jsst-tuned.epochs=VALUE"
    )


def test_all_includes_the_tuned_rows_that_the_protocol_has() -> None:
    settled = {name for name in load_protocol("ucm-lite").methods if name.endswith("-tuned")}
    plan = fake_plan(Request(methods=["all"], protocol="ucm-lite"))
    assert settled
    assert settled == {run.method.name for run in plan.runs} & {*TUNED}


def test_a_tuned_row_is_not_in_the_papers_tables() -> None:
    card = FOUND["baseline-tuned"].method_class.card
    assert card.tables == []
    assert [row.paper for row in card.rows.values()] == [None, None]
    front = FOUND["jsst-tuned"].method_class.card
    assert (front.tables, front.published) == ([], {})
