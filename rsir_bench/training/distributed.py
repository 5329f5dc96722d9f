"""Train and describe in several processes, one per device.

The first rank does what a single process does: it plans, writes, scores and prints. The others wait for its orders,
do their part, and write nothing. torchrun's agent starts them, and ends all when one dies.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.nn import collectives
from rsir_bench.nn.collectives import RANKS

Value = TypeVar("Value")

# Scoring, or caching scenes on another machine, may take hours, during which the other ranks wait.
IDLE = timedelta(days=7)
# A failed rank waits this long for the others to fail in the same way; otherwise they hang in a collective forever.
PATIENCE = timedelta(seconds=10)


def launched() -> bool:
    """Return whether torchrun has started this process as one of several."""
    return dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def launch(devices: int, device: str, arguments: Sequence[str]) -> int:
    """Run ``rsir-bench`` with the same arguments in ``devices`` processes and return the exit code.

    A signal that ends the program is forwarded to the processes, and the exit code is the one a shell would return.

    Args:
        devices: Number of processes, at least 2.
        device: ``"cpu"`` or ``"cuda"``.
        arguments: The command line without the program's name.

    Raises:
        UserError: This machine has fewer GPUs, or ``device`` names one GPU.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if device.startswith("cuda:"):
        raise UserError(f"--device {device} with --devices {devices}: name the kind only, --device cuda")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise UserError(f"--devices {devices}: this machine has {torch.cuda.device_count()} CUDA devices")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or DDP warns about methods that use every parameter
    # Otherwise every process would use all cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // devices, 1)))
    logging.disable(logging.ERROR)  # the rank that failed has reported it; a signal needs no report
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
    """Return the device of this process: for ``"cuda"`` the GPU with the process's number on this machine.

    Raises:
        UserError: torchrun did not start ``devices`` processes, or ``device`` names one GPU.
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
def process_group(device: str) -> Iterator[int]:
    """Join the processes that torchrun started until the block ends; yield this process's rank.

    The first rank must leave the block last: that stops the others.

    Args:
        device: The device of this process.
    """
    if not launched():
        yield 0
        return
    # Ends this process at once: Python would wait for the running collective, and then end with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    RANKS.rank, RANKS.count = dist.get_rank(), dist.get_world_size()
    RANKS.orders = dist.new_group(backend="gloo", timeout=IDLE)
    if RANKS.rank:
        logging.disable(logging.WARNING)  # the first rank logs it
    try:
        yield RANKS.rank
    finally:
        if RANKS.rank == 0:
            _send(None)
        RANKS.rank, RANKS.count, RANKS.orders = 0, 1, None
        dist.destroy_process_group()


def size() -> int:
    """Return the number of processes of this program."""
    return RANKS.count


def _send(order: object) -> None:
    dist.broadcast_object_list([order], 0, group=RANKS.orders)


def orders() -> Iterator[Any]:
    """Yield the first rank's orders on any other rank, one after the other, until the first rank stops."""
    while True:
        box: list[Any] = [None]
        dist.broadcast_object_list(box, 0, group=RANKS.orders)
        if box[0] is None:
            return
        yield box[0]


@contextmanager
def collective(title: str, order: Callable[[], object] | None = None) -> Iterator[None]:
    """Run the block on every rank together; with one process, just run it.

    An error that occurs on all ranks, or on one when the others are done, is raised on the first rank, and the ranks
    continue with the next order. An error that leaves the others waiting in the middle of the work ends the program.

    Args:
        title: Names the work in error messages.
        order: On the first rank, returns the order for the others.

    Raises:
        RunError: Another rank failed.
    """
    if RANKS.count == 1:
        yield
        return
    if RANKS.rank == 0 and order is not None:
        _send(order())
    failed: Exception | SystemExit | None = None
    try:
        with collectives.working_together():
            yield
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised below, once the others have left the work too
        failed = error
    failures = _agree(failed, title)
    if RANKS.rank == 0:  # the others wait for orders: the first rank reports
        if failed is not None:
            raise failed
        if failures:
            raise RunError(failures[0])


def _agree(failed: BaseException | None, title: str) -> list[str]:
    """Return the failures of all ranks once they have left the work; end the program if a rank does not."""
    where = f"rank {RANKS.rank} of {RANKS.count}: {title}"
    text = failed and f"{where}: {one_line(failed)}"
    try:
        # Not monitored_barrier, whose time limit holds on the first rank only.
        dist.barrier(RANKS.orders, async_op=True).wait(PATIENCE if failed else IDLE)
        everyone: list[Any] = [None] * RANKS.count
        dist.all_gather_object(everyone, text, group=RANKS.orders)
    except RuntimeError as error:
        reason = text or f"{where}: another rank is gone ({one_line(error)})"
        advice = "every rank stops; the same command continues after the last complete epoch"
        print(f"rsir-bench: {reason}; {advice}", file=sys.stderr, flush=True)
        os._exit(2 if isinstance(failed, UserError) else 1)  # not sys.exit: the end of a broken group may hang
    return [text for text in everyone if text]


def broadcast(make: Callable[[], Value]) -> Value:
    """Call ``make`` on the first rank and return its value, or raise its error, on every rank.

    Raises:
        UserError: The first rank's.
        RunError: The first rank's.
    """
    if collectives.ranks() == 1:
        return make()
    box: list[Any] = [None, None]
    if RANKS.rank == 0:
        try:
            box[0] = make()
        except (UserError, RunError) as error:
            box[1] = error
    dist.broadcast_object_list(box, 0, group=RANKS.orders)
    if box[1] is not None:
        raise box[1]
    value: Value = box[0]
    return value


def gather(value: Value) -> list[Value]:
    """Return the values of all ranks in order on the first rank, and an empty list on the others."""
    if collectives.ranks() == 1:
        return [value]
    box: list[Any] | None = [None] * RANKS.count if RANKS.rank == 0 else None
    dist.gather_object(value, box, 0, group=RANKS.orders)
    return box or []


def shard(count: int) -> slice:
    """Return this rank's part of ``count`` items in order; sizes of parts differ by at most one."""
    each, more = divmod(count, collectives.ranks())
    rank = collectives.rank()
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def split_method(method: nn.Module, batches: Sequence[Tensor], how: str | None, device: torch.device) -> None:
    """Prepare a method in training mode for ranks that hold a part of each batch: batch norm must see all of it.

    Args:
        method: In training mode; its learning batch norms become ``torch.nn.SyncBatchNorm`` on CUDA.
        batches: The batches of an epoch, int64 (n,) each.
        how: The method's ``distributed_loss``.
        device: The device of this rank.

    Raises:
        UserError: The result would differ from that of one process.
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
            f"{type(getattr(parent, child)).__name__} ({len(learning)} in all) uses statistics of whole batches, which "
            "ranks can share on CUDA only; freeze it with trunk.frozen if it belongs to the trunk, or use one device"
        )
    from timm.layers.norm_act import convert_sync_batchnorm  # timm takes seconds to load

    for parent, child in learning:
        setattr(parent, child, convert_sync_batchnorm(getattr(parent, child)))  # type: ignore[no-untyped-call]


def _learning_norms(method: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return batch norms, by parent and name, whose output depends on the batch: not those of frozen parts."""
    return [
        (parent, name)
        for parent in method.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm) and (child.training or child.running_mean is None)
    ]
