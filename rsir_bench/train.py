"""The one training loop, on Lightning Fabric: schedule, freezing, checkpoints, resume, log."""

from __future__ import annotations

import csv
import io
import logging
import math
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from rsir_bench.batches import Batch, Scenes, flipped
from rsir_bench.errors import RunError, UserError
from rsir_bench.files import digest, write_atomically, write_text
from rsir_bench.method import Method, trainable
from rsir_bench.progress import track
from rsir_bench.protocol import Train

# Reading the loss stalls a GPU; a NaN cannot heal, so that looking now and then loses nothing.
CHECK_EVERY = 16

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces each precision


@dataclass(frozen=True)
class Trained:
    """What a training cost.

    Attributes:
        seconds: Time in training steps, over all sittings.
        images_per_second: Over all epochs.
        loss: Mean of the last epoch.
        epochs: How many.
    """

    seconds: float
    images_per_second: float
    loss: float
    epochs: int


def find_device(name: str) -> str:
    """``"auto"`` becomes ``"cuda"`` where there is one, else ``"cpu"``.

    Raises:
        UserError: Unknown, or not in this machine.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if count else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or not (number or "0").isdecimal() or (kind == "cpu" and number):
        raise UserError(f"device {name!r}: unknown; known: auto, cpu, cuda, cuda:N")
    if kind == "cuda" and int(number or 0) >= count:
        raise UserError(f"device {name!r}: this machine has {count} CUDA devices; use cpu")
    return name


def make_fabric(device: str, precision: str) -> Fabric:
    """Fabric for one device, with ``precision`` ``"32"``, ``"bf16"`` or ``"auto"`` (bf16 where it is native)."""
    accelerator, _, number = device.partition(":")
    devices: Any = [int(number)] if number else 1
    chosen = effective_precision(precision, accelerator)
    return Fabric(accelerator=accelerator, devices=devices, precision="bf16-mixed" if chosen == "bf16" else "32-true")


def effective_precision(precision: str, device: str) -> str:
    """``"32"`` or ``"bf16"``: what ``"auto"`` means on this device."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    # Emulated bf16 is an order of magnitude slower than 32 bit on a CPU.
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "32"


def seed_everything(*numbers: int | str) -> torch.Generator:
    """Seeds torch from the numbers together and returns a generator of its own for batches and views."""
    seed = int(digest(numbers)[:15], 16)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def make_optimizer(method: Method, recipe: Train) -> Optimizer:
    """The recipe's optimizer over the method's groups, without frozen parameters."""
    groups = [
        {
            "params": group.parameters,
            "lr": recipe.rate * group.rate,
            "weight_decay": recipe.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group in trainable(method.parameter_groups())
    ]
    if recipe.optimizer == "adam":
        return Adam(groups)
    return SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov)


def make_schedule(optimizer: Optimizer, recipe: Train, steps: int) -> LRScheduler:
    """The learning rate over ``epochs * steps`` steps; it is advanced after every step."""
    if recipe.schedule == "one-cycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        total = recipe.epochs * steps
        return OneCycleLR(optimizer, highest, total, pct_start=recipe.warmup, cycle_momentum=False)
    return MultiStepLR(optimizer, [(epoch - 1) * steps for epoch in recipe.milestones], recipe.decay)


def train(method: Method, scenes: Scenes, fabric: Fabric, folder: Path, seed: tuple[int, ...], what: str) -> Trained:
    """Trains a method to its end, from the checkpoint in ``folder`` where there is one.

    Every epoch is seeded by itself, so that a training that was killed goes on as if it had not been.

    Args:
        method: A new network, on the CPU; trained in place.
        scenes: The training set.
        fabric: Device and precision.
        folder: Where the checkpoint and ``log.csv`` go.
        seed: The run's seed and the round; methods with the same numbers see the same batches.
        what: The run's name, for progress and errors.

    Raises:
        RunError: The loss is not finite.
    """
    recipe = method.recipe(method.setup.protocol.train)
    torch.use_deterministic_algorithms(True, warn_only=fabric.device.type != "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # only helps to find bugs, and takes time
    method.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(method, recipe)
    steps = len(method.batches(scenes.labels, recipe.batch, torch.Generator().manual_seed(0)))
    schedule = make_schedule(optimizer, recipe, steps)
    wrapped, optimizer = fabric.setup(method, optimizer)
    wrapped.mark_forward_method("loss")
    checkpoint = folder / "checkpoint.pt"
    log = _resume(checkpoint, method, optimizer, schedule)
    for epoch in range(len(log) + 1, recipe.epochs + 1):
        generator = seed_everything(*seed, epoch)
        batches = method.batches(scenes.labels, recipe.batch, generator)
        title = f"training {what}, epoch {epoch} of {recipe.epochs}"
        loader = _loader(method, scenes, track(batches, title, len(batches)), recipe, generator, fabric.device)
        log.append(_epoch(wrapped, loader, optimizer, schedule, fabric, f"{what}, epoch {epoch}"))
        log[-1] = {"epoch": epoch, **log[-1], **method.report()}
        state = {"log": log, "method": method.state_dict(), "optimizer": optimizer.state_dict()}
        state["schedule"] = schedule.state_dict()
        write_atomically(checkpoint, lambda path, state=state: torch.save(state, path))  # type: ignore[misc]
        write_text(folder / "log.csv", _as_csv(log))
    images, seconds = (sum(row[key] for row in log) for key in ("images", "seconds"))
    return Trained(seconds, images / seconds, log[-1]["loss"], len(log))


def _loader(
    method: Method,
    scenes: Scenes,
    batches: Iterator[Tensor],
    recipe: Train,
    generator: torch.Generator,
    device: torch.device,
) -> Iterator[Batch]:
    for index in batches:
        batch = scenes.batch(index, device)
        yield method.view(flipped(batch, generator) if recipe.flip else batch, generator)


def _epoch(
    method: Any, loader: Iterator[Batch], optimizer: Any, schedule: LRScheduler, fabric: Fabric, where: str
) -> dict[str, float]:
    """One epoch; returns the mean of the loss and of its terms, the highest rate, images and seconds."""
    method.train()
    sums: dict[str, Tensor] = {}
    images, rate, started = 0, 0.0, time.perf_counter()
    for step, batch in enumerate(loader, 1):
        rate = max(rate, *(group["lr"] for group in optimizer.param_groups))
        terms, total = loss_terms(method, batch, fabric)
        optimizer.zero_grad()
        fabric.backward(total)
        optimizer.step()
        schedule.step()
        images += len(batch.labels)
        for name, value in {**terms, "loss": total}.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
        if step % CHECK_EVERY == 0:
            _check_finite(sums, f"{where}, step {step}", rate)
    _check_finite(sums, where, rate)
    figures = {name: value.item() / step for name, value in sums.items()}
    seconds = time.perf_counter() - started
    return {**figures, "rate": rate, "images": images, "seconds": seconds, "images_per_second": images / seconds}


def loss_terms(method: Any, batch: Batch, fabric: Fabric) -> tuple[dict[str, Tensor], Tensor]:
    """The named terms of the loss in the fabric's precision, and their sum."""
    with fabric.autocast():  # on one device, Fabric leaves every method but ``forward`` in 32 bit
        terms = method.loss(batch)
    terms = terms if isinstance(terms, dict) else {"loss": terms}
    return terms, torch.stack(list(terms.values())).sum()


def _check_finite(sums: dict[str, Tensor], where: str, rate: float) -> None:
    for name, value in sums.items():
        if not math.isfinite(value.item()):
            raise RunError(f"{where}: {name} is {value.item()} at rate {rate:.3g}; lower train.rate or mend the loss")


def _resume(checkpoint: Path, method: Method, optimizer: Optimizer, schedule: LRScheduler) -> list[dict[str, float]]:
    """Restores the state after the last whole epoch and returns the log so far; empty at the start."""
    if not checkpoint.is_file():
        return []
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise RunError(f"{checkpoint}: damaged ({str(error).splitlines()[0]}); delete it to train again") from None
    method.load_state_dict(state["method"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    log: list[dict[str, float]] = state["log"]
    return log


def _as_csv(log: list[dict[str, float]]) -> str:
    text = io.StringIO()
    columns = dict.fromkeys(key for row in log for key in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in log)
    return text.getvalue()
