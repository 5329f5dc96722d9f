"""Descriptors made ready for faiss, so that what it finds near is what the scorer ranks high."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rsir_bench.ranking.similarity import unit_rows

Array = np.ndarray[Any, Any]

DISTANCES = ("euclidean", "hamming")

CHUNK = 8192  # rows that are held in 64 bits at a time


@dataclass(frozen=True)
class Space:
    """How descriptors are compared: as the protocol scores them, codes by Hamming distance.

    Pearson's correlation is the inner product of rows that are centred and scaled to length 1, cosine that of rows
    scaled to length 1. Euclidean distances are taken from the mean of the gallery, so that large values that all
    scenes share do not swamp the differences in 32 bits.

    Attributes:
        similarity: One of :data:`rsir_bench.ranking.SIMILARITIES`.
        centre: (D,) float64 mean of the gallery under "euclidean", else None.
    """

    similarity: str
    centre: Array | None = None

    @classmethod
    def of(cls, gallery: Array, similarity: str) -> Space:
        """The space of a gallery of (N, D) descriptors or (N, bytes) packed codes."""
        centre = gallery.mean(axis=0, dtype=np.float64) if similarity == "euclidean" else None
        return cls(similarity, centre)

    @property
    def binary(self) -> bool:
        """Whether rows are codes."""
        return self.similarity == "hamming"

    @property
    def smaller_is_nearer(self) -> bool:
        """Whether values are distances."""
        return self.similarity in DISTANCES

    @property
    def unit(self) -> str:
        """What the values are, as a heading."""
        name = self.similarity.capitalize() if self.similarity in ("pearson", *DISTANCES) else self.similarity
        return f"{name} distance" if self.smaller_is_nearer else name

    def rows(self, descriptors: Array) -> Array:
        """(N, D) float32 rows for faiss; packed codes (N, bytes) uint8 stay as they are.

        Raises:
            UserError: Values too large or too small to normalise.
        """
        if self.binary:
            return np.ascontiguousarray(descriptors)
        rows = np.empty(descriptors.shape, np.float32)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            rows[part] = self._normalised(descriptors[part].astype(np.float64))
        return rows

    def _normalised(self, chunk: Array) -> Array:
        if self.similarity in ("pearson", "cosine"):
            unit, _ = unit_rows(torch.from_numpy(chunk), centred=self.similarity == "pearson")
            return unit.numpy()
        return chunk if self.centre is None else chunk - self.centre

    def shown(self, values: Array) -> Array:
        """What a reader expects of faiss's values: Euclidean distances, which faiss leaves squared."""
        return np.sqrt(np.maximum(values, 0)) if self.similarity == "euclidean" else values
