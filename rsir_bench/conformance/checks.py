"""The checks, in the order in which they run. Each returns a detail, or raises ``Failure`` with what is wrong."""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.conformance.harness import (
    CLASSES,
    EPOCHS,
    FROZEN_PARTS,
    SCENES,
    Bench,
    Failure,
    Training,
    descriptors,
    pixels_of,
)
from rsir_bench.conformance.precision import one_precision
from rsir_bench.method import FrontEnd, FrontEndCard, Method, Settings
from rsir_bench.method.composition import Composed
from rsir_bench.nn.trunk import Trunk
from rsir_bench.records.paper import paper_row, published_rows
from rsir_bench.scenes.batches import Scenes
from rsir_bench.training.describe import as_bits
from rsir_bench.training.effect import effects_of
from rsir_bench.training.loop import epoch_batches, loss_terms, make_fabric

# The loss must fall by this share, and this share of the scenes must have a nearest neighbour of their class: slow
# recipes reach it, and a random descriptor reaches one in seven.
FALL, NEIGHBOURS = 0.2, 0.75
# Share of a descriptor's largest value: batches of other sizes change float32 sums by less.
TOLERANCE = 1e-4
MANY = 5


def card(bench: Bench) -> str:
    """Check that the card is complete, and that the paper has its published rows.

    Raises:
        Failure: The check fails.
    """
    card = bench.entry.method_class.card
    trained = isinstance(card, FrontEndCard) or card.trained
    wanted = {"title": card.title, "paper": card.paper, "choices": "".join(card.choices)}
    if trained:
        wanted["stated"] = "".join(card.stated)
    if empty := [name for name, text in wanted.items() if not text.strip()]:
        raise Failure(f"card {card.name}: {', '.join(empty)} is empty")
    rows = bench.named.card.rows
    known = published_rows()
    for name, row in rows.items():
        if row.paper and paper_row(name, row.paper) not in known:
            near = sorted({f"{entry.method!r}, {entry.variant!r}, row {entry.pooling!r}" for entry in known})
            near = [text for text in near if row.paper[0] in text] or near
            raise Failure(f"row {name!r}: the paper has no {row.paper}; it has {'; '.join(near[:MANY])}")
    if isinstance(card, FrontEndCard) and (unknown := set(card.published) - set(rows)):
        raise Failure(f"published names rows that {card.default_method} does not have: {_some(unknown)}")
    return f"{len(rows)} rows"


def settings(bench: Bench) -> str:
    """Check that the class of the settings is a ``Settings`` that rejects misspelt names.

    Raises:
        Failure: The check fails.
    """
    settings_class = bench.entry.method_class.Settings
    if not issubclass(settings_class, Settings):
        raise Failure(f"{settings_class.__name__}: derive it from rsir_bench.method.Settings")
    if settings_class.model_config.get("extra") != "forbid":
        raise Failure(f"{settings_class.__name__}: accepts settings that do not exist; leave its model_config out")
    return ", ".join(settings_class.model_fields) or "none"


def builds(bench: Bench) -> str:
    """Build it for 7 classes and 3 bands."""
    network = bench.build()
    return f"{sum(tensor.numel() for tensor in network.parameters())} parameters"


def other_shape(bench: Bench) -> None:
    """Build, train and describe with 38 classes and 13 bands."""
    network = bench.build(bench.setup(38, 13))
    scenes = bench.draw(SCENES, 38, 13)
    if bench.named.card.trained:
        Training(network, scenes).epoch(1)
    descriptors(network, pixels_of(scenes)[:4])


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
        raise Failure(f"parameter_groups() leaves out {_some(missing)}")
    if foreign := held.keys() - names.keys():
        raise Failure(f"parameter_groups() has {len(foreign)} tensors that are not parameters of the method")
    if twice := [names[key] for key, count in held.items() if count > 1]:
        raise Failure(f"parameter_groups() has more than once: {_some(twice)}")
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
    raise Failure(f"no gradient in {training.steps} steps: {_some(training.without_gradient)}")


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
        raise Failure(f"trunk.frozen does not freeze {_some(loose)}")
    training = Training(network, network.training_set(1, None, bench.draw(), bench.pool()))
    training.epoch(1)
    if moved := [name for name, tensor in kept.items() if not torch.equal(tensor, before[name])]:
        raise Failure(f"frozen, but changed by training: {_some(moved)}")
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
        raise Failure(f"not finite after bf16 steps: {_some(wrong)}")


def rows(bench: Bench) -> str:
    """Check that ``describe`` returns every row's descriptor as finite (N, D) float.

    Raises:
        Failure: The check fails.
    """
    count = 6
    given = descriptors(bench.network(), pixels_of(bench.draw(count)))
    for name, row in bench.named.card.rows.items():
        what = f"row {name!r}: descriptor {row.descriptor!r}"
        if row.descriptor not in given:
            raise Failure(f"{what} is missing; describe() returns {_some(given)}")
        values = given[row.descriptor]
        if not values.isfinite().all():
            raise Failure(f"{what} has {int((~values.isfinite()).sum())} values that are not finite")
    return ", ".join(f"{name}: {values.shape[1]}" for name, values in given.items())


def effect(bench: Bench) -> str:
    """Check that the effect of a front end on scenes can be measured.

    Raises:
        Failure: The check fails.
        RunError: The front end returns no scenes, or no displacement.
    """
    network = bench.network()
    if not isinstance(network, Composed):
        return "no front end"
    found = effects_of(network.eval(), pixels_of(bench.draw()))
    if not np.isfinite(found.change).all():
        raise Failure(f"its front end changes values by {found.change.max()}; return finite scenes")
    _stays_where_it_says(network, pixels_of(bench.draw()))
    moved = "not defined" if found.displacement is None else f"{found.displacement.mean():.3g} px"
    return (
        f"moves scenes: {moved}; changes values by {found.change.mean():.3g}; loses {found.lost.mean():.0%} of scenes"
    )


@torch.inference_mode()
def _stays_where_it_says(network: Composed, scenes: Tensor) -> None:
    """Check that front ends that do not override ``displacement`` move no pixel, by changing one in each scene."""
    count, _, height, width = scenes.shape
    rows, columns = (torch.arange(count) * step % (side // 2) + side // 4 for step, side in ((5, height), (7, width)))
    probes, each = scenes.clone(), torch.arange(count)
    probes[each, :, rows, columns] = (probes[each, :, rows, columns] < 0.5).float()
    for front in network.front_ends:
        if type(front).displacement is FrontEnd.displacement:
            change = (front(probes) - front(scenes)).abs().sum(1)
            strongest, places = change.flatten(1).max(1)
            found = change > strongest[:, None, None] / 10
            # A change that spreads around a pixel, such as the ring of an edge filter, does not count as moved.
            elsewhere = ~(_spans(found.any(2), rows) & _spans(found.any(1), columns)) & (strongest > 0)
            if 2 * elsewhere.sum() > count:
                apart = torch.hypot(places // width - rows, (places % width - columns).float())[elsewhere]
                problem = f"moves pixels, for example by {apart.median().item():.3g} px, but its displacement() is zero"
                raise Failure(f"{type(front).__name__} {problem}; override it")


def _spans(found: Tensor, place: Tensor) -> Tensor:
    """Return, (N,) bool, whether the first and the last True of each line, (N, L) bool, enclose its place, (N,) int."""
    before = torch.arange(found.shape[1]) <= place[:, None]
    after = torch.arange(found.shape[1]) >= place[:, None]
    return (found & before).any(1) & (found & after).any(1)


def deterministic(bench: Bench) -> None:
    """Check that describing twice gives the same, and does not change the network.

    Raises:
        Failure: The check fails.
    """
    network, scenes = bench.network(), pixels_of(bench.draw())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, again = descriptors(network, scenes), descriptors(network, scenes)
    for name, values in first.items():
        if not torch.equal(values, again[name]):
            raise Failure(f"descriptor {name!r} differs when the same scenes are described twice")
    if changed := [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])]:
        raise Failure(f"describe() changes {_some(changed)}")


def alone(bench: Bench) -> None:
    """Check that a scene's descriptor is the same alone, in a batch, and in another order."""
    network, scenes = bench.network(), pixels_of(bench.draw(9))
    together, turned = descriptors(network, scenes), descriptors(network, scenes.flip(0))
    single = [descriptors(network, scene[None]) for scene in scenes]
    for name, values in together.items():
        for what, other in {
            "alone and in a batch": torch.cat([given[name] for given in single]),
            "in another order of the batch": turned[name].flip(0),
        }.items():
            _same(values, other, f"descriptor {name!r} of a scene differs {what}")


def codes(bench: Bench) -> str:
    """Check that more than a few bits of code rows differ between scenes.

    Raises:
        Failure: The check fails.
    """
    coded = {name: row for name, row in bench.named.card.rows.items() if row.kind == "code"}
    given = descriptors(bench.network(), pixels_of(bench.draw()))
    for name, row in coded.items():
        bits = np.unpackbits(as_bits(given[row.descriptor].float().numpy()), axis=1)
        length = given[row.descriptor].shape[1]
        constant = int((bits == bits[0]).all(0)[:length].sum())
        if constant > 0.9 * length:
            raise Failure(f"row {name!r}: {constant} of {length} bits are the same for all scenes")
    return ", ".join(f"{name}: {given[row.descriptor].shape[1]} bits" for name, row in coded.items()) or "no code rows"


def saved(bench: Bench) -> None:
    """Check that weights saved to a file and loaded into a new network give the same descriptors."""
    network, scenes = bench.network(), pixels_of(bench.draw())
    state = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    fresh = bench.build(seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file(state, path)
        fresh.load_state_dict(load_file(path))
    expected, found = descriptors(network, scenes), descriptors(fresh, scenes)
    for name, values in expected.items():
        _same(
            values, found[name], f"descriptor {name!r} differs after saving and loading; state_dict() lacks something"
        )


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
        _same(tensor.float(), resumed[name].float(), f"{name} differs after a resume")


def _same(one: Tensor, other: Tensor, what: str) -> None:
    if one.shape != other.shape:
        raise Failure(f"{what}: shape {tuple(other.shape)}, not {tuple(one.shape)}")
    distance = (one - other).abs().amax().item() if one.numel() else 0.0
    if not distance <= TOLERANCE * max(one.abs().amax().item() if one.numel() else 0.0, 1e-6):
        raise Failure(f"{what} (by {distance:.2g})")


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else "")


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
