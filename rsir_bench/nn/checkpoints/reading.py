"""Read files of weights without running code from them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rsir_bench.base.errors import UserError

Network = dict[str, Tensor]

# Networks in a checkpoint, the one to take first: averages before what they are averages of, as in timm.
ENTRIES = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "model_ema_state_dict",
    "params_ema",
    "teacher",
    "state_dict",
    "model_state_dict",
    "model",
    "network",
    "net",
    "backbone",
    "encoder",
    "module",
    "params",
    "weights",
    "student",
)

TENSORS_ONLY = "save its tensors alone, torch.save(model.state_dict(), FILE), or as safetensors"


def read_networks(path: Path) -> dict[str, Network]:
    """Return the networks of a safetensors file or a PyTorch checkpoint, by entry; the preferred one comes first.

    The entry of top-level tensors is "". Tensors are on the CPU, (...) with the shapes and dtypes in the file.

    Raises:
        UserError: The file is damaged, contains objects that require running its code, or has no tensors.
    """
    held = _read(path)
    networks = dict(_networks(held)) if isinstance(held, Mapping) else {}
    if not networks:
        raise UserError(f"{path}: not a readable file of weights (it holds no tensors by name); {TENSORS_ONLY}")
    return networks


def _networks(held: Mapping[Any, Any]) -> Iterator[tuple[str, Network]]:
    """Yield entry and tensors of the networks in a checkpoint, except for a few tensors next to other entries."""
    entries = [name for name in ENTRIES if name in held]
    within = {name: held[name] for name in (*entries, *held) if isinstance(held[name], Mapping)}
    found = {str(name): network for name, entry in within.items() if (network := _tensors(entry))}
    top = {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    if top and (not found or len(top) > max(map(len, found.values())) / 2):
        yield "", top
    yield from found.items()


def _tensors(held: Mapping[Any, Any]) -> Network:
    """Return the tensors of an entry, or of the first known entry inside it; empty if there are none."""
    found = {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    inner = [held[name] for name in ENTRIES if isinstance(held.get(name), Mapping)]
    return found or (_tensors(inner[0]) if inner else {})


def _read(path: Path) -> Any:
    """Return the contents of a file; safetensors files are recognised by the length of a JSON header at the start.

    Raises:
        UserError: It cannot be read, or only by running code.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        if head[8:] == b"{":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the archives that are refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        reason = getattr(error, "strerror", None) or "a safetensors file that is damaged or cut short"
    except Exception as error:  # noqa: BLE001 - the unpickler raises anything on bytes that are not a pickle
        reason = _reason(str(error))
    raise UserError(f"{path}: not a readable file of weights ({reason}); {TENSORS_ONLY}") from None


def _reason(message: str) -> str:
    """Return why torch refuses a file, in a few words."""
    if foreign := re.search(r"GLOBAL ([\w.]+)|[Uu]nsupported (?:global|class|operand)[^`\n]*?([\w]+\.[\w.]+)", message):
        name = (foreign[1] or foreign[2]).rstrip(".")
        return f"beside tensors it holds {name}, and making such an object could run code"
    if "TorchScript" in message:
        return "a TorchScript program, which holds code"
    return "damaged, cut short, or of another program"
