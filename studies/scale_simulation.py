"""What galleries of 10^7 to 10^9 descriptors take: constants measured here, checked at larger sizes, and projected.

    python studies/scale_simulation.py                 # measures, checks, projects: some minutes
    python studies/scale_simulation.py --scenes 4000   # the same in less time, with coarser constants

Everything is processor time of one thread. Other work on the machine still slows caches and memory down, so that ratios
are what to read, and the check shows whether the constants of this run may be extrapolated at all.
"""

from __future__ import annotations

import argparse
import heapq
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import faiss
import numpy as np
import torch
from tabulate import tabulate

from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.ranking import score

DIMENSIONS, BITS, CLASSES = 128, 64, 100
QUERIES = 1024
REPEATS = 3
DRAWS = 20  # of the simulation, the same for every row
GALLERIES = (10**7, 10**8, 10**9)
SUBSET = 10**4  # queries, where not all scenes are
CHECKED = (2, 4)  # times the scenes of the calibration
SCANNED = 1 / 64  # share of the gallery that an inverted file looks at
BANDWIDTH = 1.25e9  # bytes/s into a node: 10 Gbit/s
PRICE = 0.04  # of a core for an hour, in whatever currency; assumed


class Constants(NamedTuple):
    """What was measured, on one thread.

    Attributes:
        floats: Seconds of the scorer for 10^9 similarities of 128 floats, every metric, the whole ranking.
        codes: The same for 64-bit codes.
        inverted: Seconds of an inverted file for 10^9 scenes that it looks at, the ten nearest.
        hamming: Seconds of a scan for 10^9 codes, the ten nearest.
        floats_held: Bytes at the scorer's peak for each descriptor of the gallery, its own 512 included.
        codes_held: The same for codes, as the scorer takes them.
    """

    floats: float
    codes: float
    inverted: float
    hamming: float
    floats_held: float
    codes_held: float


def scenes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return descriptors, (N, 128) float32, around the centres of 100 classes, and labels, (N,) int64."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    rows = rng.standard_normal((CLASSES, DIMENSIONS), np.float32)[labels]
    rows += rng.standard_normal(rows.shape, np.float32)
    return rows, labels


def seconds(work: Callable[[], object]) -> float:
    """Return processor time, the median of some calls after one that warms up; a clock would count other processes."""
    taken = []
    for _ in range(REPEATS + 1):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return statistics.median(taken[1:])


def scoring_seconds(count: int, codes: bool) -> float:
    """Return the seconds of 1024 queries after a first 1024, without preparing the gallery or touching new memory."""
    rows, labels = scenes(count)
    descriptors = rows[:, :BITS] > 0 if codes else rows

    def of(queries: int) -> float:
        return seconds(lambda: score(descriptors, labels, codes=codes, queries=np.arange(queries)))

    return max(of(2 * QUERIES) - of(QUERIES), 1e-9)


def search_seconds(count: int) -> tuple[float, float]:
    """Return the seconds per query of an inverted file that searches 1/64 of the scenes, and of a scan of codes."""
    rows, _ = scenes(count)
    lists = max(64, int(2 * count**0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIMENSIONS), DIMENSIONS, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.train(rows[: 50 * lists])
    index.add(rows)
    index.nprobe = max(1, round(lists * SCANNED))
    packed = np.packbits(rows[:, :BITS] > 0, axis=1)
    scan = faiss.IndexBinaryFlat(BITS)
    scan.add(packed)
    queries = slice(0, QUERIES)
    inverted = seconds(lambda: index.search(rows[queries], 10)) / QUERIES
    return inverted, seconds(lambda: scan.search(packed[queries], 10)) / QUERIES


def held_bytes(count: int, codes: bool) -> float:
    """Return the bytes per scene at the scorer's peak, from processes some of which have four times the scenes."""

    def peak_of(size: int) -> float:
        words = [sys.executable, __file__, "--peak", str(size), *(["--codes"] if codes else [])]
        calls = [subprocess.run(words, capture_output=True, text=True, check=True) for _ in range(REPEATS)]
        return statistics.median(int(call.stdout) for call in calls)

    return (peak_of(4 * count) - peak_of(count)) / (3 * count)


def peak(count: int, codes: bool) -> int:
    """Return the bytes at the peak of this process after scoring one query."""
    rng = np.random.default_rng(0)
    rows = rng.bytes(count * BITS // 8) if codes else rng.standard_normal((count, DIMENSIONS), np.float32)
    descriptors = np.frombuffer(rows, np.uint8).reshape(count, -1) if codes else rows
    labels = np.arange(count) % CLASSES
    score(descriptors, labels, codes=codes, bits=BITS if codes else None, queries=np.arange(1))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(count: int, memory_count: int) -> Constants:
    """Measure the constants at galleries of ``count`` scenes; memory at ``memory_count`` and four times as many."""
    pairs = QUERIES * count / 1e9
    # Memory first, as the peak that a process reports is at least that of the process which started it.
    floats_held, codes_held = held_bytes(memory_count, False), held_bytes(memory_count, True)
    inverted, scan = search_seconds(count)
    return Constants(
        floats=scoring_seconds(count, False) / pairs,
        codes=scoring_seconds(count, True) / pairs,
        inverted=inverted / (count * SCANNED / 1e9),
        hamming=scan / (count / 1e9),
        floats_held=floats_held,
        codes_held=codes_held,
    )


def check(constants: Constants, count: int) -> list[tuple[str, int, float, float]]:
    """Return rows (what, scenes, predicted seconds, measured seconds) at larger sizes, for 1024 queries."""
    rows = []
    for times in CHECKED:
        size = times * count
        pairs = QUERIES * size / 1e9
        inverted, scan = search_seconds(size)
        rows += [
            ("exact, floats", size, constants.floats * pairs, scoring_seconds(size, False)),
            ("exact, codes", size, constants.codes * pairs, scoring_seconds(size, True)),
            ("inverted file", size, constants.inverted * pairs * SCANNED, inverted * QUERIES),
            ("scan of codes", size, constants.hamming * pairs, scan * QUERIES),
        ]
    return rows


def makespan(parts: Sequence[float], workers: int, before: float) -> float:
    """Return the seconds until all parts are done; each free worker takes the next part, once it holds the gallery.

    Args:
        parts: Seconds of each part.
        workers: How many work side by side.
        before: Seconds until a worker holds the gallery.
    """
    free = [before] * workers
    for part in parts:
        heapq.heapreplace(free, free[0] + part)
    return max(free)


def efficiency(
    work: float, workers: int, parts_each: int, before: float, rng: np.random.Generator, slow: float = 0.05
) -> float:
    """Return the share of the workers' time that is work, where parts differ and some take three times as long.

    Args:
        work: Seconds of one worker for everything.
        workers: How many there are.
        parts_each: Parts for each worker.
        before: Seconds until a worker holds the gallery.
        rng: Draws the parts.
        slow: Share of the parts that stragglers take.
    """
    count = workers * parts_each
    parts = work / count * rng.lognormal(0, 0.1, count) * np.where(rng.random(count) < slow, 3.0, 1.0)
    return float(parts.sum() / (workers * makespan(parts.tolist(), workers, before)))


def projection(constants: Constants) -> list[list[str]]:
    """Return the rows of the table: gallery, what, memory, core time and cost of both sets of queries."""
    rows = []
    kinds = {
        "exact, floats": (constants.floats_held, constants.floats, 1.0),
        "exact, codes": (constants.codes_held, constants.codes, 1.0),
        "inverted file, floats": (4.0 * DIMENSIONS + 8, constants.inverted, SCANNED),
        "scan of codes": (BITS / 8, constants.hamming, 1.0),
    }
    for gallery in GALLERIES:
        for name, (held, rate, share) in kinds.items():
            times = [queries * gallery * share / 1e9 * rate for queries in (SUBSET, gallery)]
            costs = [f"{PRICE * taken / 3600:,.2f}" for taken in times]
            rows.append([f"{gallery:.0e}", name, gigabytes(held * gallery), *map(duration, times), *costs])
    return rows


def gigabytes(count: float) -> str:
    """Return gigabytes as text, with a decimal below ten."""
    return f"{count / 1e9:,.0f} GB" if count >= 1e10 else f"{count / 1e9:.1f} GB"


def duration(taken: float) -> str:
    """Return core time as text."""
    for unit, size in (("y", 365.25 * 86400), ("d", 86400), ("h", 3600), ("min", 60)):
        if taken >= size:
            return f"{taken / size:,.1f} {unit}"
    return f"{taken:.1f} s"


def clusters(constants: Constants, gallery: int = 10**8) -> list[list[str]]:
    """Return the rows of the simulation: 10^4 queries against one gallery of floats on more and more workers."""
    work, moved = SUBSET * gallery / 1e9 * constants.floats, gallery * 4 * DIMENSIONS / BANDWIDTH

    def mean(workers: int, parts: int, before: float) -> str:
        draws = [efficiency(work, workers, parts, before, np.random.default_rng(seed)) for seed in range(DRAWS)]
        return f"{statistics.mean(draws):.2f}"

    return [
        [str(workers), *(mean(workers, parts, moved) for parts in (1, 4, 16)), mean(workers, 4, 0.0)]
        for workers in (8, 64, 512)
    ]


def report(constants: Constants, checked: list[tuple[str, int, float, float]]) -> str:
    """Return all tables."""
    measured = [[name, f"{value:.3g}"] for name, value in constants._asdict().items()]
    compared = [[what, f"{size:,}", p, m, p / m] for what, size, p, m in checked]
    head = ["gallery", "", "memory", "1e4 queries", "all", "cost 1e4", "cost all"]
    return "\n\n".join(
        [
            tabulate(measured, ["constant", "value"], "github", disable_numparse=True),
            tabulate(compared, ["", "scenes", "predicted s", "measured s", "ratio"], "github", floatfmt=".3g"),
            tabulate(projection(constants), head, "github", disable_numparse=True),
            tabulate(
                clusters(constants), ["workers", "1 part", "4", "16", "4, no transfer"], "github", disable_numparse=True
            ),
        ]
    )


def main() -> None:
    """Measure, check and print the tables.

    Raises:
        UserError: There are too few scenes.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=50_000, help="of the calibration; checks take four times as many")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--codes", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.scenes < 2 * QUERIES:
        raise UserError(f"--scenes {words.scenes}: give at least {2 * QUERIES}, as twice {QUERIES} of them are queries")
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    if words.peak:
        print(peak(words.peak, words.codes))
        return
    constants = measure(words.scenes, 8 * words.scenes)
    print(report(constants, check(constants, words.scenes)))


if __name__ == "__main__":
    run_and_exit(main, "scale_simulation")
