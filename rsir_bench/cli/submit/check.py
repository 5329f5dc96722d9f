"""``rsir-bench submit check``: check a submission, and write the records that ``publish`` takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsir_bench.base.progress import log
from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of
from rsir_bench.base.terminal.tables import Column, text_table
from rsir_bench.cli import options
from rsir_bench.cli.options import RESULTS
from rsir_bench.records.metrics import main_metric
from rsir_bench.runs.request import Request, UserFiles

if TYPE_CHECKING:
    from rsir_bench.records.schema import Record


def check(
    folder: Annotated[Path, typer.Argument(help="The submission: submission.toml and what it names.")],
    out: Annotated[Path | None, typer.Option(help="Write the records here, for `publish`.")] = None,
    data_root: options.DataRoot = Request.data_root,
    results: Annotated[Path, typer.Option(help="The published records to compare it with.")] = RESULTS,
    exact: Annotated[
        bool, typer.Option("--exact", help="Recompute the descriptors of one seed per method from its network.")
    ] = False,
    device: options.Device = "auto",
    protocol: Annotated[str | None, typer.Option(help="Your own protocol's .toml file, if the board has one.")] = None,
    card: options.Cards = None,
    plugin: options.Plugins = None,
) -> None:
    """Check an untrusted submission: score its descriptors, or compare its records with those of the current code.

    \b
    rsir-bench submit check mine --data-root data
    rsir-bench submit check theirs --data-root data --exact --out checked && rsir-bench publish checked
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.publishing.submit.check import check_submission, write_checked
    from rsir_bench.training.device import find_device

    files = UserFiles(data_root, plugin or [], card or [], protocol)
    records = check_submission(folder, files, results, log, exact=exact, device=find_device(device))
    print(as_table(records, screen_of(sys.stdout)))
    if out is not None:
        for path in write_checked(records, out):
            log(f"written   {path}")


def as_table(records: list[Record], screen: Screen = PLAIN) -> str:
    """Return a line for each record: its cell, its seed, its main metric, and whether it was recomputed."""
    metrics = " or ".join(dict.fromkeys(map(main_metric, records)))
    columns = [
        *(Column("board"), Column("method"), Column("row"), Column("target")),
        *(Column("seed", "number"), Column(metrics, "number"), Column("recomputed")),
    ]
    rows = [
        [
            *(record.protocol.board, record.method.label, record.row.name, record.target.name),
            *(str(record.seed), f"{record.metrics[main_metric(record)]:.4f}"),
            (record.origin.remade if record.origin else "") or "no",
        ]
        for record in records
    ]
    return text_table(columns, rows, screen)
