"""Tables as text, with the library tabulate: plain, in Markdown, or fitted to the width of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rsir_bench.base.terminal.screen import PLAIN, VERDICTS, Screen
from rsir_bench.base.text import visible

GAP = 2  # between columns
NARROW = 14  # no column of words is made narrower, unless it is
BROKEN = 28  # words as long as this are broken where there is no room


@dataclass(frozen=True)
class Cell:
    """A cell in a style; see ``Screen.styled``."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        kind: Words are folded where the screen is narrow, paths lose their beginning; numbers are aligned right.
        optional: Whether it is left out where the screen is too narrow.
    """

    title: str
    kind: Literal["words", "path", "number"] = "words"
    optional: bool = False


Row = Sequence[str | Cell]


def text_table(columns: Sequence[Column], rows: Sequence[Row], screen: Screen = PLAIN, keys: int = 1) -> str:
    """Return a table that fits a screen; in a file or a pipe it has one line for each row.

    Where it is too wide, columns of words are folded; then optional columns are left out, the last first; then columns
    with the same word in each row become a line above the table; then it is cut into tables below each other.

    Args:
        columns: What the columns hold.
        rows: A cell for each column.
        screen: Where it is shown.
        keys: How many columns name a row; each part of a table that is cut has them.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    shown = list(range(len(columns)))
    if screen.width is None:
        return _drawn(columns, cells, shown, None, screen)
    for place in reversed([place for place in shown if columns[place].optional]):
        if _fits(_least(columns, cells, shown), screen.width):
            break
        shown.remove(place)
    above = ""
    if not _fits(_least(columns, cells, shown), screen.width) and len(cells) > 1:
        alike = [
            place
            for place in shown
            if place and columns[place].kind == "words" and len({row[place].text for row in cells}) == 1
        ]
        shown = [place for place in shown if place not in alike]
        named = ", ".join(f"{columns[place].title} {cells[0][place].text}" for place in alike if cells[0][place].text)
        above = f"{screen.folded(f'each row: {named}')}\n\n" if named else ""
    named_by = [place for place in shown if place < keys]
    parts = [
        _drawn(columns, cells, part, screen.width, screen) for part in _cut(columns, cells, shown, named_by, screen)
    ]
    return above + "\n\n".join(parts)


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], words: int | None = None) -> str:
    """Return a table in Markdown; the first ``words`` columns (all by default) are aligned left, the others right."""
    left = len(headers) if words is None else words
    return _tabulated(headers, rows, ["left"] * left + ["right"] * (len(headers) - left), "pipe")


def _tabulated(headers: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str], style: str) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt=style, colalign=align if rows else None, disable_numparse=True)


def _cell(cell: str | Cell) -> Cell:
    """Return a cell without control characters; a verdict gets its style."""
    given = cell if isinstance(cell, Cell) else Cell(cell, VERDICTS.get(cell, ""))
    return Cell(visible(given.text), given.style)


def _fits(widths: dict[int, int], width: int) -> bool:
    return sum(widths.values()) + GAP * (len(widths) - 1) <= width


def _full(columns: Sequence[Column], cells: list[list[Cell]], shown: list[int]) -> dict[int, int]:
    """Return the width that each column would like to have."""
    return {
        place: max(len(columns[place].title), *(len(line) for row in cells for line in row[place].text.split("\n")))
        for place in shown
    }


def _least(columns: Sequence[Column], cells: list[list[Cell]], shown: list[int]) -> dict[int, int]:
    """Return the width that each column needs."""
    least = _full(columns, cells, shown)
    for place, width in least.items():
        title = max(len(word) for word in [*columns[place].title.split(), ""])
        if columns[place].kind == "number":
            least[place] = max(title, *(len(row[place].text) for row in cells))
        else:
            longest = max(len(word) for row in cells for word in [*row[place].text.split(), ""])
            broken = NARROW if columns[place].kind == "path" else BROKEN
            least[place] = min(width, max(title, NARROW, min(longest, broken)))
    return least


def _widths(columns: Sequence[Column], cells: list[list[Cell]], shown: list[int], width: int) -> dict[int, int]:
    """Return the width of each column: the widest ones give way."""
    widths, least = _full(columns, cells, shown), _least(columns, cells, shown)
    while not _fits(widths, width):
        giving = [place for place in shown if widths[place] > least[place]]
        if not giving:
            break
        widths[max(giving, key=widths.__getitem__)] -= 1
    return widths


def _cut(
    columns: Sequence[Column], cells: list[list[Cell]], shown: list[int], keys: list[int], screen: Screen
) -> list[list[int]]:
    """Return the columns of each table below the other, each with those that name a row."""
    parts = [list(keys)]
    for place in shown:
        if place in keys:
            continue
        if len(parts[-1]) > len(keys) and not _fits(_least(columns, cells, [*parts[-1], place]), screen.width or 0):
            parts.append(list(keys))
        parts[-1].append(place)
    return parts


def _drawn(
    columns: Sequence[Column], cells: list[list[Cell]], shown: list[int], width: int | None, screen: Screen
) -> str:
    """Return some columns as one table."""
    wanted = _full(columns, cells, shown) if width is None else _widths(columns, cells, shown, width)

    def drawn(row: list[Cell], place: int) -> str:
        lines = _lines(row[place].text, columns[place], wanted[place])
        return "\n".join(screen.styled(line, row[place].style) for line in lines)

    headers = ["\n".join(_lines(columns[place].title, Column(""), wanted[place])) for place in shown]
    body = [[drawn(row, place) for place in shown] for row in cells]
    rules = ["-" * wanted[place] for place in shown]  # tabulate's own headings are padded by two characters
    align = ["right" if columns[place].kind == "number" else "left" for place in shown]
    return _tabulated((), [headers, rules, *body], align, "plain")


def _lines(text: str, column: Column, width: int) -> list[str]:
    """Return the lines of a cell."""
    if len(text) <= width:
        return [text]
    if column.kind == "path":
        tail = text[-width + 1 :]
        return [f"…{tail[max(tail.find('/'), 0) :]}"]
    return [piece for line in text.split("\n") for piece in textwrap.wrap(line, width, break_on_hyphens=False) or [""]]
