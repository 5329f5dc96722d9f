"""timm's own weights, replaced under their name in the cache: results of others are not shown as those of today."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from conftest import Tiny
from safetensors.torch import save_file
from tiny import message

from rsir_bench.leaderboard.boards import boards
from rsir_bench.records.schema import Record
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.campaign import campaign

create = timm.create_model


@pytest.fixture
def replace_weights(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that fills timm's cache with weights of a seed, in the place of a hub."""
    cached = tiny.folder / "hub" / "model.safetensors"
    cached.parent.mkdir()
    tiny.protocol.write_text(tiny.protocol.read_text().replace('weights = "none"', 'weights = "imagenet"'))

    def from_cache(name: str, pretrained: bool = False, **arguments: Any) -> Any:
        overlay = {"pretrained_cfg_overlay": {"file": str(cached)}} if pretrained else {}
        return create(name, pretrained=pretrained, **arguments, **overlay)

    monkeypatch.setattr(timm, "create_model", from_cache)
    monkeypatch.setattr("rsir_bench.encoders.from_timm.hub_files", lambda repository, names: (cached,))

    def replaced(seed: int) -> None:
        torch.manual_seed(seed)
        save_file(create(NAME, num_classes=5).state_dict(), cached)

    return replaced


NAME = "test_resnet"


def test_weights_replaced_under_their_name_make_another_result(tiny: Tiny, replace_weights):
    replace_weights(1)
    first = results(tiny)
    assert {record.weights["trunk"] for record in first} == {f"imagenet:{NAME}"}
    assert not make_plan(tiny.request()).todo
    replace_weights(2)
    lines: list[str] = []
    plan = make_plan(tiny.request())
    assert len(plan.todo) == 1
    second = results(tiny, lines)
    assert f"other weights of imagenet:{NAME} in timm's cache now; recomputed" in "\n".join(lines)
    fresh = results(tiny, out="elsewhere")
    assert (
        [record.metrics for record in second]
        == [record.metrics for record in fresh]
        != [record.metrics for record in first]
    )
    assert not make_plan(tiny.request()).todo
    assert "initial weights" in message(lambda: boards([first[0], second[0].model_copy(update={"seed": 1})]))
    # Made elsewhere, both go by the name alone, and the tensors tell them apart.
    assert "has different trunk tensors" in message(lambda: boards([first[0], fresh[0].model_copy(update={"seed": 1})]))
    replace_weights(1)
    assert [record.key for record in results(tiny)] == [record.key for record in first]


def test_the_same_weights_downloaded_again_change_nothing(tiny: Tiny, replace_weights):
    replace_weights(1)
    first = results(tiny)
    replace_weights(1)
    assert not make_plan(tiny.request()).todo
    shutil.rmtree(tiny.folder / "hub")  # they cannot be compared
    assert not make_plan(tiny.request()).todo
    assert [record.key for record in results(tiny)] == [record.key for record in first]


def results(tiny: Tiny, lines: list[str] | None = None, out: str = "runs") -> list[Record]:
    outcome = campaign(tiny.request(out=out), [].append if lines is None else lines.append)
    assert not outcome.failures
    return sorted(outcome.records, key=lambda record: (record.target.name, record.row.name))
