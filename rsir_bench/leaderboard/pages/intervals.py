"""The grid of differences from the baseline with their intervals, on each target and as a mean over targets."""

from __future__ import annotations

from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.leaderboard.grids import EMPTY, Grid, GridCell, GridRow, signed_number, word_cells
from rsir_bench.leaderboard.pages.board_rows import BoardRow, Part
from rsir_bench.leaderboard.pages.cells import short_titles
from rsir_bench.leaderboard.pages.differences import Difference
from rsir_bench.ranking.names import LOWER_IS_BETTER, shown_name
from rsir_bench.records.schema import in_edition

DIGITS = 3
"""Printed digits: the next is noise, as seeds differ by a hundredth."""


def intervals(part: Part, metric: str) -> Grid | None:
    """Return the differences that have an interval, the best first; None if there are none."""
    places = len(part.blocks)
    found = [(row, _differences(part, row, metric)) for row in part.rows]
    shown = [(row, of) for row, of in found if any(one and one.low is not None for one in of)]
    if not shown:
        return None
    sign = 1 if metric in LOWER_IS_BETTER else -1
    shown.sort(key=lambda line: (line[1][places] is None, sign * _mean(line[1], places)))
    headers = ["Method", "Row", "Seeds", *short_titles(part.blocks)]
    columns = [*range(places)]
    for column, words in enumerate(part.suites.values(), places):
        if any(of[column] for _, of in shown):
            headers.append(in_edition("Mean over targets", words))
            columns.append(column)
    rows = []
    for row, of in shown:
        differences = (of[column] for column in columns)
        cells = (*word_cells(row.name.title, row.name.row), GridCell(row.seeds), *map(_cell, differences))
        rows.append(GridRow(cells, row.records))
    return Grid(f"{shown_name(metric)}, difference from {REFERENCE}", tuple(headers), 2, tuple(rows))


def _differences(part: Part, row: BoardRow, metric: str) -> list[Difference | None]:
    """Return the difference on each target, then the mean over the targets of each suite."""
    each = (part.difference(row, place, metric) for place in range(len(part.blocks)))
    return [*each, *(part.mean_difference(row, metric, suite) for suite in part.suites)]


def _mean(found: list[Difference | None], places: int) -> float:
    """Return the mean over the targets of the first suite, or of all known differences if it has none."""
    first, known = found[places], [one.mean for one in found if one is not None]
    return first.mean if first is not None else sum(known) / len(known)


def _cell(found: Difference | None) -> GridCell:
    if found is None or found.low is None or found.high is None:
        return GridCell(EMPTY)
    low, high = signed_number(found.low, DIGITS), signed_number(found.high, DIGITS)
    return GridCell(f"{signed_number(found.mean, DIGITS)} ({low} to {high})", measured=True)
