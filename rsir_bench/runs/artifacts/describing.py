"""Pass a network over a dataset: raw descriptors, and their costs."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import RunError
from rsir_bench.encoders import Encoder
from rsir_bench.method import Method
from rsir_bench.method.composition import Composed
from rsir_bench.nn.trunk import Trunk
from rsir_bench.runs.artifacts.environment import environment
from rsir_bench.runs.artifacts.network import Network, state_of
from rsir_bench.runs.notes import is_whole, read_note, write_note
from rsir_bench.runs.plan import Plan, Run
from rsir_bench.scenes.batches import PixelArray, Pixels, Scenes
from rsir_bench.scenes.distortions import Distorted, Distortion
from rsir_bench.scenes.pixel_cache import open_pixels
from rsir_bench.training import distributed
from rsir_bench.training.describe import Descriptors, describe
from rsir_bench.training.device import compute_deterministically
from rsir_bench.training.effect import SceneEffects, measure_effect


@dataclass(frozen=True)
class DescribeOrder:
    """To the other ranks: describe a dataset with this network of a run.

    Attributes:
        folder: The run's folder.
        round_index: The round whose network describes.
        dataset: Its name.
        names: The descriptors that are wanted.
        distortion: How the scenes are distorted; None: not at all.
        state: The network's tensors by name, each (...), on the CPU.
        without_front_end: Whether to describe with the front end switched off, and to measure what it does.
    """

    folder: Path
    round_index: int
    dataset: str
    names: set[str]
    distortion: Distortion | None
    state: dict[str, Tensor]
    without_front_end: bool = False


@dataclass(frozen=True)
class WithoutFrontEnd:
    """A pass with the front end switched off.

    Attributes:
        raw: Descriptors (N, D) float32 by name.
        effects: What the front end does to each scene.
    """

    raw: dict[str, Descriptors]
    effects: SceneEffects


class Describing:
    """The passes of one run; ``described.json`` lists the output of the last one."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self.plan, self.run = plan, run
        self.path = run.folder / "described.json"
        self.device = torch.device(plan.request.device)
        self._last: tuple[tuple[int, str, Distortion | None], dict[str, Descriptors]] | None = None
        self._plain: tuple[tuple[int, str], WithoutFrontEnd] | None = None

    def note(self) -> dict[str, Any]:
        """Return the speed and where it was measured, the length of each descriptor, and facts by shape of scenes.

        Empty if there was no pass or its note is damaged: the scenes are then described again.
        """
        return read_note(self.path) if is_whole(self.path) else {}

    def note_on(self, dataset: str) -> dict[str, Any]:
        """Return the note with the parameters, MACs and normalisation for scenes of a dataset's size and bands."""
        transform, note = self.run.transform, self.note()
        shape = transform.size, transform.size, len(transform.kept_bands(self.plan.datasets[dataset]))
        facts: dict[str, Any] = note.get("by_shape", {}).get(_in_words(shape), {})
        return {**note, **facts}  # older passes noted the facts of the last scenes, and not by shape

    def raw(self, network: Network, dataset: str, distortion: Distortion | None = None) -> dict[str, Descriptors]:
        """Return a round's descriptors of a dataset; those of the last pass are kept in memory.

        Args:
            network: The round's network.
            dataset: The dataset's name.
            distortion: How the scenes are distorted.

        Returns:
            Each descriptor (N, D) float32 that a row of the round needs, by name.

        Raises:
            RunError: A descriptor is missing or not finite.
            UserError: A file cannot be read or written.
        """
        which = network.round_index, dataset, distortion
        if self._last is None or self._last[0] != which:
            self._last = None  # free its memory before the next pass begins
            self._last = which, self._describe(network, dataset, distortion)
        return self._last[1]

    def without_front_end(self, network: Network, dataset: str) -> WithoutFrontEnd:
        """Return a round's descriptors of a dataset with the front end switched off; the last are kept in memory.

        Their time is in no cost.

        Args:
            network: The round's network, of a method behind a front end.
            dataset: The dataset's name.

        Raises:
            RunError: A descriptor is not finite, or the front end gives no scenes or no displacement.
            UserError: A file cannot be read.
        """
        which = network.round_index, dataset
        if self._plain is None or self._plain[0] != which:
            self._plain = None  # free its memory before the next pass begins
            module, names = network.get(), network.descriptor_names()

            def order() -> DescribeOrder:
                state = state_of(module)
                return DescribeOrder(self.run.folder, network.round_index, dataset, names, None, state, True)

            with distributed.collective(self.run.title, order):
                found = self.see_without_front_end(module, dataset, names)
            if not all(np.isfinite(values).all() for values in found.raw.values()):
                problem = f"descriptors of {dataset} are not finite with the front end switched off; fix the method"
                raise RunError(f"{self.run.title}: {problem}")
            self._plain = which, found
        return self._plain[1]

    def note_flat(self, key: str) -> None:
        """Note that the raw descriptors behind a file of descriptors, named by its key, differ by rounding only."""
        note = self.note()
        write_note(self.path, {**note, "flat": sorted({*note.get("flat", []), key})})

    def forget(self) -> None:
        """Free the memory of the last passes."""
        self._last = self._plain = None

    def _describe(self, network: Network, dataset: str, distortion: Distortion | None) -> dict[str, Descriptors]:
        module, names = network.get(), network.descriptor_names()
        started = time.perf_counter()

        def order() -> DescribeOrder:
            return DescribeOrder(self.run.folder, network.round_index, dataset, names, distortion, state_of(module))

        with distributed.collective(self.run.title, order):
            raw = self.see(module, dataset, names, distortion)
        pixels = self._pixels(dataset)
        speed = len(pixels) / (time.perf_counter() - started) if distortion is None else None
        self._write_note(module, pixels, raw, speed)
        if missing := names - set(raw):
            raise RunError(
                f"{self.run.title}: describe() returned {', '.join(sorted(raw))} but no {', '.join(missing)}"
            )
        if not all(np.isfinite(values).all() for values in raw.values()):
            raise RunError(f"{self.run.title}: descriptors of {dataset} contain NaN or infinity; fix the method")
        return raw

    def see(
        self, network: Method, dataset: str, names: set[str], distortion: Distortion | None
    ) -> dict[str, Descriptors]:
        """Return this rank's part of a pass, by descriptor; the first rank gets all of it.

        Returns:
            (N, D) float32 by name, of all scenes on the first rank.
        """
        compute_deterministically(self.device)
        pixels = self._pixels(dataset)
        seen = pixels if distortion is None else Distorted(pixels, distortion)
        title = dataset if distortion is None else f"{dataset} under {distortion}"
        return self._compute(network, seen, f"describing {title} with {self.run.title}", names)

    def see_without_front_end(self, network: Method, dataset: str, names: set[str]) -> WithoutFrontEnd:
        """Return this rank's part of a pass with the front end switched off; the first rank gets all of it."""
        assert isinstance(network, Composed)
        compute_deterministically(self.device)
        pixels, title = self._pixels(dataset), f"{dataset} with {self.run.title}"
        effects = measure_effect(network, pixels, self.device, f"measuring the front end on {title}")
        plain = network.without_front_end
        raw = self._compute(plain, pixels, f"describing {title}, front end off", names)
        return WithoutFrontEnd(raw, effects)

    def describe_pixels(self, network: Method, pixels: Pixels, names: Collection[str]) -> dict[str, Descriptors]:
        """Return descriptors (M, D) float32 of any scenes (M, H, W, B) uint8, read as the run reads its own."""
        compute_deterministically(self.device)
        return self._compute(network, pixels, f"describing with {self.run.title}", set(names))

    def _compute(self, network: Method, pixels: PixelArray, what: str, names: set[str]) -> dict[str, Descriptors]:
        return describe(network, pixels, self.device, what, names, self.plan.protocol.describe.precision)

    def _write_note(self, network: Method, pixels: Pixels, raw: dict[str, Descriptors], speed: float | None) -> None:
        known, shape = self.note(), _in_words(pixels.shape[1:])
        protocol, by_shape = self.plan.protocol, known.get("by_shape", {})
        precision = network.recipe(protocol.train).precision if protocol.trains else protocol.precision
        here = environment(str(self.device), precision)
        # Distorting takes its own time, which is not the method's.
        described = {"environment": here, "precision": protocol.describe.precision}
        timed = {} if speed is None else {"images_per_second": speed, **described}
        note: dict[str, Any] = {
            "images_per_second": known.get("images_per_second"),
            "environment": known.get("environment", here),
            "precision": known.get("precision", "32" if known else protocol.describe.precision),
            **timed,
            **{name: known[name] for name in ("parameters", "macs", "normalisation") if name in known},
            "by_shape": {**by_shape, shape: self._facts(network, pixels, by_shape.get(shape, {}))},
            **({"flat": known["flat"]} if "flat" in known else {}),
            "lengths": {**known.get("lengths", {}), **{name: raw[name].shape[1] for name in raw}},
        }
        write_note(self.path, note)

    def _facts(self, network: Method, pixels: Pixels, known: dict[str, Any]) -> dict[str, Any]:
        """Return what is noted of the network for scenes of one shape; MACs are counted once."""
        return {
            "parameters": sum(tensor.numel() for tensor in network.parameters()),
            "macs": known.get("macs") or multiply_accumulates(network, pixels, self.device),
            "normalisation": _normalisation(network),
        }

    def _pixels(self, name: str) -> Pixels:
        return open_pixels(self.plan.datasets[name], self.run.transform)


def _in_words(shape: tuple[int, ...]) -> str:
    """Return ``"128x128x3"`` for the height, width and bands of scenes."""
    return "x".join(map(str, shape))


def _normalisation(network: Method) -> dict[str, list[float] | None]:
    """Return the mean and deviation per band that the network's trunk or encoder normalises by; None without one."""
    trunk = next((part for part in network.modules() if isinstance(part, (Trunk, Encoder))), None)
    return {name: getattr(trunk, name).flatten().tolist() if trunk else None for name in ("mean", "std")}


def multiply_accumulates(network: Method, pixels: Pixels, device: torch.device) -> float:
    """Return the multiply-accumulates of describing one scene: convolutions, matrix products and attention only.

    Args:
        network: In evaluation mode on the device, as ``rsir_bench.training.describe.describe`` leaves it.
        pixels: (N, H, W, B) uint8; the first scene is described.
        device: Where to compute.
    """
    from torch.utils.flop_counter import FlopCounterMode  # it loads triton

    scene = Scenes.of(pixels[:1], np.full(1, -1)).batch(torch.zeros(1, dtype=torch.int64), device).scenes
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.describe(scene)
    return float(counter.get_total_flops()) / 2  # it counts a multiplication and an addition as two
