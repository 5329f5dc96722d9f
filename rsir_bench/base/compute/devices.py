"""What a device can compute with: the widest floats, and networks that are moved to it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def widest(device: torch.device) -> torch.dtype:
    """Return the widest floats of a device: 64 bit, and 32 on Apple's ``mps``, which refuses others."""
    return torch.float32 if device.type == "mps" else torch.float64


def on_device(network: Network, device: torch.device) -> Network:
    """Return a network on a device, in place, with its floats no wider than the device has, channels last in memory."""
    if widest(device) == torch.float32:
        for part in network.modules():
            for name, tensor in part.named_buffers(recurse=False):
                if tensor.dtype == torch.float64:
                    setattr(part, name, tensor.float())
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def finish(device: torch.device) -> None:
    """Wait until a device has done what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
