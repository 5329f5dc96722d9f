"""Find the methods of a board that differ from a plain one by more than other seeds and other classes explain.

    python studies/against_reference.py ucm-mobile --reference baseline --metrics mAP,P@5

reads the published records and compares every method with the reference, target by target and row by row, with
``rsir_bench.leaderboard.statistics.compare``: its unit is seed x class, and methods of fewer than five seeds are not
tested. The last column adjusts the p-values for the number of tests printed (Holm).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from rsir_bench.base.errors import run_and_exit
from rsir_bench.leaderboard.boards import find_board
from rsir_bench.leaderboard.statistics import compare, holm
from rsir_bench.records.cells import cell_of, is_plain, machine_of
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published

HEADERS = ["metric", "target", "row", "method", "seeds", "mean", "reference", "difference", "p", "p (Holm)"]


def per_class(records: Sequence[Record], metric: str) -> np.ndarray:
    """Return the scores of one cell, (S, C) float64 by seed and class, classes in the order of their names."""
    return np.array([[record.per_class[name][metric] for name in sorted(record.per_class)] for record in records])


def comparisons(records: Iterable[Record], reference: str, metrics: Sequence[str]) -> list[list[object]]:
    """Return a line for each metric, target, row and method other than the reference, under ``HEADERS``.

    Classes count alike, so that a mean here is that over classes and not over queries.
    """
    cells: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if is_plain(record):
            cells[cell_of(record)].append(record)
    lines: list[list[object]] = []
    for metric in metrics:
        for (target, method, row), found in sorted(cells.items()):
            plain = cells.get((target, reference, row))
            if method == reference or plain is None:
                continue
            ours, theirs = per_class(found, metric), per_class(plain, metric)
            result = compare(ours, theirs)
            p = result.note if result.p is None else result.p
            if len(machines := sorted({machine_of(record) for record in (*found, *plain)})) > 1:
                p = f"not tested: {' and '.join(machines)}"
            lines.append([metric, target, row, method, len(ours), ours.mean(), theirs.mean(), result.difference, p])
    tested = [number for number, line in enumerate(lines) if isinstance(line[-1], float)]
    adjusted = dict(zip(tested, holm([lines[number][-1] for number in tested]), strict=True))  # type: ignore[misc]
    return [[*line, adjusted.get(number)] for number, line in enumerate(lines)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("board", help="for example ucm-mobile")
    parser.add_argument("--reference", default="baseline")
    parser.add_argument("--metrics", default="mAP,P@5")
    parser.add_argument("--results", type=Path, default=Path("leaderboards/results"))
    options = parser.parse_args()
    metrics = options.metrics.split(",")
    board = find_board(read_published(options.results), options.board, [options.reference], metrics)
    lines = comparisons(board.records, options.reference, metrics)
    shown = [[*line[:-2], *(f"{p:.2g}" if isinstance(p, float) else p for p in line[-2:])] for line in lines]
    print(tabulate(shown, HEADERS, floatfmt=(*[""] * 5, ".4f", ".4f", "+.4f"), disable_numparse=[8, 9]))


if __name__ == "__main__":
    run_and_exit(main, "against_reference")
