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

from rsir_bench.method import Method, Setup
from rsir_bench.method.registry import discover, resolve
from rsir_bench.protocol import load_protocol
from rsir_bench.scenes.batches import Scenes, unit_range
from rsir_bench.training.describe import describe
from rsir_bench.training.device import make_fabric
from rsir_bench.training.loop import loss_terms, make_optimizer, train

SCENES, CLASSES, SIZE, BATCH = 256, 8, 64, 32
LEAST = 0.95
LEAST_OF_CONSTANT = 0.88  # 0.9 is the aim; a median of five pairs wavers by this much on a busy machine


def _method(*overrides: str) -> Method:
    plain = ["trunk.name=resnet18", "trunk.arguments={}", f"data.size={SIZE}", f"train.batch={BATCH}"]
    protocol = load_protocol("demo", [*plain, *overrides])
    return resolve("baseline", discover(), {}, {}).build(Setup(CLASSES, 3, SCENES, SIZE, protocol))


@pytest.fixture
def pixels() -> np.ndarray:
    """Random scenes as a pixel cache holds them."""
    return np.random.default_rng(0).integers(0, 256, (SCENES, SIZE, SIZE, 3), np.uint8)


def _ratio(ours: Callable[[], object], bare: Callable[[], object], rounds: int = 7) -> float:
    """Bare time over ours, the median over pairs measured in turn, so that other load slows both alike."""
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


@pytest.mark.parametrize("name", ["baseline", "jsst"])
@pytest.mark.parametrize(("trunk", "size"), [("resnet34", 96), ("mobilenetv2_100", 128)])
def test_training_reaches_the_speed_of_a_constant_batch(
    benchmark: BenchmarkFixture, tmp_path: Path, name: str, trunk: str, size: int
) -> None:
    """The ``patternnet`` protocol's training, with flips, on scenes and batches small enough for a CPU."""
    frozen = '["conv1", "bn1", "layer1"]' if trunk == "resnet34" else '["conv_stem", "bn1", "blocks.0"]'
    changes = [f"trunk.name={trunk}", "trunk.weights=none", f"trunk.frozen={frozen}", f"data.size={size}"]
    changes += ["train.epochs=1", "train.milestones=[]", "train.batch=16", "train.flip=true"]
    protocol = load_protocol("patternnet", changes)
    pixels = np.random.default_rng(0).integers(0, 256, (48, size, size, 3), np.uint8)
    scenes = Scenes.of(pixels, np.arange(48) % CLASSES)
    method = resolve(name, discover(), {}, {}).build(Setup(CLASSES, 3, len(scenes), size, protocol))
    fabric = make_fabric("cpu", "32")
    method.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(method, protocol.train)
    batch = scenes.batch(torch.arange(16), torch.device("cpu"))

    def constant() -> float:
        method.train()
        started = time.perf_counter()
        for _ in range(3):
            total = loss_terms(method, batch, fabric)[1]
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        return time.perf_counter() - started

    folders = iter(range(100))

    def ours() -> float:
        return train(method, scenes, fabric, tmp_path / str(next(folders)), (0,), "benchmark").seconds

    constant(), ours()
    ratio = statistics.median(constant() / ours() for _ in range(5))
    benchmark.extra_info["images/s, share of a constant batch"] = ratio
    benchmark.pedantic(ours, rounds=1)
    if not benchmark.disabled:
        assert ratio >= LEAST_OF_CONSTANT


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
