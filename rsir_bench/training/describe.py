"""Compute the descriptors of a dataset, and reduce them to principal components or bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rsir_bench.base.compute.devices import on_device
from rsir_bench.base.compute.memory import freed_memory_kept
from rsir_bench.base.progress import track
from rsir_bench.method import Method
from rsir_bench.nn import collectives
from rsir_bench.scenes.batches import PixelArray, Scenes, unit_range
from rsir_bench.training import distributed
from rsir_bench.training.device import without_expected_warnings
from rsir_bench.training.given import checked_descriptors

Descriptors = np.ndarray[tuple[int, int], np.dtype[np.float32]]

# A CPU is fastest when the activations of a batch fit its cache: with 8 scenes of 224 px, small convolutional networks
# (MobileNetV2, EfficientNet-Lite) take half the time per scene that they take with 64, ResNet34 and ViT-S .85 of it.
# Scenes of 64 px want all 64, which spread the cost of each call.
PIXELS = {"cpu": 8 * 224**2, "cuda": 256 * 224**2, "mps": 64 * 224**2}
MOST = {"cpu": 64, "cuda": 256, "mps": 64}


def batch_size(kind: str, side: int) -> int:
    """Return how many scenes of a side in pixels are described at once on a kind of device."""
    return max(1, min(MOST[kind], PIXELS[kind] // side**2))


@without_expected_warnings()
@torch.inference_mode()
def describe(
    method: Method,
    pixels: PixelArray,
    device: torch.device,
    what: str,
    names: set[str] | None = None,
    precision: str = "32",
) -> dict[str, Descriptors]:
    """Return named descriptors (N, D) float32 of all scenes, in evaluation mode.

    On CUDA, torch's convolutions round their inputs to TF32 (10 bits of mantissa) by default; its matrix products do
    not.

    If ranks work together, each describes some of the batches; the first returns all, the others nothing.

    Args:
        method: A network, trained or not.
        pixels: (N, H, W, B) uint8.
        device: The device to compute on.
        what: Title of the progress bar.
        names: The descriptors to return; None: all.
        precision: ``"32"``, or ``"bf16"`` with torch's autocast, whatever the precision of training.

    Raises:
        RunError: The method gives no descriptors by name.
    """
    on_device(method.eval(), device)
    scenes = Scenes.of(pixels, np.full(len(pixels), -1))
    size = batch_size(device.type, pixels.shape[1])
    # Whole batches for each rank: a batch has the same values on every rank.
    starts = range(0, len(pixels), size)
    starts = starts[distributed.shard(len(starts))]
    first, end = starts.start, min(starts.stop, len(pixels))
    collected: dict[str, Descriptors] = {}
    with freed_memory_kept(device):
        for start in starts if collectives.rank() else track(starts, what, len(starts)):
            index = np.arange(start, min(start + size, len(pixels)))
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                described = method.describe(unit_range(scenes.pixels(index).to(device)))
            given = checked_descriptors(described, len(index))
            for name, values in given.items():
                if names is not None and name not in names:
                    continue
                if name not in collected:
                    collected[name] = np.empty((end - first, values.shape[1]), np.float32)
                collected[name][index - first] = values.float().cpu().numpy()
    return _joined(distributed.gather(collected))


def _joined(parts: list[dict[str, Descriptors]]) -> dict[str, Descriptors]:
    """Join the ranks' descriptors in order; a rank without a batch has none."""
    parts = [part for part in parts if part]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


@dataclass(frozen=True)
class Reduction:
    """Principal components fitted on one set of descriptors.

    Attributes:
        mean: Float32 (D,), mean of the descriptors it was fitted on.
        components: (P, D) float32, orthonormal rows, the largest variance first.
    """

    mean: np.ndarray
    components: np.ndarray

    @property
    def dimensions(self) -> int:
        """P: as many as requested, or as the fitted scenes allow."""
        return len(self.components)

    def __call__(self, descriptors: Descriptors) -> Descriptors:
        """Project (N, D) float32 to (N, P) float32, centred on the mean of the fitted descriptors, not whitened."""
        reduced: Descriptors = ((descriptors - self.mean) @ self.components.T).astype(np.float32)
        return reduced


def fit_reduction(descriptors: Descriptors, dimensions: int) -> Reduction:
    """Fit principal components; with N scenes of D values at most min(N - 1, D) of them.

    Args:
        descriptors: (N, D) float32.
        dimensions: The number of components to fit.
    """
    from sklearn.decomposition import PCA  # takes seconds to load

    possible = min(dimensions, len(descriptors) - 1, descriptors.shape[1])
    # The exact solver: a randomised one would make descriptors depend on its seed.
    solver = "covariance_eigh" if len(descriptors) >= descriptors.shape[1] else "full"
    # Subtract the mean first: rounding ruins the covariance of 32-bit values far from zero.
    mean = descriptors.mean(0, dtype=np.float64).astype(np.float32)
    pca = PCA(possible, svd_solver=solver).fit(descriptors - mean)
    return Reduction(mean + pca.mean_.astype(np.float32), pca.components_.astype(np.float32))


def as_bits(descriptors: Descriptors) -> np.ndarray:
    """Return signs as packed bits: (N, D) float to (N, ceil(D / 8)) uint8; zero counts as a set bit."""
    return np.packbits(descriptors >= 0, axis=1)
