"""Compile a method's training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.method import Method

REMEDY = "no code can be generated here; install a C++ compiler (on a GPU also triton), or run without --compile"


@contextmanager
def compiled_loss(method: Method, wanted: bool) -> Iterator[None]:
    """Within the block, compute the method's loss and its gradients with code that ``torch.compile`` generates.

    What cannot be compiled runs as before. Losses are equal up to rounding: random numbers, such as those of dropout,
    are the same as without compiling. For each shape of a batch, the first steps take a minute or two.

    Raises:
        UserError: No code can be generated, for example because the machine has no C++ compiler.
    """
    if not wanted:
        yield
        return
    from torch._inductor.exc import InductorError  # takes seconds; other commands need not wait

    drawn_alike: dict[str, str | int | bool | Callable[..., Any]] = {"fallback_random": True}
    method.loss = torch.compile(method.loss, options=drawn_alike)  # type: ignore[method-assign] # removed again
    try:
        yield
    except InductorError as error:
        raise UserError(f"--compile: {REMEDY} ({one_line(error)})") from error
    finally:
        del method.loss
