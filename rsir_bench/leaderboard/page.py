"""Tables in HTML: one file each, which needs no other file, no script and no network."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from rsir_bench.leaderboard.markup import ORIGIN, Style
from rsir_bench.records import commands
from rsir_bench.records.schema import Record


@dataclass(frozen=True)
class Line:
    """One line of a grid.

    Attributes:
        cells: Its cells as a style writes them.
        records: What its values were made from; none where they are not ours.
    """

    cells: Callable[[Style], list[str]]
    records: Sequence[Record]


@dataclass(frozen=True)
class Grid:
    """One grid of a page.

    Attributes:
        caption: Plain text.
        headers: Plain text.
        words: How many columns hold words and stand to the left; the first of them names the line.
        lines: In their order.
    """

    caption: str
    headers: Sequence[str]
    words: int
    lines: Sequence[Line]


@dataclass(frozen=True)
class Trace:
    """Where the values of a line come from: links to its records by name, and the commands that make them."""

    anchor: str
    title: str
    records: dict[str, str]
    commands: list[str]


def page(heading: str, grids: Sequence[Grid], notes: Sequence[str], footnotes: Sequence[str] = ()) -> str:
    """A page of tables in HTML; every value of ours links to its records and commands further below.

    Args:
        heading: Plain text, as notes and footnotes.
        grids: One below the other.
        notes: Whole sentences for below the tables.
        footnotes: Numbered from 1.
    """
    import jinja2  # no other format needs it
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rsir_bench.leaderboard"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    tables = []
    for number, grid in enumerate(grids, start=1):
        styles = [_style(f"from-{number}-{place}") for place in range(1, len(grid.lines) + 1)]
        # Cells are HTML already: the style has escaped whatever is text in them.
        rows = [list(map(Markup, line.cells(style))) for line, style in zip(grid.lines, styles, strict=True)]
        tables.append({"grid": grid, "rows": rows, "traces": _traces(grid, number)})
    template = environment.get_template("page.html")
    return template.render(
        heading=heading, tables=tables, notes=notes, footnotes=footnotes, origin=ORIGIN, again=commands.AGAIN
    )


def _style(anchor: str) -> Style:
    """The style of a line whose values link to ``anchor``."""
    return Style(
        html.escape,
        best="<strong>{}</strong>",
        second="<u>{}</u>",
        superscript="<sup>{}</sup>",
        value=f'<a href="#{anchor}">{{}}</a>',
    )


def _traces(grid: Grid, number: int) -> list[Trace]:
    plain = Style(str, best="{}", second="{}", superscript="")
    return [
        Trace(
            anchor=f"from-{number}-{place}",
            title=", ".join(line.cells(plain)[: grid.words]),
            records={
                file.rpartition("/")[2].removesuffix(".json"): _link(file) for file in map(commands.place, line.records)
            },
            commands=commands.commands(line.records),
        )
        for place, line in enumerate(grid.lines, start=1)
        if line.records
    ]


def _link(file: str) -> str:
    """From the table of a board, ``leaderboards/<board>/table_<name>.html``, to a published record."""
    return "../results/" + quote(file)
