"""Apple's ``mps``, as far as it can be tested without one: choice, precision, no 64-bit floats."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import message, some_scenes, tiny_method, tiny_setup
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import rsir_bench
from rsir_bench.base.compute import devices
from rsir_bench.base.compute.devices import finish, on_device, widest
from rsir_bench.method.composition import Composed
from rsir_bench.nn import contrast, proposals, transformation, warp
from rsir_bench.runs import trial
from rsir_bench.runs.artifacts.environment import environment
from rsir_bench.scenes.batches import Scenes
from rsir_bench.training import describe, distributed, effect
from rsir_bench.training.device import DEVICES, effective_precision, find_device, make_fabric
from rsir_bench.training.loop import loss_terms, make_optimizer

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has an ``mps``."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_it_is_chosen_by_name_and_only_where_it_is(apple: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device("mps") == "mps"
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")  # nothing was published with it
    assert message(lambda: find_device("mps:0")) == "device 'mps:0': unknown; known: auto, cpu, cuda, cuda:N, mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert message(lambda: find_device("mps")) == "device 'mps': this machine has none; use cpu"


def test_its_precision_and_name_are_recorded(apple: None) -> None:
    assert effective_precision("auto", "mps") == "32"
    assert effective_precision("bf16", "mps") == "bf16"
    assert environment("mps", "auto")["device"].startswith("mps (")
    assert environment("mps", "auto")["precision"] == "32"


def test_fabric_is_set_up_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning is asked for the accelerator of that name; whether it works is Apple's to say."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr("lightning_fabric.Fabric", lambda **given: asked.update(given))
    make_fabric("mps", "auto")
    assert asked == {"accelerator": "mps", "devices": 1, "precision": "32-true"}


def test_it_cannot_be_shared_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "--device mps: several processes cannot share it; omit --devices"
    assert message(lambda: distributed.launch(2, "mps", [])) == text
    monkeypatch.setattr(distributed, "launched", lambda: True)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert message(lambda: distributed.rank_device("mps", 2)) == text


def test_ranks_need_64_bits(apple: None) -> None:
    rows, labels = np.eye(4, dtype=np.float32), [0, 0, 1, 1]
    text = message(lambda: rsir_bench.score(rows, labels, device="mps"))
    assert text == "device 'mps': ranks need 64-bit floats, which it lacks; use cpu"


def test_a_trial_is_made_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Any = SimpleNamespace(request=SimpleNamespace(device="mps"))
    assert trial._device(plan) == MPS


def test_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    finish(MPS)
    finish(CPU)
    assert waited == ["mps"]


def test_its_widest_floats_have_32_bits() -> None:
    assert widest(MPS) == torch.float32
    assert widest(CPU) == widest(torch.device("cuda")) == torch.float64


# --- no 64-bit floats reach it: on a CPU that pretends to have none ---


class No64Bits(TorchDispatchMode):
    """Refuses every operation that gives a tensor of 64-bit floats."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = function(*args, **(kwargs or {}))
        for tensor in given if isinstance(given, tuple | list) else [given]:
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                raise TypeError(f"Cannot convert a MPS Tensor to float64 dtype ({function})")
        return given


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU as a device without 64-bit floats, for every module that asks."""
    for module in (contrast, devices, effect, proposals, transformation, warp):
        monkeypatch.setattr(module, "widest", lambda device: torch.float32)


def test_the_pretence_refuses_what_mps_refuses() -> None:
    with No64Bits(), pytest.raises(TypeError, match="Cannot convert a MPS Tensor to float64"):
        torch.ones(2).double()


def test_a_networks_64_bit_buffers_are_narrowed(narrow: None) -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    network.register_buffer("wide", torch.ones(2, dtype=torch.float64))
    network.register_buffer("count", torch.ones(2, dtype=torch.int64))
    on_device(network, CPU)
    assert (network.wide.dtype, network.count.dtype) == (torch.float32, torch.int64)


METHODS = ["baseline", "jsst", "jsst-hybrid", "jsst-tps", "gamma", "wallis", "histeq", "dhn", "multi-similarity"]
METHODS += ["timm:test_resnet@none", "se", "arcface"]


@pytest.mark.parametrize("name", METHODS)
def test_nothing_of_64_bits_is_on_the_device(name: str, narrow: None) -> None:
    setup = tiny_setup()
    method = tiny_method(name, setup)
    pixels = (some_scenes(8).permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    source = Scenes.of(pixels, np.arange(8) % 5)
    with No64Bits():
        on_device(method, CPU)
        given = describe.describe(method, pixels, CPU, "describing")
        assert all(np.isfinite(values).all() for values in given.values())
    if isinstance(method, Composed):
        with No64Bits(), torch.inference_mode():
            effect_of = method.front(source.batch(torch.arange(4), CPU).scenes)
        assert effect_of.isfinite().all()
    if method.card.trained:
        fabric = make_fabric("cpu", "32")
        optimizer = make_optimizer(method, setup.protocol.train)
        method.train()
        with No64Bits():
            batch = source.batch(torch.arange(8), CPU)
            generator = torch.Generator().manual_seed(0)
            loss_terms(method, method.augment(batch, generator), fabric)[1].backward()
            optimizer.step()
        assert all(np.isfinite(value) for value in method.epoch_metrics().values())


def test_boxes_are_made_on_the_cpu_and_placed_without_64_bits(narrow: None) -> None:
    boxes = proposals.anchors((2, 2), (32, 32), [8.0], [1.0])
    assert boxes.dtype == torch.float64
    placed = proposals.placed(boxes, CPU)
    with No64Bits():
        best = proposals.best_boxes(placed, torch.tensor([[0.1, 0.4, 0.3, 0.2]]), 2, 0.25)
        parts = proposals.crops(some_scenes(1), placed[best], 16)
    assert best.tolist() == [[1, 2]]
    assert parts.shape == (2, 3, 16, 16)


@pytest.mark.parametrize("name", ["jsst", "wallis", "gamma"])
def test_effects_are_measured_without_64_bits_to_the_same_digits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = tiny_method(name, tiny_setup()).eval()
    assert isinstance(method, Composed)
    wide = effect.effects_of(method, some_scenes(4))
    monkeypatch.setattr(effect, "widest", lambda device: torch.float32)
    narrow = effect.effects_of(method, some_scenes(4))
    np.testing.assert_allclose(narrow.change, wide.change, rtol=1e-5)
    np.testing.assert_allclose(narrow.displacement, wide.displacement, rtol=1e-5, atol=1e-5)
    assert DEVICES == ("cpu", "cuda", "mps")
