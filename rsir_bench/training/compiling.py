"""Compile a method's training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rsir_bench.method import Method


@contextmanager
def compiled_loss(method: Method, wanted: bool) -> Iterator[None]:
    """Within the block, compute the method's loss, and its gradients, with code that ``torch.compile`` generates.

    What cannot be compiled runs as before. Losses are equal to rounding. The first steps take a minute or two, for
    each shape of a batch anew.
    """
    if not wanted:
        yield
        return
    method.loss = torch.compile(method.loss)  # type: ignore[method-assign] # the instance's, removed again
    try:
        yield
    finally:
        del method.loss
