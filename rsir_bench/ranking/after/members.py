"""The set of scenes that a ranking depends on as a whole: the gallery, and queries from outside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after.contract import Array, Vectors
from rsir_bench.ranking.nearest import nearest_in

BLOCK_VALUES = 2**22  # products held at a time


@dataclass(frozen=True)
class Members:
    """The gallery, followed by the queries that it does not hold.

    Attributes:
        rows: (L, D) float of length 1, or codes of -1 and +1.
        place: (Q,) int64, the row of each query.
        codes: Whether rows are codes.
    """

    rows: Array
    place: Array
    codes: bool

    @classmethod
    def of(cls, given: Vectors) -> Members:
        """Return the set of queries and gallery.

        Raises:
            UserError: A query of the gallery has another descriptor than there.
        """
        codes = given.similarity == "hamming"
        queries, gallery = (given.queries, given.gallery) if codes else (given.unit_queries, given.unit_gallery)
        outside = given.own < 0
        if queries is not gallery and (queries[~outside] != gallery[given.own[~outside]]).any():
            raise UserError("own: a query differs from its row of the gallery; give the same descriptor, or omit own")
        place = given.own.copy()
        place[outside] = len(gallery) + np.arange(outside.sum())
        rows = gallery if not outside.any() else np.concatenate([gallery, queries[outside]])
        return cls(rows, place, codes)

    def __len__(self) -> int:
        """Return L."""
        return len(self.rows)

    def nearest(self, wanted: int) -> tuple[Array, Array]:
        """Return distances (L, K) float64, see ``between``, and scenes (L, K) int64, nearest first, without itself."""
        own = np.arange(len(self))
        if self.codes:
            packed = np.packbits(self.rows > 0, axis=1)
            return nearest_in(packed, packed, own, wanted, "hamming")
        similarities, found = nearest_in(self.rows, self.rows, own, wanted, "inner product")
        return 1 - similarities, found

    def between(self, first: Array, second: Array) -> Array:
        """Return the distance of pairs of scenes (P,) int64, (P,) float64: 1 - cosine, or Hamming distance in bits."""
        distances = np.empty(len(first))
        step = max(1, BLOCK_VALUES // self.rows.shape[1])
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            products = np.einsum(
                "pd,pd->p", self.rows[first[part]], self.rows[second[part]], dtype=np.float64, casting="safe"
            )
            distances[part] = (self.rows.shape[1] - products) / 2 if self.codes else 1 - products
        return distances.clip(0)

    def farthest(self) -> Array:
        """Return the distance of each scene to the farthest one, (L,) float64."""
        least = np.empty(len(self))
        step = max(1, 4 * BLOCK_VALUES // len(self))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            least[part] = (self.rows[part] @ self.rows.T).min(axis=1)
        return (self.rows.shape[1] - least) / 2 if self.codes else 1 - least
