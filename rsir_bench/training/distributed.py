"""Train and describe in several processes, one per device.

The first rank does everything that a single process does: it plans, writes, scores and prints. The other ranks wait for
its orders, do their share of the work and write nothing. The torchrun agent starts all ranks, and ends all of them if
one dies.
"""

from __future__ import annotations

import ctypes
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

# The other ranks may wait for hours during scoring, or while another machine caches scenes.
IDLE = timedelta(days=7)
# A failed rank waits this long for the others to fail in the same way. Ranks that do not fail hang forever in a
# collective.
PATIENCE = timedelta(seconds=10)


PR_SET_PDEATHSIG = 1
"""The option of Linux's ``prctl`` that names the signal sent to a process when its parent ends."""


def launched() -> bool:
    """Return whether torchrun has started this process as one of several."""
    return dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def launch(devices: int, device: str, arguments: Sequence[str]) -> int:
    """Run ``rsir-bench`` with the same arguments in ``devices`` processes and return the exit code.

    A signal that ends the program is forwarded to the processes, and the exit code is what a shell would return.

    Args:
        devices: Number of processes, at least 2.
        device: ``"cpu"`` or ``"cuda"``.
        arguments: The command line without the program's name.

    Raises:
        UserError: This machine has fewer GPUs than ``devices``, or ``device`` names a single GPU.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _refuse_mps(device)
    if device.startswith("cuda:"):
        raise UserError(f"--device {device} with --devices {devices}: use --device cuda, without a GPU number")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise UserError(f"--devices {devices}: this machine has {torch.cuda.device_count()} CUDA devices")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # otherwise DDP warns about methods that use every parameter
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # otherwise a file tabulate.py in the working folder would be imported
    # Otherwise every process would use all cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // devices, 1)))
    logging.disable(logging.ERROR)  # the failed rank has already reported its error; a signal needs no report
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
        return max(error.get_first_failure()[1].exitcode, 1)  # negative for a signal
    except SignalException as error:
        return 128 + error.sigval
    return 0


def _refuse_mps(device: str) -> None:
    if device == "mps":
        raise UserError("--device mps: several processes cannot share it; omit --devices")


def rank_device(device: str, devices: int) -> str:
    """Return the device of this process; for ``"cuda"``, the GPU whose number is the process's local rank.

    Raises:
        UserError: torchrun did not start ``devices`` processes, or ``device`` names a single GPU.
    """
    if not launched():
        return device
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    if devices not in (1, here):
        raise UserError(f"--devices {devices}: torchrun started {here} processes on this machine; omit --devices")
    _refuse_mps(device)
    if device.startswith("cuda:"):
        raise UserError(f"--device {device} under torchrun: use --device cuda, without a GPU number")
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device


@contextmanager
def process_group(device: str) -> Iterator[int]:
    """Join the processes that torchrun started for the duration of the block; yield this process's rank.

    The first rank must be the last to leave the block, because leaving it stops the others.

    Args:
        device: The device of this process.
    """
    if not launched():
        yield 0
        return
    end_with_parent()
    # Let SIGINT end this process at once: Python would wait for the running collective and then print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
    RANKS.rank, RANKS.count = dist.get_rank(), dist.get_world_size()
    RANKS.orders = dist.new_group(backend="gloo", timeout=IDLE)
    if RANKS.rank:
        logging.disable(logging.WARNING)  # the first rank logs them
    try:
        yield RANKS.rank
    finally:
        if RANKS.rank == 0:
            _send(None)
        RANKS.rank, RANKS.count, RANKS.orders = 0, 1, None
        dist.destroy_process_group()


def end_with_parent() -> None:
    """End this process when the one that started it ends, even if that is killed; Linux alone can say so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def size() -> int:
    """Return the number of processes of this program."""
    return RANKS.count


def _send(order: object) -> None:
    dist.broadcast_object_list([order], 0, group=RANKS.orders)


def orders() -> Iterator[Any]:
    """Yield the first rank's orders, one at a time, until it stops; for use on the other ranks."""
    while True:
        box: list[Any] = [None]
        dist.broadcast_object_list(box, 0, group=RANKS.orders)
        if box[0] is None:
            return
        yield box[0]


@contextmanager
def collective(title: str, order: Callable[[], object] | None = None) -> Iterator[None]:
    """Run the block on all ranks together; with only one process, simply run it.

    If an error occurs on all ranks, or on one rank when the others are done, it is raised on the first rank, and the
    ranks continue with the next order. If an error leaves other ranks waiting in the middle of the work, the program
    ends.

    Args:
        title: Name of the work in error messages.
        order: Function that returns the order for the other ranks; called on the first rank only.

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
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised below, once the others have stopped too
        failed = error
    failures = _agree(failed, title)
    if RANKS.rank == 0:  # only the first rank reports; the others wait for orders
        if failed is not None:
            raise failed
        if failures:
            raise RunError(failures[0])


def _agree(failed: BaseException | None, title: str) -> list[str]:
    """Return the failures of all ranks once all have stopped working; end the program if one does not stop."""
    where = f"rank {RANKS.rank} of {RANKS.count}: {title}"
    text = failed and f"{where}: {one_line(failed)}"
    try:
        # Do not use monitored_barrier: its timeout applies only on the first rank.
        dist.barrier(RANKS.orders, async_op=True).wait(PATIENCE if failed else IDLE)
        everyone: list[Any] = [None] * RANKS.count
        dist.all_gather_object(everyone, text, group=RANKS.orders)
    except RuntimeError as error:
        reason = text or f"{where}: lost contact with another rank ({one_line(error)})"
        advice = "all ranks stop; run the same command again to continue after the last complete epoch"
        print(f"rsir-bench: {reason}; {advice}", file=sys.stderr, flush=True)
        os._exit(2 if isinstance(failed, UserError) else 1)  # not sys.exit: closing a broken group may hang
    return [text for text in everyone if text]


def broadcast(make: Callable[[], Value]) -> Value:
    """Call ``make`` on the first rank and return its value, or raise its error, on every rank.

    Raises:
        UserError: ``make`` raised it on the first rank.
        RunError: ``make`` raised it on the first rank.
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
    """Return this rank's slice of ``count`` items; slices are in rank order, and their sizes differ by at most one."""
    each, more = divmod(count, collectives.ranks())
    rank = collectives.rank()
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def split_method(method: nn.Module, batches: Sequence[Tensor], how: str | None, device: torch.device) -> None:
    """Prepare a method for training on ranks that each hold part of a batch: batch norm must see the whole batch.

    Args:
        method: The method, in training mode; its batch norms that learn become ``torch.nn.SyncBatchNorm`` on CUDA.
        batches: The batches of an epoch, each (n,) int64 indices.
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
    """Return parent and name of each batch norm whose output depends on the batch; frozen ones are left out."""
    return [
        (parent, name)
        for parent in method.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm) and (child.training or child.running_mean is None)
    ]
