"""The program ``rsir-bench``: all verbs, and what an error looks like.

Heavy packages are imported inside the verbs, so that help and errors of the command line are instant.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer

from rsir_bench.base.errors import run_and_exit
from rsir_bench.base.progress import log
from rsir_bench.cli.demo import demo
from rsir_bench.cli.drift import drift
from rsir_bench.cli.export import export
from rsir_bench.cli.groups import datasets, methods, protocols
from rsir_bench.cli.leaderboard import leaderboard
from rsir_bench.cli.publish import publish
from rsir_bench.cli.report import report
from rsir_bench.cli.run import run
from rsir_bench.cli.score import score
from rsir_bench.cli.search import search
from rsir_bench.cli.shared.help import TYPER
from rsir_bench.cli.submit import group as submit

VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    "Train, score and search": (demo, run, score, search, report),
    "Records and leaderboards": (leaderboard, publish, drift, export),
}
GROUPS = {"methods": methods, "datasets": datasets, "protocols": protocols, "submit": submit}
LISTS = "Methods, datasets, protocols and submissions"
"""The panel of the groups."""


app = typer.Typer(
    **TYPER | {"add_completion": True},
)
for panel, verbs in VERBS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(verb)
for name, group in GROUPS.items():
    app.add_typer(group.app, name=name, rich_help_panel=LISTS)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"rsir-bench {version('rsir-bench')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def entry(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Train and score methods of remote sensing image retrieval, and tabulate them.

    \b
    rsir-bench demo
    rsir-bench run --protocol demo --methods baseline,jsst
    rsir-bench score --descriptors X.npy --labels y.npy
    rsir-bench run --help
    """  # noqa: D301 - keeps the lines of the examples apart
    if context.invoked_subcommand is None:
        print(context.get_help().rstrip())


def main() -> NoReturn:
    """Run the verb that the command line names, and exit with its status."""
    _in_utf8()
    # Torch makes a million lasting objects: searching them for garbage, again at exit, takes most of a second.
    gc.set_threshold(50_000)
    try:
        with _old_names_told():
            run_and_exit(_program, "rsir-bench")
    finally:
        if "triton" not in sys.modules:  # its bindings report what was not collected as leaked
            gc.freeze()


UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""What Typer raises for an unknown verb or option: its own class, or click's where Typer is older."""


def _program() -> None:
    """Run the verb; a mistake on the command line is one line, as every other error.

    Raises:
        SystemExit: With the status.
    """
    try:
        status = app(standalone_mode=False)
    except UsageError as error:
        path = error.ctx.command_path if error.ctx else "rsir-bench"
        log(f"{path}: {' '.join(error.format_message().split())} See `{path} --help`.")
        raise SystemExit(2) from None
    except typer.Abort:  # a question that nobody answered
        raise SystemExit(1) from None
    raise SystemExit(status if isinstance(status, int) else 0)


def _in_utf8() -> None:
    """Start again in Python's UTF-8 mode where names outside ASCII cannot be opened (LC_ALL=C with PYTHONUTF8=0)."""
    if sys.getfilesystemencoding().lower() in ("ascii", "us-ascii") and os.environ.get("PYTHONUTF8") != "1":
        environment = {**os.environ, "PYTHONUTF8": "1"}  # which child processes inherit
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


@contextmanager
def _old_names_told() -> Iterator[None]:
    """Print a line for each use of an old name; Python hides such warnings outside of scripts."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], filename: str, lineno: int, *more: Any) -> None:
            if issubclass(category, DeprecationWarning) and str(message).startswith("rsir_bench"):
                log(f"warning   {message} ({filename}, line {lineno})")
            else:
                others(message, category, filename, lineno, *more)

        if not sys.warnoptions:  # what the user has asked for with -W or PYTHONWARNINGS stays
            warnings.filterwarnings("default", message="rsir_bench", category=DeprecationWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
