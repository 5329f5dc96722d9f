"""Estimate the time of a campaign from a measured step of each method, and its disk space from sizes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rsir_bench.base.compute.devices import finish, on_device
from rsir_bench.base.compute.memory import freed_memory_kept
from rsir_bench.base.errors import UserError, map_collecting_errors, one_line
from rsir_bench.base.files import digest, write_text
from rsir_bench.base.traces import with_place
from rsir_bench.method import Method, Setup
from rsir_bench.method.code.source_digest import source_digest
from rsir_bench.nn.trunk import NoMapsError
from rsir_bench.protocol import Train
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.artifacts.environment import environment
from rsir_bench.runs.plan import Plan, ResultSpec, Run, round_folder
from rsir_bench.scenes.batches import Batch
from rsir_bench.scenes.cache_folder import kept_at, written_at
from rsir_bench.scenes.pixel_cache import estimated_bytes, is_cached
from rsir_bench.training.describe import batch_size
from rsir_bench.training.device import make_fabric, without_expected_warnings
from rsir_bench.training.given import checked_descriptors
from rsir_bench.training.loop import epoch_batches, loss_terms, make_optimizer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FEW, MORE, TRIES = 8, 24, 3
COST_VERSION = 6  # raise when a step is measured in another way


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes of a run."""

    seconds: float
    run_bytes: int


@dataclass(frozen=True)
class StepCost:
    """The costs of a method, whatever the seed and the scenes that are left.

    Attributes:
        training: Seconds for one scene, once.
        describing: Seconds for one scene.
        epochs: Of a round.
        state: Bytes of the network: parameters and what else it keeps.
        parameters: Of the network.
        moments: Values that the optimizer keeps for each parameter.
        lengths: Of its descriptors, by name.
    """

    training: float
    describing: float
    epochs: int
    state: int
    parameters: int
    moments: int
    lengths: dict[str, int]


Costs = dict[str, StepCost | str]
"""The cost of a step by label of the method, or why it cannot be measured."""


def fitting(plan: Plan, known: Costs) -> Plan:
    """Return the plan without the methods that do not go with the trunk, and measure the others.

    An encoder that cannot be built, or does not take its scenes, has failed; a method of another kind stops all.

    With a time limit, nothing is tried here, and nothing is left out.

    Args:
        plan: The campaign's plan.
        known: Takes the costs of a step.

    Raises:
        UserError: A method cannot be built, or no method is left.
    """
    if plan.request.time_limit is not None:
        return plan
    unfit: dict[str, str] = {}
    failed = dict(plan.failed)

    def look(run: Run) -> None:
        try:
            estimate(plan, run, known)
        except NoMapsError as error:
            unfit[run.method.label] = f"{run.method.name}: {error}"
        except UserError as error:
            if run.encoder is None:
                raise
            failed[run.method.label] = one_line(error)  # it costs only its own results

    map_collecting_errors(plan.first_of_each, look)
    runs = tuple(run for run in plan.runs if run.method.label not in unfit | failed)
    absent = [*plan.absent, *unfit.values()]
    if not runs:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in failed.items())
        raise UserError(reasons or f"nothing to run: {'; '.join(absent)}")
    return replace(plan, runs=runs, absent=absent, failed=failed)


def estimate(plan: Plan, run: Run, known: Costs) -> Estimate | None:
    """Return what is left of a run: the sum over its missing artifacts.

    Args:
        plan: The campaign's plan.
        run: One of its runs.
        known: Costs of a step by label of the method; a missing one is looked up or measured, and added.

    Returns:
        None if a step of the method cannot be measured.

    Raises:
        NoMapsError: The method does not go with the trunk.
        UserError: The method cannot be built (weights, settings).
    """
    missing = RunArtifacts(plan, run).missing()
    if not missing.networks and not missing.cells and not missing.plain_passes:
        return Estimate(0, 0)
    if run.method.label not in known:
        known[run.method.label] = step_cost(plan, run)
    step = known[run.method.label]
    if isinstance(step, str):
        return None
    trainings = len(missing.networks)
    trained = len(plan.source) * (step.epochs * trainings - kept_epochs(run)) if trainings else 0
    passes = [*(name for name, _, _ in missing.passes), *(name for name, _ in missing.plain_passes)]
    described = sum(len(plan.datasets[name]) for name in passes)
    # During the last round: a checkpoint, the next one while it is written, and the weights of the other rounds.
    checkpoint = step.state + 4 * step.parameters * step.moments
    size = 2 * checkpoint + step.state * (trainings - 1) if trainings else 0
    size += sum(len(plan.datasets[cell.target]) * _row_bytes(plan, cell, step) for cell in missing.cells)
    return Estimate(step.training * trained + step.describing * described, size)


def kept_epochs(run: Run) -> int:
    """Return the whole epochs of the training that a run is in the middle of; 0 where it is in none."""
    for round_index in run.rounds:
        folder = round_folder(run.folder, round_index)
        if not run.is_trained(round_index):
            log, checkpoint = folder / "log.csv", folder / "checkpoint.pt"
            return len(log.read_text().splitlines()) - 1 if log.is_file() and checkpoint.is_file() else 0
    return 0


def cache_bytes(plan: Plan) -> int:
    """Return the bytes of the pixel caches that are still to be built."""
    wanted = [(plan.datasets[name], transform) for name, transform in plan.needed()]
    return sum(estimated_bytes(*scenes) for scenes in wanted if not is_cached(*scenes))


def _row_bytes(plan: Plan, cell: ResultSpec, step: StepCost) -> int:
    length = step.lengths.get(cell.row.descriptor, 0)  # its run will fail where describe() does not give it
    if cell.row.kind == "code":
        return -(-length // 8)
    return 4 * (min(length, plan.protocol.describe.pca) if cell.row.kind == "pca" else length)


# --- the cost of a step ---


def step_cost(plan: Plan, run: Run) -> StepCost | str:
    """Return the cost of a step of the run's method: that of an earlier plan, or measured now and kept.

    Returns:
        The cost, or why a step cannot be made.

    Raises:
        NoMapsError: The method does not go with the trunk.
        UserError: The method cannot be built (weights, settings).
    """
    place = ("steps", f"{cost_key(plan, run)}.json")
    for path in kept_at(*place):
        if (kept := _read_cost(path)) is not None:
            return kept
    try:
        step = measure(plan, run)
    except NoMapsError as error:
        write_text(written_at(*place), json.dumps({"unfit": str(error)}))
        raise
    if isinstance(step, StepCost):
        write_text(written_at(*place), json.dumps(asdict(step)))
    return step


def cost_key(plan: Plan, run: Run) -> str:
    """Return the digest of what changes the cost of a step: method, its code, protocol, scenes and machine."""
    setup, protocol = plan.setup(run), plan.protocol
    settings = protocol.identity()
    settings["data"] = {name: value for name, value in settings["data"].items() if name not in ("source", "unlabelled")}
    return digest(
        [
            COST_VERSION,
            [run.method.name, run.card.version, run.method.non_default, run.weights],
            [source_digest(*dict.fromkeys(run.method.sources.values())), run.method.own_code],
            settings,
            plan.source.fingerprint if run.card.trained else None,
            [setup.classes, setup.bands, setup.size],
            environment(plan.request.device, protocol.precision),
        ]
    )


def _read_cost(path: Path) -> StepCost | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if "unfit" in kept:
            raise NoMapsError(kept["unfit"])
        return StepCost(**kept)
    except (OSError, ValueError, TypeError):  # not there, or damaged: it is measured again
        return None


@without_expected_warnings()
def measure(plan: Plan, run: Run) -> StepCost | str:
    """Measure one step of the run's method, and look at its batches of the source.

    Returns:
        The cost, or what it raises, which is reported when its run fails.

    Raises:
        UserError: The method cannot be built (weights, settings), or the recipe's batches are too small for it.
    """
    setup = plan.setup(run)
    try:
        method = run.method.build(setup)
        recipe = method.recipe(plan.protocol.train) if plan.protocol.trains else None
        if recipe is not None and run.card.trained:
            epoch_batches(method, torch.as_tensor(plan.source.labels), recipe, torch.Generator().manual_seed(0))
        training, describing, lengths = _seconds_per_scene(method, setup, recipe, plan.request.device)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a method may raise anything
        return with_place(error, run.method.sources.values())
    state = sum(tensor.nbytes for tensor in method.state_dict().values())
    parameters = sum(tensor.numel() for tensor in method.parameters())
    moments = _moments(recipe) if recipe else 0
    return StepCost(training, describing, recipe.epochs if recipe else 0, state, parameters, moments, lengths)


def _moments(recipe: Train) -> int:
    """Return how many values the optimizer keeps for each parameter."""
    return 2 if recipe.optimizer == "adam" else int(recipe.momentum > 0)


def _seconds_per_scene(
    method: Method, setup: Setup, recipe: Train | None, device: str
) -> tuple[float, float, dict[str, int]]:
    """Seconds to train on a scene, in batches of the recipe's size, and to describe one; lengths of its descriptors."""
    fabric = make_fabric(device, recipe.precision if recipe else "32")
    on_device(method, fabric.device)
    with freed_memory_kept(fabric.device):  # as in training and describing
        training = 0.0
        if recipe is not None and method.card.trained:
            wrapped, optimizer = fabric.setup(method, make_optimizer(method, recipe))
            wrapped.mark_forward_method("loss")

            def step(count: int) -> float:
                batch = _noise(setup, count, fabric.device)
                return _seconds(lambda: _update(wrapped, batch, fabric, optimizer), fabric.device)

            training = training_seconds(step, recipe.batch, fabric.device.type)
        count = batch_size(fabric.device.type, setup.size)
        scenes = _noise(setup, count if fabric.device.type == "cuda" else min(count, MORE), fabric.device).scenes
        method.eval()
        with torch.inference_mode():
            given = checked_descriptors(method.describe(scenes), len(scenes))
            lengths = {name: values.shape[1] for name, values in given.items()}
            describing = _least(lambda: _seconds(lambda: method.describe(scenes), fabric.device))
    return training, describing / len(scenes), lengths


def _update(method: Any, batch: Batch, fabric: Fabric, optimizer: Any) -> None:
    fabric.backward(loss_terms(method, batch, fabric)[1])
    optimizer.step()


def training_seconds(step: Callable[[int], float], batch: int, kind: str) -> float:
    """Return the seconds of a scene in a batch.

    Args:
        step: Takes a step on so many scenes, and returns its seconds. The first one also prepares, and gets the memory
            of the largest; on a GPU, the first of each size prepares.
        batch: Of the recipe.
        kind: Of the device. A GPU gets the whole batch: a smaller one leaves it idle, and it prepares for each size
            anew. A CPU would take too long for one.
    """
    if kind == "cuda":
        step(batch)
        return _least(lambda: step(batch)) / batch
    step(MORE)
    return _per_scene(_least(lambda: step(FEW)), _least(lambda: step(MORE)), batch)


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


def _least(timed: Callable[[], float]) -> float:
    """Return the least seconds of up to ``TRIES`` within two seconds: other load only adds time."""
    taken: list[float] = []
    while len(taken) < TRIES and sum(taken) < 2:
        taken.append(timed())
    return min(taken)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that work takes."""
    started = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - started
