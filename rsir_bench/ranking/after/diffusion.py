"""Diffusion: similarity flows from the query along the graph of mutual neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from rsir_bench.ranking.after.contract import Array, PostProcessing, Processed, Vectors, number
from rsir_bench.ranking.after.members import Members

COLUMNS = 32  # queries solved at a time: their values stay in the processor's cache
TOLERANCE = 1e-6
"""Norm of what is left of a query's equations, whose right side has norm 1."""


@dataclass(frozen=True)
class Diffusion(PostProcessing):
    """Rank by (I - alpha S)^-1 on the graph of mutual k nearest neighbours.

    Its affinities are max(s, 0)^gamma, and S holds them divided by the square roots of the sums of their two rows.
    (Zhou et al., NIPS 2003; Iscen et al., CVPR 2017.)

    It is a function of the whole set, the query included, so nothing is masked but the query's own row in its ranking.
    Scenes that no path leads to have similarity 0, and are tied.

    Attributes:
        k: Neighbours, of which the mutual ones are joined.
        gamma: Exponent of affinities.
        alpha: Share that flows on. A scene that is n steps away has a similarity of about alpha^n, which the solver
            does not resolve below .8.
    """

    name: ClassVar[str] = "diffusion"
    title: ClassVar[str] = "diffusion"
    k: int = number(50, least=1)
    gamma: float = number(3.0, least=0)
    alpha: float = number(0.99, least=0.8, below=1)

    def too_small(self, scenes: int) -> str | None:
        """Return why a set of so many scenes has too few neighbours; None: it has enough."""
        return f"k {self.k} needs {self.k + 1} scenes" if scenes <= self.k else None

    def apply(self, given: Vectors) -> Processed:
        """Return the diffused similarities."""
        members = Members.of(given)
        flow = self.alpha * normalised(mutual_neighbours(members, self.k, self.gamma))
        return Processed(correct=Diffused(flow, len(given.gallery), members.place))


def mutual_neighbours(members: Members, k: int, gamma: float) -> sparse.csr_array:
    """Return affinities (L, L) float64 of scenes that are among each other's k nearest; 0 elsewhere."""
    distances, found = members.nearest(k)
    shape = len(members), len(members)
    starts = np.arange(0, found.size + 1, k)
    affinities = np.maximum(1 - distances.ravel(), 0) ** gamma
    near = sparse.csr_array((np.ones(found.size), found.flatten(), starts), shape=shape)
    weighted = sparse.csr_array((affinities, found.flatten(), starts), shape=shape)
    mutual: sparse.csr_array = weighted.multiply(near.T.tocsr()).tocsr()
    return mutual


def normalised(affinities: sparse.csr_array) -> sparse.csr_array:
    """Return affinities (L, L) divided by the square roots of the sums of both rows; a row of zeros stays."""
    sums = affinities.sum(axis=1)
    scale = sparse.diags_array(np.where(sums > 0, 1 / np.sqrt(np.where(sums > 0, sums, 1)), 0))
    result: sparse.csr_array = (scale @ affinities @ scale).tocsr()
    return result


class Diffused:
    """Negated columns of (I - flow)^-1.

    Args:
        flow: (L, L) float64, symmetric, of spectral radius below 1; the gallery is its first M rows.
        scenes: M.
        place: (Q,) int64, the row of each query.
    """

    def __init__(self, flow: sparse.csr_array, scenes: int, place: Array) -> None:
        self.matrix = (sparse.eye_array(flow.shape[0]) - flow).tocsr()
        self.scenes, self.place = scenes, place

    def __call__(self, asked: Array, distances: Array) -> None:
        """Replace the distances, (S, M) float, of queries (S,) int64."""
        for start in range(0, len(asked), COLUMNS):
            part = slice(start, start + COLUMNS)
            distances[part] = -self.column(self.place[asked[part]])[: self.scenes].T

    def column(self, places: Array) -> Array:
        """Return the columns of the inverse at places (B,) int64: (L, B) float64, by conjugate gradients."""
        rest = np.zeros((self.matrix.shape[0], len(places)))
        rest[places, np.arange(len(places))] = 1
        found, step, left = np.zeros_like(rest), rest.copy(), np.ones(len(places))
        while left.max() > TOLERANCE**2:
            moved = self.matrix @ step
            length = left / np.maximum(np.einsum("lb,lb->b", step, moved), np.finfo(float).tiny)
            length[left <= TOLERANCE**2] = 0  # solved: no query depends on the others of its block
            found += length * step
            rest -= length * moved
            before, left = left, np.einsum("lb,lb->b", rest, rest)
            step = rest + left / np.maximum(before, np.finfo(float).tiny) * step
        return found
