"""``rsir-bench protocols``: list or show protocols, or start one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rsir_bench.cli import options
from rsir_bench.cli.options import ListByDefault
from rsir_bench.cli.shared.completion import complete_protocols
from rsir_bench.cli.shared.help import TYPER

app = typer.Typer(cls=ListByDefault, help="List the protocols; show one, or start one from it.", **TYPER)

Name = Annotated[
    str, typer.Argument(help="A shipped protocol's name, or a TOML file.", autocompletion=complete_protocols)
]


@app.command("list")
def list_protocols(as_json: options.AsJson = False) -> None:
    """List the shipped protocols: source, targets, trunk, pixels, epochs.

    \b
    rsir-bench protocols
    """  # noqa: D301 - keeps the lines of the examples apart
    from tabulate import tabulate

    from rsir_bench.protocol import protocol_list

    protocols = protocol_list()
    print(json.dumps(protocols, indent=1) if as_json else tabulate(protocols, headers="keys"))


@app.command("show")
def show_protocol(name: Name) -> None:
    """Print a protocol as a TOML file: every setting, with what it means.

    \b
    rsir-bench protocols show demo
    rsir-bench protocols show mine.toml
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.protocol import describe_protocol, load_protocol

    print(describe_protocol(load_protocol(name)), end="")


@app.command("new")
def new_protocol(
    name: Annotated[str, typer.Argument(help="Of the new protocol: lower-case letters, digits and '-'.")],
    start: Annotated[
        str, typer.Option("--from", metavar="NAME", help="The protocol to copy.", autocompletion=complete_protocols)
    ] = "demo",
) -> None:
    """Write NAME.toml here: a copy of a shipped protocol, in which every setting is explained.

    \b
    rsir-bench protocols new mine --from ucm-mobile
    rsir-bench run --protocol mine.toml --methods baseline --plan
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.protocol import write_protocol

    path = write_protocol(name, start, Path())
    print(f"{path}: edit it, then run `rsir-bench run --protocol {path} --methods baseline --plan`")
