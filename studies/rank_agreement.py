"""Whether two boards rank their methods in the same order.

    python studies/rank_agreement.py ucm-lite ucm-mobile --row PCA

compares the means over seeds of the methods that both boards have in a row, and prints Spearman's rank correlation for
each target and metric with a 95 % interval (percentile bootstrap over methods). With few methods the interval is wide,
but if the orders are equal it is a single point, however few there are. Variants of one method are not independent
evidence.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
from scipy import stats
from tabulate import tabulate

from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.leaderboard.boards import find_board
from rsir_bench.records.cells import cell_of, is_plain
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published

FEWEST = 5  # methods
Array = npt.NDArray[np.float64]


def means(records: Sequence[Record], row: str, metric: str) -> dict[str, dict[str, float]]:
    """Return the mean over seeds by target and method, without distortions and post-processing."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        target, method, name = cell_of(record)
        if is_plain(record) and name == row and metric in record.metrics:
            values[target][method].append(record.metrics[metric])
    return {target: {method: fmean(found) for method, found in of.items()} for target, of in values.items()}


def agreement(one: Array, other: Array, draws: int, seed: int) -> tuple[float, float, float]:
    """Return Spearman's correlation of paired values, (N,) float64 each, and its 95 % interval.

    Draws in which all values on one side are equal have no correlation, and are left out.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(one), (draws, len(one)))
    ranks = [stats.rankdata(values[chosen], axis=1) for values in (one, other)]
    centred = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    with np.errstate(invalid="ignore"):
        found = (centred[0] * centred[1]).sum(1) / np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(stats.spearmanr(one, other).statistic), float(low), float(high)


def main() -> None:
    """Print a line for each target and metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("boards", nargs=2, metavar="board", help="for example ucm-lite ucm-mobile")
    parser.add_argument("--row", default="PCA")
    parser.add_argument("--metrics", default="mAP,P@5")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("leaderboards/results"))
    options = parser.parse_args()
    metrics = options.metrics.split(",")
    records = read_published(options.results)
    boards = [find_board(records, name, [], metrics).records for name in options.boards]
    lines: list[list[object]] = []
    for metric in metrics:
        first, second = (means(board, options.row, metric) for board in boards)
        for target in first.keys() & second.keys():
            shared = sorted(first[target].keys() & second[target].keys())
            if len(shared) >= FEWEST:
                one, other = (np.array([of[target][method] for method in shared]) for of in (first, second))
                lines.append([metric, target, len(shared), *agreement(one, other, options.draws, options.seed)])
    if not lines:
        named = " and ".join(options.boards)
        raise UserError(f"{named}: share no target with {FEWEST} methods in row {options.row}; choose another --row")
    headers = ["metric", "target", "methods", "Spearman", "low", "high"]
    by_name = sorted(lines, key=lambda line: (str(line[0]), str(line[1])))
    print(tabulate(by_name, headers, floatfmt="+.2f"))


if __name__ == "__main__":
    run_and_exit(main, "rank_agreement")
