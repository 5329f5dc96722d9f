"""Does AP@10h stand to P@5 in our results as the paper's "mAP" stands to its P@5?

    python studies/paper_line.py

fits a straight line to what the paper prints (every row of every table but those of codes), and prints for each
of our boards, over all rows of real descriptors, by how much AP@10h, and beside it mAP over the whole ranking, leave
the line. It is the check on what the paper's "mAP" is: on the line, it is AP@10h.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tabulate import tabulate

from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.paper import PAPER_TABLES, published
from rsir_bench.results import Record, read_records

HEADERS = ["board", "rows", "P@5 from", "to", "AP@10h: rms", "farthest", "mean", "mAP: rms", "mean"]


def papers_line() -> tuple[float, float, float]:
    """Intercept, slope and rms of the paper's "mAP" over its P@5."""
    rows = [one.values for table in PAPER_TABLES for one in published(table) if one.row.pooling != "Hashing"]
    p5, printed = (np.array([values[metric] for values in rows]) for metric in ("P@5", "AP@10h"))
    slope, intercept = np.polyfit(p5, printed, 1)
    return float(intercept), float(slope), rms(printed - intercept - slope * p5)


def rms(values: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt((values**2).mean()))


def residuals(records: Iterable[Record], metric: str, intercept: float, slope: float) -> np.ndarray:
    """(records,) distances of a metric from the line, above it positive."""
    return np.array([one.metrics[metric] - intercept - slope * one.metrics["P@5"] for one in records])


def lines(records: Iterable[Record], intercept: float, slope: float) -> list[list[object]]:
    """One line for each board, under :data:`HEADERS`; codes and distorted targets stand apart."""
    table: list[list[object]] = []
    for board in boards(records):
        shown = [one for one in board.records if one.distortion is None and one.row.kind != "code"]
        if not shown:
            continue
        p5 = [one.metrics["P@5"] for one in shown]
        hits, whole = (residuals(shown, metric, intercept, slope) for metric in ("AP@10h", "mAP"))
        farthest = hits[np.abs(hits).argmax()]
        table.append(
            [board.name, len(shown), min(p5), max(p5), rms(hits), farthest, hits.mean(), rms(whole), whole.mean()]
        )
    return table


def main() -> None:
    """Prints the line and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("leaderboards/results"))
    options = parser.parse_args()
    intercept, slope, deviation = papers_line()
    print(f'The paper\'s line: "mAP" = {intercept:.3f} + {slope:.3f} P@5, rms {deviation:.4f}.\n')
    table = lines(read_records([options.results]), intercept, slope)
    print(tabulate(table, HEADERS, floatfmt=("", "", ".3f", ".3f", ".4f", "+.4f", "+.4f", ".4f", "+.4f")))


if __name__ == "__main__":
    main()
