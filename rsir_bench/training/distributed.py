"""Several processes, one per device, that train and describe together.

The first rank is the program as it is with one process: it plans, writes, scores and talks. The others follow: they
wait for its orders, take their part, and write nothing. torchrun's agent starts them, and ends all when one dies.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.nn import collectives

Value = TypeVar("Value")

# Scoring, or caching scenes on another machine, may take hours in which the others have nothing to do.
IDLE = timedelta(days=7)
# A rank that failed waits so long for the others to fail in the same way; else they hang in a collective for ever.
PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True)
class Team:
    """The ranks of this program.

    Attributes:
        rank: The number of this process, from 0.
        count: How many there are, on all machines.
        orders: The group in which the first rank gives its orders; its collectives wait for :data:`IDLE`.
    """

    rank: int
    count: int
    orders: Any


_team: Team | None = None


def launched() -> bool:
    """Whether torchrun has started this process as one of several."""
    return dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def launch(devices: int, device: str, arguments: Sequence[str]) -> int:
    """Runs ``rsir-bench`` with the same arguments in ``devices`` processes and returns the exit code.

    A signal that ends the program is passed on to the processes, and the code is the one that a shell gives it.

    Args:
        devices: How many, at least 2.
        device: ``"cpu"`` or ``"cuda"``.
        arguments: The command line without the program's name.

    Raises:
        UserError: This machine has fewer GPUs, or one GPU is named.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if device.startswith("cuda:"):
        raise UserError(f"--device {device} with --devices {devices}: name the kind only, --device cuda")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise UserError(f"--devices {devices}: this machine has {torch.cuda.device_count()} CUDA devices")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or DDP tells of methods that use every parameter
    # Every process would take all cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // devices, 1)))
    logging.disable(logging.ERROR)  # the rank that failed, or who sent a signal, has spoken
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "rsir_bench", *arguments)
    except ChildFailedError as error:
        return max(error.get_first_failure()[1].exitcode, 1)  # a signal's is negative
    except SignalException as error:
        return 128 + error.sigval
    return 0


def rank_device(device: str, devices: int) -> str:
    """The device of this process: ``"cuda"`` becomes the one that has its number on this machine.

    Raises:
        UserError: torchrun has started another number of processes than ``devices``, or one GPU is named.
    """
    if not launched():
        return device
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    if devices not in (1, here):
        raise UserError(f"--devices {devices}: torchrun started {here} processes on this machine; leave --devices out")
    if device.startswith("cuda:"):
        raise UserError(f"--device {device} under torchrun: name the kind only, --device cuda")
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device


@contextmanager
def team(device: str) -> Iterator[int]:
    """Joins the processes that torchrun started, for as long as the block lasts; yields this one's rank.

    The first rank must end the block last: its end is the others' order to stop.

    Args:
        device: Of this process.
    """
    if not launched():
        yield 0
        return
    global _team
    # Ends this process at once: Python would wait for the collective under way, and then end with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    orders_group = dist.new_group(backend="gloo", timeout=IDLE)
    _team = Team(dist.get_rank(), dist.get_world_size(), orders_group)
    if _team.rank:
        logging.disable(logging.WARNING)  # the first rank says it
    try:
        yield _team.rank
    finally:
        if _team.rank == 0:
            _send(None)
        _team = None
        dist.destroy_process_group()


def size() -> int:
    """How many processes this program has."""
    return _team.count if _team else 1


def _send(order: object) -> None:
    assert _team is not None
    dist.broadcast_object_list([order], 0, group=_team.orders)


def orders() -> Iterator[Any]:
    """On every rank but the first: what it orders, one after the other, until it ends."""
    assert _team is not None
    while True:
        box: list[Any] = [None]
        dist.broadcast_object_list(box, 0, group=_team.orders)
        if box[0] is None:
            return
        yield box[0]


@contextmanager
def together(what: str, order: Callable[[], object] | None = None) -> Iterator[None]:
    """Work in which every rank takes part; with one process, nothing but the block itself.

    An error that all ranks run into, or that one has when the others are done, is raised on the first rank, and the
    ranks go on with the next order. One that leaves the others waiting in the middle of the work ends the program.

    Args:
        what: For the message.
        order: On the first rank, gives what the others are to do.

    Raises:
        RunError: Another rank failed.
    """
    if _team is None:
        yield
        return
    if _team.rank == 0 and order is not None:
        _send(order())
    failed: Exception | SystemExit | None = None
    try:
        with collectives.working_together():
            yield
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised below, once the others have left the work too
        failed = error
    failures = _agree(_team, failed, what)
    if _team.rank == 0:  # the others wait for orders: the first rank tells
        if failed is not None:
            raise failed
        if failures:
            raise RunError(failures[0])


def _agree(team: Team, failed: BaseException | None, what: str) -> list[str]:
    """What failed on any rank, once all are out of the work; ends the program where they do not come."""
    text = failed and f"rank {team.rank} of {team.count}: {what}: {one_line(failed)}"
    try:
        # Not monitored_barrier, whose time limit holds on the first rank only.
        dist.barrier(team.orders, async_op=True).wait(PATIENCE if failed else IDLE)
        everyone: list[Any] = [None] * team.count
        dist.all_gather_object(everyone, text, group=team.orders)
    except RuntimeError as error:
        reason = text or f"rank {team.rank} of {team.count}: {what}: another rank is gone ({one_line(error)})"
        advice = "every rank stops; the same command goes on after the last whole epoch"
        print(f"rsir-bench: {reason}; {advice}", file=sys.stderr, flush=True)
        os._exit(2 if isinstance(failed, UserError) else 1)  # not sys.exit: the end of a broken group may hang
    return [text for text in everyone if text]


def from_first(make: Callable[[], Value]) -> Value:
    """What ``make`` gives on the first rank, on every rank, which waits for it; so is its error.

    Raises:
        UserError: The first rank's.
        RunError: The first rank's.
    """
    if collectives.ranks() == 1:
        return make()
    assert _team is not None
    box: list[Any] = [None, None]
    if _team.rank == 0:
        try:
            box[0] = make()
        except (UserError, RunError) as error:
            box[1] = error
    dist.broadcast_object_list(box, 0, group=_team.orders)
    if box[1] is not None:
        raise box[1]
    value: Value = box[0]
    return value


def to_first(value: Value) -> list[Value]:
    """Every rank's value on the first, in their order; nothing on the others."""
    if collectives.ranks() == 1:
        return [value]
    assert _team is not None
    box: list[Any] | None = [None] * _team.count if _team.rank == 0 else None
    dist.gather_object(value, box, 0, group=_team.orders)
    return box or []


def share_of(count: int) -> slice:
    """This rank's part of ``count`` things in order; parts differ by one at most."""
    each, more = divmod(count, collectives.ranks())
    rank = collectives.rank()
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def split_method(method: nn.Module, batches: Sequence[Tensor], how: str | None, device: torch.device) -> None:
    """Makes a method in training mode ready for ranks with a part of each batch: batch norm sees all of it.

    Args:
        method: In training mode; its learning batch norms become :class:`torch.nn.SyncBatchNorm` on CUDA.
        batches: Of an epoch.
        how: The method's ``distributed_loss``.
        device: Of this rank.

    Raises:
        UserError: It would not be what one process does.
    """
    count = collectives.ranks()
    if how is None:
        raise UserError(
            "its class does not say whether the loss can be split over ranks; set distributed_loss, or use one device"
        )
    if (smallest := min(len(batch) for batch in batches)) < count:
        raise UserError(f"a batch of {smallest} scenes cannot be split over {count} ranks; use fewer devices")
    learning = _learning_norms(method)
    if learning and device.type != "cuda":
        parent, child = learning[0]
        raise UserError(
            f"{type(getattr(parent, child)).__name__} ({len(learning)} in all) learns from whole batches, which ranks "
            "can share on CUDA only; freeze it with trunk.frozen if it is the trunk's, or use one device"
        )
    from timm.layers.norm_act import convert_sync_batchnorm  # timm takes seconds to load

    for parent, child in learning:
        setattr(parent, child, convert_sync_batchnorm(getattr(parent, child)))  # type: ignore[no-untyped-call]


def _learning_norms(method: nn.Module) -> list[tuple[nn.Module, str]]:
    """Batch norms, by parent and name, whose output depends on the batch; a frozen part's are in evaluation mode."""
    return [
        (parent, name)
        for parent in method.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm) and (child.training or child.running_mean is None)
    ]
