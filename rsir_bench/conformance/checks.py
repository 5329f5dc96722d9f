"""The checks, in the order in which they run. Each returns a detail, or raises ``Failure`` with what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rsir_bench.conformance.class_checks import builds, card, other_shape, settings
from rsir_bench.conformance.describing_checks import alone, codes, deterministic, effect, rows, saved
from rsir_bench.conformance.harness import Bench
from rsir_bench.conformance.precision import one_precision
from rsir_bench.conformance.training_checks import (
    batches,
    frozen,
    gradients,
    groups,
    half_precision,
    learns,
    resumed,
    split,
    training_set,
)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: Its name in the report.
        run: Returns a detail for the report; raises if the check fails.
        needs: Checks that must pass first.
        training: Whether it applies to trained methods only.
    """

    name: str
    run: Callable[[Bench], str | None]
    needs: tuple[str, ...] = ()
    training: bool = False


CHECKS = (
    Check("card", card),
    Check("settings", settings),
    Check("builds", builds),
    Check("parameter groups", groups, ("builds",), training=True),
    Check("rows", rows, ("builds",)),
    Check("batches", batches, ("builds",), training=True),
    Check("training set", training_set, ("batches",), training=True),
    Check("gradients", gradients, ("training set",), training=True),
    Check("learns", learns, ("gradients", "rows"), training=True),
    Check("frozen parts", frozen, ("training set",), training=True),
    Check("split", split, ("training set",), training=True),
    Check("bf16", half_precision, ("training set",), training=True),
    Check("precision", one_precision, ("rows", "training set")),
    Check("effect", effect, ("rows",)),
    Check("other shape", other_shape, ("rows",)),
    Check("deterministic", deterministic, ("rows",)),
    Check("batch", alone, ("deterministic",)),
    Check("codes", codes, ("rows",)),
    Check("save and load", saved, ("deterministic",)),
    Check("resume", resumed, ("training set",), training=True),
)
