"""Check whether AP@10h relates to P@5 in our results as the paper's "mAP" relates to its P@5.

    python studies/paper_line.py

fits a straight line to what the paper prints (every row of every table but those of codes). For each of our boards, it
prints by how much AP@10h, and mAP over the whole ranking, deviate from the line, over all rows of real descriptors;
below the lowest P@5 that the paper prints, the line is extrapolated. This checks what the paper's "mAP" is: AP@10h is
on the line.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from rsir_bench.base.errors import run_and_exit
from rsir_bench.leaderboard.boards import boards
from rsir_bench.records.cells import is_plain
from rsir_bench.records.editions import of_usual_editions
from rsir_bench.records.paper import PAPER_TABLES, published
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published

HEADERS = ["board", "P@5", "results", "AP@10h: rms", "mean", "farthest", "mAP: rms", "mean"]


class Line(NamedTuple):
    """A straight line through what the paper prints.

    Attributes:
        intercept: Its "mAP" where P@5 is 0.
        slope: Of its "mAP" over P@5.
        deviation: Root mean square of what it prints from the line.
        lowest: The lowest P@5 that it prints; below, the line is extrapolated.
    """

    intercept: float
    slope: float
    deviation: float
    lowest: float

    def above(self, records: Sequence[Record], metric: str) -> np.ndarray:
        """Return how far a metric is above the line: (N,) float64, one per record, in the metric's unit."""
        return np.array([one.metrics[metric] - self.intercept - self.slope * one.metrics["P@5"] for one in records])


def papers_line() -> Line:
    """Return the line through every row of real descriptors of every table."""
    rows = [one.values for table in PAPER_TABLES for one in published(table) if one.row.pooling != "Hashing"]
    p5, printed = (np.array([values[metric] for values in rows]) for metric in ("P@5", "AP@10h"))
    slope, intercept = np.polyfit(p5, printed, 1)
    return Line(float(intercept), float(slope), rms(printed - intercept - slope * p5), float(p5.min()))


def rms(values: np.ndarray) -> float:
    """Return the root of the mean square of values (N,) float."""
    return float(np.sqrt((values**2).mean()))


def lines(records: Iterable[Record], line: Line) -> list[list[object]]:
    """Return two lines per board, on the results inside the paper's range and on those below it, under ``HEADERS``.

    Codes and distorted targets are separate.
    """
    table: list[list[object]] = []
    for board in boards(records):
        shown = [one for one in board.records if is_plain(one) and one.row.kind != "code"]
        for inside in (True, False):
            part = [one for one in shown if (one.metrics["P@5"] >= line.lowest) is inside]
            if part:
                hits, whole = line.above(part, "AP@10h"), line.above(part, "mAP")
                place = f"{'from' if inside else 'below'} {line.lowest:.3f}"
                farthest = hits[np.abs(hits).argmax()]
                table.append([board.name, place, len(part), rms(hits), hits.mean(), farthest, rms(whole), whole.mean()])
    return table


def main() -> None:
    """Print the line and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("leaderboards/results"))
    options = parser.parse_args()
    line = papers_line()
    print(f'The paper\'s line: "mAP" = {line.intercept:.3f} + {line.slope:.3f} P@5, rms {line.deviation:.4f}.\n')
    table = lines(of_usual_editions(read_published(options.results)), line)
    print(tabulate(table, HEADERS, floatfmt=("", "", "", ".4f", "+.4f", "+.4f", ".4f", "+.4f")))


if __name__ == "__main__":
    run_and_exit(main, "paper_line")
