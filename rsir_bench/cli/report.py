"""``rsir-bench report``: write a folder of pages about records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsir_bench.base.progress import log
from rsir_bench.cli import options
from rsir_bench.cli.options import RESULTS, LeftOut
from rsir_bench.runs.request import Request, UserFiles


def report(
    records: Annotated[list[Path] | None, typer.Argument(help=f"Folders of records; {RESULTS} by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report; index.html opens from disk.")] = Path("report"),
    runs: Annotated[
        list[Path] | None, typer.Option(help="A folder that `run` wrote, to add pages with scenes. May be repeated.")
    ] = None,
    data_root: options.DataRoot = Request.data_root,
    protocol: Annotated[str | None, typer.Option(help="Your own protocol's TOML file, if the runs used one.")] = None,
    plugin: options.Plugins = None,
    card: options.Cards = None,
) -> None:
    """Write pages on leaderboard, methods, datasets and figures, and with --runs on scenes and their rankings.

    Records that cannot be read are named and left out; the exit status is then 1.

    \b
    rsir-bench report
    rsir-bench report runs --runs runs --data-root data
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.records.store import read_published
    from rsir_bench.report.site import build_report
    from rsir_bench.runs.artifacts.code import read_current

    left_out = LeftOut()
    found = read_current(records, log, left_out) if records else read_published(RESULTS, left_out)
    pages = build_report(found, out, runs or [], UserFiles(data_root, plugin or [], card or [], protocol))
    print(f"{out / 'index.html'}: open it in a browser; {len(pages)} pages")
    left_out.exit_if_any()
