"""Identify weights by their tensors, regardless of the file or hub they came from."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

NONE = "none"


def tensors_digest(network: nn.Module) -> str:
    """Return the SHA-256 (hex) of a network's floating-point tensors, parameters and buffers, by name.

    Each adds a line of its name, dtype and shape, and its bytes (little-endian, in C order); names are sorted. Integer
    tensors, such as batch norm's counts of batches, are left out: they change no descriptor.
    """
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if tensor.is_floating_point():
            values = tensor.detach().cpu().contiguous()
            kind = str(values.dtype).removeprefix("torch.")
            total.update(f"{name} {kind} {list(values.shape)}\n".encode())
            total.update(values.reshape(-1).view(torch.uint8).numpy().data if values.numel() else b"")
    return total.hexdigest()


def identity_of(network: nn.Module, weights: str) -> str:
    """Return the identity of weights in keys and records: ``"none"``, or ``"tensors:"`` and their digest."""
    return NONE if weights == NONE else f"tensors:{tensors_digest(network)}"
