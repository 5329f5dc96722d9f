"""The training loop, on Lightning Fabric: schedule, freezing, checkpoints, resume, log."""

from __future__ import annotations

import csv
import io
import logging
import math
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from rsir_bench.base.compute.devices import on_device
from rsir_bench.base.compute.memory import freed_memory_kept
from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.base.files import digest, is_intact, write_sealed, write_text
from rsir_bench.base.training_progress import TrainingProgress
from rsir_bench.method import Method
from rsir_bench.method.code.source_digest import source_digest
from rsir_bench.method.composition import Composed
from rsir_bench.method.contract import trainable
from rsir_bench.nn import collectives
from rsir_bench.protocol import Train
from rsir_bench.scenes.batches import Batch, Scenes, batch_source
from rsir_bench.training import distributed
from rsir_bench.training.augmentation import Augmentation, augmented
from rsir_bench.training.compiling import compiled_loss
from rsir_bench.training.device import compute_deterministically, without_expected_warnings
from rsir_bench.training.given import checked_batches, checked_loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ROOMS = ("method", "nn", "training")
"""Rooms of the package with the code of every training."""

# Reading the loss stalls a GPU; a NaN stays, so checking now and then misses nothing.
CHECK_EVERY = 16


@dataclass(frozen=True)
class Trained:
    """The cost of a training.

    Attributes:
        seconds: Time in training steps, over all sessions.
        images_per_second: Mean over all epochs.
        loss: Mean loss of the last epoch.
        epochs: Number of epochs.
        scenes: Number of scenes of the training set.
        collapsed: What ``epoch_metrics`` gave by this name at the end: other than 0 where a part of the method has
            ceased to work.
        sessions: Where and how its epochs were trained, in order; several where it was resumed in another environment.
    """

    seconds: float
    images_per_second: float
    loss: float
    epochs: int
    scenes: int
    collapsed: float
    sessions: list[dict[str, str]]


def seed_everything(*numbers: int | str) -> torch.Generator:
    """Seed torch from all numbers together, and return a separate generator for batches and augmentation."""
    seed = int(digest(numbers)[:15], 16)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def make_optimizer(method: Method, recipe: Train, fused: bool = False) -> Optimizer:
    """Build the recipe's optimizer over the method's groups, without frozen parameters.

    Args:
        method: A network on its device.
        recipe: The training settings.
        fused: Update all parameters in one pass, as torch can on a GPU; equal up to rounding.
    """
    groups = [
        {
            "params": group.parameters,
            "lr": recipe.rate * group.rate if group.absolute_rate is None else group.absolute_rate,
            "weight_decay": recipe.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group in trainable(method.parameter_groups())
    ]
    if recipe.optimizer == "adam":
        return Adam(groups, fused=fused or None)
    return SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused or None)


def make_schedule(optimizer: Optimizer, recipe: Train, steps: int) -> LRScheduler:
    """Build the learning rate schedule over ``epochs * steps`` steps; advance it after every step."""
    if recipe.schedule == "one-cycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        total = recipe.epochs * steps
        # For a warm-up of a single step, torch would divide by zero.
        warmup = recipe.warmup if recipe.warmup * total > 1 else 0.0
        return OneCycleLR(optimizer, highest, total, pct_start=warmup, cycle_momentum=False)
    return MultiStepLR(optimizer, [(epoch - 1) * steps for epoch in recipe.milestones], recipe.decay)


@without_expected_warnings()
def train(
    method: Method,
    scenes: Scenes,
    fabric: Fabric,
    folder: Path,
    seed: tuple[int, ...],
    what: str,
    compiled: bool = False,
    session: Mapping[str, str] = MappingProxyType({}),
) -> Trained:
    """Train a method to the end, from the checkpoint in ``folder`` if there is one.

    Every epoch has its own seed, so that a killed training continues as if it had not been interrupted. If ranks work
    together, each calls this, and only the first writes.

    Args:
        method: A new network, on the CPU; trained in place.
        scenes: The training set, (N, H, W, B) uint8 with labels (N,) int64.
        fabric: Device and precision.
        folder: Folder of the checkpoint and ``log.csv``.
        seed: The run's seed and the round; methods with the same numbers see the same batches.
        what: The run's name, for progress and errors.
        compiled: Compile the step, and on a GPU fuse the optimizer.
        session: Where and how this process trains; kept in the checkpoint for each epoch that it trains.

    Raises:
        RunError: The loss is not finite, or an epoch has another number of batches than the schedule.
        UserError: The method cannot be split over ranks, or the checkpoint is of another method.
    """
    recipe = method.recipe(method.setup.protocol.train)
    compute_deterministically(fabric.device)
    checkpoint = folder / "checkpoint.pt"
    kept = distributed.broadcast(lambda: _read_checkpoint(checkpoint, what))
    scenes = scenes if kept is None else _as_before(scenes, kept)
    on_device(method, fabric.device)
    first = epoch_batches(method, scenes.labels, recipe, torch.Generator().manual_seed(0))
    if collectives.ranks() > 1:
        distributed.split_method(method.train(), first, method.distributed_loss, fabric.device)
    optimizer = make_optimizer(method, recipe, compiled and fabric.device.type == "cuda")
    steps = len(first)
    schedule = make_schedule(optimizer, recipe, steps)
    wrapped, optimizer = fabric.setup(method, optimizer)
    wrapped.mark_forward_method("loss")
    log = [] if kept is None else _resume(kept, checkpoint, method, optimizer, schedule)
    if log:  # a kill may have come between the checkpoint and its log
        distributed.broadcast(lambda: _write_log(folder, log))
    sessions: list[dict[str, str]] = [] if kept is None else kept.get("sessions", [])  # older versions kept none
    draw = batch_source(scenes, fabric.device)
    shown = TrainingProgress(what, recipe.epochs, len(log), steps, shown=not collectives.rank())
    with freed_memory_kept(fabric.device), compiled_loss(method, compiled), shown as progress:
        for epoch in range(len(log) + 1, recipe.epochs + 1):
            generator = seed_everything(*seed, epoch)
            batches = epoch_batches(method, scenes.labels, recipe, generator)
            if len(batches) != steps:
                problem = f"batches() returns {len(batches)} batches, but the schedule is for {steps}"
                raise RunError(f"{what}, epoch {epoch}: {problem}; it must return the same number in every epoch")
            if rank := collectives.rank():
                seed_everything(*seed, epoch, f"rank {rank}")  # dropout must differ between the parts of a batch
            loader = _loader(method, draw, progress.epoch(epoch, batches), recipe, generator)
            log.append(_epoch(wrapped, loader, optimizer, schedule, fabric, f"{what}, epoch {epoch}"))
            metrics = {name: float(value) for name, value in method.epoch_metrics().items()}
            log[-1] = {"epoch": epoch, **log[-1], **metrics}
            if sessions[-1:] != [session]:
                sessions.append(dict(session))
            state = {"log": log, "method": method.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"schedule": schedule.state_dict(), "scenes": _kept(scenes)}
            state |= {"code": _code_of_training(), "sessions": sessions}
            distributed.broadcast(lambda state=state: _keep(checkpoint, state))  # type: ignore[misc]
            progress.ended(epoch, log[-1]["loss"], log[-1]["images_per_second"], log[-1]["seconds"])
    images, seconds = (sum(row[key] for row in log) for key in ("images", "seconds"))
    last, sessions = log[-1], sessions or [dict(session)]
    return Trained(seconds, images / seconds, last["loss"], len(log), len(scenes), last.get("collapsed", 0.0), sessions)


def _kept(scenes: Scenes) -> dict[str, Tensor]:
    """Return the scenes of the pixel caches that were trained on, and their labels."""
    return {"cache": torch.from_numpy(scenes.cache), "row": torch.from_numpy(scenes.row), "labels": scenes.labels}


def _as_before(scenes: Scenes, state: dict[str, Any]) -> Scenes:
    """Return the scenes of the earlier epochs: another processor may predict other pseudo-labels."""
    if "scenes" not in state:  # of an older version
        return scenes
    kept = state["scenes"]
    return replace(scenes, cache=kept["cache"].numpy(), row=kept["row"].numpy(), labels=kept["labels"])


def _keep(checkpoint: Path, state: dict[str, Any]) -> None:
    write_sealed(checkpoint, lambda path: torch.save(state, path), _bytes_in(state))
    _write_log(checkpoint.parent, state["log"])


def _write_log(folder: Path, log: list[dict[str, float]]) -> None:
    write_text(folder / "log.csv", _as_csv(log))


def _bytes_in(state: Any) -> int:
    """Return the bytes of all tensors in nested dicts and lists."""
    if isinstance(state, Tensor):
        return state.nbytes
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return sum(map(_bytes_in, inner))


@dataclass(frozen=True)
class _Step:
    """One step as a rank sees it.

    Attributes:
        batch: The whole batch, or this rank's part.
        images: Number of scenes of the whole batch.
        weight: Factor on the part's loss, so that the mean over ranks is the mean over the whole batch.
    """

    batch: Batch
    images: int
    weight: float = 1.0


def _loader(
    method: Method,
    draw: Callable[[Tensor], Batch],
    batches: Iterable[Tensor],
    recipe: Train,
    generator: torch.Generator,
) -> Iterator[_Step]:
    split = collectives.ranks() > 1
    for index in batches:
        if split:
            yield _part(method, draw, index, recipe, generator)
        else:
            batch = draw(index)
            view = method.augment(augmented(batch, recipe, generator), generator)
            yield _Step(view, len(view.labels))


def _part(
    method: Method, draw: Callable[[Tensor], Batch], index: Tensor, recipe: Train, generator: torch.Generator
) -> _Step:
    """Return this rank's part of a batch, augmented as in the whole batch."""
    count = len(index)
    mine = distributed.shard(count)
    own_view = type(method.inner if isinstance(method, Composed) else method).augment is not Method.augment
    # A method draws random numbers for the batch that it gets: it must get the whole one.
    seen = slice(None) if own_view else mine
    batch = draw(index[seen])
    batch = Augmentation.draw(recipe, count, batch.scenes.shape[1], generator)[seen].apply(batch)
    if own_view:
        batch = method.augment(batch, generator).part(mine)
    weight = 1.0 if method.distributed_loss == "gathered" else len(batch.labels) * collectives.ranks() / count
    return _Step(batch, count, weight)


def _epoch(
    method: Any, loader: Iterator[_Step], optimizer: Any, schedule: LRScheduler, fabric: Fabric, where: str
) -> dict[str, float]:
    """Train one epoch; return the mean of the loss and of its terms, the highest rate, images and seconds."""
    method.train()
    sums: dict[str, Tensor] = {}
    images, rate, started = 0, 0.0, time.perf_counter()
    for step, part in enumerate(loader, 1):
        rate = max(rate, *(group["lr"] for group in optimizer.param_groups))
        terms, total = loss_terms(method, part.batch, fabric)
        optimizer.zero_grad()
        fabric.backward(total if part.weight == 1 else total * part.weight)
        optimizer.step()
        schedule.step()
        images += part.images
        for name, value in {**terms, "loss": total}.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach() * part.weight
        if step % CHECK_EVERY == 0:
            _check_finite(_over_ranks(sums), f"{where}, step {step}", rate)
    sums = _over_ranks(sums)
    _check_finite(sums, where, rate)
    figures = {name: value.item() / step for name, value in sums.items()}
    seconds = time.perf_counter() - started
    return {**figures, "rate": rate, "images": images, "seconds": seconds, "images_per_second": images / seconds}


def epoch_batches(method: Method, labels: Tensor, recipe: Train, generator: torch.Generator) -> list[Tensor]:
    """Return the batches of an epoch, each (n,) int64 indices, for the labels (N,) int64 of the training set.

    Raises:
        RunError: The method gives anything else.
        UserError: The recipe's batches are too small for the method.
    """
    return checked_batches(method.batches(labels, recipe.batch, generator), labels, recipe.batch)


def loss_terms(method: Any, batch: Batch, fabric: Fabric) -> tuple[dict[str, Tensor], Tensor]:
    """Return the named terms of the loss, scalar floats in the fabric's precision, and their sum.

    Raises:
        RunError: The method gives no scalar.
    """
    with fabric.autocast():  # on one device, Fabric runs every method but ``forward`` in 32 bit
        given = method.loss(batch)
    return checked_loss(given)


def _over_ranks(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the means over ranks, so that all ranks check the same values."""
    if collectives.ranks() == 1:
        return sums
    means = collectives.all_reduce_sum(torch.stack([value.double() for value in sums.values()])) / collectives.ranks()
    return dict(zip(sums, means.unbind(), strict=True))


def _check_finite(sums: dict[str, Tensor], where: str, rate: float) -> None:
    for name, value in sums.items():
        if not math.isfinite(value.item()):
            raise RunError(f"{where}: {name} is {value.item()} at rate {rate:.3g}; lower train.rate or fix the loss")


def _resume(
    state: dict[str, Any], checkpoint: Path, method: Method, optimizer: Optimizer, schedule: LRScheduler
) -> list[dict[str, float]]:
    """Restore the state after the last complete epoch, and return the log so far."""
    try:
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        problem = f"does not fit the method as it is now ({one_line(error)})"
        raise UserError(f"{checkpoint}: {problem}; raise its version") from None
    schedule.load_state_dict(state["schedule"])
    log: list[dict[str, float]] = state["log"]
    return log


@cache
def _code_of_training() -> str:
    """Return the digest of the code that a training rests on besides its method."""
    package = Path(__file__).parents[1]
    files = [file for room in ROOMS for file in sorted((package / room).rglob("*.py"))]
    return source_digest(package / "scenes" / "batches.py", *files)


def _read_checkpoint(checkpoint: Path, what: str) -> dict[str, Any] | None:
    """Return the checkpoint to resume from; None if there is none, or where other code has made it."""
    if not checkpoint.is_file():
        return None
    if not is_intact(checkpoint):
        raise RunError(f"{checkpoint}: damaged (its checksum differs); delete it to train again")
    try:
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise RunError(f"{checkpoint}: damaged ({one_line(error)}); delete it to train again") from None
    if state.get("code", _code_of_training()) != _code_of_training():
        message = "%s: the code of training (rsir_bench.%s) has changed since epoch %d; training starts again"
        logging.getLogger(__name__).warning(message, what, ", ".join(ROOMS), len(state["log"]))
        return None
    return state


def _as_csv(log: list[dict[str, float]]) -> str:
    text = io.StringIO()
    columns = dict.fromkeys(key for row in log for key in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in log)
    return text.getvalue()
