"""Renderings of a table: Markdown, CSV, LaTeX and HTML. Equal tables give equal text."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from functools import partial

from rsir_bench.leaderboard import page, significance
from rsir_bench.leaderboard.markup import EMPTY, ORIGIN, Style
from rsir_bench.leaderboard.tables import DIGITS, METRICS, OTHER_TARGETS, Block, Cell, Line, Table
from rsir_bench.records import commands
from rsir_bench.records.paper import PUBLISHED_COLUMNS
from rsir_bench.records.schema import Record

MINUS = "\N{MINUS SIGN}"
TRACED = ("command", "records")
"""Columns of every CSV: one line for the shell that makes the line again, and the keys of its records."""


def markdown(table: Table) -> str:
    """The table in Markdown, one heading and grid per target."""
    escape = MARKDOWN.escape
    parts = [f"<!-- {ORIGIN} -->", f"# {escape(heading(table))}"]
    for block in table.blocks:
        headers = [escape(header) for header in _headers(table)]
        rows = [_row(table, line, MARKDOWN) for line in block.lines]
        parts += [f"## {escape(block_title(block))}", pipes(headers, rows)]
    parts += [escape(note) for note in table.notes]
    parts += [f"{MARKDOWN.raised(str(number))} {escape(slip)}" for number, slip in enumerate(table.footnotes, start=1)]
    records = (record for block in table.blocks for line in block.lines for record in line.records)
    return "\n\n".join([*parts, *again(records, f"table_{table.name}")]) + "\n"


def again(records: Iterable[Record], name: str) -> list[str]:
    """The end of a page in Markdown: the commands that make its records, method by method; ``name`` is the page's."""
    lines = [line for commands in commands.by_method(records).values() for line in commands]
    where = f"The records of every line are linked in {name}.html and named by key in {name}.csv."
    return [
        "## To make a line again",
        escape_markdown(f"{commands.AGAIN} {where}"),
        textwrap.indent("\n".join(lines), "    "),
    ]


def html(table: Table) -> str:
    """The table in HTML, one grid per target."""
    headers = _headers(table)
    grids = [
        page.Grid(
            block_title(block),
            headers,
            2,
            [page.Line(partial(_row, table, line), line.records) for line in block.lines],
        )
        for block in table.blocks
    ]
    return page.page(heading(table), grids, table.notes, table.footnotes)


def comma_separated(table: Table) -> str:
    """The table in CSV: one line per target, method and row, plain numbers, an empty field where there is none."""
    columns = ["board", "protocol_hash", "table", "target", "method", "row", "seeds"]
    columns += [column for metric in METRICS for column in (metric, f"{metric} sd", f"{metric} not worse")]
    if table.beside_paper:
        columns += [name for metric in PUBLISHED_COLUMNS for name in (paper_header(metric), f"{metric} difference")]
        columns.append("slip")
    columns += TRACED
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for block in table.blocks:
        writer.writerows(_fields(table, block, line) for line in block.lines)
    return stream.getvalue()


def latex(table: Table) -> str:
    """The table in LaTeX (packages booktabs and graphicx), the targets one below the other."""
    escape = LATEX.escape
    headers = _headers(table)
    body = []
    for block in table.blocks:
        body += [r"\midrule", rf"\multicolumn{{{len(headers)}}}{{l}}{{\textit{{{escape(block_title(block))}}}}} \\"]
        body += [" & ".join(_row(table, line, LATEX)) + r" \\" for line in block.lines]
    notes = [escape(note) for note in table.notes]
    notes += [LATEX.raised(str(number)) + escape(slip) for number, slip in enumerate(table.footnotes, start=1)]
    name = f"{table.board.name}-{table.name}"
    return latex_frame(heading(table), name, f"ll{'r' * (len(headers) - 2)}", headers, body, notes)


def latex_frame(caption: str, name: str, columns: str, headers: list[str], body: list[str], notes: list[str]) -> str:
    """A floating table over the width of the page; caption, name and headers are plain text, the rest is LaTeX."""
    lines = [
        f"% {ORIGIN}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', name)}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(escape_latex(header) for header in headers) + r" \\",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\smallskip{{\footnotesize {note}\par}}" for note in notes),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def heading(table: Table) -> str:
    """``"Table I, board patternnet: ... on RS19, UCM, RSSCN"``."""
    name = "Further targets" if table.name == OTHER_TARGETS.name else f"Table {table.name}"
    targets = ", ".join(block.title for block in table.blocks)
    return f"{name}, board {table.board.name}: {table.caption} on {targets}"


def block_title(block: Block) -> str:
    """``"UCM (2100 scenes, 21 classes)"``."""
    return f"{block.title} ({block.extent})" if block.extent else block.title


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, inside a grid too."""
    return re.sub(r"([\\`*_{}\[\]<>|~])", r"\\\1", " ".join(text.split())).replace("&", "&amp;")


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is; brackets and stars are braced, since they mean something after a line end."""
    quoted = re.sub(r'"([^"]*)"', r"``\1''", " ".join(text.split()))
    return quoted.translate(_LATEX_CHARACTERS)


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
        significance.SIGN: r"$\approx$",
    }
)

MARKDOWN = Style(escape_markdown, best="**{}**", second="<u>{}</u>", superscript="<sup>{}</sup>")
LATEX = Style(escape_latex, best=r"\textbf{{{}}}", second=r"\underline{{{}}}", superscript=r"\textsuperscript{{{}}}")


def paper_header(metric: str) -> str:
    """The header of the published values: what the paper prints as "mAP" stands beside AP@10h only."""
    return 'paper "mAP"' if metric == "AP@10h" else f"paper {metric}"


def plain_number(value: float | None, empty: str = EMPTY) -> str:
    """A value as the paper prints it, with four digits."""
    return empty if value is None else f"{value:.{DIGITS}f}"


def _headers(table: Table) -> list[str]:
    headers = ["Method", "Row", "Seeds"]
    for metric in METRICS:
        headers += [metric, paper_header(metric), "Δ"] if _compared(table, metric) else [metric]
    return headers


def pipes(headers: list[str], rows: list[list[str]], words: int = 2) -> str:
    """A padded grid of cells in Markdown, the first ``words`` columns to the left and the others to the right.

    Not tabulate's, whose spaces differ between versions and would fail the check of the bytes.
    """
    widths = [max(3, *map(len, column)) for column in zip(headers, *rows, strict=True)]  # a rule is "--:" at least
    rules = [":".ljust(w, "-") if place < words else ":".rjust(w, "-") for place, w in enumerate(widths)]

    def line(cells: list[str]) -> str:
        first = [cell.ljust(width) for cell, width in zip(cells[:words], widths[:words], strict=True)]
        rest = [cell.rjust(width) for cell, width in zip(cells[words:], widths[words:], strict=True)]
        return f"| {' | '.join(first + rest)} |"

    return "\n".join(map(line, [headers, rules, *rows]))


def _row(table: Table, line: Line, style: Style) -> list[str]:
    """One line of a grid, under :func:`_headers`."""
    escape = style.escape
    footnote = style.raised(str(line.footnote)) if line.footnote else ""
    row = [escape(line.name.title) + footnote, escape(line.name.row), escape(str(line.seeds or EMPTY))]
    for metric in METRICS:
        cell = line.cells[metric]
        row.append(_ours(cell, style))
        if _compared(table, metric):
            row += [escape(plain_number(cell.paper)), escape(_signed(cell.difference))]
    return row


def _ours(cell: Cell, style: Style) -> str:
    mean = style.ours(plain_number(cell.mean), cell.mark) + (style.raised(significance.SIGN) if cell.not_worse else "")
    return mean if cell.sd is None else f"{mean} {style.escape('±')} {plain_number(cell.sd)}"


def _signed(difference: float | None) -> str:
    if not difference:
        return plain_number(difference)
    return (MINUS if difference < 0 else "+") + plain_number(abs(difference))


def _compared(table: Table, metric: str) -> bool:
    return table.beside_paper and metric in PUBLISHED_COLUMNS


def _fields(table: Table, block: Block, line: Line) -> dict[str, str | int]:
    """One line of the CSV."""
    fields: dict[str, str | int] = {
        "board": table.board.name,
        "protocol_hash": table.board.protocol.hash,
        "table": table.name,
        "target": block.target,
        "method": line.name.label or line.name.title,
        "row": line.name.row,
        "seeds": line.seeds,
    }
    for metric, cell in line.cells.items():
        fields |= {metric: plain_number(cell.mean, empty=""), f"{metric} sd": plain_number(cell.sd, empty="")}
        fields[f"{metric} not worse"] = {True: "yes", False: "no", None: ""}[cell.not_worse]
        if _compared(table, metric):
            fields[paper_header(metric)] = plain_number(cell.paper, empty="")
            fields[f"{metric} difference"] = plain_number(cell.difference, empty="")
    if table.beside_paper:
        fields["slip"] = table.footnotes[line.footnote - 1] if line.footnote else ""
    return fields | traced(line.records)


def traced(records: Sequence[Record]) -> dict[str, str | int]:
    """The fields of :data:`TRACED`."""
    return {"command": commands.command(records), "records": commands.keys(records)}
