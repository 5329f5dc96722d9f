"""Speed and memory of the scorer, as ratios to references measured in the same run.

``pytest tests/benchmarks/test_ranking_speed.py --benchmark-only -s`` runs them; plain ``pytest`` skips them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import libraries
import numpy as np
import pytest
import torch
from isolated import Measurement, measured, scenes
from tabulate import tabulate

from rsir_bench.ranking import score
from rsir_bench.ranking.blocks import BLOCK_QUERIES
from rsir_bench.ranking.names import RECORDED

N, DIMENSIONS, BITS = 31_500, 512, 64  # NWPU-RESISC45
SEVERAL = 16_000  # scenes with several labels
SAMPLE = 512  # queries of which slow methods are timed; their cost is proportional to queries
SECONDS: dict[str, float] = {}
Benchmark = Any


@pytest.fixture(scope="module")
def full() -> tuple[np.ndarray, np.ndarray]:
    return scenes(N, DIMENSIONS)


@pytest.fixture(scope="module")
def codes(full: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    planes = np.random.default_rng(1).standard_normal((DIMENSIONS, BITS), dtype=np.float32)
    return full[0] @ planes > 0, full[1]


def bare_product(rows: np.ndarray) -> None:
    """All inner products, block by block, without keeping them: the lower bound."""
    out = np.empty((BLOCK_QUERIES, len(rows)), np.float32)
    for start in range(0, len(rows), BLOCK_QUERIES):
        block = rows[start : start + BLOCK_QUERIES]
        np.matmul(block, rows.T, out=out[: len(block)])


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best_of(benchmark: Benchmark, work: Callable[[], object], rounds: int, beside: Callable[[], object]) -> float:
    """Benchmarks ``work``, with ``beside`` timed before each round; returns the ratio of the best times."""
    others: list[float] = []
    benchmark.pedantic(work, setup=lambda: others.append(timed(beside)), rounds=rounds)
    ratio = float(benchmark.stats.stats.min / min(others))
    benchmark.extra_info["ratio"] = round(ratio, 3)
    print(f"\n{benchmark.name}: {benchmark.stats.stats.min:.2f} s, {ratio:.2f} x the {min(others):.2f} s beside it")
    return ratio


def several(labels: np.ndarray, names: int = 17) -> np.ndarray:
    """Label sets (N, names) bool: each class has some, and each scene differs from its class in a few."""
    rng = np.random.default_rng(0)
    sets = (rng.random((labels.max() + 1, names)) < 0.2)[labels] ^ (rng.random((len(labels), names)) < 0.03)
    sets[~sets.any(axis=1), 0] = True
    return sets


def report(name: str, **figures: float) -> None:
    print(f"\n{name}: " + ", ".join(f"{what.replace('_', ' ')} {value:.2f}" for what, value in figures.items()))


@pytest.mark.slow
def test_all_metrics_cost_at_most_two_products(benchmark: Benchmark, full: tuple[np.ndarray, np.ndarray]) -> None:
    ratio = best_of(benchmark, lambda: score(*full), 3, lambda: bare_product(full[0]))
    SECONDS["score"] = benchmark.stats.stats.min
    assert ratio <= 2.0


@pytest.mark.slow
def test_what_a_record_holds_costs_1_8_products(benchmark: Benchmark, full: tuple[np.ndarray, np.ndarray]) -> None:
    assert best_of(benchmark, lambda: score(*full, metrics=RECORDED), 3, lambda: bare_product(full[0])) <= 1.8


@pytest.mark.slow
def test_codes_are_three_times_faster_than_floats(
    benchmark: Benchmark, full: tuple[np.ndarray, np.ndarray], codes: tuple[np.ndarray, np.ndarray]
) -> None:
    assert best_of(benchmark, lambda: score(*codes, codes=True), 3, lambda: score(*full)) <= 0.33


@pytest.mark.slow
def test_codes_cost_at_most_three_scans_for_the_nearest_ten(
    benchmark: Benchmark, codes: tuple[np.ndarray, np.ndarray]
) -> None:
    """Both on one core; prints the seconds for 10^9 pairs."""
    import faiss

    packed = np.packbits(codes[0], axis=1)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(packed)
    threads = torch.get_num_threads()
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    try:
        ratio = best_of(benchmark, lambda: score(*codes, codes=True), 3, lambda: index.search(packed, 10))
    finally:
        torch.set_num_threads(threads)
    report("codes", seconds_for_1e9_pairs=benchmark.stats.stats.min / N**2 * 1e9)
    assert ratio <= 3.0


@pytest.mark.slow
def test_ten_times_faster_than_stable_argsort(benchmark: Benchmark, full: tuple[np.ndarray, np.ndarray]) -> None:
    rows = full[0]

    def rank() -> None:
        for start in range(0, SAMPLE, 64):
            np.argsort(-(rows[start : start + 64] @ rows.T), axis=1, kind="stable")

    benchmark.pedantic(rank, rounds=1)
    compare_with_score(benchmark, full)


@pytest.mark.slow
def test_ten_times_faster_than_exhaustive_search(benchmark: Benchmark, full: tuple[np.ndarray, np.ndarray]) -> None:
    import faiss

    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(full[0])
    benchmark.pedantic(lambda: index.search(full[0][:SAMPLE], N), rounds=1)
    compare_with_score(benchmark, full)


def compare_with_score(benchmark: Benchmark, full: tuple[np.ndarray, np.ndarray]) -> None:
    """The benchmarked ranking of a sample of queries, scaled to all of them, takes ten times as long as scoring."""
    seconds = SECONDS.get("score") or timed(lambda: score(*full))
    scaled = benchmark.stats.stats.min * N / SAMPLE
    report(benchmark.name, scaled_seconds=scaled, times_score=scaled / seconds)
    assert scaled >= 10 * seconds


@pytest.mark.slow
def test_cost_grows_with_the_square_of_scenes_and_little_more(benchmark: Benchmark) -> None:
    def best(n: int) -> float:
        rows, labels = scenes(n, 128)
        return min(timed(lambda: score(rows, labels)) for _ in range(2))

    times = benchmark.pedantic(lambda: [best(n) for n in (8_000, 16_000, 32_000)], rounds=1)
    factors = [later / earlier for earlier, later in pairwise(times)]
    report("doubling", to_16k=factors[0], to_32k=factors[1])
    assert max(factors) <= 4.6


def mean_average_precision(rows: np.ndarray, labels: np.ndarray) -> float:
    return score(rows, labels).overall["mAP"]


@pytest.mark.slow
def test_memory_at_full_size(benchmark: Benchmark) -> None:
    found = benchmark.pedantic(lambda: measured(mean_average_precision, N, DIMENSIONS), rounds=1)
    report("memory", gigabytes_above_the_descriptors=found.gigabytes)
    assert found.gigabytes <= 0.4


def first_against_the_others(rows: np.ndarray, labels: np.ndarray) -> float:
    queries = min(1000, len(rows) // 2)
    found = score(rows[:queries], labels[:queries], gallery=rows[queries:], gallery_labels=labels[queries:])
    return found.overall["mAP"]


@pytest.mark.slow
def test_several_labels_cost_at_most_four_times_one(benchmark: Benchmark, full: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = full[0][:SEVERAL], full[1][:SEVERAL]
    sets = several(labels)
    assert best_of(benchmark, lambda: score(rows, sets), 2, lambda: score(rows, labels)) <= 4


@pytest.mark.slow
def test_codes_of_several_labels_cost_at_most_four_times_one(
    benchmark: Benchmark, codes: tuple[np.ndarray, np.ndarray]
) -> None:
    rows, labels = codes[0][:SEVERAL], codes[1][:SEVERAL]
    sets = several(labels)
    ratio = best_of(benchmark, lambda: score(rows, sets, codes=True), 3, lambda: score(rows, labels, codes=True))
    assert ratio <= 4


def graded_scores_of_some(rows: np.ndarray, labels: np.ndarray) -> float:
    queries = np.arange(min(3000, len(rows)))
    return score(rows, several(labels), queries=queries).overall["WAP"]


@pytest.mark.slow
def test_memory_with_several_labels_at_full_size(benchmark: Benchmark) -> None:
    """Memory does not depend on the number of queries but for the table of their values."""
    found = benchmark.pedantic(lambda: measured(graded_scores_of_some, N, DIMENSIONS), rounds=1)
    report("several labels", seconds=found.seconds, gigabytes_above_the_descriptors=found.gigabytes)
    assert found.gigabytes <= 1.0


@pytest.mark.slow
def test_a_million_scenes(benchmark: Benchmark) -> None:
    found = benchmark.pedantic(lambda: measured(first_against_the_others, 1_001_000, 128), rounds=1)
    report("1,000 queries, 1,000,000 scenes", seconds=found.seconds, gigabytes_above_the_descriptors=found.gigabytes)
    assert found.gigabytes <= 2.0


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(find_spec, ("pytorch_metric_learning", "torchmetrics", "pytrec_eval", "ranx"))),
    reason="needs the libraries of the oracles extra",
)
def test_beside_the_libraries_of_the_field(benchmark: Benchmark) -> None:
    """Prints the tables of docs/score.md."""
    truth = libraries.definition(*scenes(4000, 128))

    def all_libraries() -> dict[str, Measurement]:
        return {library.__name__: measured(library, 4000, 128) for library in libraries.LIBRARIES}

    found = benchmark.pedantic(all_libraries, rounds=1)
    own = found["rsir_bench"]
    rows = [
        [name, it.seconds, it.seconds / own.seconds, it.gigabytes, it.value, abs(it.value - truth) < 1e-5]
        for name, it in found.items()
    ]
    headers = ["", "seconds", "times ours", "GB", f"mAP (true: {truth:.4f})", "right"]
    print("\n" + tabulate(rows, headers, floatfmt=("", ".2f", ".0f", ".2f", ".4f", ""), tablefmt="github"))
    assert abs(own.value - truth) < 1e-5
    assert own.seconds == min(it.seconds for it in found.values())
