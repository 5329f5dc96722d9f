"""What a campaign will take: time from a measured step of each method, disk from its sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rsir_bench.batches import Batch
from rsir_bench.errors import UserError
from rsir_bench.method import Method, Setup
from rsir_bench.plan import Plan, Run
from rsir_bench.scenes.cache import estimated_bytes, is_cached
from rsir_bench.train import loss_terms, make_fabric, make_optimizer

FEW, MORE = 8, 24


@dataclass
class Estimate:
    """Seconds and bytes; ``seconds`` is None where a step could not be measured."""

    seconds: float | None
    run_bytes: int


def estimate(plan: Plan, run: Run) -> Estimate:
    """Measures one step of the run's method and scales it to the run.

    Raises:
        UserError: The method cannot be built (weights, settings).
    """
    setup, trained = plan.setup(run), run.method.kind.card.trained
    rounds = (
        [number for number in range(1, run.method.kind.rounds + 1) if not run.is_trained(number)] if trained else []
    )
    targets = {(cell.target, cell.distortion) for cell in run.todo if not cell.descriptors.is_file()}
    if not targets and not rounds:
        return Estimate(0, 0)
    try:
        method = run.method.build(setup)
    except UserError:
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - a method that raises is reported when its run fails
        return Estimate(None, 0)
    parameters = sum(tensor.numel() for tensor in method.parameters())
    described = sum(len(plan.datasets[name]) for name, _ in targets) + (setup.scenes if trained else 0)
    width = plan.protocol.describe.pca * len({(cell.row_name, cell.fit) for cell in run.cells})
    # Weights once, and momentum and weights again in the checkpoint while training.
    size = 4 * parameters * 3 * len(rounds) + 4 * described * width
    try:
        training, describing = _seconds_per_scene(method, setup, plan.request.device)
    except (Exception, SystemExit):  # noqa: BLE001 - as above
        return Estimate(None, size)
    epochs = method.recipe(plan.protocol.train).epochs * len(rounds)
    return Estimate(training * epochs * setup.scenes + describing * described, size)


def cache_bytes(plan: Plan) -> int:
    """Bytes of the pixel caches that are still to be built."""
    wanted = (plan.datasets[name] for name in plan.needed())
    return sum(estimated_bytes(index, plan.transform) for index in wanted if not is_cached(index, plan.transform))


def _seconds_per_scene(method: Method, setup: Setup, device: str) -> tuple[float, float]:
    """Seconds to train on a scene, in batches of the recipe's size, and to describe one."""
    recipe = method.recipe(setup.protocol.train)
    fabric = make_fabric(device, recipe.precision)
    method.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    few, more = (_noise(setup, count, fabric.device) for count in (FEW, MORE))
    training = 0.0
    if method.card.trained:
        wrapped, optimizer = fabric.setup(method, make_optimizer(method, recipe))
        wrapped.mark_forward_method("loss")

        def step(batch: Batch) -> None:
            fabric.backward(loss_terms(wrapped, batch, fabric)[1])
            optimizer.step()

        step(few)  # also allocates
        times = [_seconds(lambda batch=batch: step(batch), fabric.device) for batch in (few, more)]  # type: ignore[misc]
        training = _per_scene(*times, recipe.batch)
    method.eval()
    with torch.inference_mode():
        method.describe(more.scenes)
        describing = _seconds(lambda: method.describe(more.scenes), fabric.device)
    return training, describing / MORE


def _noise(setup: Setup, count: int, device: torch.device) -> Batch:
    scenes = torch.rand(count, setup.bands, setup.size, setup.size, device=device)
    index = torch.arange(count, device=device)
    scenes = scenes.contiguous(memory_format=torch.channels_last)
    return Batch(scenes, index % setup.classes, index % setup.scenes)


def _per_scene(few: float, more: float, batch: int) -> float:
    """Seconds of a scene in a batch, from those of ``FEW`` and of ``MORE``: a step takes time for the weights too."""
    scene = max(0.0, more - few) / (MORE - FEW)
    weights = max(0.0, few - FEW * scene)
    return scene + weights / batch


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":  # it has been given the work, but has not done it
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
