"""Scenes in memory-mapped pixel caches, and the batches that training and describing draw from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class PixelArray(Protocol):
    """Scenes (N, H, W, B) uint8 that are read by rows: a pixel cache, or one that is distorted as it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, B)."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: np.ndarray, /) -> Pixels:
        """The scenes of the given rows."""
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
        """The same batch with other scenes."""
        return replace(self, scenes=scenes)


@dataclass(frozen=True)
class Scenes:
    """Labelled scenes from one or several pixel caches, without copying the caches.

    Attributes:
        caches: uint8 arrays (N_i, H, W, B), usually memory-mapped.
        cache: (N,) which cache a scene lies in.
        row: (N,) its row there.
        labels: (N,) int64 class, or -1 where unlabelled.
    """

    caches: tuple[PixelArray, ...]
    cache: np.ndarray
    row: np.ndarray
    labels: Tensor

    @classmethod
    def of(cls, pixels: PixelArray, labels: np.ndarray) -> Scenes:
        """All scenes of one cache."""
        count = len(pixels)
        return cls((pixels,), np.zeros(count, np.int64), np.arange(count), torch.as_tensor(labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.row)

    def take(self, index: np.ndarray, labels: Tensor | None = None) -> Scenes:
        """A selection, with other labels where given (pseudo-labels)."""
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
        """Scenes as uint8 (N, B, H, W), channels last in memory."""
        rows, caches = self.row[index], self.cache[index]
        if len(self.caches) == 1:
            chosen = np.asarray(self.caches[0][rows])
        else:
            chosen = np.empty((len(rows), *self.caches[0].shape[1:]), np.uint8)
            for number, pixels in enumerate(self.caches):
                chosen[caches == number] = pixels[rows[caches == number]]
        return torch.from_numpy(chosen).permute(0, 3, 1, 2)

    def batch(self, index: Tensor, device: torch.device) -> Batch:
        """The batch of the given scenes on the device."""
        scenes = unit_range(self.pixels(index.numpy()).to(device, non_blocking=True))
        return Batch(scenes, self.labels[index].to(device), index.to(device))


def unit_range(pixels: Tensor) -> Tensor:
    """uint8 pixels as float32 in [0, 1]."""
    return pixels.to(torch.float32).div_(255)


def shuffled(count: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Every scene once; batch sizes differ by one at most, so that batch norm meets no tiny last batch."""
    return list(torch.randperm(count, generator=generator).tensor_split(-(-count // size)))


def balanced(labels: Tensor, classes: int, per_class: int, generator: torch.Generator) -> list[Tensor]:
    """P x K batches: ``classes`` classes with ``per_class`` scenes each, about one epoch's worth of them.

    Args:
        labels: (N,) classes.
        classes: P, at most the number of classes there are.
        per_class: K; a class with fewer scenes is drawn with repetition.
        generator: The source of chance.
    """
    members = [torch.nonzero(labels == label).flatten() for label in torch.unique(labels)]
    classes = min(classes, len(members))
    batches = []
    for _ in range(-(-len(labels) // (classes * per_class))):
        chosen = torch.randperm(len(members), generator=generator)[:classes]
        batches.append(torch.cat([_draw(members[int(number)], per_class, generator) for number in chosen]))
    return batches


def balanced_of_size(labels: Tensor, size: int, per_class: int, generator: torch.Generator) -> list[Tensor]:
    """:func:`balanced` batches of at most ``size`` scenes, ``per_class`` of each class; two classes or more in each."""
    per_class = min(per_class, max(size // 2, 1))
    return balanced(labels, size // per_class, per_class, generator)


def _draw(members: Tensor, count: int, generator: torch.Generator) -> Tensor:
    if len(members) >= count:
        return members[torch.randperm(len(members), generator=generator)[:count]]
    return members[torch.randint(len(members), (count,), generator=generator)]


def flipped(batch: Batch, generator: torch.Generator) -> Batch:
    """Each scene flipped left-right and up-down with probability one half each."""
    scenes = batch.scenes
    for dimension in (2, 3):
        chosen = torch.rand(len(scenes), generator=generator) < 0.5
        chosen = chosen.to(scenes.device)
        scenes = torch.where(chosen[:, None, None, None], scenes.flip(dimension), scenes)
    return batch.with_scenes(scenes)
