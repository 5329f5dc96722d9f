"""What a front end does to scenes: how far it moves their content, how much it changes their values, what it loses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.compute.devices import on_device, widest
from rsir_bench.base.progress import track
from rsir_bench.method.composition import Composed
from rsir_bench.nn import collectives
from rsir_bench.scenes.batches import PixelArray, Scenes, unit_range
from rsir_bench.training import distributed
from rsir_bench.training.describe import batch_size
from rsir_bench.training.device import without_expected_warnings
from rsir_bench.training.given import checked_displacement, checked_scenes

BLANK = 0.01
"""Share of a scene's contrast below which nothing of it is left."""

FLAT = 1 / 255
"""Contrast of a scene, on [0, 1], that was blank before."""

FARTHEST = 1.0
"""Mean displacement, in sides of a scene, beyond which its content has left the frame; half a turn has 0.77."""

RANGE = 3.0
"""Mean change of values, in units of [0, 1], beyond which they have left any sane range; standardising has about 1."""

MOST = 1e6
"""The largest displacement and change that are told apart: of a scene that has run away, no more needs to be known."""


@dataclass(frozen=True)
class SceneEffects:
    """What a front end did to each of N scenes.

    Attributes:
        displacement: (N,) float64, the mean distance in pixels by which content was moved, at most ``MOST``; None: not
            defined.
        change: (N,) float64, the mean absolute change of values at the same pixel, in units of [0, 1], at most
            ``MOST``.
        lost: (N,) bool, whether nothing is left of the scene: it is blank, has left the frame, or its values have left
            any sane range.
    """

    displacement: np.ndarray | None
    change: np.ndarray
    lost: np.ndarray


@without_expected_warnings()
def measure_effect(method: Composed, pixels: PixelArray, device: torch.device, what: str) -> SceneEffects:
    """Pass scenes through the front ends of a method, in evaluation mode and in 32 bit.

    If ranks work together, each takes some of the batches; the first returns all, the others nothing.

    Args:
        method: A network, trained or not.
        pixels: (N, H, W, B) uint8.
        device: The device to compute on.
        what: Title of the progress bar.

    Raises:
        RunError: A front end gives no scenes, or no displacement.
    """
    on_device(method.eval(), device)
    scenes = Scenes.of(pixels, np.full(len(pixels), -1))
    starts = range(0, len(pixels), batch_size(device.type, pixels.shape[1]))
    starts = starts[distributed.shard(len(starts))]
    found = []
    for start in starts if collectives.rank() else track(starts, what, len(starts)):
        index = np.arange(start, min(start + starts.step, len(pixels)))
        found.append(effects_of(method, unit_range(scenes.pixels(index).to(device))))
    parts = distributed.gather(found)
    return _joined([effects for part in parts for effects in part])


@torch.inference_mode()
def effects_of(method: Composed, scenes: Tensor) -> SceneEffects:
    """Return what the front ends of a method do to scenes (N, B, H, W) float in [0, 1]; displacements are added.

    Raises:
        RunError: A front end gives no scenes, or no displacement.
    """
    seen: Tensor = scenes
    moved: Tensor | None = scenes.new_zeros(len(scenes))
    for front in method.front_ends:
        further = checked_displacement(front.displacement(seen), len(seen))
        moved = None if moved is None or further is None else moved + further
        seen = checked_scenes(front(seen), seen)
    before, after = (each.to(widest(each.device)).flatten(2) for each in (scenes, seen))
    change = (after - before).abs().mean((1, 2))
    contrast = [values.var(2, correction=0).mean(1).sqrt() for values in (before, after)]
    # Written so that what is not a number is lost, too.
    lost = ~((contrast[1] > BLANK * contrast[0]) | (contrast[0] <= FLAT)) | ~(change <= RANGE)
    if moved is not None:
        lost |= moved > FARTHEST * max(scenes.shape[-2:])
    displacement = None if moved is None else moved.cpu().double().clamp(max=MOST).numpy()
    return SceneEffects(displacement, change.clamp(max=MOST).cpu().numpy(), lost.cpu().numpy())


def _joined(parts: list[SceneEffects]) -> SceneEffects:
    parts = [SceneEffects(np.zeros(0), np.zeros(0), np.zeros(0, np.bool_)), *parts]
    moved = [part.displacement for part in parts if part.displacement is not None]
    return SceneEffects(
        displacement=np.concatenate(moved) if len(moved) == len(parts) else None,
        change=np.concatenate([part.change for part in parts]),
        lost=np.concatenate([part.lost for part in parts]),
    )
