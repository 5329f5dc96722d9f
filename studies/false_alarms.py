"""How often the tests of a board claim a difference where there is none.

    python studies/false_alarms.py ucm-lite --lines 27 --draws 4000

fits variances to the published seeds of a board, for each target and metric: of seeds and of the interaction of seeds
and classes to those of the reference, of the interaction of methods and classes to those of all methods with at least
five seeds. Then it draws boards of equally good methods, five seeds each, from normal distributions with these
variances, and applies the board's tests. A board is a false alarm if any of its lines is marked as worse than the best
(column ``best``), or differs from the reference with Holm's correction over the lines (column ``reference``). The first
line is for methods that are alike in every class, the second for methods that differ by class but not on average.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from against_reference import per_class  # type: ignore[import-not-found] # the study next to this one
from tabulate import tabulate

from rsir_bench.base.errors import UserError, run_and_exit
from rsir_bench.base.progress import track
from rsir_bench.leaderboard.boards import find_board
from rsir_bench.leaderboard.statistics import FEWEST_SEEDS, LEVEL, compare, holm, not_worse_than_best
from rsir_bench.records.cells import cell_of, is_plain
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variances:
    """The variances of a score: of a seed, of a seed in a class, and of a method in a class."""

    seed: float
    residual: float
    method_in_class: float

    def draw(self, lines: int, classes: int, rng: np.random.Generator) -> Array:
        """Return a board of equally good methods, (lines, seeds, classes) float64."""
        shape = lines, FEWEST_SEEDS, classes
        seeds = rng.normal(0, self.seed**0.5, (lines, FEWEST_SEEDS, 1))
        apart = rng.normal(0, self.method_in_class**0.5, (lines, 1, classes))
        return seeds + apart + rng.normal(0, self.residual**0.5, shape)


def fitted(reference: Array, others: Sequence[Array]) -> Variances:
    """Fit variances by the method of moments.

    Args:
        reference: (S, C) float64, scores by seed and class.
        others: The same for other methods, on the same classes.
    """
    seeds, classes = reference.shape
    residual = _residual(reference)
    of_seeds = float(reference.mean(axis=1).var(ddof=1)) - residual / classes
    apart = []
    for other in others:
        difference = other.mean(axis=0) - reference.mean(axis=0)
        noise = _residual(other) / len(other) + residual / seeds
        apart.append((float(difference.var(ddof=1)) - noise) / 2)  # two methods differ by two such effects
    return Variances(max(of_seeds, 0.0), residual, max(float(np.mean(apart)), 0.0) if apart else 0.0)


def _residual(table: Array) -> float:
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return float((rest**2).sum() / ((table.shape[0] - 1) * (table.shape[1] - 1)))


def alarms(variances: Variances, lines: int, classes: int, draws: int, seed: int) -> tuple[float, float]:
    """Return the shares of boards with a false alarm: against the best, and against the reference (the first line)."""
    rng = np.random.default_rng(seed)
    found = np.zeros(2)
    for _ in track(range(draws), "boards", draws):
        board = variances.draw(lines, classes, rng)
        marks = not_worse_than_best({str(number): table for number, table in enumerate(board)})
        p_values = [compare(table, board[0]).p for table in board[1:]]
        found += [False in marks.values(), min(holm([p for p in p_values if p is not None])) < 1 - LEVEL]
    return float(found[0] / draws), float(found[1] / draws)


def tables_of(records: Sequence[Record], target: str, row: str, metric: str) -> dict[str, Array]:
    """Return the scores, (S, C) float64, of each method with enough seeds in this row on this target."""
    cells: dict[str, list[Record]] = {}
    for record in records:
        if is_plain(record) and (cell := cell_of(record))[0] == target and cell[2] == row:
            cells.setdefault(cell[1], []).append(record)
    return {name: per_class(found, metric) for name, found in cells.items() if len(found) >= FEWEST_SEEDS}


def main() -> None:
    """Print two lines for each target and metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("board", help="for example ucm-lite")
    parser.add_argument("--reference", default="baseline")
    parser.add_argument("--row", default="PCA")
    parser.add_argument("--metrics", default="mAP,P@5")
    parser.add_argument("--lines", type=int, default=27, help="lines of a drawn board")
    parser.add_argument("--draws", type=int, default=4000, help="boards to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("leaderboards/results"))
    options = parser.parse_args()
    metrics = options.metrics.split(",")
    board = find_board(read_published(options.results), options.board, [options.reference], metrics)
    lines: list[list[object]] = []
    for target in dict.fromkeys(cell_of(record)[0] for record in board.records):
        for metric in metrics:
            tables = tables_of(board.records, target, options.row, metric)
            if (reference := tables.pop(options.reference, None)) is None:
                raise UserError(
                    f"{options.reference} has fewer than {FEWEST_SEEDS} seeds in row {options.row}; run more"
                )
            of_board = fitted(reference, list(tables.values()))
            for variances in (Variances(of_board.seed, of_board.residual, 0.0), of_board):
                spreads = [value**0.5 for value in vars(variances).values()]
                rates = alarms(variances, options.lines, reference.shape[1], options.draws, options.seed)
                lines.append([target, metric, len(reference), *spreads, *(f"{100 * rate:.1f} %" for rate in rates)])
    headers = ["target", "metric", "seeds", "sd seed", "sd residual", "sd method x class", "best", "reference"]
    print(tabulate(lines, headers, floatfmt=".4f"))


if __name__ == "__main__":
    run_and_exit(main, "false_alarms")
