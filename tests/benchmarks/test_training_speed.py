"""Training and describing against the bare PyTorch loop on the same network and batches, in one process.

pytest tests/benchmarks/test_training_speed.py --benchmark-only
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.nn import functional

from rsir_bench.batches import Scenes, unit_range
from rsir_bench.describe import describe
from rsir_bench.method import Method, Setup
from rsir_bench.protocol import load_protocol
from rsir_bench.registry import discover, resolve
from rsir_bench.train import make_fabric, make_optimizer, train

SCENES, CLASSES, SIZE, BATCH = 256, 8, 64, 32
LEAST = 0.95


def _method(*overrides: str) -> Method:
    protocol = load_protocol("demo", ["trunk.name=resnet18", f"data.size={SIZE}", f"train.batch={BATCH}", *overrides])
    return resolve("baseline", discover(), {}, {}).build(Setup(CLASSES, 3, SCENES, SIZE, protocol))


@pytest.fixture
def pixels() -> np.ndarray:
    """Random scenes as a pixel cache holds them."""
    return np.random.default_rng(0).integers(0, 256, (SCENES, SIZE, SIZE, 3), np.uint8)


def _ratio(ours: Callable[[], object], bare: Callable[[], object], rounds: int = 7) -> float:
    """Bare time over ours, the median of pairs in turn: what the machine does to one it does to the other."""
    ratios = []
    for _ in range(rounds):
        times = []
        for step in (bare, ours):
            started = time.perf_counter()
            step()
            times.append(time.perf_counter() - started)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def test_training_reaches_the_speed_of_the_bare_loop(
    benchmark: BenchmarkFixture, pixels: np.ndarray, tmp_path: Path
) -> None:
    scenes = Scenes.of(pixels, np.arange(SCENES) % CLASSES)
    method = _method("train.epochs=1", "train.flip=false").to(memory_format=torch.channels_last)
    optimizer = make_optimizer(method, method.setup.protocol.train)
    batches = [scenes.batch(index, torch.device("cpu")) for index in torch.arange(SCENES).split(BATCH)]

    def bare() -> None:
        method.train()
        for batch in batches:
            loss = functional.cross_entropy(method.head(method.trunk(batch.scenes))["FC"], batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    fabric = make_fabric("cpu", "32")
    seconds: list[float] = []

    def ours() -> None:
        folder = tmp_path / str(len(seconds))
        seconds.append(train(method, scenes, fabric, folder, (0,), "benchmark").seconds)

    bare()
    ours()
    ratios = []
    for _ in range(7):
        started = time.perf_counter()
        bare()
        elapsed = time.perf_counter() - started
        ours()
        ratios.append(elapsed / seconds[-1])
    benchmark.extra_info["images/s, share of the bare loop"] = statistics.median(ratios)
    benchmark.pedantic(ours, rounds=1)
    assert statistics.median(ratios) >= LEAST


def test_describing_reaches_the_speed_of_the_bare_forward(benchmark: BenchmarkFixture, pixels: np.ndarray) -> None:
    method = _method().to(memory_format=torch.channels_last).eval()
    chunks = [unit_range(torch.from_numpy(part).permute(0, 3, 1, 2)) for part in np.split(pixels, SCENES // 64)]

    def bare() -> None:
        with torch.inference_mode():
            for chunk in chunks:
                method.describe(chunk)

    def ours() -> None:
        describe(method, pixels, torch.device("cpu"), "benchmark")

    bare()
    ours()
    ratio = _ratio(ours, bare)
    benchmark.extra_info["images/s, share of the bare forward"] = ratio
    benchmark.pedantic(ours, rounds=1)
    assert ratio >= LEAST
