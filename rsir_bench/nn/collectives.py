"""What a loss needs where ranks hold a part of the batch each: gathering with gradients, sums, chance in common.

With one process, and wherever ranks do not work together, every function here gives back what it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

Tensors = TypeVar("Tensors", bound=tuple[Tensor, ...])

_together = False


@contextmanager
def working_together() -> Iterator[None]:
    """Every rank is in the same work: only here do ranks wait for each other."""
    global _together
    _together = True
    try:
        yield
    finally:
        _together = False


def ranks() -> int:
    """How many processes share the work at hand; 1 wherever they do not work together."""
    return dist.get_world_size() if _together else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return dist.get_rank() if _together else 0


def gathered(*parts: Tensor) -> tuple[Tensor, ...]:
    """The whole batch's rows out of every rank's part, in the order of one process; gradients flow to every part.

    A loss that is computed on the result is the same on each rank, and the mean of the ranks' gradients is that of one
    process. So every term of such a loss has to be computed on gathered values (``Method.distributed_loss = "gathered"``).

    Args:
        parts: Tensors (n, ...), with the same n on a rank; n may differ between ranks.

    Returns:
        Tensors (N, ...) with N the sum of n.
    """
    if ranks() == 1:
        return parts
    counts = [torch.zeros(1, dtype=torch.int64, device=parts[0].device) for _ in range(ranks())]
    dist.all_gather(counts, torch.full_like(counts[0], len(parts[0])))
    return tuple(_gathered(part, [int(count) for count in counts]) for part in parts)


def _gathered(part: Tensor, counts: list[int]) -> Tensor:
    # Collectives want one shape on every rank.
    padded = functional.pad(part, [0, 0] * (part.dim() - 1) + [0, max(counts) - len(part)])
    everyone: Tensor = _Gather.apply(padded)
    return torch.cat([whole[:count] for whole, count in zip(everyone, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """(ranks, ...) of all ranks' tensors, whose gradient is the sum of what every rank's loss makes of them."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        """Gathers."""
        everyone = [torch.empty_like(part) for _ in range(ranks())]
        dist.all_gather(everyone, part.contiguous())
        return torch.stack(everyone)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """The sum over ranks of the gradient of this rank's part."""
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[rank()]


def common(drawn: Tensors) -> Tensors:
    """What the first rank has drawn by chance, on every rank; shapes must be the same everywhere."""
    if ranks() > 1:
        for tensor in drawn:
            dist.broadcast(tensor, 0)
    return drawn


def summed(values: Tensor) -> Tensor:
    """The sum over ranks of a tensor without gradient; the given tensor stays as it is."""
    if ranks() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total
