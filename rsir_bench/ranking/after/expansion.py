"""Average query expansion: the query is averaged with its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rsir_bench.ranking.after.contract import PostProcessing, Processed, Vectors, number
from rsir_bench.ranking.after.sums import weights_of, with_neighbours
from rsir_bench.ranking.nearest import nearest_in


@dataclass(frozen=True)
class QueryExpansion(PostProcessing):
    """Rank the plain gallery for q' = norm(q + sum over the n nearest x of max(s, 0)^alpha x).

    The query's own row is neither among its neighbours nor in its ranking. (Chum et al., ICCV 2007; with weights
    s^alpha Radenović et al., TPAMI 2019.)

    Attributes:
        n: Neighbours.
        alpha: Exponent of their weights.
    """

    name: ClassVar[str] = "aqe"
    title: ClassVar[str] = "aQE"
    n: int = number(10, least=1)
    alpha: float = number(3.0, least=0)

    def too_small(self, scenes: int) -> str | None:
        """Return why a gallery of so many scenes, the query included, has too few neighbours; None: it has enough."""
        return f"{self.n} neighbours need {self.n + 1} scenes" if scenes <= self.n else None

    def apply(self, given: Vectors) -> Processed:
        """Return the expanded queries."""
        queries, gallery = given.unit_queries, given.unit_gallery
        similarities, found = nearest_in(queries, gallery, given.own, self.n, "inner product")
        return Processed(queries=with_neighbours(queries, gallery, found, weights_of(similarities, self.alpha)))
