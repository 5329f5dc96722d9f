"""The verbs of ``rsir-bench submit``."""

from __future__ import annotations

import typer

from rsir_bench.cli.shared.help import TYPER
from rsir_bench.cli.submit.check import check
from rsir_bench.cli.submit.pack import pack

app = typer.Typer(help="Check or pack a submission to a board: descriptors or records (docs/submit.md).", **TYPER)
for verb in (check, pack):
    app.command()(verb)
