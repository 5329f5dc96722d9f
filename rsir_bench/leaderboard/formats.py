"""One writer per format: Markdown, CSV, LaTeX and HTML. Equal documents give equal text."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from urllib.parse import quote

from rsir_bench.base.html import html_environment
from rsir_bench.base.terminal.tables import markdown_table
from rsir_bench.base.text import encode, visible
from rsir_bench.leaderboard.grids import EMPTY, MINUS, Document, Grid, GridCell, GridRow
from rsir_bench.leaderboard.significance import SIGN
from rsir_bench.records import commands

ORIGIN = "Rendered from result records by `rsir-bench leaderboard`; do not edit."


FILL = "Add --data-root FOLDER for the folder of the datasets; then rsir-bench publish, and rsir-bench leaderboard."


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, also inside a grid."""
    return re.sub(r"([\\`*_{}\[\]<>|~])", r"\\\1", visible(" ".join(text.split()))).replace("&", "&amp;")


_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?")

_LATEX_CHARACTERS = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        **{character: f"{{{character}}}" for character in "[]*"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "±": r"$\pm$",
        MINUS: "$-$",
        EMPTY: "--",
        "Δ": r"$\Delta$",
        SIGN: r"$\approx$",
    }
)


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it is; brackets and stars are braced: after a line end they mean something."""
    quoted = re.sub(r'"([^"]*)"', r"``\1''", visible(" ".join(text.split())))
    return quoted.translate(_LATEX_CHARACTERS)


@dataclass(frozen=True)
class _Markup:
    """How a format writes cells; templates hold one ``{}``, and ``fill`` may hold another for the method."""

    escape: Callable[[str], str]
    best: str
    second: str
    superscript: str
    link: str = "{}"
    fill: str = "{}"

    def cell(self, cell: GridCell) -> str:
        """Return a cell in this format."""
        text = self.escape(cell.text)
        if cell.text != EMPTY:
            text = {"best": self.best, "second": self.second, "": "{}"}[cell.mark].format(text)
            text = self.link.format(text) if cell.measured else text
        elif cell.fill:
            text = self.fill.format(text, cell.fill)
        if cell.superscript:
            text += self.superscript.format(self.escape(cell.superscript))
        return f"{text} {self.escape(cell.suffix)}" if cell.suffix else text

    def row(self, row: GridRow) -> list[str]:
        """Return the cells of a row."""
        return [self.cell(cell) for cell in row.cells]


_MARKDOWN = _Markup(escape_markdown, best="**{}**", second="<u>{}</u>", superscript="<sup>{}</sup>", fill="[{}](#{})")
_LATEX = _Markup(escape_latex, best=r"\textbf{{{}}}", second=r"\underline{{{}}}", superscript=r"\textsuperscript{{{}}}")


def markdown(document: Document) -> str:
    """Return a document in Markdown; it ends with the commands that reproduce it."""
    escape = escape_markdown
    parts = [f"<!-- {ORIGIN} -->", f"# {escape(document.heading)}"]
    for grid in document.grids:
        parts += [
            f"## {escape(grid.caption)}",
            markdown_table(list(map(escape, grid.headers)), list(map(_MARKDOWN.row, grid.rows)), grid.words),
        ]
    parts += map(escape, document.notes)
    parts += [f"<sup>{number}</sup> {escape(text)}" for number, text in enumerate(document.footnotes, start=1)]
    lines = [line for lines in commands.by_method(document.records).values() for line in lines]
    if lines:
        where = "`rsir-bench leaderboard --format csv,html --out FOLDER` names the records behind each row."
        parts += ["## How to reproduce these results", f"{escape(commands.AGAIN)} {where}"]
        parts.append(textwrap.indent("\n".join(lines), "    "))
    if document.fills:
        parts += ["## How to fill the empty cells", escape(FILL)]
        parts += [part for method, line in document.fills.items() for part in (f"### {method}", f"    {line}")]
    return visible("\n\n".join(parts)) + "\n"


def comma_separated(document: Document) -> str:
    """Return the data of a document as CSV."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(document.data[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet_cell(value) for name, value in row.items()} for row in document.data)
    return stream.getvalue()


def spreadsheet_cell(value: str | int) -> str | int:
    """Return a cell that no spreadsheet takes for a formula: text that would begin one gets an apostrophe.

    >>> [spreadsheet_cell(value) for value in ("=SUM(A1)", "-0.5", "jsst")]
    ["'=SUM(A1)", '-0.5', 'jsst']
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(text) else text


def latex(document: Document) -> str:
    """Return a document in LaTeX: one floating table for all grids (packages booktabs and graphicx)."""
    columns = max(len(grid.headers) for grid in document.grids)
    left = document.grids[0].words
    lines = [
        f"% {ORIGIN}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escape_latex(document.heading)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', f'{document.board}-{document.name}')}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{{'l' * left}{'r' * (columns - left)}}}",
        r"\toprule",
    ]
    headers: Sequence[str] = ()
    for grid in document.grids:
        if grid.headers != headers:
            lines += [r"\midrule"] * bool(headers) + [" & ".join(map(escape_latex, grid.headers)) + r" \\"]
            headers = grid.headers
        lines += [r"\midrule", rf"\multicolumn{{{columns}}}{{l}}{{\textit{{{escape_latex(grid.caption)}}}}} \\"]
        lines += [" & ".join(_LATEX.row(row)) + r" \\" for row in grid.rows]
    notes = [escape_latex(note) for note in document.notes]
    notes += [
        rf"\textsuperscript{{{number}}}{escape_latex(text)}" for number, text in enumerate(document.footnotes, start=1)
    ]
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [rf"\par\smallskip{{\footnotesize {note}\par}}" for note in notes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


@dataclass(frozen=True)
class Trace:
    """Where the values of a row come from: links to its records by name, and the commands that reproduce them."""

    anchor: str
    title: str
    records: dict[str, str]
    commands: list[str]


def html(document: Document) -> str:
    """Return a document as one page that needs no other file, no script and no network.

    Every measured value links to its records and commands further below.
    """
    from markupsafe import Markup  # of jinja2, which no other format needs

    tables = []
    for number, grid in enumerate(document.grids, start=1):
        anchors = [f"from-{number}-{place}" for place in range(1, len(grid.rows) + 1)]
        # Cells are HTML already: the markup has escaped their text.
        rows = [list(map(Markup, _linked(anchor).row(row))) for anchor, row in zip(anchors, grid.rows, strict=True)]
        traces = [_trace(anchor, grid, row) for anchor, row in zip(anchors, grid.rows, strict=True) if row.records]
        tables.append({"grid": grid, "rows": rows, "traces": traces})
    template = html_environment("rsir_bench.leaderboard").get_template("page.html")
    return template.render(document=document, tables=tables, origin=ORIGIN, again=commands.AGAIN, fill=FILL)


def _linked(anchor: str) -> _Markup:
    return _Markup(
        escape_html,
        best="<strong>{}</strong>",
        second="<u>{}</u>",
        superscript="<sup>{}</sup>",
        link=f'<a href="#{anchor}">{{}}</a>',
        fill='<a href="#fill-{1}">{0}</a>',
    )


def _trace(anchor: str, grid: Grid, row: GridRow) -> Trace:
    files = map(commands.record_path, row.records)
    return Trace(
        anchor=anchor,
        title=", ".join(cell.text for cell in row.cells[: grid.words]),
        # From the page of a board, leaderboards/<board>/<name>.html.
        records={file.rpartition("/")[2].removesuffix(".json"): f"../results/{quote(encode(file))}" for file in files},
        commands=commands.commands(row.records),
    )


FORMATS: dict[str, Callable[[Document], str]] = {
    "md": markdown,
    "csv": comma_separated,
    "tex": latex,
    "html": html,
}
"""Writers by the suffix of their files."""
