"""What a campaign will take: time from a measured step of each method, disk from its sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from rsir_bench.batches import Batch
from rsir_bench.errors import UserError
from rsir_bench.method import Method, Setup
from rsir_bench.plan import Plan, Run
from rsir_bench.scenes.cache import estimated_bytes, is_cached
from rsir_bench.train import loss_terms, make_fabric, make_optimizer

SAMPLE = 16


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
    fabric = make_fabric(device, method.recipe(setup.protocol.train).precision)
    method.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scenes = torch.rand(SAMPLE, setup.bands, setup.size, setup.size, device=fabric.device)
    labels = torch.arange(SAMPLE, device=fabric.device) % setup.classes
    batch = Batch(
        scenes.contiguous(memory_format=torch.channels_last), labels, torch.arange(SAMPLE, device=fabric.device)
    )
    training = 0.0
    if method.card.trained:
        wrapped, optimizer = fabric.setup(method, make_optimizer(method, method.recipe(setup.protocol.train)))
        wrapped.mark_forward_method("loss")
        for _ in range(2):  # the first step also allocates
            started = time.perf_counter()
            fabric.backward(loss_terms(wrapped, batch, fabric)[1])
            optimizer.step()
            training = time.perf_counter() - started
    method.eval()
    with torch.inference_mode():
        for _ in range(2):
            started = time.perf_counter()
            method.describe(batch.scenes)
            describing = time.perf_counter() - started
    return training / SAMPLE, describing / SAMPLE
