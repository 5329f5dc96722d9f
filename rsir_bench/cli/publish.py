"""``rsir-bench publish``: copy finished records to the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsir_bench.base.progress import log
from rsir_bench.cli.options import RESULTS, LeftOut


def publish(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `run` wrote.")],
    results: Annotated[Path, typer.Option(help="The folder to copy the records to.")] = RESULTS,
) -> None:
    """Check finished records and copy them to the folder that leaderboards are rendered from.

    \b
    rsir-bench publish runs && rsir-bench leaderboard
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.publishing.publish import publish as publish_records

    left_out = LeftOut()
    written = publish_records(runs, results, left_out)
    for path in written:
        print(path)
    folders = ", ".join(map(str, runs))
    if written:
        log(f"{len(written):,} records of {folders} published in {results}; next: rsir-bench leaderboard")
    else:
        log(f"nothing to publish: {results} holds all records of {folders}")
    left_out.exit_if_any()
