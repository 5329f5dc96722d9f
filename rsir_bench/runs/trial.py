"""A tiny pass of a method through all that a run does with it, before hours go into one.

A method is tried once with its code, its settings, the protocol and the scenes; that it passed is kept. The first round
is tried: the first batch of the source (a few scenes of it on a CPU), the smallest one, a few scenes of the target.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.compute.devices import on_device
from rsir_bench.base.errors import RunError
from rsir_bench.base.files import digest, write_text
from rsir_bench.method import Method
from rsir_bench.method.composition import Composed
from rsir_bench.protocol import Train
from rsir_bench.ranking import score
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.estimate import cost_key
from rsir_bench.runs.plan import Plan, Run
from rsir_bench.scenes.batches import Scenes
from rsir_bench.scenes.cache_folder import kept_at, written_at
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.training.augmentation import augmented
from rsir_bench.training.describe import as_bits, describe
from rsir_bench.training.device import compute_deterministically, make_fabric, without_expected_warnings
from rsir_bench.training.effect import measure_effect
from rsir_bench.training.loop import ROOMS, epoch_batches, loss_terms, make_optimizer

FEW = 8
TRIAL_VERSION = 2  # raise when more is tried


def is_tried(plan: Plan, run: Run) -> bool:
    """Return whether the run's method has passed with this code, protocol and scenes."""
    return any(path.is_file() for path in kept_at(*_place(plan, run)))


@without_expected_warnings()
def try_method(plan: Plan, run: Run) -> None:
    """Build, train, describe and score with a few scenes, and note that it passed.

    Raises:
        RunError: The method does not keep its contract.
        UserError: The method cannot be built, or the recipe's batches are too small for it.
        Exception: Whatever the method raises.
    """
    device = _device(plan)
    compute_deterministically(device)
    of_round = RunArtifacts(plan, run).network(1)
    network = of_round.build()
    _describe(plan, run, network, device)
    if run.card.trained:
        source = of_round.training_set(network, None)
        recipe = network.recipe(plan.protocol.train)
        batches = epoch_batches(network, source.labels, recipe, torch.Generator().manual_seed(0))
        again = epoch_batches(network, source.labels, recipe, torch.Generator().manual_seed(1))
        if len(batches) != len(again):
            raise RunError(f"batches() returned {len(batches)} batches in one epoch and {len(again)} in another")
        _train(plan, run, source, _whole_or_few(batches[0], device))
        smallest = min(batches, key=len)
        if len(smallest) < min(FEW, len(batches[0])):
            _train(plan, run, source, [smallest])
    write_text(written_at(*_place(plan, run)), "{}\n")


def _device(plan: Plan) -> torch.device:
    """Return the device of the runs, or the CPU where this machine, the head of a cluster, lacks it."""
    device = torch.device(plan.request.device)
    return torch.device("cpu") if device.type == "cuda" and not torch.cuda.is_available() else device


def _whole_or_few(batch: Tensor, device: torch.device) -> list[Tensor]:
    """Return the batches to try in turn until one passes: a method may need more scenes than a few."""
    return [batch[:FEW], batch] if device.type == "cpu" and len(batch) > FEW else [batch]


def _train(plan: Plan, run: Run, source: Scenes, batches: list[Tensor]) -> None:
    """Make a step of a new network with the first batch that passes.

    Raises:
        Exception: What the last batch raises.
    """
    *fewer, last = batches
    for batch in fewer:
        try:
            return _step(plan, run, source, batch)
        except (Exception, SystemExit):  # noqa: BLE001 - whatever it is, the whole batch decides
            continue
    return _step(plan, run, source, last)


def _step(plan: Plan, run: Run, source: Scenes, index: Tensor) -> None:
    network = RunArtifacts(plan, run).network(1).build()
    recipe: Train = network.recipe(plan.protocol.train)
    fabric = make_fabric(str(_device(plan)), recipe.precision)
    on_device(network, fabric.device)
    wrapped, optimizer = fabric.setup(network, make_optimizer(network, recipe))
    wrapped.mark_forward_method("loss")
    wrapped.train()
    generator = torch.Generator().manual_seed(0)
    batch = source.batch(index, fabric.device)
    view = network.augment(augmented(batch, recipe, generator), generator)
    fabric.backward(loss_terms(wrapped, view, fabric)[1])
    optimizer.step()
    for name, value in network.epoch_metrics().items():
        if not isinstance(value, int | float | Tensor | np.number):
            raise RunError(f"epoch_metrics() returned {value!r} as {name!r}; return numbers")
    if extra := [name for name, value in network.state_dict().items() if not isinstance(value, Tensor)]:
        raise RunError(f"state_dict() holds {extra[0]}, which is not a tensor and cannot be saved")


def _describe(plan: Plan, run: Run, network: Method, device: torch.device) -> None:
    """Describe a few scenes of the target and a single one, and score the rows of the round.

    Raises:
        RunError: A row's descriptor is missing, or not finite.
    """
    pixels = open_pixels(plan.datasets[run.cells[0].target], run.transform)
    names = RunArtifacts(plan, run).network(1).descriptor_names()
    precision = plan.protocol.describe.precision
    given = describe(network, pixels[:4], device, f"trying {run.title}", None, precision)
    if missing := sorted(names - set(given)):
        raise RunError(f"describe() returns {', '.join(sorted(given)) or 'nothing'} but no {', '.join(missing)}")
    for name in sorted(names):
        if not np.isfinite(given[name]).all():
            raise RunError(f"describe(): values of {name!r} are not finite, before any training")
    describe(network, pixels[:1], device, f"trying {run.title}", names)
    if isinstance(network, Composed):
        measure_effect(network, pixels[:4], device, f"trying {run.title}")
    if len(pixels) >= 4:
        _score(plan, run, given)


def _score(plan: Plan, run: Run, given: dict[str, np.ndarray]) -> None:
    labels = np.array([0, 0, 1, 1])
    for row in run.card.rows.values():
        if row.descriptor not in given:  # of a later round
            continue
        values = given[row.descriptor]
        if row.kind == "code":
            score(as_bits(values), labels, codes=True, bits=values.shape[1])
        elif math.isfinite(float(np.abs(values).max())):
            score(values, labels, similarity=plan.protocol.score.similarity)


def _place(plan: Plan, run: Run) -> tuple[str, str]:
    """Return where it is noted that a method has passed, below the cache folder."""
    pool = plan.protocol.data.unlabelled if run.card.needs_unlabelled else None
    names = [run.cells[0].target, *([pool] if pool else [])]
    seen = [plan.datasets[name].fingerprint for name in names]
    key = digest([TRIAL_VERSION, cost_key(plan, run), seen, _harness()])
    return "trials", f"{key}.json"


@cache
def _harness() -> str:
    """Return the digest of the code that handles methods."""
    package = Path(__file__).parents[1]
    files = [Path(__file__), *(file for room in ROOMS for file in sorted((package / room).rglob("*.py")))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
