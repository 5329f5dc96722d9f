"""Collective operations for losses when each rank holds a part of the batch: gathering with gradients, sums, broadcast.

With one process, and outside ``working_together``, every function here returns its arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from rsir_bench.base.moved import serve_old_names

Tensors = TypeVar("Tensors", bound=tuple[Tensor, ...])


@dataclass
class Ranks:
    """The processes of this program; ``rsir_bench.training.distributed.process_group`` fills it in.

    Attributes:
        rank: The number of this process, from 0.
        count: The number of processes on all machines.
        orders: The process group in which the first rank sends orders; its collectives can wait for days.
        together: Whether all ranks are doing the same work now; only then do they wait for each other.
    """

    rank: int = 0
    count: int = 1
    orders: Any = None
    together: bool = False


RANKS = Ranks()


@contextmanager
def working_together() -> Iterator[None]:
    """Mark work that every rank does at the same time; ranks wait for each other only there."""
    RANKS.together = True
    try:
        yield
    finally:
        RANKS.together = False


def ranks() -> int:
    """Return the number of processes that share the work at hand; 1 outside ``working_together``."""
    return RANKS.count if RANKS.together else 1


def rank() -> int:
    """Return the number of this process among them, from 0."""
    return RANKS.rank if RANKS.together else 0


def all_gather_with_grad(*parts: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of the whole batch from every rank's part, in the order of one process, with gradients.

    A loss that is computed on the result is the same on each rank, and the mean of the ranks' gradients equals the
    gradient of a single process. Therefore, every term of such a loss must be computed on gathered values
    (``distributed_loss = "gathered"``).

    Args:
        parts: Tensors (n, ...), with the same n for all tensors of a rank; n may differ between ranks.

    Returns:
        Tensors (N, ...) of the same dtypes, with N the sum of n.
    """
    if ranks() == 1:
        return parts
    counts = [torch.zeros(1, dtype=torch.int64, device=parts[0].device) for _ in range(ranks())]
    dist.all_gather(counts, torch.full_like(counts[0], len(parts[0])))
    return tuple(_all_gather(part, [int(count) for count in counts]) for part in parts)


def _all_gather(part: Tensor, counts: list[int]) -> Tensor:
    # Collectives need the same shape on every rank.
    padded = functional.pad(part, [0, 0] * (part.dim() - 1) + [0, max(counts) - len(part)])
    everyone: Tensor = _Gather.apply(padded)
    return torch.cat([whole[:count] for whole, count in zip(everyone, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """Stack all ranks' tensors (ranks, ...); the gradient is the sum of the gradients of every rank's loss."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        """Return the tensors of all ranks, stacked."""
        everyone = [torch.empty_like(part) for _ in range(ranks())]
        dist.all_gather(everyone, part.contiguous())
        return torch.stack(everyone)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """Return the sum over ranks of the gradient of this rank's part."""
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[rank()]


def broadcast_tensors(tensors: Tensors) -> Tensors:
    """Overwrite tensors with the tensors of the first rank, and return them.

    Args:
        tensors: (...) of any dtype; each has the same shape and dtype on every rank.
    """
    if ranks() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)
    return tensors


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum over ranks, without gradient; the argument is not changed.

    Args:
        values: (...) numbers, of the same shape and dtype on every rank.
    """
    if ranks() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total


serve_old_names(__name__)
