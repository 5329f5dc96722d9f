"""Time, memory and recall of the indexes of ``rsir-bench search``, from 1,000 to 1,000,000 descriptors of 128 values.

``pytest tests/benchmarks/test_search_speed.py --benchmark-only -s`` measures with one thread and prints the table of
docs/search_images.md (five to ten minutes; nearly all of it builds the graph of a million scenes).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from tabulate import tabulate

from rsir_bench.ranking.nearest import VectorSpace
from rsir_bench.search.index import KINDS, build, compare, nearest

SIZES = (1_000, 10_000, 100_000, 1_000_000)
DIMENSIONS, CLUSTERS, TOP, QUERIES = 128, 1000, 10, 50
SPACE = VectorSpace("pearson")


@dataclass(frozen=True)
class Line:
    """The cost of one index of one size: its best time for a query, also as a ratio to the exact index's best."""

    scenes: int
    kind: str
    milliseconds: float
    ratio: float
    recall: float
    build_seconds: float
    megabytes: float


@pytest.fixture(scope="module")
def lines() -> Iterator[list[Line]]:
    """One thread, and the table when all is measured."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    measured: list[Line] = []
    yield measured
    faiss.omp_set_num_threads(threads)
    cells = [
        [
            f"{line.scenes:,}",
            line.kind,
            f"{line.milliseconds:.3g} ms" if line.kind == "flat" else f"{line.ratio:.2g} x",
            f"{line.recall:.3f}",
            f"{line.build_seconds:.2g} s" if line.build_seconds < 10 else f"{line.build_seconds:.0f} s",
            f"{line.megabytes:.1f} MB" if line.megabytes < 10 else f"{line.megabytes:.0f} MB",
        ]
        for line in measured
    ]
    headers = ["descriptors", "index", "time per query", "recall@10", "build", "memory"]
    align = ["right", "left", *["right"] * 4]
    print("\n" + tabulate(cells, headers, tablefmt="github", colalign=align, disable_numparse=True))


@dataclass(frozen=True)
class Gallery:
    """Rows and their exact index."""

    rows: np.ndarray
    exact: Any
    seconds: float


@pytest.fixture(scope="module", params=SIZES)
def gallery(request: pytest.FixtureRequest, lines: list[Line]) -> Gallery:
    rows = SPACE.rows(clustered(request.param))
    started = time.perf_counter()
    exact = build(rows, SPACE, "flat")
    return Gallery(rows, exact, time.perf_counter() - started)


def clustered(scenes: int) -> np.ndarray:
    """(N, 128) float32 around 1,000 centres; variance falls with the dimension, as that of principal components."""
    chance = np.random.default_rng(0)
    spread = np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.5
    centres = chance.standard_normal((CLUSTERS, DIMENSIONS), dtype=np.float32) * spread
    rows = chance.standard_normal((scenes, DIMENSIONS), dtype=np.float32)
    rows *= 0.7 * spread
    rows += centres[chance.integers(CLUSTERS, size=scenes)]
    return rows


@pytest.mark.slow
@pytest.mark.benchmark(timer=time.thread_time)  # other processes slow a long search more than a short one
@pytest.mark.parametrize("kind", KINDS)
def test_time_memory_and_recall(kind: str, gallery: Gallery, lines: list[Line], benchmark: BenchmarkFixture) -> None:
    started = time.perf_counter()
    index = gallery.exact if kind == "flat" else build(gallery.rows, SPACE, kind)
    seconds = gallery.seconds if kind == "flat" else time.perf_counter() - started
    queries = iter(np.tile(gallery.rows[:QUERIES], (2, 1)))
    beside: list[float] = []

    def prepare() -> tuple[tuple[Any, np.ndarray, int], dict[str, Any]]:
        """The exact search for the same query is timed before each round, so that both meet the same load."""
        query = next(queries)[None]
        begun = time.thread_time()
        nearest(gallery.exact, query, TOP)
        beside.append(time.thread_time() - begun)
        return (index, query, TOP), {}

    benchmark.pedantic(nearest, setup=prepare, rounds=QUERIES, warmup_rounds=QUERIES // 2)
    recall = 1.0 if kind == "flat" else compare(index, gallery.exact, lambda own: gallery.rows[own], TOP).recall
    milliseconds, exact = 1000 * benchmark.stats.stats.min, 1000 * min(beside)
    megabytes = faiss.serialize_index(index).nbytes / 1e6
    lines.append(Line(len(gallery.rows), kind, milliseconds, milliseconds / exact, recall, seconds, megabytes))
    benchmark.extra_info.update(recall=recall, build_seconds=seconds, megabytes=megabytes, ratio=milliseconds / exact)
    assert recall >= 0.9
    if kind != "flat" and len(gallery.rows) >= 100_000:
        assert milliseconds < exact / 2
