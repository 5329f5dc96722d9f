"""Measure how fast methods train and describe relative to a reference, in turns.

    python studies/relative_costs.py all --protocol demo --reference baseline

Steps of a method and of the reference alternate, so that whatever else the machine does slows both alike; the ratio is
the median over the pairs. A ratio of 0.5 is half as many scenes per second. The columns of a leaderboard are wall-clock
figures of whole runs and show what else the machine did: these ratios are the ones to compare methods by.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tabulate import tabulate

from rsir_bench.base.compute.devices import finish, on_device
from rsir_bench.base.errors import run_and_exit
from rsir_bench.method import Method
from rsir_bench.runs.plan import Plan, Run, make_plan
from rsir_bench.runs.request import Request
from rsir_bench.scenes.batches import Batch
from rsir_bench.training.device import find_device, make_fabric
from rsir_bench.training.loop import loss_terms, make_optimizer

Step = Callable[[], object]
DESCRIBED = 32  # scenes of one step of describing


def paired_ratio(step: Step, reference: Step, repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median over pairs of the reference's time divided by the step's, without the first pair."""

    def seconds(timed: Step) -> float:
        started = clock()
        timed()
        return clock() - started

    pairs = [(seconds(reference), seconds(step)) for _ in range(repeats + 1)]
    return statistics.median(theirs / ours for theirs, ours in pairs[1:])


def steps(plan: Plan, run: Run) -> tuple[Step | None, Step]:
    """One step of training (None for a method that is not trained) and one of describing, on random scenes."""
    setup, device = plan.setup(run), plan.request.device
    method = run.method.build(setup)
    recipe = method.recipe(setup.protocol.train)
    fabric = make_fabric(device, recipe.precision)
    on_device(method, fabric.device)
    generator = torch.Generator().manual_seed(0)
    scenes = torch.rand(DESCRIBED, setup.bands, setup.size, setup.size, generator=generator).to(fabric.device)
    scenes = scenes.contiguous(memory_format=torch.channels_last)
    describing = finished(_describing(method, scenes), fabric.device)
    if not run.method.card.trained:
        return None, describing
    wrapped, optimizer = fabric.setup(method, make_optimizer(method, recipe))
    wrapped.mark_forward_method("loss")
    index = torch.arange(recipe.batch, device=fabric.device) % DESCRIBED
    batch = Batch(scenes[index], index % setup.classes, index)

    def training() -> None:
        method.train()
        optimizer.zero_grad()
        fabric.backward(loss_terms(wrapped, method.augment(batch, generator), fabric)[1])
        optimizer.step()

    return finished(training, fabric.device), describing


def finished(step: Step, device: torch.device) -> Step:
    """Return the step followed by a wait for the device: a GPU works asynchronously."""

    def waiting() -> None:
        step()
        finish(device)

    return waiting


def _describing(method: Method, scenes: torch.Tensor) -> Step:
    def describing() -> None:
        method.eval()
        with torch.inference_mode():
            method.describe(scenes)

    return describing


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", help="names, or all")
    parser.add_argument("--protocol", default="demo")
    parser.add_argument("--reference", default="baseline")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()

    def planned(methods: list[str]) -> Plan:
        device = find_device(options.device)
        return make_plan(
            Request(methods, ["all"], protocol=options.protocol, data_root=options.data_root, device=device)
        )

    plan, theirs, rows = planned(options.methods), planned([options.reference]), []
    reference_training, reference_describing = steps(theirs, theirs.runs[0])
    for run in plan.runs:
        training, describing = steps(plan, run)
        ratio = None
        if training is not None and reference_training is not None:
            ratio = paired_ratio(training, reference_training, options.repeats)
        rows.append([run.method.label, ratio, paired_ratio(describing, reference_describing, options.repeats)])
    headers = ["method", f"training, {options.reference} = 1", f"describing, {options.reference} = 1"]
    print(tabulate(rows, headers, floatfmt=".2f", missingval="-"))


if __name__ == "__main__":
    run_and_exit(main, "relative_costs")
