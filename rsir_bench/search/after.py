"""Post-process the ranking of a search: which scenes come first then, and where they were before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.after import PostProcessing
from rsir_bench.ranking.after.few import few_distances
from rsir_bench.ranking.nearest import Array
from rsir_bench.search.gallery import Gallery, Hit
from rsir_bench.search.query import Query


@dataclass(frozen=True)
class AfterHits:
    """The scenes that a search found after post-processing.

    Attributes:
        processing: What was done.
        hits: The scenes found, nearest first; ``value`` is a score that orders them, larger is nearer.
        before: The rank of each in the plain search, counted from 1 without the query; 0: the query itself.
    """

    processing: PostProcessing
    hits: list[Hit]
    before: list[int]


def find_after(gallery: Gallery, query: Query, top: int, processing: PostProcessing) -> AfterHits:
    """Return the scenes nearest to a query after post-processing; the whole gallery takes part in it.

    Args:
        gallery: The scenes.
        query: What to search for.
        top: How many scenes to find, not counting the query.
        processing: What to do.

    Raises:
        UserError: It does not go with the row or the gallery.
    """
    if why := processing.unfit(gallery.space.similarity):
        raise UserError(f"--after {processing}: row {gallery.cell.row_name} is {why}; omit it")
    asked, scenes = gallery.compared(query)
    own = gallery.place(query.scene)
    inputs = asked, scenes, np.array([own]), gallery.space.similarity
    plain, distances = few_distances(*inputs)[0], few_distances(*inputs, processing)[0]
    others = np.delete(np.arange(len(scenes)), [own] if own >= 0 else [])
    order = others[np.lexsort((others, distances[others]))][:top]
    hits = [Hit(int(gallery.rows[at]), float(-distances[at]) + 0.0, False) for at in order]
    before = _ranks(plain, others)[order].tolist()
    if own < 0:
        return AfterHits(processing, hits, before)
    itself = Hit(int(gallery.rows[own]), float(-distances[own]) + 0.0, True)
    return AfterHits(processing, [itself, *hits], [0, *before])


def _ranks(distances: Array, others: Array) -> Array:
    """Return the rank of each scene among others, from 1: (N,) int64, ties in the order of the scenes; 0: no other."""
    ranks = np.zeros(len(distances), np.int64)
    ranks[others[np.lexsort((others, distances[others]))]] = np.arange(1, len(others) + 1)
    return ranks
