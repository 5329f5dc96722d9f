"""``rsir-bench methods``: list, show, check or start methods."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of, short_path
from rsir_bench.base.terminal.tables import Column, text_table
from rsir_bench.cli import options
from rsir_bench.cli.options import ListByDefault
from rsir_bench.cli.shared.help import TYPER

app = typer.Typer(cls=ListByDefault, help="List the methods; show, check or start one.", **TYPER)


@app.command("list")
def list_methods(plugin: options.Plugins = None, as_json: options.AsJson = False) -> None:
    """List the methods and front ends, their rows, and where they come from.

    \b
    rsir-bench methods
    rsir-bench methods list --plugin mine.py --json
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.method.card_text import method_list

    methods = method_list(plugin or [])
    print(json.dumps(methods, indent=1) if as_json else as_table(methods, screen_of(sys.stdout)))


def as_table(methods: Sequence[Mapping[str, str | int]], screen: Screen = PLAIN) -> str:
    """Return the list of methods as text, with their files as seen from the working folder."""
    rows = [[*map(str, list(method.values())[:-1]), short_path(str(method["from"]))] for method in methods]
    columns = [
        *(Column("method"), Column("title"), Column("year", "number"), Column("rows")),
        *(Column("tables", optional=True), Column("from", "path", optional=True)),
    ]
    return text_table(columns, rows, screen)


@app.command("show")
def show_method(name: str, plugin: options.Plugins = None) -> None:
    """Show a method's card: paper, rows, what the paper states, our choices, its settings.

    \b
    rsir-bench methods show jsst
    rsir-bench methods show jsst+se
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.method.card_text import method_card

    print(method_card(name, plugin or []))


@app.command("check")
def check_method(name_or_file: str, plugin: options.Plugins = None) -> None:
    """Check that a method, or every method of a .py file, fulfils the contract; exit with 1 if a check fails.

    \b
    rsir-bench methods check mine.py
    rsir-bench methods check jsst
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.conformance import check

    reports = check(name_or_file, plugin or [])
    print("\n\n".join(report.as_text(screen_of(sys.stdout)) for report in reports))
    if not all(report.passed for report in reports):
        raise typer.Exit(1)


@app.command("new")
def new_method(name: str) -> None:
    """Write NAME.py here: a commented method to start from, which passes the check as it is.

    \b
    rsir-bench methods new mine && rsir-bench methods check mine.py
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.method.template import write_template

    path = write_template(name, Path())
    print(f"{path}: edit it, then run `rsir-bench methods check {path}`")
