"""What a method gives, checked: a loss, batches, descriptors. Errors are in the words of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rsir_bench.base.errors import RunError

FEW_INDICES = 16  # as many drawn by chance are not all below the number of classes


def checked_loss(given: Any) -> tuple[dict[str, Tensor], Tensor]:
    """Return the named terms of a loss, scalar floats, and their sum.

    Raises:
        RunError: It is neither a scalar tensor nor several by name, or no gradient leads back from it.
    """
    terms = given if isinstance(given, Mapping) else {"loss": given}
    if not terms:
        raise RunError("loss() returned no term; return a scalar tensor, or several by name")
    for name, value in terms.items():
        _check_term(value, "loss()" if terms is not given else f"loss() as term {name!r}")
    total = torch.stack(list(terms.values())).sum()
    if torch.is_grad_enabled() and not torch.is_inference_mode_enabled() and not total.requires_grad:
        raise RunError("loss() returned a tensor without a gradient; compute it from parameters, without detach()")
    return dict(terms), total


def _check_term(value: Any, who: str) -> None:
    if value is None:
        raise RunError(f"{who} returned None; forgot return?")
    if not isinstance(value, Tensor):
        raise RunError(f"{who} returned {_kind(value)}; return a scalar tensor")
    if value.ndim:
        raise RunError(f"{who} returned a tensor of shape {tuple(value.shape)}; return a scalar, such as its mean()")
    if not value.is_floating_point():
        raise RunError(f"{who} returned a tensor of {value.dtype}; return a floating point scalar")


def checked_batches(given: Any, labels: Tensor, size: int) -> list[Tensor]:
    """Return the batches of an epoch, each (n,) int64 with n from 1 to ``size``, of indices into the training set.

    Args:
        given: The result of ``batches``.
        labels: (N,) int64, the classes of the training set.
        size: Most scenes in a batch.

    Raises:
        RunError: They are anything else, or labels where indices are due.
    """
    if not isinstance(given, Sequence) or not len(given):
        raise RunError(f"batches() returned {_kind(given) if given else 'no batch'}; return a list of index tensors")
    for index in given:
        if not isinstance(index, Tensor) or index.dtype != torch.int64 or index.ndim != 1 or not len(index):
            what = f"{index.dtype} of shape {tuple(index.shape)}" if isinstance(index, Tensor) else _kind(index)
            raise RunError(f"batches() returned {what} as a batch; return int64 indices of shape (n,)")
        if index.min() < 0 or index.max() >= len(labels):
            span = f"indices {index.min()} to {index.max()}"
            raise RunError(f"batches() returned {span}, but scenes run from 0 to {len(labels) - 1}")
        if len(index) > size:
            raise RunError(f"batches() returned {len(index)} scenes in a batch, more than the {size} asked for")
    drawn, classes = torch.cat(list(given)), int(labels.max()) + 1
    if len(drawn) >= FEW_INDICES and 2 * classes <= len(labels) and drawn.max() < classes:
        raise RunError(
            f"batches() returned only indices below {classes}, the number of classes; return indices, not labels"
        )
    return list(given)


def checked_descriptors(given: Any, count: int) -> dict[str, Tensor]:
    """Return named descriptors, each (count, D) float.

    Raises:
        RunError: ``describe`` returned anything else.
    """
    if not isinstance(given, Mapping):
        raise RunError(f"describe() must return {{name: Tensor}}, but returned {_kind(given)}")
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise RunError(f"describe() must return {{name: Tensor}}, but returned {_kind(value)} as {name!r}")
        if value.ndim != 2 or len(value) != count or not value.shape[1]:
            raise RunError(
                f"describe(): descriptor {name!r} has shape {tuple(value.shape)} for {count} scenes, not ({count}, D)"
            )
        if not value.is_floating_point():
            raise RunError(f"describe(): descriptor {name!r} is {value.dtype}, not floating point")
    return dict(given)


def checked_scenes(given: Any, scenes: Tensor) -> Tensor:
    """Return what a front end made of scenes, float of their shape (N, B, H, W).

    Raises:
        RunError: It is anything else.
    """
    if not isinstance(given, Tensor):
        raise RunError(f"a front end returned {_kind(given)}; return the transformed scenes")
    if given.shape != scenes.shape or not given.is_floating_point():
        what = f"{given.dtype} of shape {tuple(given.shape)}"
        raise RunError(
            f"a front end returned {what} for scenes of shape {tuple(scenes.shape)}; return floats of that shape"
        )
    return given


def checked_displacement(given: Any, count: int) -> Tensor | None:
    """Return how far a front end moves the content of scenes, (count,) float in pixels; None: not defined.

    Raises:
        RunError: It is anything else, or a number that is no distance.
    """
    if given is None:
        return None
    if not isinstance(given, Tensor) or given.shape != (count,) or not given.is_floating_point():
        what = f"{given.dtype} of shape {tuple(given.shape)}" if isinstance(given, Tensor) else _kind(given)
        raise RunError(f"displacement() returned {what}; return ({count},) floats, or None if it is not defined")
    if not (given.isfinite() & (given >= 0)).all():
        raise RunError(
            f"displacement() returned {given.min().item():.3g} to {given.max().item():.3g}; return finite pixels"
        )
    return given


def _kind(value: Any) -> str:
    """Return the type of a value: ``"Tensor"``, ``"numpy.ndarray"``, ``"None"``."""
    kind = type(value)
    if value is None:
        return "None"
    room = kind.__module__.partition(".")[0]
    return kind.__name__ if room in ("builtins", "torch") else f"{room}.{kind.__name__}"
