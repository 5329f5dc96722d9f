"""Descriptors of a dataset, and their reduction to rows: principal components, bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rsir_bench.base.progress import track
from rsir_bench.method import Method
from rsir_bench.nn import collectives
from rsir_bench.scenes.batches import PixelArray, Scenes, unit_range
from rsir_bench.training import distributed

Descriptors = np.ndarray[tuple[int, int], np.dtype[np.float32]]

# Larger batches only cost memory: a CPU is busy with 64 scenes, and a GPU with 256.
BATCH = {"cpu": 64, "cuda": 256}


@torch.inference_mode()
def describe(
    method: Method, pixels: PixelArray, device: torch.device, what: str, names: set[str] | None = None
) -> dict[str, Descriptors]:
    """The named descriptors (N, D) float32 of all scenes, in evaluation mode and 32 bit: no autocast, whatever trained.

    On CUDA, torch's convolutions round what they multiply to TF32 (10 bits of mantissa), as is its default; its matrix
    products do not.

    Where ranks work together, each describes some of the batches; the first alone gets all, and the others nothing.

    Args:
        method: A network, trained or as it comes.
        pixels: (N, H, W, B) uint8.
        device: Where to compute.
        what: For the progress bar.
        names: The descriptors wanted; all when None.
    """
    method.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scenes = Scenes.of(pixels, np.full(len(pixels), -1))
    size = BATCH.get(device.type, 64)
    # Whole batches for each rank: a batch gives the same values whoever describes it.
    starts = range(0, len(pixels), size)
    starts = starts[distributed.share_of(len(starts))]
    first, end = starts.start, min(starts.stop, len(pixels))
    collected: dict[str, Descriptors] = {}
    for start in starts if collectives.rank() else track(starts, what, len(starts)):
        index = np.arange(start, min(start + size, len(pixels)))
        for name, values in method.describe(unit_range(scenes.pixels(index).to(device))).items():
            if names is not None and name not in names:
                continue
            if name not in collected:
                collected[name] = np.empty((end - first, values.shape[1]), np.float32)
            collected[name][index - first] = values.float().cpu().numpy()
    return _joined(distributed.to_first(collected))


def _joined(parts: list[dict[str, Descriptors]]) -> dict[str, Descriptors]:
    """The ranks' scenes in their order; a rank without a batch has none."""
    parts = [part for part in parts if part]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


@dataclass(frozen=True)
class Reduction:
    """Principal components fitted on one set of descriptors.

    Attributes:
        mean: (D,) of the descriptors it was fitted on.
        components: (P, D), orthonormal rows, the largest variance first.
    """

    mean: np.ndarray
    components: np.ndarray

    @property
    def dimensions(self) -> int:
        """P: as many as asked for, or as the fitted scenes allow."""
        return len(self.components)

    def __call__(self, descriptors: Descriptors) -> Descriptors:
        """(N, D) to (N, P) float32, centred on the mean of the fitted descriptors, not whitened."""
        reduced: Descriptors = ((descriptors - self.mean) @ self.components.T).astype(np.float32)
        return reduced


def fit_reduction(descriptors: Descriptors, dimensions: int) -> Reduction:
    """Fits principal components; with N scenes of D values at most min(N - 1, D) of them.

    Args:
        descriptors: (N, D).
        dimensions: How many are wanted.
    """
    from sklearn.decomposition import PCA  # seconds, which a plan and an error do without

    possible = min(dimensions, len(descriptors) - 1, descriptors.shape[1])
    # The exact solver: a randomised one would make descriptors depend on its seed.
    solver = "covariance_eigh" if len(descriptors) >= descriptors.shape[1] else "full"
    # Around the mean, as the covariance of 32-bit values far from zero is lost in rounding.
    mean = descriptors.mean(0, dtype=np.float64).astype(np.float32)
    pca = PCA(possible, svd_solver=solver).fit(descriptors - mean)
    return Reduction(mean + pca.mean_.astype(np.float32), pca.components_.astype(np.float32))


def as_bits(descriptors: Descriptors) -> np.ndarray:
    """Signs as bits, packed: (N, D) real values to (N, ceil(D / 8)) uint8; zero counts as a set bit."""
    return np.packbits(descriptors >= 0, axis=1)
