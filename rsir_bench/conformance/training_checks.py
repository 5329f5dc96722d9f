"""Checks of the training: what is trained, on what, whether it learns, and whether it can be split and resumed."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.conformance.harness import (
    CLASSES,
    EPOCHS,
    FROZEN_PARTS,
    MANY,
    SCENES,
    TOLERANCE,
    Bench,
    Failure,
    Training,
    descriptors,
    pixels_of,
    refuse_different,
    some,
)
from rsir_bench.method import Method
from rsir_bench.nn.trunk import Trunk
from rsir_bench.scenes.batches import Scenes
from rsir_bench.training.device import make_fabric
from rsir_bench.training.loop import epoch_batches, loss_terms

# The loss must fall by this share, and this share of the scenes must have a nearest neighbour of their class: slow
# recipes reach it, and a random descriptor reaches one in seven.
FALL, NEIGHBOURS = 0.2, 0.75


def groups(bench: Bench) -> str:
    """Check that ``parameter_groups`` has every trainable tensor once.

    Raises:
        Failure: The check fails.
    """
    network = bench.build()
    names = {id(tensor): name for name, tensor in network.named_parameters()}
    held = Counter(id(tensor) for group in network.parameter_groups() for tensor in group.parameters)
    trainable = {name for name, tensor in network.named_parameters() if tensor.requires_grad}
    if missing := trainable - {names.get(key, "") for key in held}:
        raise Failure(f"parameter_groups() leaves out {some(missing)}")
    if foreign := held.keys() - names.keys():
        raise Failure(f"parameter_groups() has {len(foreign)} tensors that are not parameters of the method")
    if twice := [names[key] for key, count in held.items() if count > 1]:
        raise Failure(f"parameter_groups() has more than once: {some(twice)}")
    return f"{len(trainable)} tensors"


def batches(bench: Bench) -> str:
    """Check that ``batches`` returns indices of scenes, and the same number of batches in every epoch.

    Raises:
        Failure: The check fails.
    """
    network, scenes = bench.build(), bench.draw()
    recipe = network.recipe(network.setup.protocol.train)
    epochs = [
        epoch_batches(network, scenes.labels, recipe, torch.Generator().manual_seed(seed)) for seed in range(MANY)
    ]
    # One scene more than a batch takes: if batches are even, those that are too large show only here.
    epoch_batches(network, scenes.labels[: recipe.batch + 1], recipe, torch.Generator().manual_seed(0))
    counts = sorted({len(epoch) for epoch in epochs})
    if len(counts) > 1:
        raise Failure(f"batches() returns {counts[0]} batches in one epoch and {counts[-1]} in another")
    return f"{counts[0]} in an epoch"


def training_set(bench: Bench) -> str:
    """Check that ``training_set`` returns labelled scenes, in the first two rounds."""
    source, unlabelled = bench.draw(), bench.pool()
    previous: Method | None = None
    sizes = []
    for number in range(1, min(bench.named.method_class.rounds, 2) + 1):
        network = bench.build(seed=number)
        scenes = network.training_set(number, previous, source, unlabelled)
        _labelled(scenes, number)
        Training(network, scenes).epoch(1)
        previous = network.eval()
        sizes.append(f"{len(scenes)} scenes")
    return ", ".join(sizes)


def _labelled(scenes: Scenes, number: int) -> None:
    where = f"training_set() of round {number}"
    if not isinstance(scenes, Scenes) or not len(scenes):
        raise Failure(f"{where}: no scenes")
    if len(scenes.labels) != len(scenes):
        raise Failure(f"{where}: {len(scenes)} scenes with {len(scenes.labels)} labels")
    if scenes.labels.dtype != torch.int64 or scenes.labels.min() < 0 or scenes.labels.max() >= CLASSES:
        raise Failure(f"{where}: labels are not int64 classes from 0 to {CLASSES - 1}")


def learns(bench: Bench) -> str:
    """Check that a few dozen steps on 32 scenes lower the loss and bring scenes of a class together.

    Raises:
        Failure: The check fails.
    """
    scenes = bench.draw()
    network = bench.build()
    training = Training(network, network.training_set(1, None, scenes, bench.pool()))
    losses: list[float] = []
    right = 0.0
    for number in range(1, EPOCHS + 1):
        losses.append(training.epoch(number))
        if number % 5 == 0 and _fallen(losses):
            right = _neighbours(network, scenes)
            if right >= NEIGHBOURS:
                break
    bench.trained = network
    found = f"loss {losses[0]:.3g} to {losses[-1]:.3g} in {training.steps} steps"
    if not _fallen(losses):
        raise Failure(f"{found}: it hardly falls on {SCENES} scenes")
    if right < NEIGHBOURS:
        raise Failure(f"{found}, but only {right:.0%} of the training scenes have a nearest neighbour of their class")
    return f"{found}, {right:.0%} of nearest neighbours right"


def _fallen(losses: list[float]) -> bool:
    return losses[-1] <= losses[0] - FALL * abs(losses[0])


def _neighbours(network: Method, scenes: Scenes) -> float:
    """Return the share of scenes whose nearest neighbour is of their class, for the best row."""
    given = descriptors(network, pixels_of(scenes))
    shares = []
    for row in network.card.rows.values():
        values = given[row.descriptor].float()
        values = functional.normalize(values - (0 if row.kind == "code" else values.mean(1, keepdim=True)))
        nearest = (values @ values.T).fill_diagonal_(-2).argmax(1)
        shares.append((scenes.labels[nearest] == scenes.labels).float().mean().item())
    return max(shares)


def gradients(bench: Bench) -> None:
    """Check that a gradient other than zero reaches every trainable tensor within a few steps.

    Raises:
        Failure: The check fails.
    """
    network = bench.build()
    training = Training(network, network.training_set(1, None, bench.draw(), bench.pool()))
    for number in range(1, 6):
        training.epoch(number)
        if not training.without_gradient:
            return
    raise Failure(f"no gradient in {training.steps} steps: {some(training.without_gradient)}")


def frozen(bench: Bench) -> str:
    """Check that parts frozen by the protocol keep their weights and statistics.

    Raises:
        Failure: The check fails.
    """
    setup = bench.setup(frozen=_parts(bench))
    within = tuple(f"{part}." for part in setup.protocol.trunk.frozen)
    # In a frozen part, the method's trunk may have layers that the protocol's trunk lacks.
    wanted = {name for name, _ in _tensors(bench.setup().trunk().backbone) if name.startswith(within)}
    if not (found := _trunks(bench.build())):
        return "it has no Trunk"
    if wanted - {name for _, trunk in found for name, _ in _tensors(trunk.backbone)}:
        return "it has a trunk of its own, without the protocol's parts"
    network = bench.build(setup)
    kept: dict[str, Tensor] = {}
    for name, trunk in _trunks(network):
        own = dict(_tensors(trunk.backbone))
        if wanted <= own.keys():
            kept |= {f"{name}.backbone.{inner}".removeprefix("."): own[inner] for inner in wanted}
    before = {name: tensor.clone() for name, tensor in kept.items()}
    if loose := [name for name, tensor in kept.items() if tensor.requires_grad]:
        raise Failure(f"trunk.frozen does not freeze {some(loose)}")
    training = Training(network, network.training_set(1, None, bench.draw(), bench.pool()))
    training.epoch(1)
    if moved := [name for name, tensor in kept.items() if not torch.equal(tensor, before[name])]:
        raise Failure(f"frozen, but changed by training: {some(moved)}")
    return f"{len(kept)} tensors"


def split(bench: Bench) -> str:
    """Check that a loss declared a mean over scenes is one, so that devices can share a batch.

    Raises:
        Failure: The check fails.
    """
    network = bench.build()
    how = network.distributed_loss
    if how != "mean":
        return how or "on one device only"
    scenes = network.training_set(1, None, bench.draw(), bench.pool())
    everything = torch.arange(len(scenes))
    batch = network.augment(scenes.batch(everything, torch.device("cpu")), torch.Generator().manual_seed(0))
    network.eval()  # the training loop handles dropout and batch norm
    fabric = make_fabric("cpu", "32")
    third = len(scenes) // 3
    with torch.no_grad():
        first, rest, whole = (
            loss_terms(network, batch.part(rows), fabric)[1].item()
            for rows in (slice(third), slice(third, None), slice(None))
        )
    mean = (third * first + (len(scenes) - third) * rest) / len(scenes)
    if abs(mean - whole) > TOLERANCE * max(abs(whole), 1):
        raise Failure(
            f"distributed_loss is mean, but parts of a batch cost {mean:.6g} on average, the whole {whole:.6g}"
        )
    return how


def _trunks(network: Method) -> list[tuple[str, Trunk]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Trunk)]


def _parts(bench: Bench) -> list[str]:
    """Return the first parts with parameters of the protocol's trunk."""
    backbone = bench.setup().trunk().backbone
    named = [name for name, part in backbone.named_children() if next(part.parameters(), None) is not None]
    return named[:FROZEN_PARTS]


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def half_precision(bench: Bench) -> None:
    """Check that loss and weights stay finite under bf16 autocast.

    Raises:
        Failure: The check fails.
    """
    network = bench.build()
    Training(network, network.training_set(1, None, bench.draw(), bench.pool()), "bf16").epoch(1)
    if wrong := [name for name, tensor in network.named_parameters() if not tensor.isfinite().all()]:
        raise Failure(f"not finite after bf16 steps: {some(wrong)}")


def resumed(bench: Bench) -> None:
    """Check that a training resumed from a checkpoint in a new network gives the same numbers.

    Raises:
        Failure: The check fails.
    """
    first = bench.build()
    scenes = first.training_set(1, None, bench.draw(), bench.pool())
    whole = Training(first, scenes)
    whole.epoch(1)
    state = copy.deepcopy(whole.state())
    again = Training(bench.build(seed=1), scenes)
    again.load(state)
    losses = whole.epoch(2), again.epoch(2)
    if abs(losses[0] - losses[1]) > TOLERANCE * abs(losses[0]):
        raise Failure(f"the loss after a resume is {losses[1]:.6g}, not {losses[0]:.6g}; state_dict() lacks something")
    resumed = again.network.state_dict()
    for name, tensor in whole.network.state_dict().items():
        refuse_different(tensor.float(), resumed[name].float(), f"{name} differs after a resume")
