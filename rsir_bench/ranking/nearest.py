"""Find exact nearest neighbours with faiss, under the similarities of the scorer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rsir_bench.ranking.similarity import euclidean_centre, unit_rows

Array = np.ndarray[Any, Any]

DISTANCES = ("euclidean", "hamming")

CHUNK = 8192  # rows held in float64 at a time


@dataclass(frozen=True)
class VectorSpace:
    """Vectors in which faiss ranks as the scorer does.

    Pearson's correlation is the inner product of rows that are centred and scaled to length 1; cosine is that of rows
    scaled to length 1. Under Euclidean distances the mean of the gallery is subtracted, so that large values common to
    all scenes do not swamp the differences in float32.

    Attributes:
        similarity: One of ``rsir_bench.ranking.SIMILARITIES``.
        centre: (D,) float64, ``euclidean_centre`` of the gallery under "euclidean", else None.
    """

    similarity: str
    centre: Array | None = None

    @classmethod
    def of(cls, gallery: Array, similarity: str) -> VectorSpace:
        """Return the space of a gallery of (N, D) float descriptors or (N, bytes) uint8 packed codes."""
        if similarity != "euclidean":
            return cls(similarity)
        return cls(similarity, euclidean_centre(torch.from_numpy(np.require(gallery, requirements="W"))).numpy())

    @property
    def binary(self) -> bool:
        """Whether rows are packed codes."""
        return self.similarity == "hamming"

    @property
    def dtype(self) -> type[np.generic]:
        """The dtype of rows for faiss."""
        return np.uint8 if self.binary else np.float32

    @property
    def smaller_is_nearer(self) -> bool:
        """Whether values are distances."""
        return self.similarity in DISTANCES

    @property
    def unit(self) -> str:
        """The name of the values, as a heading."""
        name = self.similarity.capitalize() if self.similarity in ("pearson", *DISTANCES) else self.similarity
        return f"{name} distance" if self.smaller_is_nearer else name

    def rows(self, descriptors: Array) -> Array:
        """Return (N, D) float32 rows for faiss; packed codes, (N, bytes) uint8, stay as they are.

        Raises:
            UserError: Values are too large or too small to normalise.
        """
        rows = np.empty(descriptors.shape, self.dtype)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            rows[part] = self.exact_rows(descriptors[part])
        return rows

    def exact_rows(self, descriptors: Array) -> Array:
        """Return the rows of (N, D) float descriptors as (N, D) float64; packed codes stay as they are."""
        if self.binary:
            return np.ascontiguousarray(descriptors)
        rows = descriptors.astype(np.float64)
        if self.similarity in ("pearson", "cosine"):
            unit, _ = unit_rows(torch.from_numpy(rows), centred=self.similarity == "pearson")
            return unit.numpy()
        return rows if self.centre is None else rows - self.centre

    def shown(self, values: Array) -> Array:
        """Return values of faiss, (Q, K) float or int32, as similarities or distances.

        faiss leaves Euclidean distances squared.
        """
        return np.sqrt(np.maximum(values, 0)) if self.similarity == "euclidean" else values


def nearest(descriptors: Array, wanted: int, similarity: str) -> tuple[Array, Array]:
    """Return the nearest neighbours of every row among all others, nearest first, ties in the order of the rows.

    Args:
        descriptors: (N, D) finite float vectors, or (N, bytes) uint8 packed codes under "hamming".
        wanted: How many; all other rows if there are fewer.
        similarity: One of ``rsir_bench.ranking.SIMILARITIES``.

    Returns:
        (N, K) float64 similarities, Euclidean distances or Hamming distances in bits, and (N, K) int64 rows.
    """
    return nearest_in(descriptors, descriptors, np.arange(len(descriptors)), wanted, similarity)


def nearest_in(queries: Array, gallery: Array, own: Array, wanted: int, similarity: str) -> tuple[Array, Array]:
    """Return the nearest rows of a gallery for every query, nearest first, ties in the order of the rows.

    Args:
        queries: (Q, D) finite float vectors, or (Q, bytes) uint8 packed codes under "hamming".
        gallery: (N, D) or (N, bytes); ``queries`` itself where they are the same.
        own: (Q,) int64, the row of the gallery that a query is, which is left out; -1 where it is none.
        wanted: How many; N - 1 if there are fewer.
        similarity: One of ``rsir_bench.ranking.SIMILARITIES``.

    Returns:
        (Q, K) float64 similarities, Euclidean distances or Hamming distances in bits, and (Q, K) int64 rows.
    """
    space = VectorSpace.of(gallery, similarity)
    wanted = min(wanted, len(gallery) - 1)
    # Products in float32 may order near rows wrongly: twice as many are found, and the best of them taken in float64.
    candidates = min(2 * wanted, len(gallery) - 1)
    exact = space.exact_rows(gallery)
    asked = exact if queries is gallery else space.exact_rows(queries)
    # What all rows share does not change the order of inner products, but in float32 it hides what does.
    apart = exact if space.smaller_is_nearer else exact - exact.mean(axis=0)
    index = empty_index(exact.shape[1], space)
    index.add(apart.astype(space.dtype))
    values, found = nearest_others(index, asked.astype(space.dtype), own, candidates)
    values = values.astype(np.float64)
    if not space.binary:
        _refine(values, found, space, asked, exact)
    order = np.lexsort((found, values if space.smaller_is_nearer else -values))[:, :wanted]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(found, order, axis=1)


def _refine(values: Array, found: Array, space: VectorSpace, queries: Array, gallery: Array) -> None:
    """Replace faiss's values, (Q, K) float64, by similarities or distances of rows in float64."""
    for query, row in enumerate(queries):
        others = gallery[found[query]]
        if space.similarity == "euclidean":
            values[query] = np.linalg.norm(others - row, axis=1)
        else:
            values[query] = (others * row).sum(axis=1)


def empty_index(dimensions: int, space: VectorSpace) -> Any:
    """Return an exact index without rows, for rows of this many columns (of bytes for codes)."""
    import faiss

    if space.binary:
        return faiss.IndexBinaryFlat(8 * dimensions)
    return faiss.IndexFlat(dimensions, faiss.METRIC_L2 if space.smaller_is_nearer else faiss.METRIC_INNER_PRODUCT)


def search_index(index: Any, queries: Array, wanted: int) -> tuple[Array, Array]:
    """Return the nearest rows of an index for each query, nearest first, ties in the order of the rows.

    Args:
        index: An index of faiss.
        queries: (Q, D) float32 or (Q, bytes) uint8, as the rows of the index.
        wanted: How many; all rows if there are fewer.

    Returns:
        (Q, K) values of faiss, float32 or int32, and (Q, K) int64 rows, -1 in the last places where an approximate
        index found fewer.
    """
    import faiss

    values, found = index.search(queries, min(wanted, index.ntotal))
    order = np.lexsort((found, values if index.metric_type == faiss.METRIC_L2 else -values, found < 0))
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(found, order, axis=1)


def nearest_others(index: Any, queries: Array, own: Array, wanted: int) -> tuple[Array, Array]:
    """Return what ``search_index`` does, without the query itself.

    A query is left out by its row, not by its rank: where a scene exists twice, the query need not come first.

    Args:
        index: An index of faiss.
        queries: (Q, D) float32 or (Q, bytes) uint8, as the rows of the index.
        own: (Q,) int64 row of each query in the index; -1 if it is not in the index.
        wanted: How many others.

    Returns:
        As ``search_index``; -1 also in the last place where the index holds fewer others.
    """
    values, found = search_index(index, queries, wanted + 1)
    found = np.where(found == own[:, None], -1, found)
    others = np.argsort(found < 0, axis=1, kind="stable")[:, :wanted]
    return np.take_along_axis(values, others, axis=1), np.take_along_axis(found, others, axis=1)
