"""``rsir-bench leaderboard``: render the tables of records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsir_bench.base.errors import UserError
from rsir_bench.base.output_folder import listed_digests
from rsir_bench.base.progress import log
from rsir_bench.cli import options
from rsir_bench.cli.options import RESULTS, TABLES, LeftOut
from rsir_bench.cli.shared.lists import metric_list


def leaderboard(
    runs: Annotated[list[Path] | None, typer.Argument(help=f"Folders of records; {RESULTS} by default.")] = None,
    out: Annotated[Path | None, typer.Option(help=f"Folder of the rendered tables; {TABLES} for {RESULTS}.")] = None,
    formats: Annotated[str, typer.Option("--format", help="Comma-separated: md, csv, tex, html.")] = "md",
    metrics: options.Metrics = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the existing files; exit with 1 if one differs.")
    ] = False,
) -> None:
    """Render the tables of all records in Markdown, and on demand in CSV, LaTeX and HTML.

    Records that cannot be read are named and left out; the exit status is then 1.

    \b
    rsir-bench leaderboard
    rsir-bench leaderboard --check
    rsir-bench leaderboard runs --out tables --format md,csv,tex,html
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench import leaderboard as tables
    from rsir_bench.leaderboard.write import VERB
    from rsir_bench.records.metrics import held_metrics
    from rsir_bench.records.store import read_published
    from rsir_bench.runs.artifacts.code import read_current

    suffixes, columns = formats.split(","), metric_list(metrics)
    if out is None and (runs or suffixes != ["md"] or columns is not None):
        only = "with the usual metrics" if columns is not None else "in Markdown"
        raise UserError(
            f"leaderboard: {TABLES} holds the published records {only} only; name another folder with --out"
        )
    left_out = LeftOut()
    records = read_current(runs, log, left_out) if runs else read_published(RESULTS, left_out)
    if not records:
        raise UserError(f"no records in {', '.join(map(str, runs or [RESULTS]))}; make some with `rsir-bench run`")
    folder = out or TABLES
    shown = None if columns is None else held_metrics(columns, records)
    if check:
        differing = tables.check(records, folder, suffixes, shown, paper=not runs)
        for path in differing:
            print(f"{path}: differs from the records")
        files = len(listed_digests(folder, VERB))
        log(
            f"{len(differing)} of {files} files differ from {len(records):,} records; run `rsir-bench leaderboard`"
            if differing
            else f"{files} files match {len(records):,} records"
        )
        raise typer.Exit(1 if differing or left_out.count else 0)
    removed: list[Path] = []
    before = listed_digests(folder, VERB)
    written = tables.render_leaderboards(records, folder, suffixes, removed.append, shown, paper=not runs)
    after = listed_digests(folder, VERB)
    changed = [folder / name for name in sorted(after) if before.get(name) != after[name]]
    for path in changed:
        print(path)
    for path in removed:
        print(f"{path}: removed; no records or not in {formats}")
    gone = f", {len(removed)} removed" if removed else ""
    log(f"{len(changed)} of {len(written)} files changed{gone}; {len(records):,} records in {folder}")
    left_out.exit_if_any()
