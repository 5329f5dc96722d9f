"""Compact bilinear pooling by tensor sketches."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TensorSketch(nn.Module):
    """Bilinear pooling, that is the sum over positions of x x^T, sketched in few dimensions.

    Gao, Beijbom, Zhang, Darrell: Compact bilinear pooling, CVPR 2016 (algorithm 2), after Pham and Pagh 2013: the count
        sketch of the outer product of x with itself is the circular convolution of two count sketches of x. Inner
        products of sketches are unbiased estimates (over the hashes) of inner products of the bilinear features, <x,
        y>^2 for one position.

    The hashes are drawn when the module is built and belong to its state: a trained network needs its own hashes.

    Args:
        channels: C of the feature maps.
        dimensions: d of the sketch.
    """

    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.register_buffer("place", torch.randint(dimensions, (2, channels)))  # h of the paper
        self.register_buffer("sign", torch.randint(2, (2, channels)).float() * 2 - 1)  # s
        self.place: Tensor
        self.sign: Tensor

    def forward(self, maps: Tensor) -> Tensor:
        """Return sketches (N, d) of feature maps (N, C, h, w), float32 or float64."""
        with torch.autocast(maps.device.type, enabled=False):
            maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
            positions = maps.flatten(2).transpose(1, 2)
            first, second = (self._spectrum(positions, number) for number in (0, 1))
            # The sum over positions commutes with the inverse transform, of which one per scene is left.
            sketch: Tensor = torch.fft.irfft((first * second).sum(1), n=self.dimensions)
            return sketch

    def _spectrum(self, positions: Tensor, number: int) -> Tensor:
        """Return the Fourier transform (N, h * w, d // 2 + 1) of the count sketch of (N, h * w, C)."""
        empty = positions.new_zeros(*positions.shape[:2], self.dimensions)
        sketch = empty.index_add(2, self.place[number], positions * self.sign[number])
        spectrum: Tensor = torch.fft.rfft(sketch)
        return spectrum


def signed_sqrt(values: Tensor, eps: float = 1e-5) -> Tensor:
    """Return ``sign(x) sqrt(|x|)``, smoothed below ``eps``, where the gradient of the root diverges.

    Args:
        values: (...) float.
        eps: Added to ``|x|`` in the root.
    """
    return values * (values.abs() + eps).rsqrt()
