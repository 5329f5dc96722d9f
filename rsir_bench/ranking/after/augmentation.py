"""Database augmentation: every scene of the gallery is smoothed by its neighbours, but never by the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rsir_bench.ranking.after.contract import Array, PostProcessing, Processed, Vectors, number
from rsir_bench.ranking.after.sums import weights_of, with_neighbours
from rsir_bench.ranking.nearest import nearest_in


@dataclass(frozen=True)
class GalleryAugmentation(PostProcessing):
    """Compare the plain query with g' = norm(g + sum over the n nearest x of max(s, 0)^alpha x).

    For the ranking of a query, its own row takes no part in any g': the next neighbour takes its place. (Arandjelović
    and Zisserman, CVPR 2012.)

    Attributes:
        n: Neighbours.
        alpha: Exponent of their weights.
    """

    name: ClassVar[str] = "dba-gallery"
    title: ClassVar[str] = "DBA of the gallery"
    n: int = number(10, least=1)
    alpha: float = number(3.0, least=0)

    def too_small(self, scenes: int) -> str | None:
        """Return why a gallery of so many scenes, the query included, has too few neighbours; None: it has enough."""
        return f"{self.n} neighbours need {self.n + 2} scenes" if scenes < self.n + 2 else None

    def apply(self, given: Vectors) -> Processed:
        """Return the augmented gallery, and the correction where the query had a part in it."""
        return self.augmented(given, given.unit_queries)

    def augmented(self, given: Vectors, queries: Array) -> Processed:
        """Return the augmented gallery for queries (Q, D) float of length 1."""
        gallery = given.unit_gallery
        similarities, found = nearest_in(gallery, gallery, np.arange(len(gallery)), self.n + 1, "inner product")
        weights = weights_of(similarities, self.alpha)
        result = with_neighbours(gallery, gallery, found[:, : self.n], weights[:, : self.n])
        return Processed(queries, result, WithoutQuery(gallery, found, weights, result, queries, given.own))


@dataclass(frozen=True)
class Augmentation(GalleryAugmentation):
    """Augment the queries as well: q' = norm(q + sum over the n nearest x of max(s, 0)^alpha x), against g'."""

    name: ClassVar[str] = "dba"
    title: ClassVar[str] = "DBA"

    def apply(self, given: Vectors) -> Processed:
        """Return augmented queries and gallery, and the correction where the query had a part in the gallery."""
        queries, gallery = given.unit_queries, given.unit_gallery
        similarities, found = nearest_in(queries, gallery, given.own, self.n, "inner product")
        return self.augmented(given, with_neighbours(queries, gallery, found, weights_of(similarities, self.alpha)))


class WithoutQuery:
    """The distances of a query to the scenes that were augmented by it, as if it were not in the gallery.

    Args:
        gallery: (M, D) float, plain rows of length 1.
        found: (M, n + 1) int64, the neighbours of each; the last one takes the place of the query.
        weights: (M, n + 1) float64, theirs.
        augmented: (M, D) float, the rows augmented by the first n.
        queries: (Q, D) float, of length 1.
        own: (Q,) int64, rows of the gallery; -1: none.
    """

    def __init__(
        self, gallery: Array, found: Array, weights: Array, augmented: Array, queries: Array, own: Array
    ) -> None:
        self.gallery, self.found, self.weights = gallery, found, weights
        self.augmented, self.queries, self.own = augmented, queries, own
        taken = found[:, :-1].ravel()
        self._by_neighbour = np.argsort(taken, kind="stable")
        self._starts = np.searchsorted(taken[self._by_neighbour], np.arange(len(gallery) + 1))

    def __call__(self, asked: Array, distances: Array) -> None:
        """Replace the distances, (S, M) float, of queries (S,) int64."""
        own = self.own[asked]
        lengths = np.where(own < 0, 0, self._starts[own + 1] - self._starts[own])
        rows = np.repeat(np.arange(len(asked)), lengths)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        scenes, places = np.divmod(
            self._by_neighbour[np.repeat(self._starts[own], lengths) + within], self.found.shape[1] - 1
        )
        without = self._without(scenes, places)
        # What is the same without the query keeps its distance, rounding included: ties stay ties.
        other = (without != self.augmented[scenes]).any(axis=1)
        rows, scenes, without = rows[other], scenes[other], without[other]
        products = (self.queries[asked[rows]].astype(np.float64) * without).sum(axis=1)
        distances[rows, scenes] = -products

    def _without(self, scenes: Array, places: Array) -> Array:
        """Return scenes (P,) augmented without the neighbour at a place (P,): (P, D) float."""
        kept = np.arange(self.found.shape[1] - 1)
        kept = kept + (kept >= places[:, None])
        found = np.take_along_axis(self.found[scenes], kept, axis=1)
        weights = np.take_along_axis(self.weights[scenes], kept, axis=1)
        return with_neighbours(self.gallery[scenes], self.gallery, found, weights)
