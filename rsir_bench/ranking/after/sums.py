"""Descriptors plus the weighted sum of their neighbours, which expansion and augmentation share."""

from __future__ import annotations

import numpy as np

from rsir_bench.ranking.after.contract import Array

CHUNK_VALUES = 2**22  # summed at a time


def weights_of(similarities: Array, alpha: float) -> Array:
    """Return max(s, 0)^alpha of similarities, (..., n) float64."""
    return np.maximum(similarities, 0) ** alpha


def with_neighbours(rows: Array, others: Array, found: Array, weights: Array) -> Array:
    """Return norm(row + sum of w x): rows plus the weighted sum of others, scaled to length 1.

    Equal rows with equal neighbours give equal results, bit by bit.

    Args:
        rows: (N, D) float.
        others: (M, D) float.
        found: (N, n) int64, rows of ``others``.
        weights: (N, n) float64.

    Returns:
        (N, D) of the dtype of ``rows``; a sum of zero stays zero.
    """
    result = np.empty_like(rows)
    step = max(1, CHUNK_VALUES // rows.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        total = rows[part].astype(np.float64)
        for place in range(found.shape[1]):
            total += weights[part, place, None] * others[found[part, place]]
        length = np.linalg.norm(total, axis=1, keepdims=True)
        result[part] = total / np.where(length > 0, length, 1)
    return result
