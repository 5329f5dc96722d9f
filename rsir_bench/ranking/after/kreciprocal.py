"""Re-ranking with k-reciprocal encoding: scenes are near if they share mutual neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from rsir_bench.ranking.after.contract import Array, PostProcessing, Processed, Vectors, number
from rsir_bench.ranking.after.members import Members
from rsir_bench.ranking.after.reciprocal import encoding

LEAST = 1e-12  # of w: below, d is lost in the rounding of J


@dataclass(frozen=True)
class KReciprocal(PostProcessing):
    """Rank by (1 - w) J + w d: J the Jaccard distance of k-reciprocal neighbourhoods, d the distance itself.

    d is 1 - cosine, or the Hamming distance of codes, divided by the largest one of its row. J = 1 - m / (2 - m), m the
    sum of the smaller of the two weights that query and scene give to each scene. (Zhong et al., CVPR 2017.)

    It is a function of the whole set, the query included: reciprocity is the query among the scene's neighbours. So
    nothing is masked but the query's own row in its ranking.

    Attributes:
        k1: Neighbours whose reciprocity counts.
        k2: Ranks over which neighbourhoods are averaged, the scene itself included.
        weight: w, called lambda in the paper.
    """

    name: ClassVar[str] = "kreciprocal"
    title: ClassVar[str] = "k-reciprocal"
    codes: ClassVar[bool] = True
    k1: int = number(20, least=1)
    k2: int = number(6, least=1)
    weight: float = number(0.3, least=0, most=1)

    def too_small(self, scenes: int) -> str | None:
        """Return why a set of so many scenes has too few neighbours; None: it has enough."""
        most = max(self.k1, self.k2 - 1)
        return f"k1 {self.k1} and k2 {self.k2} need {most + 1} scenes" if scenes <= most else None

    def apply(self, given: Vectors) -> Processed:
        """Return the correction of distances."""
        members = Members.of(given)
        farthest = members.farthest()
        weights = encoding(members, farthest, self.k1, self.k2)
        scale = 2 * farthest if members.codes else farthest
        return Processed(correct=SharedNeighbours(weights, len(given.gallery), members.place, scale, self.weight))


class SharedNeighbours:
    """The distances of scenes that share a neighbour with the query; all others have J = 1 and keep their order.

    Ranking by (1 - w) J + w d is ranking by c d - c (1 - w) / w * m / (2 - m), c the largest distance of the query's
    row: the constant of a row is left out, and scenes without a shared neighbour keep their plain distance, bit by bit.

    Args:
        weights: V, (L, L) float64; the gallery is its first M rows.
        scenes: M.
        place: (Q,) int64, the row of each query.
        scale: (L,) float64, c in the unit of the distances.
        weight: w.
    """

    def __init__(self, weights: sparse.csr_array, scenes: int, place: Array, scale: Array, weight: float) -> None:
        self.weights, self.columns = weights, weights[:scenes].tocsc()
        self.scenes, self.place, self.scale, self.weight = scenes, place, scale, weight

    def __call__(self, asked: Array, distances: Array) -> None:
        """Change the distances, (S, M) float, of queries (S,) int64."""
        for row, query in zip(distances, self.place[asked], strict=True):
            shared = self.shared(query)
            found = np.flatnonzero(shared)
            nearer = shared[found] / (2 - shared[found])
            if self.weight > LEAST:
                row[found] -= self.scale[query] * (1 - self.weight) / self.weight * nearer
            else:
                row[:] = 0
                row[found] = -nearer

    def shared(self, query: int) -> Array:
        """Return m of a row of V and every scene of the gallery, (M,) float64."""
        own = slice(*self.weights.indptr[query : query + 2])
        columns = self.weights.indices[own]
        starts, ends = self.columns.indptr[columns], self.columns.indptr[columns + 1]
        lengths = ends - starts
        ahead = np.cumsum(lengths) - lengths
        cells = np.arange(lengths.sum()) + np.repeat(starts - ahead, lengths)
        smaller = np.minimum(self.columns.data[cells], np.repeat(self.weights.data[own], lengths))
        return np.bincount(self.columns.indices[cells], smaller, minlength=self.scenes)
