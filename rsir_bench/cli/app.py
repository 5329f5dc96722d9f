"""The program ``rsir-bench``: all verbs, and what an error looks like.

Heavy packages are imported inside the verbs, so that help and errors of the command line are instant.
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

import typer

from rsir_bench.base.errors import run_and_exit
from rsir_bench.cli import datasets, methods
from rsir_bench.cli.drift import drift
from rsir_bench.cli.leaderboard import leaderboard
from rsir_bench.cli.options import TYPER
from rsir_bench.cli.publish import publish
from rsir_bench.cli.report import report
from rsir_bench.cli.run import run
from rsir_bench.cli.score import score
from rsir_bench.cli.search import search

app = typer.Typer(help="Train and score methods of remote sensing image retrieval, and tabulate them.", **TYPER)
for verb in (run, score, search, leaderboard, report, publish, drift):
    app.command()(verb)
app.add_typer(methods.app, name="methods")
app.add_typer(datasets.app, name="datasets")


def main() -> NoReturn:
    """Run the verb that the command line names, and exit with its status."""
    # Torch makes a million lasting objects: searching them for garbage, again at exit, takes most of a second.
    gc.set_threshold(50_000)
    try:
        run_and_exit(app, "rsir-bench")
    finally:
        if "triton" not in sys.modules:  # its bindings report what was not collected as leaked
            gc.freeze()
