"""Scenes in memory-mapped pixel caches, and the batches that training and describing draw from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rsir_bench.base.errors import UserError

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

RESIDENT_SHARE = 0.5
"""Most of a GPU's free memory that a training's scenes may take; the rest is for the network and its activations."""
COPIED_AT_ONCE = 1024  # scenes


class PixelArray(Protocol):
    """Scenes (N, H, W, B) uint8 that are read by rows: a pixel cache, or one that is distorted as it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, B)."""
        ...

    def __len__(self) -> int:
        """Return N."""
        ...

    def __getitem__(self, rows: np.ndarray, /) -> Pixels:
        """Return the scenes (n, H, W, B) uint8 of the given rows, (n,) integers."""
        ...


@dataclass
class Batch:
    """Scenes of one training step.

    Attributes:
        scenes: (N, B, H, W) float32 in [0, 1], channels last in memory.
        labels: (N,) int64 classes of the source.
        index: (N,) int64 numbers of the scenes in the training set (rows of a memory bank).
    """

    scenes: Tensor
    labels: Tensor
    index: Tensor

    def with_scenes(self, scenes: Tensor) -> Batch:
        """Return the same batch with other scenes, (N, B, H, W) float32 in [0, 1]."""
        return replace(self, scenes=scenes)

    def part(self, rows: slice) -> Batch:
        """Return some of the scenes: the given rows of every tensor, (N, ...) of any dtype, also of a subclass."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True)
class Scenes:
    """Labelled scenes from one or several pixel caches, without copying the caches.

    Attributes:
        caches: uint8 arrays (N_i, H, W, B), usually memory-mapped.
        cache: (N,) int64, the number of the cache that holds each scene.
        row: (N,) int64, its row there.
        labels: (N,) int64, the classes; -1 where unlabelled.
    """

    caches: tuple[PixelArray, ...]
    cache: np.ndarray
    row: np.ndarray
    labels: Tensor

    @classmethod
    def of(cls, pixels: PixelArray, labels: np.ndarray) -> Scenes:
        """Return all scenes of one cache.

        Args:
            pixels: (N, H, W, B) uint8.
            labels: (N,) integers, the classes; -1 where unlabelled.
        """
        count = len(pixels)
        return cls((pixels,), np.zeros(count, np.int64), np.arange(count), torch.as_tensor(labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.row)

    def take(self, index: np.ndarray, labels: Tensor | None = None) -> Scenes:
        """Return a selection.

        Args:
            index: (n,) integers, the scenes.
            labels: (n,) int64, other labels for them, such as pseudo-labels; None: their own.
        """
        kept = self.labels[torch.as_tensor(index)] if labels is None else labels
        return replace(self, cache=self.cache[index], row=self.row[index], labels=kept)

    def __add__(self, other: Scenes) -> Scenes:
        return Scenes(
            self.caches + other.caches,
            np.concatenate([self.cache, other.cache + len(self.caches)]),
            np.concatenate([self.row, other.row]),
            torch.cat([self.labels, other.labels]),
        )

    def pixels(self, index: np.ndarray) -> Tensor:
        """Return the scenes at ``index``, (n,) integers, as (n, B, H, W) uint8, channels last in memory."""
        rows, caches = self.row[index], self.cache[index]
        if len(self.caches) == 1:
            chosen = np.asarray(self.caches[0][rows])
        else:
            chosen = np.empty((len(rows), *self.caches[0].shape[1:]), np.uint8)
            for number, pixels in enumerate(self.caches):
                chosen[caches == number] = pixels[rows[caches == number]]
        return torch.from_numpy(chosen).permute(0, 3, 1, 2)

    def batch(self, index: Tensor, device: torch.device) -> Batch:
        """Return the batch of the scenes at ``index``, (n,) int64, on the device."""
        pixels = self.pixels(index.numpy())
        if device.type == "cuda":
            pixels = pixels.pin_memory()  # else the copy would wait for the steps before it
        scenes = unit_range(pixels.to(device, non_blocking=True))
        return Batch(scenes, self.labels[index].to(device), index.to(device))


@dataclass(frozen=True)
class ResidentScenes:
    """Labelled scenes that live on a device.

    Attributes:
        pixels: (N, H, W, B) uint8.
        labels: (N,) int64.
    """

    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, scenes: Scenes, device: torch.device) -> ResidentScenes:
        """Return a copy of the scenes on the device, (N, H, W, B) uint8, in their order."""
        pixels = torch.empty((len(scenes), *scenes.caches[0].shape[1:]), dtype=torch.uint8, device=device)
        for start in range(0, len(scenes), COPIED_AT_ONCE):
            index = np.arange(start, min(start + COPIED_AT_ONCE, len(scenes)))
            pixels[start : start + len(index)] = scenes.pixels(index).permute(0, 2, 3, 1).to(device)
        return cls(pixels, scenes.labels.to(device))

    def batch(self, index: Tensor) -> Batch:
        """Return the batch of the scenes at ``index``, (n,) int64, without reading or copying pixels on the host."""
        index = index.to(self.pixels.device, non_blocking=True)
        return Batch(unit_range(self.pixels[index].permute(0, 3, 1, 2)), self.labels[index], index)


def batch_source(scenes: Scenes, device: torch.device) -> Callable[[Tensor], Batch]:
    """Return a function from indices, (n,) int64, to batches: from device memory if the scenes fit, else from the host.

    A CPU gains nothing from a copy of its memory-mapped caches.
    """
    if device.type == "cuda":
        size = len(scenes) * int(np.prod(scenes.caches[0].shape[1:]))
        free, _ = torch.cuda.mem_get_info(device)
        if size <= RESIDENT_SHARE * free:
            return ResidentScenes.of(scenes, device).batch
    return partial(scenes.batch, device=device)


def unit_range(pixels: Tensor) -> Tensor:
    """Return pixels (...) uint8 as float32 in [0, 1]."""
    return pixels.to(torch.float32).div_(255)


def shuffled(count: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Return batches that hold every scene once, each (n,) int64 indices.

    Their sizes differ by one at most, so that batch norm meets no tiny last batch.
    """
    return list(torch.randperm(count, generator=generator).tensor_split(-(-count // size)))


def balanced(labels: Tensor, classes: int, per_class: int, generator: torch.Generator) -> list[Tensor]:
    """Return P x K batches: ``classes`` classes with ``per_class`` scenes each, for about one epoch.

    Args:
        labels: (N,) integers, the classes.
        classes: P; at most the number of classes in ``labels``.
        per_class: K; scenes of a smaller class are drawn with repetition.
        generator: The random generator.

    Returns:
        Batches, each (P K,) int64 indices.
    """
    members = [torch.nonzero(labels == label).flatten() for label in torch.unique(labels)]
    classes = min(classes, len(members))
    batches = []
    for _ in range(-(-len(labels) // (classes * per_class))):
        chosen = torch.randperm(len(members), generator=generator)[:classes]
        batches.append(torch.cat([_draw(members[int(number)], per_class, generator) for number in chosen]))
    return batches


def balanced_of_size(labels: Tensor, size: int, per_class: int, generator: torch.Generator) -> list[Tensor]:
    """Return ``balanced`` batches of at most ``size`` scenes, ``per_class`` of each class; at least two classes each.

    Args:
        labels: (N,) integers, the classes.
        size: Most scenes of a batch, 4 or more.
        per_class: Scenes of each class; fewer where the batch would hold a single class.
        generator: The random generator.

    Returns:
        Batches, each (n,) int64 indices.

    Raises:
        UserError: The batch is too small for two scenes of each of two classes: it would hold no positive pair.
    """
    if size < 4:
        raise UserError(f"train.batch={size}: too small for two scenes of each of two classes; set 4 or more")
    per_class = min(per_class, size // 2)
    return balanced(labels, size // per_class, per_class, generator)


def _draw(members: Tensor, count: int, generator: torch.Generator) -> Tensor:
    if len(members) >= count:
        return members[torch.randperm(len(members), generator=generator)[:count]]
    return members[torch.randint(len(members), (count,), generator=generator)]
