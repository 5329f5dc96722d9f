"""The program ``rsir-bench``: all verbs, and what an error looks like.

Heavy packages are imported inside the verbs, so that help and errors of the command line are instant.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from rsir_bench.base.errors import run_and_exit
from rsir_bench.base.progress import log
from rsir_bench.cli import datasets, methods
from rsir_bench.cli.drift import drift
from rsir_bench.cli.export import export
from rsir_bench.cli.leaderboard import leaderboard
from rsir_bench.cli.options import TYPER
from rsir_bench.cli.publish import publish
from rsir_bench.cli.report import report
from rsir_bench.cli.run import run
from rsir_bench.cli.score import score
from rsir_bench.cli.search import search
from rsir_bench.cli.submit import group as submit

app = typer.Typer(help="Train and score methods of remote sensing image retrieval, and tabulate them.", **TYPER)
for verb in (run, score, search, leaderboard, report, publish, drift, export):
    app.command()(verb)
app.add_typer(methods.app, name="methods")
app.add_typer(datasets.app, name="datasets")
app.add_typer(submit.app, name="submit")


def main() -> NoReturn:
    """Run the verb that the command line names, and exit with its status."""
    _in_utf8()
    # Torch makes a million lasting objects: searching them for garbage, again at exit, takes most of a second.
    gc.set_threshold(50_000)
    try:
        with _old_names_told():
            run_and_exit(app, "rsir-bench")
    finally:
        if "triton" not in sys.modules:  # its bindings report what was not collected as leaked
            gc.freeze()


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
