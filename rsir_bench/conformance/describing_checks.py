"""Checks of the descriptors, and of what front ends do to scenes before they are described."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rsir_bench.conformance.harness import Bench, Failure, descriptors, pixels_of, refuse_different, some
from rsir_bench.method import FrontEnd
from rsir_bench.method.composition import Composed
from rsir_bench.training.describe import as_bits
from rsir_bench.training.effect import effects_of


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
            raise Failure(f"{what} is missing; describe() returns {some(given)}")
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
        raise Failure(f"describe() changes {some(changed)}")


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
            refuse_different(values, other, f"descriptor {name!r} of a scene differs {what}")


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
        refuse_different(
            values, found[name], f"descriptor {name!r} differs after saving and loading; state_dict() lacks something"
        )
