"""The smallest protocol and scenes that a network can be built and trained for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.method import Batch, Method, Setup
from rsir_bench.method.registry import discover, resolve
from rsir_bench.protocol import Protocol, load_protocol

# Networks this small gain nothing from a second thread, and wait for it where the machine is busy.
torch.set_num_threads(1)

CLASSES = 5
SIZE = 32


def message(call: Callable[[], object]) -> str:
    """The one line of the error that a call raises."""
    with pytest.raises(UserError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def tiny_protocol(*overrides: str) -> Protocol:
    """The protocol ``demo`` with timm's test network, 32 px and 16 units in FC1."""
    smaller = ["trunk.name=test_resnet", "trunk.arguments={}", f"data.size={SIZE}", "head.fc1=16"]
    return load_protocol("demo", [*smaller, *overrides])


def tiny_setup(*overrides: str, bands: int = 3, **changes: Any) -> Setup:
    """What a method is built for under ``tiny_protocol``."""
    return Setup(CLASSES, bands, 20, SIZE, tiny_protocol(*overrides), **changes)


def tiny_method(name: str, setup: Setup, seed: int = 0, **settings: dict[str, Any]) -> Method:
    """A named method; ``settings`` by name of method."""
    torch.manual_seed(seed)
    return resolve(name, discover(), settings, {}).build(setup)


def some_scenes(count: int = 4, bands: int = 3, size: int = SIZE, seed: int = 0) -> Tensor:
    """Scenes (N, B, H, W) in [0, 1]: smooth and different from each other."""
    coarse = torch.rand(count, bands, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)


def some_batch(count: int = 8, seed: int = 0) -> Batch:
    """A batch with the classes in turn."""
    index = torch.arange(count)
    return Batch(some_scenes(count, seed=seed), index % CLASSES, index)
