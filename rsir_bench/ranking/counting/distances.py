"""Rank positives by counting nearer scenes, without sorting the ranking.

The distances of a query fall into buckets by an affine map and rounding down. Both keep order, so a scene in a lower
bucket is nearer and one in a higher bucket is not; only scenes that share a bucket with a positive need a comparison.
With as many buckets as scenes these are few, so that a ranking costs a handful of linear passes in place of a sort.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Distances = np.ndarray[Any, np.dtype[np.floating[Any]]]
Counts = npt.NDArray[np.int64]

MOST_BUCKETS = 2**24  # beyond it the number of the last bucket is not exact in float32, and may round up


def counts_before(rows: Distances, positives: Distances, count: bool = True) -> tuple[Counts, Counts]:
    """Count how many scenes of each ranking are nearer than each positive, and how many are nearer or as near.

    Args:
        rows: (S, N + 1) float, distances in any order; they may be reordered. Masked scenes and the last column: +inf.
        positives: (S, R) float, the distances of the positives among them, ascending, finite.
        count: Do not sort: make several short passes instead.

    Returns:
        (S, R) int64, scenes strictly nearer, and (S, R) int64, scenes as near or nearer, the positive itself included.

    Examples:
        >>> rows = np.array([[0.5, 0.1, 0.3, 0.3, np.inf]], dtype=np.float32)
        >>> before, up_to = counts_before(rows, rows[:, [1, 2]])
        >>> before.tolist(), up_to.tolist()
        ([[0, 1]], [[1, 3]])
    """
    if not count:
        return _by_sorting(rows, positives)
    with np.errstate(over="ignore"):  # infinity is as good as any place beyond the buckets
        return _by_buckets(rows, positives)


def _by_sorting(rows: Distances, positives: Distances) -> tuple[Counts, Counts]:
    """Sort and search row by row, while each row is in the processor's cache."""
    before, up_to = _empty_counts(positives)
    for i, (row, own) in enumerate(zip(rows, positives, strict=True)):
        _bisect(row, own, before[i], up_to[i])
    return before, up_to


def _by_buckets(rows: Distances, positives: Distances) -> tuple[Counts, Counts]:
    before, up_to = _empty_counts(positives)
    elsewhere = np.empty_like(before)
    buckets = min(rows.shape[1], MOST_BUCKETS)
    nearest = positives[:, 0]
    spans = np.maximum(positives[:, -1] - nearest, np.finfo(rows.dtype).tiny * buckets)  # keeps the scales finite
    scales = rows.dtype.type(buckets - 1) / spans
    held = _places(positives, nearest[:, None], scales[:, None], buckets).astype(np.intp)
    # Made once: memory that is new for every row would cost as much as the passes themselves.
    scaled, places, near = np.empty_like(rows[0]), np.empty(rows.shape[1], np.intp), np.empty(rows.shape[1], bool)
    shared = np.zeros(buckets, bool)
    for i, (row, own) in enumerate(zip(rows, held, strict=True)):
        places[:] = _places(row, nearest[i], scales[i], buckets, scaled)
        counts = np.bincount(places, minlength=buckets)
        shared[own] = True
        shared.take(places, out=near, mode="clip")
        shared[own] = False
        counts[own] = 0
        counts.cumsum(out=counts).take(own, out=elsewhere[i])
        _bisect(row.take(near.nonzero()[0]), positives[i], before[i], up_to[i])
    before += elsewhere
    up_to += elsewhere
    return before, up_to


def _places(
    values: Distances, nearest: Any, scale: Any, buckets: int, out: Distances | None = None
) -> npt.NDArray[np.int32]:
    """Return the bucket of each value; the first and last also take the values below and above the positives."""
    scaled = np.subtract(values, nearest, out=out)
    scaled *= scale
    scaled.clip(0, buckets - 1, out=scaled)
    buckets_held: npt.NDArray[np.int32] = scaled.astype(np.int32)  # twice faster than to 64 bits at once
    return buckets_held


def _bisect(row: Distances, positives: Distances, before: Counts, up_to: Counts) -> None:
    """Sort one row in place and write the counts of its positives."""
    row.sort()
    before[:] = row.searchsorted(positives)
    np.add(before, 1, out=up_to)
    tied = (row.take(up_to, mode="clip") == positives).nonzero()[0]
    if len(tied):
        up_to[tied] = row.searchsorted(positives[tied], side="right")


def _empty_counts(positives: Distances) -> tuple[Counts, Counts]:
    return np.empty(positives.shape, np.int64), np.empty(positives.shape, np.int64)
