"""The rows of a leaderboard: a row of a method on all targets whose scenes are labelled alike."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard import significance
from rsir_bench.leaderboard.grids import seeds_in_words
from rsir_bench.leaderboard.pages.differences import Difference, difference, mean_difference
from rsir_bench.leaderboard.tables.parts import GRADED_TARGETS, Block, MethodRow, RowName, Table
from rsir_bench.ranking.graded.names import HEADLINE
from rsir_bench.ranking.names import LOWER_IS_BETTER
from rsir_bench.records.editions import suite_names
from rsir_bench.records.schema import Record

SHOWN = ("mAP", "P@5")
"""The metrics of a leaderboard unless others are asked for; its CSV file has those of the tables."""

SHOWN_GRADED = (HEADLINE, "mAP(any)")


@dataclass(frozen=True)
class BoardRow:
    """A row of a method on several targets; None if a target's table does not have it."""

    name: RowName
    on: tuple[MethodRow | None, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of all targets."""
        return tuple(record for row in self.on if row is not None for record in row.records)

    @property
    def seeds(self) -> str:
        """The number of seeds: ``"5"``, or ``"1-5"`` where targets differ."""
        return seeds_in_words(row.seeds for row in self.on if row is not None)

    @property
    def signs(self) -> str:
        """What is against testing it."""
        known = [row for row in self.on if row is not None]
        apart, elsewhere = any(row.apart for row in known), any(row.origin for row in known)
        return significance.APART * apart + significance.ELSEWHERE * elsewhere

    def value(self, place: int, metric: str) -> float | None:
        """Return its mean on a target; None if it has none, or if it is doubtful."""
        row = self.on[place]
        return None if row is None or row.doubts else row.cells[metric].mean


@dataclass(frozen=True)
class Part:
    """The targets whose scenes are labelled alike, the metrics they have, and the rows that were run on any of them."""

    blocks: tuple[Block, ...]
    metrics: tuple[str, ...]
    rows: tuple[BoardRow, ...]

    def difference(self, row: BoardRow, place: int, metric: str) -> Difference | None:
        """Return a row minus the baseline on one target; None if there is nothing to compare."""
        on = row.on[place]
        return difference(self.blocks[place], on, metric) if on is not None and metric in on.cells else None

    def differences(self, metric: str) -> list[Difference]:
        """Return all differences from the baseline by a metric."""
        every = (self.difference(row, place, metric) for row in self.rows for place in range(len(self.blocks)))
        return [found for found in every if found is not None]

    @property
    def suites(self) -> dict[int, str]:
        """The names of the suites by number; see ``suite_names``."""
        return suite_names(self.blocks)

    def mean_difference(self, row: BoardRow, metric: str, suite: int) -> Difference | None:
        """Return a row's mean difference from the baseline over all targets of a suite; None if it is not tested."""
        every = [(block, on) for block, on in zip(self.blocks, row.on, strict=True) if block.suite == suite]
        known = [(block, on) for block, on in every if on is not None]
        return mean_difference(known, metric) if len(known) == len(every) else None


def parts_of(tables: Sequence[Table], metrics: Sequence[str] | None) -> Iterator[Part]:
    """Yield what is shown of tables: targets whose scenes have one label, and those whose scenes have several.

    Args:
        tables: Those of a board.
        metrics: Those that the tables have; None: ``SHOWN``.
    """
    for graded, usual in ((False, SHOWN), (True, SHOWN_GRADED)):
        found = [one for one in tables if not one.ablation and (one.name == GRADED_TARGETS.name) is graded]
        blocks = tuple(block for table in found for block in table.blocks if any(row.seeds for row in block.rows))
        if not blocks:
            continue
        wanted = tuple(usual if metrics is None else found[0].metrics)
        yield Part(blocks, wanted, tuple(best_first(_rows(blocks), wanted[0], blocks)))


def _rows(blocks: Sequence[Block]) -> list[BoardRow]:
    of = [{(row.name.label, row.name.row): row for row in block.rows} for block in blocks]
    names = {key: row.name for found in of for key, row in found.items() if row.seeds}
    return [BoardRow(name, tuple(found.get(key) for found in of)) for key, name in names.items()]


def best_first(rows: Sequence[BoardRow], metric: str, blocks: Sequence[Block]) -> list[BoardRow]:
    """Sort by the mean over all targets; rows without a value on each of them come last.

    If the targets form several suites, the first decides, then the next.
    """
    sign = 1 if metric in LOWER_IS_BETTER else -1
    suites = [
        [place for place, block in enumerate(blocks) if block.suite == number]
        for number in sorted({block.suite for block in blocks})
    ]

    def rank(row: BoardRow) -> tuple[list[tuple[int, float]], str, str]:
        ranks = []
        for places in suites:
            values = [value for place in places if (value := row.value(place, metric)) is not None]
            ranks.append((-len(values), sign * statistics.fmean(values) if values else 0.0))
        return ranks, row.name.label, row.name.row

    return sorted(rows, key=rank)
