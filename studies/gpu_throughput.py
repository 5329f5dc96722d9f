"""How much of a network's own speed training reaches, and how long Table I takes at the speeds measured.

    python studies/gpu_throughput.py                                    # every method of Table I, on the GPU
    python studies/gpu_throughput.py baseline jsst --compile --set train.precision=bf16
    python studies/gpu_throughput.py baseline --device cpu --scenes 32 --described 32 --size 96 --rounds 1   # a trial

The protocol's training loop runs over synthetic scenes in memory, as its pixel cache holds them (uint8, already at the
protocol's size: 256 px scenes are resized once, when they are cached), one epoch in each round. In turns with it, the
same network takes as many steps on one batch that stays on the device. The ratio is the share of that speed that is
left when scenes are drawn, copied, flipped and viewed: the median over the rounds. Networks start from random
weights, which do not change the speed. The projection is arithmetic on these speeds: the protocol's epochs over its
source, every round of a method, and describing its source and targets; no decoding, no scoring.

With ``--compile``, each round also trains with a compiled step, from the same seed; two columns divide its speed and
its loss by those without, medians over the rounds. Another divides the speed of describing in bf16 by that in 32 bit.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from tabulate import tabulate

from rsir_bench.base.compute.devices import on_device
from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.method import Method, Setup
from rsir_bench.method.registry import discover, resolve
from rsir_bench.method.spec import MethodSpec
from rsir_bench.protocol import Protocol, load_protocol
from rsir_bench.scenes.batches import Scenes
from rsir_bench.scenes.readers.given_cards import find_card
from rsir_bench.training.describe import describe
from rsir_bench.training.device import find_device, make_fabric
from rsir_bench.training.loop import Trained, loss_terms, make_optimizer, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Speeds(NamedTuple):
    """Of one method.

    Attributes:
        training: Images per second in the training loop.
        constant: The same network's on a constant batch.
        ratio: Median over rounds of the one over the other.
        describing: Images per second.
        rounded: Speed of describing in bf16 divided by that in 32 bit.
        compiled: Speed of training with a compiled step divided by that without; NaN if not measured.
        loss: Mean loss of the epoch with a compiled step divided by that without; NaN if not measured.
    """

    training: float
    constant: float
    ratio: float
    describing: float
    rounded: float = math.nan
    compiled: float = math.nan
    loss: float = math.nan


def synthetic(count: int, size: int, classes: int) -> Scenes:
    """Return random scenes, (count, size, size, 3) uint8, of all classes in turn."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return Scenes.of(pixels, np.arange(count) % classes)


def constant_steps(method: Method, scenes: Scenes, steps: int, device: str) -> Callable[[], float]:
    """Return a function that trains on one batch, kept on the device, and returns its images per second.

    Args:
        method: A network.
        scenes: (N, H, W, 3) uint8 with labels.
        steps: Steps per call.
        device: The device to compute on.
    """
    recipe = method.recipe(method.setup.protocol.train)
    fabric = make_fabric(device, recipe.precision)
    on_device(method, fabric.device)
    wrapped, optimizer = fabric.setup(method, make_optimizer(method, recipe))
    wrapped.mark_forward_method("loss")
    rng = torch.Generator().manual_seed(0)
    index = method.batches(scenes.labels, recipe.batch, rng)[0]
    batch = method.augment(scenes.batch(index, fabric.device), rng)

    def run() -> float:
        method.train()
        started = time.perf_counter()
        for _ in range(steps):
            total = loss_terms(wrapped, batch, fabric)[1]
            optimizer.zero_grad()
            fabric.backward(total)
            optimizer.step()
        total.item()  # a GPU has finished only then
        return steps * len(index) / (time.perf_counter() - started)

    return run


def trained(named: MethodSpec, setup: Setup, scenes: Scenes, fabric: Fabric, *, compiled: bool) -> Trained:
    """Train a new network for one epoch, from the same seed each time."""
    torch.manual_seed(0)
    method = named.build(setup)
    with tempfile.TemporaryDirectory() as folder:
        return train(method, scenes, fabric, Path(folder), (0,), named.name, compiled)


def measure(
    named: MethodSpec,
    protocol: Protocol,
    scenes: Scenes,
    described: int,
    device: str,
    rounds: int,
    *,
    compiled: bool = False,
) -> Speeds:
    """Return the speeds of one method; the first, shorter call of each loop warms it up and does not count.

    Args:
        named: The method.
        protocol: How it is trained.
        scenes: (N, H, W, 3) uint8 with labels.
        described: How many of them to describe.
        device: The device to compute on.
        rounds: How often to measure in turn; the medians count.
        compiled: Whether to train with a compiled step as well.
    """
    setup = Setup(int(scenes.labels.max()) + 1, 3, len(scenes), protocol.size, protocol)
    method = named.build(setup)
    recipe = method.recipe(protocol.train)
    steps = len(method.batches(scenes.labels, recipe.batch, torch.Generator().manual_seed(0)))
    fabric = make_fabric(device, recipe.precision)
    constant_steps(method, scenes, min(steps, 5), device)()
    constant = constant_steps(method, scenes, steps, device)
    if compiled:
        trained(named, setup, scenes, fabric, compiled=True)  # generates the code
    turns = []
    for _ in range(rounds):
        theirs, ours = constant(), trained(named, setup, scenes, fabric, compiled=False)
        faster = loss = math.nan
        if compiled:
            other = trained(named, setup, scenes, fabric, compiled=True)
            faster, loss = other.images_per_second / ours.images_per_second, other.loss / ours.loss
        turns.append((ours.images_per_second, theirs, ours.images_per_second / theirs, faster, loss))
    pixels = np.asarray(scenes.caches[0][np.arange(min(described, len(scenes)))])
    describing, rounded = (described_per_second(method, pixels, fabric.device, name) for name in ("32", "bf16"))
    training, constants, ratio, faster, loss = (statistics.median(column) for column in zip(*turns, strict=True))
    return Speeds(training, constants, ratio, describing, rounded / describing, faster, loss)


def described_per_second(method: Method, pixels: np.ndarray, device: torch.device, precision: str) -> float:
    """Return how many scenes, (N, H, W, 3) uint8, are described per second."""
    describe(method, pixels[:256], device, "warming", None, precision)
    started = time.perf_counter()
    describe(method, pixels, device, f"describing in {precision}", None, precision)
    return len(pixels) / (time.perf_counter() - started)


def projected_hours(speeds: Speeds, protocol: Protocol, rounds: int) -> float:
    """Training and describing of one method with one seed under a protocol, at these speeds."""

    def scenes(name: str) -> int:
        return sum(part.scenes for part in find_card(name).classes)

    source = scenes(protocol.source)
    described = source + sum(map(scenes, protocol.data.targets))
    seen = rounds * protocol.train.epochs * source
    return (seen / speeds.training + described / speeds.describing) / 3600


def table_one(names: Sequence[str], protocol: Protocol) -> list[MethodSpec]:
    """Return the named methods, or every method of Table I; building one that does not fit the protocol fails."""
    found = discover()
    if not names:
        names = [name for name, entry in found.items() if "I" in entry.method_class.card.tables]
    return [resolve(name, found, protocol.methods, {}) for name in names]


def main() -> None:
    """Print a line for each method, and the projection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="names; every method of Table I by default")
    parser.add_argument("--protocol", default="patternnet")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--scenes", type=int, default=30_400)
    parser.add_argument("--described", type=int, default=10_000)
    parser.add_argument("--size", type=int, help="the protocol's by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="train with a compiled step as well")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="section.key=value")
    options = parser.parse_args()
    usual = load_protocol(options.protocol)
    size = options.size or usual.size
    changes = ["trunk.weights=none", "train.epochs=1", "train.milestones=[]", f"data.size={size}", *options.overrides]
    protocol, device = load_protocol(options.protocol, changes), find_device(options.device)
    methods = table_one(options.methods, protocol)  # before the scenes, which take a while
    scenes, rows, hours = synthetic(options.scenes, size, 38), [], 0.0
    for named in methods:
        try:
            speeds = measure(
                named, protocol, scenes, options.described, device, options.rounds, compiled=options.compile
            )
        except UserError as error:
            print(f"{named.name}: {error}")
            continue
        takes = projected_hours(speeds, usual, named.method_class.rounds)
        hours += takes
        rows.append([named.name, *speeds, takes])
    headers = ["method", "training, images/s", "constant batch", "ratio", "describing, images/s", "bf16: ratio"]
    headers += ["compiled: ratio", "compiled loss: ratio", "hours projected"]
    print(tabulate(rows, headers, floatfmt=("", ".0f", ".0f", ".2f", ".0f", ".2f", ".2f", ".4f", ".2f")))
    machine = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    print(f"{device} ({machine}), {size} px, {len(scenes)} scenes: {hours:.1f} hours for these methods, one seed each")


if __name__ == "__main__":
    run_and_exit(main, "gpu_throughput")
