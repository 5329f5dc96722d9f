"""Where and how precisely to compute: devices, precision, and the same arithmetic each time."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from rsir_bench.base.errors import UserError
from rsir_bench.nn import collectives

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEVICES = ("cpu", "cuda", "mps")
"""The kinds of devices."""

EXPECTED_WARNINGS = (
    # A GPU has no deterministic way for some steps of some methods (a warp's gradient): docs/drift.md.
    r"\w+ does not have a deterministic implementation",
    # Not every supported version of torch knows its new name.
    "`broadcast_buffers` is deprecated",
)


def find_device(name: str) -> str:
    """Return the device's name; ``"auto"`` is ``"cuda"`` if there is a GPU, otherwise ``"cpu"``.

    Apple's ``mps`` must be named: no published result was made with it.

    Raises:
        UserError: The device is unknown, or not in this machine.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if count else "cpu"
    kind, _, number = name.partition(":")
    if kind not in DEVICES or not (number or "0").isdecimal() or (kind != "cuda" and number):
        raise UserError(f"device {name!r}: unknown; known: auto, cpu, cuda, cuda:N, mps")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps': this machine has none; use cpu")
    if kind == "cuda" and int(number or 0) >= count:
        raise UserError(f"device {name!r}: this machine has {count} CUDA devices; use cpu")
    return name


def effective_precision(precision: str, device: str) -> str:
    """Return ``"32"`` or ``"bf16"``: for ``"auto"`` what is fast on this device."""
    if precision != "auto":
        return precision
    if device == "mps":
        return "32"
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    # Emulated bf16 is an order of magnitude slower than 32 bit on a CPU.
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "32"


def make_fabric(device: str, precision: str) -> Fabric:
    """Set up Fabric for one device, with ``precision`` ``"32"``, ``"bf16"`` or ``"auto"`` (bf16 where it is native).

    If ranks work together, it covers all of their devices, one each: gradients are averaged over them.
    """
    from lightning_fabric import Fabric  # takes seconds to load
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces each precision
    accelerator, _, number = device.partition(":")
    chosen = effective_precision(precision, accelerator)
    options: dict[str, Any] = {"precision": "bf16-mixed" if chosen == "bf16" else "32-true"}
    if collectives.ranks() == 1:
        return Fabric(accelerator=accelerator, devices=[int(number)] if number else 1, **options)
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    # Some losses skip parameters, different ones in each step. Buffers need no broadcast: batch norm is frozen or
    # synchronised, and memory banks see the whole batch.
    strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    nodes = collectives.ranks() // here
    fabric = Fabric(accelerator=accelerator, strategy=strategy, devices=here, num_nodes=nodes, **options)
    fabric.launch()
    return fabric


def compute_deterministically(device: torch.device) -> None:
    """Make torch use the same arithmetic whatever was computed before, in this process or in a resumed one.

    On a CPU, non-deterministic operations raise an error; on a GPU, they warn.
    """
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # only helps to find bugs, and takes time


@contextmanager
def without_expected_warnings() -> Iterator[None]:
    """Ignore ``EXPECTED_WARNINGS`` in the block, or in the function that this decorates."""
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield
