"""Build faiss indexes, exact or approximate, and measure the recall of approximate ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import track
from rsir_bench.ranking import nearest as exact
from rsir_bench.ranking.nearest import Array, VectorSpace, empty_index, search_index

APPROXIMATE = ("hnsw", "ivf")
KINDS = ("flat", *APPROXIMATE)

HNSW_LINKS = 16
"""Neighbours of a node in the graph (twice as many at its base). More take memory, 8 bytes per link and scene, and 32
find no more among 50,000 scenes."""

HNSW_BUILDING = 40
"""Candidates while building: faiss's default. Twice as many take twice as long and add half a percent of recall, which
costs less in a broader search."""

HNSW_BREADTH = 256
"""Candidates while searching, never fewer than twice the scenes that are wanted. Time grows in proportion; half as many
find 90 % of the neighbours among a million scenes."""

IVF_SCENES_PER_LIST = 39
"""Fewest scenes to fit a list's centre on: with fewer, faiss warns that centres follow single scenes."""

IVF_TRAINING = 64
"""Most scenes per list that centres are fitted on: more only make k-means slower."""

IVF_PROBED = 32
"""One list in this many is searched, so that a query costs about that share of exact search."""

IVF_FEWEST = 32
"""Fewest lists to search: where there are few, they are large, and neighbours lie on both sides of their borders."""

ADDED = 10_000  # scenes between two steps of the progress bar

SAMPLE = 200
"""Scenes that recall is measured on: 2,000 neighbours at ten each, so that it is known to about half a percent."""

TIMED = 50
"""How many of these are timed, one query at a time."""


def build(rows: Array, space: VectorSpace, kind: str) -> Any:
    """Return an index of the rows.

    Args:
        rows: (N, D) float32 or (N, bytes) uint8, as ``VectorSpace.rows`` makes them.
        space: How they are compared.
        kind: ``flat`` is exact; ``hnsw`` follows a graph of neighbours; ``ivf`` looks into the nearest of about
            2 sqrt(N) lists, a number that makes finding the lists as cheap as searching them.

    Raises:
        UserError: An approximate index of codes.
    """
    metric = faiss.METRIC_L2 if space.smaller_is_nearer else faiss.METRIC_INNER_PRODUCT
    dimensions = rows.shape[1]
    index: Any
    if space.binary:
        refuse_approximate_codes(kind)
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimensions, HNSW_LINKS, metric)
        index.hnsw.efConstruction = HNSW_BUILDING
    elif kind == "ivf":
        index = _trained_ivf(rows, metric)
    else:
        index = empty_index(dimensions, space)
    for start in track(range(0, len(rows), ADDED), f"indexing {len(rows):,} scenes ({kind})"):
        index.add(rows[start : start + ADDED])
    return index


def settings(kind: str) -> list[int]:
    """Return the settings that an index is built with."""
    return {"flat": [], "hnsw": [HNSW_LINKS, HNSW_BUILDING], "ivf": [IVF_SCENES_PER_LIST, IVF_TRAINING]}[kind]


def refuse_approximate_codes(kind: str) -> None:
    """Refuse an approximate index of codes, which are only searched exactly.

    Raises:
        UserError: The kind is approximate.
    """
    if kind in APPROXIMATE:
        raise UserError(f"--ann {kind}: codes are searched exactly, a million of 64 bits in 2 ms; omit it")


def _trained_ivf(rows: Array, metric: int) -> Any:
    dimensions, lists = rows.shape[1], ivf_lists(len(rows))
    index = faiss.IndexIVFFlat(faiss.IndexFlat(dimensions, metric), dimensions, lists, metric)
    index.cp.max_points_per_centroid = IVF_TRAINING
    index.cp.min_points_per_centroid = 1  # no warning: ivf_lists keeps to it where there are scenes enough
    index.train(rows)
    return index


def ivf_lists(scenes: int) -> int:
    """Return how many lists to split N scenes into: 2 sqrt(N), fewer if a list would hold too few; at least 1."""
    return max(1, min(int(2 * scenes**0.5), scenes // IVF_SCENES_PER_LIST))


def nearest(index: Any, queries: Array, wanted: int) -> tuple[Array, Array]:
    """Search as ``rsir_bench.ranking.nearest.search_index``, with enough candidates for an approximate index.

    Args:
        index: An index of faiss.
        queries: (Q, D) float32 or (Q, bytes) uint8, as the rows of the index.
        wanted: How many; all rows if there are fewer.

    Returns:
        (Q, K) values of faiss, float32 or int32, and (Q, K) int64 rows.
    """
    _broaden(index, wanted)
    return search_index(index, queries, wanted)


def _broaden(index: Any, wanted: int) -> None:
    """Make an approximate index look at enough candidates."""
    wanted = min(wanted, index.ntotal)
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = max(HNSW_BREADTH, 2 * wanted)
    elif isinstance(index, faiss.IndexIVF):
        holding = -(-4 * wanted * index.nlist // index.ntotal)  # lists that hold four times as many on average
        index.nprobe = min(index.nlist, max(IVF_FEWEST, index.nlist // IVF_PROBED, holding))


def nearest_others(index: Any, queries: Array, own: Array, wanted: int) -> tuple[Array, Array]:
    """Search as ``rsir_bench.ranking.nearest.nearest_others``, with enough candidates for an approximate index.

    Args:
        index: An index of faiss.
        queries: (Q, D) float32 or (Q, bytes) uint8, as the rows of the index.
        own: (Q,) int64, the row of each query in the index; -1 if it is not in the index.
        wanted: How many others.

    Returns:
        (Q, K) values of faiss, float32 or int32, and (Q, K) int64 rows.
    """
    _broaden(index, wanted + 1)
    return exact.nearest_others(index, queries, own, wanted)


@dataclass(frozen=True)
class RecallReport:
    """Recall and time of an approximate index.

    Attributes:
        recall: Share of the exact neighbours that it finds, 0 to 1.
        top: How many neighbours are asked for.
        scenes: How many scenes of the gallery are queries.
        milliseconds: Median time per query, one at a time.
        exact_milliseconds: The same of the exact index.
    """

    recall: float
    top: int
    scenes: int
    milliseconds: float
    exact_milliseconds: float


def compare(approximate: Any, exact: Any, rows_of: Callable[[Array], Array], top: int) -> RecallReport:
    """Measure an approximate index on a sample of its own scenes, each left out of its own results.

    A scene counts as found if it is at least as near as the last of the exact result, since the order of equally near
    scenes is arbitrary.

    Args:
        approximate: An index of the gallery.
        exact: The exact index of the same.
        rows_of: Returns the rows (Q, D) float32 of scenes of the gallery, given their numbers (Q,) int64.
        top: Neighbours to find.
    """
    top = min(top, exact.ntotal - 1)
    own = np.sort(np.random.default_rng(0).permutation(exact.ntotal)[:SAMPLE])
    queries = rows_of(own)
    true, _ = nearest_others(exact, queries, own, top)
    values, found = nearest_others(approximate, queries, own, top)
    sign = 1 if exact.metric_type == faiss.METRIC_L2 else -1
    last = sign * true[:, -1:]
    near = (found >= 0) & (sign * values <= last + 1e-5 * np.abs(last) + 1e-6)  # both sum in another order
    return RecallReport(
        recall=float(near.sum() / true.size),
        top=top,
        scenes=len(own),
        milliseconds=milliseconds_per_query(approximate, queries[:TIMED], top),
        exact_milliseconds=milliseconds_per_query(exact, queries[:TIMED], top),
    )


def milliseconds_per_query(index: Any, queries: Array, top: int) -> float:
    """Return the median time of a search for one of the queries (Q, D) float32; a first search warms the caches."""
    nearest(index, queries[:1], top)
    seconds = []
    for query in queries:
        started = time.perf_counter()
        nearest(index, query[None], top)
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds))
