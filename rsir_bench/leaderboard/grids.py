"""Format-independent documents: grids of cells with headers, captions and notes. All text is plain text."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rsir_bench.records import commands
from rsir_bench.records.schema import Record

DIGITS = 4
EMPTY = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class GridCell:
    """One cell.

    Attributes:
        text: The value, ``EMPTY`` where there is none.
        mark: Whether it is the best or the second best value of its column.
        superscript: The number of a footnote, or a sign.
        suffix: Follows the value and its superscript.
        measured: Whether it is a value of ours, which HTML links to its records.
        fill: The method that would fill it where it is empty, a key of ``Document.fills``.
    """

    text: str
    mark: Mark = ""
    superscript: str = ""
    suffix: str = ""
    measured: bool = False
    fill: str = ""


@dataclass(frozen=True)
class GridRow:
    """One row of a grid, with the records that its measured values come from."""

    cells: tuple[GridCell, ...]
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Grid:
    """One grid of a document.

    Attributes:
        caption: Its heading.
        headers: One per column.
        words: How many columns hold words and are aligned left; the first of them names the row.
        rows: From top to bottom.
    """

    caption: str
    headers: tuple[str, ...]
    words: int
    rows: tuple[GridRow, ...]


@dataclass(frozen=True)
class Document:
    """One file of a board, before it has a format.

    Attributes:
        board: The name of its board.
        name: ``"I"`` and so on for a table of the paper, else ``"leaderboard"``, ``"variants"``, ``"costs"`` and so on.
        heading: The title of the document.
        grids: One below the other.
        data: The rows of the CSV file by column: plain numbers, an empty text where there is none.
        notes: Whole sentences below the grids.
        footnotes: Numbered from 1.
        fills: By method the command that fills its empty cells.
    """

    board: str
    name: str
    heading: str
    grids: tuple[Grid, ...]
    data: tuple[Mapping[str, str | int], ...]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...] = ()
    fills: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """The name of its files, without a suffix; what the paper numbers is called a table."""
        return f"table_{self.name}" if self.name.isupper() else self.name

    @property
    def records(self) -> list[Record]:
        """The records of all rows."""
        return [record for grid in self.grids for row in grid.rows for record in row.records]


def word_cells(*texts: str) -> tuple[GridCell, ...]:
    """Return cells that hold words, with a dash for an empty one."""
    return tuple(GridCell(text or EMPTY) for text in texts)


def plain_number(value: float | None, empty: str = EMPTY, digits: int = DIGITS) -> str:
    """Return a value with four digits, as the paper prints it, or with another number of them."""
    return empty if value is None else f"{value:.{digits}f}"


def signed_number(difference: float | None, digits: int = DIGITS) -> str:
    """Return a difference with its sign; 0 has none."""
    if difference is None or not round(difference, digits):
        return plain_number(None if difference is None else 0.0, digits=digits)
    return (MINUS if difference < 0 else "+") + plain_number(abs(difference), digits=digits)


def printed_difference(value: float | None, other: float | None) -> float | None:
    """Return a printed value minus another printed one, so that a reader who subtracts gets the same."""
    return None if value is None or other is None else round(round(value, DIGITS) - round(other, DIGITS), DIGITS)


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if there is no value, or one is None."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def seeds_in_words(counts: Iterable[int]) -> str:
    """Return numbers of seeds: ``"5"``, or ``"1-5"`` where they differ; zeros do not count, and none are empty."""
    known = sorted({count for count in counts if count})
    return "-".join(map(str, dict.fromkeys([*known[:1], *known[-1:]])))


def provenance(records: tuple[Record, ...]) -> dict[str, str | int]:
    """Return the last two columns of every CSV file: the command that reproduces a row, and the keys of its records."""
    return {"command": commands.command(records), "records": commands.keys(records)}
