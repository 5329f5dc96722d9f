"""Options that several verbs share, and how their words are read. A run's parameters are described by ``Request``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.runs.request import DESCRIPTIONS
from rsir_bench.scenes.reading.prefixes import OWN_PREFIXES

if TYPE_CHECKING:
    from rsir_bench.runs.runners.cluster import Cluster

TABLES = Path("leaderboards")
RESULTS = TABLES / "results"

TYPER: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
"""How every group of verbs is set up."""


def _help(parameter: str, note: str = "") -> str:
    return f"{DESCRIPTIONS[parameter]} {note}".rstrip()


Methods = Annotated[str, typer.Option(help=_help("methods", "Comma-separated."))]
Targets = Annotated[str, typer.Option(help=_help("targets", "Comma-separated."))]
Protocol = Annotated[str, typer.Option(help=_help("protocol"))]
Seeds = Annotated[str, typer.Option(help=_help("seeds", "Comma-separated."))]
DataRoot = Annotated[Path, typer.Option(help=_help("data_root"), envvar="RSIR_BENCH_DATA")]
Device = Annotated[str, typer.Option(help=_help("device"))]
Runs = Annotated[Path, typer.Option(help=_help("out"))]
Overrides = Annotated[list[str] | None, typer.Option("--set", help=_help("overrides", "May be repeated."))]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help=_help("plugins", "May be repeated."))]
Cards = Annotated[list[Path] | None, typer.Option("--card", help=_help("cards", "May be repeated."))]
Distortions = Annotated[str, typer.Option("--distort", help=_help("distortions", "Comma-separated."))]
TimeLimit = Annotated[float | None, typer.Option(min=0.01, help=_help("time_limit"))]
Fresh = Annotated[bool, typer.Option("--fresh", help=_help("fresh"))]
Launcher = Annotated[str, typer.Option(help="local, or ray: on a cluster (docs/scale.md).")]
Address = Annotated[str | None, typer.Option(help="With --launcher ray: HOST:PORT; this machine's by default.")]
NoToken = Annotated[bool, typer.Option("--allow-no-token", help="Join a cluster that lets in anyone, without a token.")]
Metrics = Annotated[
    str | None, typer.Option(help="Comma-separated, with cut-offs: mAP, recall@10, hit@1, MRR, nDCG@10, mAP@100, ...")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


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


def metric_list(text: str | None) -> list[str] | None:
    """Return the names of ``--metrics``, of which commas are no part; None: the default ones."""
    return None if text is None else [word for piece in text.split(",") if (word := piece.strip())]


def comma_list(option: str, text: str) -> list[str]:
    """Return the words of a comma-separated list.

    Raises:
        UserError: There is none.
    """
    words = _joined(option, text.split(","))
    if not words:
        raise UserError(f"{option} {text!r}: empty list; name at least one")
    return words


def _joined(option: str, pieces: list[str]) -> list[str]:
    """Return the words of a list; one path with commas, behind ``folder:`` and the like or ``@``, is one word.

    Raises:
        UserError: The shorter path is there too.
    """
    words: list[str] = []
    while pieces:
        first = pieces[0].strip()
        path = first.partition(":" if first.startswith(OWN_PREFIXES) else "@")[2]
        longer = range(len(pieces), 1, -1) if path else ()
        taken = next((number for number in longer if _is_there(",".join([path, *pieces[1:number]]).rstrip())), 1)
        if taken > 1 and _is_there(path):
            raise UserError(f"{option}: both {path} and {','.join([path, *pieces[1:taken]])} are there; rename one")
        words.append(",".join([first, *pieces[1:taken]]).strip())
        pieces = pieces[taken:]
    return [word for word in words if word]


def _is_there(path: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(path).exists()
    return False


def names_or_all(option: str, text: str) -> list[str]:
    """Return the names of a comma-separated list, or ``["all"]``.

    Raises:
        UserError: There is none, or ``all`` is one of several.
    """
    words = comma_list(option, text)
    if "all" in words and len(words) > 1:
        raise UserError(f"{option} {text}: 'all' cannot be combined with names; run the others by a second command")
    return words


def seed_numbers(text: str) -> list[int]:
    """Return the seeds of a comma-separated list.

    Raises:
        UserError: There is none, or one is not a whole number.
    """
    words = comma_list("--seeds", text)
    for word in words:
        if not word.isdecimal():
            raise UserError(f"--seeds {word!r}: not a whole number >= 0; write for example --seeds 0,1,2")
    return [int(word) for word in words]


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
            raise UserError("--address: only a cluster has one; add --launcher ray")
        if allow_no_token:
            raise UserError("--allow-no-token: only a cluster has tokens; add --launcher ray")
        return nullcontext()
    if find_spec("ray") is None:
        raise UserError("--launcher ray: Ray is not installed; install it with `pip install 'rsir-bench[cluster]'`")
    from rsir_bench.runs.runners.cluster import connected

    return connected(address, log, allow_no_token=allow_no_token)
