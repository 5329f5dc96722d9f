"""``rsir-bench protocols``: list or show protocols, or start one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of
from rsir_bench.base.terminal.tables import Column, text_table
from rsir_bench.cli import options
from rsir_bench.cli.options import ListByDefault
from rsir_bench.cli.shared.completion import complete_protocols
from rsir_bench.cli.shared.help import TYPER

app = typer.Typer(cls=ListByDefault, help="List the protocols; show one, or copy one to edit.", **TYPER)

Name = Annotated[
    str, typer.Argument(help="A shipped protocol's name, or a TOML file.", autocompletion=complete_protocols)
]


@app.command("list")
def list_protocols(as_json: options.AsJson = False) -> None:
    """List the shipped protocols: source, targets, trunk, pixels, epochs.

    \b
    rsir-bench protocols
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.protocol import protocol_list

    protocols = protocol_list()
    print(json.dumps(protocols, indent=1) if as_json else as_table(protocols, screen_of(sys.stdout)))


def as_table(protocols: Sequence[Mapping[str, str | int]], screen: Screen = PLAIN) -> str:
    """Return the list of protocols as text."""
    columns = [
        *(Column("protocol"), Column("source"), Column("targets"), Column("trunk")),
        *(Column("pixels", "number"), Column("epochs", "number")),
        *(Column("weights", optional=True), Column("title", optional=True)),
    ]
    return text_table(columns, [list(map(str, protocol.values())) for protocol in protocols], screen)


@app.command("show")
def show_protocol(name: Name) -> None:
    """Print a protocol as a TOML file, with every setting explained.

    \b
    rsir-bench protocols show demo
    rsir-bench protocols show mine.toml
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.protocol import describe_protocol, load_protocol

    print(describe_protocol(load_protocol(name)), end="")


@app.command("new")
def new_protocol(
    name: Annotated[str, typer.Argument(help="Name of the new protocol: lower-case letters, digits and '-'.")],
    start: Annotated[
        str, typer.Option("--from", metavar="NAME", help="The protocol to copy.", autocompletion=complete_protocols)
    ] = "demo",
) -> None:
    """Write NAME.toml here: a copy of a shipped protocol, with every setting explained.

    \b
    rsir-bench protocols new mine --from ucm-lite
    rsir-bench run --protocol mine.toml --methods baseline --plan
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.protocol import write_protocol

    path = write_protocol(name, start, Path())
    print(f"{path}: edit it, then run `rsir-bench run --protocol {path} --methods baseline --plan`")
