"""In which classes a method retrieves better or worse than a plain one.

    python studies/by_class.py ucm-mobile jsst --reference baseline --row PCA

reads the published records without distortion and compares the two class by class, with Welch's t test over seeds: a
class is one fixed set of scenes here, so that seeds alone are the unit. The last column adjusts the p-values for the
number of classes printed (Holm). Classes are in the order of the difference, target by target.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy import stats
from tabulate import tabulate

from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.leaderboard.boards import find_board
from rsir_bench.leaderboard.statistics import holm
from rsir_bench.records.cells import is_plain, row_label
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published

HEADERS = ["target", "class", "seeds", "mean", "reference", "difference", "p", "p (Holm)"]
ENOUGH = 2  # seeds of each, for a variance


def by_class(records: Iterable[Record], method: str, row: str, metric: str) -> dict[tuple[str, str], np.ndarray]:
    """Return the scores of a method by target and class, each (S,) float64 by seed."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if is_plain(record) and (record.method.label, row_label(record)) == (method, row):
            for name, scores in record.per_class.items():
                found.setdefault((record.target.label, name), []).append(scores[metric])
    return {place: np.array(scores) for place, scores in found.items()}


def differences(
    records: Iterable[Record], method: str, reference: str, row: str = "PCA", metric: str = "mAP"
) -> list[list[object]]:
    """Return a line for each class of each target that both were scored on, under ``HEADERS``.

    P-values are None where one of the two has a single seed.
    """
    records = list(records)
    ours, theirs = (by_class(records, label, row, metric) for label in (method, reference))
    lines: list[list[object]] = []
    for place in sorted(ours.keys() & theirs.keys()):
        first, second = ours[place], theirs[place]
        tested = min(len(first), len(second)) >= ENOUGH
        p = float(stats.ttest_ind(first, second, equal_var=False).pvalue) if tested else None
        lines.append([*place, len(first), first.mean(), second.mean(), first.mean() - second.mean(), p])
    lines.sort(key=lambda line: (line[0], line[5]))
    tested_lines = [number for number, line in enumerate(lines) if line[6] is not None]
    adjusted = dict(zip(tested_lines, holm([lines[number][6] for number in tested_lines]), strict=True))  # type: ignore[misc]
    return [[*line, adjusted.get(number)] for number, line in enumerate(lines)]


def main() -> None:
    """Print the table.

    Raises:
        UserError: The two methods do not share the row, or the records cannot be read.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("board", help="for example ucm-mobile")
    parser.add_argument("method")
    parser.add_argument("--reference", default="baseline")
    parser.add_argument("--row", default="PCA")
    parser.add_argument("--metric", default="mAP")
    parser.add_argument("--results", type=Path, default=Path("leaderboards/results"))
    options = parser.parse_args()
    methods = [options.method, options.reference]
    board = find_board(read_published(options.results), options.board, methods, [options.metric])
    lines = differences(board.records, options.method, options.reference, options.row, options.metric)
    if not lines:
        rows = ", ".join(sorted({row_label(one) for one in board.records if one.method.label in methods}))
        raise UserError(
            f"--row {options.row}: {options.method} and {options.reference} do not both have it; rows: {rows}"
        )
    print(tabulate(lines, HEADERS, floatfmt=("", "", "", ".4f", ".4f", "+.4f", ".2g", ".2g")))


if __name__ == "__main__":
    run_and_exit(main, "by_class")
