"""Measure what one query costs by descriptor and by size of the gallery: to score it, and to search with faiss.

    python studies/retrieval_times.py rsir_bench/leaderboard/pages/retrieval_times.csv

Descriptors are random around the centres of classes: their values change neither path. Scoring ranks the whole gallery
for a query and measures the ranking, as for a leaderboard; a search takes the first hundred from faiss's exact index,
one query at a time, as ``rsir-bench search`` does. Times are processor time of one thread, the least of three rounds,
in which scoring and searching take turns. Preparing the gallery (unit length, packing) is not in them: it is done once.
What does not fit into 2.5 GB is left out.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import torch

from rsir_bench.base.errors import run_and_exit
from rsir_bench.base.files import write_text
from rsir_bench.base.progress import track
from rsir_bench.ranking.nearest import VectorSpace, empty_index, search_index
from rsir_bench.ranking.scores import measure_queries
from rsir_bench.ranking.task import scoring_task
from rsir_bench.ranking.threads import workers
from rsir_bench.runs.artifacts.environment import processor

REAL = (12, 21, 30, 38, 45, 128, 384, 512, 768, 1280, 2048)
"""Values of a vector: classes of the sources, PCA, and the layers of usual networks."""

CODES = (32, 64, 128)
"""Bits of a code."""

GALLERIES = (240, 1005, 2100, 2800, 10_000, 31_500, 1_000_000)
"""Scenes: the targets of the shipped protocols, and a million."""

CLASSES = 20
FOUND = 100
ADDED = 10_000
ROUNDS = 3
MOST_BYTES = 2_500_000_000
HEADERS = ("kind", "dimensions", "bytes", "scenes", "score_ms", "search_ms", "processor", "faiss", "torch", "date")


class Descriptor(NamedTuple):
    """Real values or bits, and how many of them."""

    kind: str
    dimensions: int

    @property
    def bytes(self) -> int:
        """What one scene takes: four bytes for a value, one for eight bits."""
        return self.dimensions // 8 if self.kind == "code" else 4 * self.dimensions

    def drawn(self, scenes: int) -> np.ndarray:
        """Return (scenes, dimensions) float32, or (scenes, bytes) uint8 packed codes; classes take turns."""
        rng = np.random.default_rng(0)
        centres = rng.standard_normal((CLASSES, self.dimensions), np.float32)
        rows = np.empty((scenes, self.bytes), np.uint8) if self.kind == "code" else None
        values = rows if rows is not None else np.empty((scenes, self.dimensions), np.float32)
        for start in range(0, scenes, CLASSES * 500):
            part = values[start : start + CLASSES * 500]
            drawn = np.resize(centres, (len(part), self.dimensions))
            drawn = drawn + 2 * rng.standard_normal(drawn.shape, np.float32)
            part[:] = np.packbits(drawn > 0, axis=1) if self.kind == "code" else drawn
        return values


def scoring(descriptor: Descriptor, values: np.ndarray, queries: int) -> Callable[[], Any]:
    """Return the ranking and scoring of some queries."""
    labels = np.arange(len(values)) % CLASSES
    code = descriptor.kind == "code"
    arguments: dict[str, Any] = {"gallery": None, "gallery_labels": None, "class_names": None, "bit_order": "big"}
    with workers("cpu") as pool:
        task = scoring_task(
            values,
            labels,
            similarity="hamming" if code else "pearson",
            codes=code,
            bits=descriptor.dimensions if code else None,
            queries=np.arange(queries),
            device="cpu",
            workers=pool,
            **arguments,
        )
    return lambda: measure_queries(task, None, ["mAP"])


def searching(descriptor: Descriptor, values: np.ndarray, queries: int) -> Callable[[], Any]:
    """Return the search of some queries, one after the other."""
    space = VectorSpace.of(values, "hamming" if descriptor.kind == "code" else "pearson")
    index = empty_index(values.shape[1], space)
    for start in range(0, len(values), ADDED):  # a second copy of a million would be large
        index.add(space.rows(values[start : start + ADDED]))
    asked = [space.rows(values[place : place + 1]) for place in range(queries)]
    return lambda: [search_index(index, one, FOUND) for one in asked]


def least(works: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Return the least processor time of each work in seconds, in turns, without a first round."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, times in zip(works, taken, strict=True):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
    return [min(times[1:]) for times in taken]


def lines(descriptors: Sequence[Descriptor], galleries: Sequence[int], rounds: int) -> Iterator[dict[str, object]]:
    """Yield a row of the file for each descriptor and gallery that fits."""
    made = {"processor": processor(), "faiss": faiss.__version__, "torch": torch.__version__.partition("+")[0]}
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    cases = [(scenes, one) for scenes in galleries for one in descriptors if scenes * one.bytes <= MOST_BYTES]
    for scenes, one in track(cases, "measuring"):
        queries = min(scenes, 100 if scenes < 100_000 else 10)
        values = one.drawn(scenes)
        works = [scoring(one, values, queries), searching(one, values, queries)]
        del values
        score, search = (1000 * seconds / queries for seconds in least(works, rounds))
        yield {
            "kind": one.kind,
            "dimensions": one.dimensions,
            "bytes": one.bytes,
            "scenes": scenes,
            "score_ms": f"{score:.3g}",
            "search_ms": f"{search:.3g}",
            **made,
            "date": date,
        }


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--scenes", type=int, nargs="+", default=GALLERIES, help="sizes of the gallery")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    descriptors = [*(Descriptor("code", bits) for bits in CODES), *(Descriptor("real", size) for size in REAL)]
    written = list(lines(descriptors, options.scenes, options.rounds))
    table = [",".join(HEADERS), *(",".join(str(line[name]) for name in HEADERS) for line in written)]
    write_text(options.file, "\n".join(table) + "\n")


if __name__ == "__main__":
    run_and_exit(main, "retrieval_times")
