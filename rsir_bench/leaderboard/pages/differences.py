"""Differences from the baseline on each target, and their mean over targets, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.leaderboard.significance import classes_of, scores_by_class
from rsir_bench.leaderboard.tables.parts import Block, MethodRow
from rsir_bench.records.cells import machine_of
from rsir_bench.records.schema import Record
from rsir_bench.scenes.card import load_cards


@dataclass(frozen=True)
class Difference:
    """A row minus the baseline.

    Attributes:
        mean: The difference of the means over seeds.
        low: The lower end of its 95 % interval, for other seeds and classes; None if it is not tested: fewer than
            five seeds, made on several kinds of machines, or the queries of each class are not known.
        high: The upper end; likewise.
    """

    mean: float
    low: float | None = None
    high: float | None = None


def opposite(block: Block, row: MethodRow) -> MethodRow | None:
    """Return what a row is compared with: the baseline's row of the same name, or else its PCA that fits no target.

    None for rows of the baseline, for a PCA that is fitted on the target where the baseline has none, and where nothing
    is there to compare.
    """
    plain = {one.name.row: one for one in block.rows if one.name.label == REFERENCE and one.records and not one.doubts}
    if row.name.label in ("", REFERENCE) or not row.records or row.doubts:
        return None
    same = plain.get(row.name.row)
    if same is not None or row.name.target_fit:
        return same
    fitted = (one for one in plain.values() if one.records[0].row.kind == "pca" and not one.name.target_fit)
    return next(fitted, None)


def difference(block: Block, row: MethodRow, metric: str) -> Difference | None:
    """Return a row minus the baseline on one target; None if there is nothing to compare."""
    other = opposite(block, row)
    if other is None:
        return None
    ours, plain = row.cells[metric].mean, other.cells[metric].mean
    if ours is None or plain is None:
        return None
    return _tested([(row.records, other.records)], metric) or Difference(ours - plain)


def mean_difference(rows: Sequence[tuple[Block, MethodRow]], metric: str) -> Difference | None:
    """Return the mean over targets of a row minus the baseline, with its interval.

    Args:
        rows: The row on each target of the table.
        metric: What is compared.

    Returns:
        None if it is not tested, where a target lacks the row or a seed of it, or where there is one target.
    """
    others = [opposite(block, row) for block, row in rows]
    compared = [(row.records, other.records) for (_, row), other in zip(rows, others, strict=True) if other]
    if len(rows) < 2 or len(compared) < len(rows):
        return None
    for side in zip(*compared, strict=True):
        if len({tuple(record.seed for record in records) for records in side}) > 1:
            return None
    return _tested(compared, metric)


def _tested(compared: Sequence[tuple[Sequence[Record], Sequence[Record]]], metric: str) -> Difference | None:
    """Return the difference with its interval, a mean over targets; None if it is not tested.

    Args:
        compared: For each target the records of a row and of the baseline, both by seed.
        metric: What is compared.
    """
    every = [record for pair in compared for records in pair for record in records]
    if min(len(records) for pair in compared for records in pair) < 2 or any(record.origin for record in every):
        return None
    if len({machine_of(record) for record in every}) > 1:
        return None
    from rsir_bench.leaderboard.statistics import compare_over_targets  # imports scipy, which most boards do not need

    tables = [_by_class(pair, metric) for pair in compared]
    known = [table for table in tables if table is not None]
    if len(known) < len(tables):
        return None
    ours, plain, weights = zip(*known, strict=True)
    found = compare_over_targets(ours, plain, weights)
    return None if found.low is None else Difference(found.difference, found.low, found.high)


def _by_class(
    pair: tuple[Sequence[Record], Sequence[Record]], metric: str
) -> tuple[list[list[float]], list[list[float]], list[int]] | None:
    """Return the scores of both, (seeds, classes), and the queries of each class; None if one is not known."""
    classes = classes_of(pair)
    first, second = (scores_by_class(records, metric, classes) for records in pair)
    weights = queries_of(pair[0][0], classes)
    if not first or not second or weights is None:
        return None
    mean = sum(weight * value for weight, value in zip(weights, first[0], strict=True)) / sum(weights)
    return (first, second, weights) if abs(mean - pair[0][0].metrics[metric]) < 1e-6 else None


def queries_of(record: Record, classes: Sequence[str]) -> list[int] | None:
    """Return the queries of each class; None if an older record lacks them and no card has the number of scenes."""
    if record.queries.by_class.keys() == {*classes}:
        return [record.queries.by_class[name] for name in classes]
    card = load_cards().get(record.target.name)
    counts = {one.name: one.scenes for one in card.classes} if card else {}
    if counts.keys() != {*classes} or sum(counts.values()) != record.target.scenes:
        return None
    return [counts[name] for name in classes]
