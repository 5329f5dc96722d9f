"""``rsir-bench demo``: a first run and its report, with nothing to prepare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from rsir_bench.base.progress import log
from rsir_bench.cli import options
from rsir_bench.cli.shared.help import Panel
from rsir_bench.cli.shared.lists import names_or_all, seed_numbers
from rsir_bench.cli.shared.outcome import print_table, summary
from rsir_bench.runs.request import Request, UserFiles

if TYPE_CHECKING:
    from rsir_bench.records.schema import Record

COLUMNS = ("mAP", "P@5", "P@10")


def demo(
    methods: options.Methods = "baseline,jsst,se",
    seeds: options.Seeds = "0",
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of runs and report.", rich_help_panel=Panel.RESULTS)
    ] = Path("demo"),
) -> None:
    """Train three methods on synthetic scenes, compare them, and write an HTML report.

    It takes about a minute on two cores and downloads nothing. The same command again only shows the result.

    \b
    rsir-bench demo
    rsir-bench demo --methods jsst,se,jsst+se --seeds 0-2
    """  # noqa: D301 - keeps the lines of the examples apart
    names, numbers = names_or_all("--methods", methods), seed_numbers(seeds)
    from rsir_bench.runs.runners.campaign import campaign
    from rsir_bench.training.device import find_device

    started = monotonic()
    request = Request(
        methods=names, targets=["all"], protocol="demo", seeds=numbers, device=find_device("auto"), out=out / "runs"
    )
    outcome = campaign(request, log)
    print_table(outcome, COLUMNS)
    if outcome.records:
        index = _report(request, out / "report")
        print(f"\nOpen {index.resolve().as_uri()}")
    for line in summary(outcome, monotonic() - started):
        log(line)
    if outcome.failures:
        raise typer.Exit(1)


def _report(request: Request, folder: Path) -> Path:
    """Write the report on all runs of the demo, unless it is newer than every record; return its first page."""
    from rsir_bench.records.store import record_files
    from rsir_bench.report.site import build_report
    from rsir_bench.runs.artifacts.code import read_current

    index = folder / "index.html"
    newest = max(path.stat().st_mtime_ns for path in record_files(request.out))
    if not index.exists() or index.stat().st_mtime_ns < newest:
        records: Sequence[Record] = read_current([request.out], log)
        build_report(records, folder, [request.out], UserFiles(request.data_root))
    return index
