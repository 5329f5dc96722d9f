"""Options that several verbs share, and how their words are read. A run's parameters are described by ``Request``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.cli.shared.completion import complete_datasets, complete_protocols
from rsir_bench.cli.shared.help import Panel
from rsir_bench.runs.request import DESCRIPTIONS

if TYPE_CHECKING:
    from rsir_bench.runs.runners.cluster import Cluster

TABLES = Path("leaderboards")
RESULTS = TABLES / "results"


def _help(parameter: str, note: str = "") -> str:
    return f"{DESCRIPTIONS[parameter]} {note}".rstrip()


Methods = Annotated[
    str,
    typer.Option(
        metavar="NAMES", help=_help("methods", "Comma-separated; 'jsst*' matches."), rich_help_panel=Panel.WHAT
    ),
]
Targets = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help=_help("targets", "Comma-separated."),
        rich_help_panel=Panel.WHAT,
        autocompletion=complete_datasets,
    ),
]
Protocol = Annotated[
    str,
    typer.Option(metavar="NAME", help=_help("protocol"), rich_help_panel=Panel.WHAT, autocompletion=complete_protocols),
]
Seeds = Annotated[
    str,
    typer.Option(metavar="LIST", help=_help("seeds", "Comma-separated; 0-4 is a range."), rich_help_panel=Panel.WHAT),
]
DataRoot = Annotated[
    Path,
    typer.Option(metavar="FOLDER", help=_help("data_root"), envvar="RSIR_BENCH_DATA", rich_help_panel=Panel.SCENES),
]
Device = Annotated[str, typer.Option(metavar="NAME", help=_help("device"), rich_help_panel=Panel.MACHINE)]
Runs = Annotated[Path, typer.Option(metavar="FOLDER", help=_help("out"), rich_help_panel=Panel.RESULTS)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help=_help("overrides", "May be repeated."), rich_help_panel=Panel.WHAT),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help=_help("plugins", "May be repeated."), rich_help_panel=Panel.WHAT),
]
Cards = Annotated[
    list[Path] | None,
    typer.Option("--card", metavar="FILE", help=_help("cards", "May be repeated."), rich_help_panel=Panel.SCENES),
]
Distortions = Annotated[
    str,
    typer.Option(
        "--distort", metavar="NAMES", help=_help("distortions", "Comma-separated."), rich_help_panel=Panel.SCENES
    ),
]
TimeLimit = Annotated[
    float | None, typer.Option(min=0.01, metavar="MINUTES", help=_help("time_limit"), rich_help_panel=Panel.MACHINE)
]
Compile = Annotated[bool, typer.Option("--compile", help=_help("compile"), rich_help_panel=Panel.MACHINE)]
Fresh = Annotated[bool, typer.Option("--fresh", help=_help("fresh"), rich_help_panel=Panel.RESULTS)]
Launcher = Annotated[
    str,
    typer.Option(metavar="NAME", help="local, or ray: on a cluster (docs/scale.md).", rich_help_panel=Panel.MACHINE),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="With --launcher ray: the cluster's HOST:PORT, or local; by default RAY_ADDRESS, else this machine's.",
        rich_help_panel=Panel.MACHINE,
    ),
]
NoToken = Annotated[
    bool,
    typer.Option(
        "--allow-no-token", help="Join a cluster even if it asks for no token.", rich_help_panel=Panel.MACHINE
    ),
]
After = Annotated[
    list[str] | None,
    typer.Option("--after", metavar="NAME", help=_help("after", "May be repeated."), rich_help_panel=Panel.WHAT),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Comma-separated, with cut-offs: mAP, recall@10, hit@1, MRR, nDCG@10, mAP@100, ...",
        rich_help_panel=Panel.OUTPUT,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.", rich_help_panel=Panel.OUTPUT)]


class ListByDefault(TyperGroup):
    """A group that lists unless a subcommand is named: ``methods --json`` means ``methods list --json``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words behind the group's name.

        Raises:
            UserError: An option comes before the subcommand that it belongs to.
        """
        first = args[0].partition("=")[0] if args else ""
        if not args or (first.startswith("-") and first not in ctx.help_option_names):
            subcommand = next((word for word in args if word in self.commands), None)
            if subcommand is not None:
                raise UserError(f"{first} must come after {subcommand!r}")
            args = ["list", *args]
        return super().parse_args(ctx, args)


class LeftOut:
    """The records that a verb leaves out because they cannot be read: each is named, and the verb exits with 1."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, line: str) -> None:
        """Name one."""
        self.count += 1
        log(line)

    def exit_if_any(self) -> None:
        """End with status 1 where a record was left out; what could be made is there."""
        if self.count:
            raise typer.Exit(1)


def check_protocol(protocol: str, overrides: list[str]) -> None:
    """Report what is wrong with the protocol before torch is loaded, which takes seconds.

    Raises:
        UserError: There is no such protocol or setting, or a value does not fit.
    """
    from rsir_bench.protocol import load_protocol

    load_protocol(protocol, overrides)


def cluster_of(
    launcher: str, address: str | None, *, allow_no_token: bool = False
) -> AbstractContextManager[Cluster | None]:
    """Return the cluster to compute on; None means this process.

    Raises:
        UserError: The launcher is unknown or not installed, or an option needs another launcher.
    """
    if launcher not in ("local", "ray"):
        raise UserError(f"--launcher {launcher!r}: unknown; known: local, ray")
    if launcher == "local":
        if address is not None:
            raise UserError("--address: applies only to a cluster; add --launcher ray")
        if allow_no_token:
            raise UserError("--allow-no-token: applies only to a cluster; add --launcher ray")
        return nullcontext()
    if find_spec("ray") is None:
        raise UserError("--launcher ray: Ray is not installed; install it with `pip install 'rsir-bench[cluster]'`")
    from rsir_bench.runs.runners.cluster import connected

    return connected(address, log, allow_no_token=allow_no_token)
