"""Fit the networks of a checkpoint to a backbone: prefixes, other scene sizes, other numbers of bands."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rsir_bench.base.errors import UserError
from rsir_bench.nn.checkpoints.reading import Network, read_networks

# Of several networks in one state dict, the one to take: what evaluation takes, before what only training needs.
PREFIXES = (
    "",
    "module.",
    "model.",
    "backbone.",
    "encoder.",
    "teacher.",
    "encoder_q.",
    "base_encoder.",
    "online_encoder.",
    "student.",
)


@dataclass(frozen=True)
class Fitted:
    """Weights of a backbone, and where in the file they were.

    Attributes:
        state: Every tensor of the backbone by name, with the backbone's shape, and floating point if the backbone's is.
        entry: The entry of the checkpoint; empty: its top.
        prefix: The prefix of the tensor names in the file.
        others: Other entries with networks, which were not used.
    """

    state: Network
    entry: str
    prefix: str
    others: tuple[str, ...]

    def __str__(self) -> str:
        """Describe which tensors of the file were used."""
        what = f"entry {self.entry!r}" if self.entry else "the tensors at its top"
        where = f", names after {self.prefix!r}" if self.prefix else ""
        return f"{what}{where}" + (f"; not {', '.join(map(repr, self.others))}" if self.others else "")


def fit_file(backbone: nn.Module, name: str, path: Path, bands: int) -> Fitted:
    """Return the weights in a file that fit a backbone.

    Args:
        backbone: As timm builds it, without a classifier.
        name: Its name in timm.
        path: A safetensors file or a PyTorch checkpoint.
        bands: Bands of a scene; a first layer made for three is adapted.

    Raises:
        UserError: The file cannot be read, or holds no network that fits.
    """
    networks = read_networks(path)
    problems = []
    for entry, network in networks.items():
        prefix = _prefix(network, backbone, path)
        state = {key.removeprefix(prefix): value for key, value in network.items() if key.startswith(prefix)}
        state, problem = _fit(backbone, name, state, bands)
        if problem is None:
            others = tuple(other for other in networks if other != entry and other)
            return Fitted(state, entry, prefix, others)
        problems.append(problem)
    raise UserError(f"{path}: not weights of {name} ({problems[0]}); check both")


def _prefix(network: Network, backbone: nn.Module, path: Path) -> str:
    """Return the prefix of most of a backbone's tensors; if no name matches, a wrapper's prefix or "".

    Raises:
        UserError: Several prefixes lead to complete networks, and it is unknown which one to use.
    """
    wanted = [key for key in backbone.state_dict() if not key.endswith(".num_batches_tracked")]
    anchor = max(wanted, key=len)
    candidates = {key.removesuffix(anchor) for key in network if key.endswith(anchor)}
    candidates = {prefix for prefix in candidates if not prefix or prefix.endswith(".")}
    counts = {prefix: sum(prefix + key in network for key in wanted) for prefix in candidates}
    most = [prefix for prefix, count in counts.items() if count == max(counts.values())]
    if not most:  # other names, which timm may know: at least what wraps a whole network is taken off
        return next((prefix for prefix in PREFIXES[1:] if all(key.startswith(prefix) for key in network)), "")
    if len(most) == 1:
        return most[0]
    ranked = sorted(most, key=_rank)
    if _rank(ranked[0]) == _rank(ranked[1]):
        raise UserError(f"{path}: holds several networks ({', '.join(sorted(most))}); save only the one to use")
    return ranked[0]


def _rank(prefix: str) -> tuple[int, int]:
    """Return the place of a prefix, such as ``"module.encoder_q."``, by its last known part; unknown ones come last."""
    last = prefix.rstrip(".").rpartition(".")[2]
    known = f"{last}." if last else ""
    return (PREFIXES.index(known), len(prefix)) if known in PREFIXES else (len(PREFIXES), 0)


def _fit(backbone: nn.Module, name: str, state: Network, bands: int) -> tuple[Network, str | None]:
    """Return the backbone's tensors from a state dict, and why they do not fit; None if they do.

    Tensors that do not fit directly are first converted by timm's filter for this model.
    """
    problems = []
    for convert in (_as_it_is, partial(_converted, name)):
        found = _adapted(backbone, convert(backbone, dict(state)), bands)
        problem = _misfit(backbone, found)
        if problem is None:
            return {key: found.get(key, value) for key, value in backbone.state_dict().items()}, None
        problems.append(problem)
    return {}, problems[0]


def _as_it_is(backbone: nn.Module, state: Network) -> Network:
    return state


def _converted(name: str, backbone: nn.Module, state: Network) -> Network:
    """Return a state dict as timm converts its own: position embeddings and patches resampled, old names renamed."""
    module = sys.modules.get(type(backbone).__module__)
    convert: Callable[..., Any] | None = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return state
    known = inspect.signature(convert).parameters
    options: dict[str, Any] = {}
    if "flexi" in name and {"interpolation", "antialias"} <= set(known):  # as timm does for this family
        options = {"interpolation": "bilinear", "antialias": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of timm's interpolation, to its authors
            found = convert(state, backbone, **options) if len(known) > 1 else convert(state)
    except (LookupError, ValueError, RuntimeError, AssertionError, AttributeError, TypeError):
        return state  # a layout that timm does not convert: the caller names what does not fit
    return dict(found) if isinstance(found, Mapping) else state


def _adapted(backbone: nn.Module, state: Network, bands: int) -> Network:
    """Return a state dict with its first layer, made for three bands, adapted to another number as timm does."""
    from timm.models import adapt_input_conv

    first = getattr(backbone, "pretrained_cfg", {}).get("first_conv")
    first = first[0] if isinstance(first, tuple | list) else first
    weight = state.get(f"{first}.weight")
    if bands != 3 and weight is not None and weight.ndim == 4 and weight.shape[1] == 3:
        return {**state, f"{first}.weight": adapt_input_conv(bands, weight)}
    return state


def _misfit(backbone: nn.Module, state: Network) -> str | None:
    """Return the first reason why a state dict does not fit the backbone; None if it does."""
    wanted = backbone.state_dict()
    for key, tensor in wanted.items():
        if key not in state:
            if not key.endswith(".num_batches_tracked"):
                return f"no {key}"
        elif problem := _unlike(state[key], tensor):
            return f"{problem} {key}"
    if more := _more(backbone, state, wanted):
        return f"it has {more}, of a larger network"
    return None


def _unlike(given: Tensor, wanted: Tensor) -> str | None:
    """Return how a tensor differs from the expected one, as words before its name; None if it fits."""
    if given.shape != wanted.shape:
        return "another shape of"
    if given.layout != wanted.layout or given.is_quantized or given.is_complex():
        return "no plain numbers in"
    if wanted.is_floating_point():
        if not given.is_floating_point():
            return f"{str(given.dtype).removeprefix('torch.')} numbers in"
        if not bool(given.float().isfinite().all()):
            return "NaN or infinity in"
    return None


def _more(backbone: nn.Module, state: Network, wanted: Mapping[str, Tensor]) -> str | None:
    """Return a parameter of a state dict that the same part of the backbone lacks; None if there is none."""
    parts = {key.partition(".")[0] for key in wanted}
    heads = getattr(backbone, "pretrained_cfg", {}).get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else heads
    for key, tensor in state.items():
        of_head = any(key.startswith(f"{head}.") for head in heads)
        if key not in wanted and key.partition(".")[0] in parts and tensor.is_floating_point() and not of_head:
            return key
    return None
