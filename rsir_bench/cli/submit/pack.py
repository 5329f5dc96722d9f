"""``rsir-bench submit pack``: pack the records of runs for a board that someone else maintains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.cli.shared.lists import comma_list

Names = Annotated[str, typer.Option(help="Comma-separated; all by default.")]


def pack(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `run` wrote.")],
    by: Annotated[str, typer.Option(help="Who submits them; shown on the board.")],
    made_on: Annotated[str, typer.Option(help="Where they were made: institution, machine.")],
    out: Annotated[Path, typer.Option(help="A new folder, or one of an earlier package.")],
    url: Annotated[str, typer.Option(help="URL of a page about them.")] = "",
    networks: Annotated[
        int | None,
        typer.Option(min=0, help="A seed to include the networks of, so that others can recompute its results."),
    ] = None,
    boards: Names = "",
    methods: Names = "",
    targets: Names = "",
    rows: Names = "",
) -> None:
    """Pack the records of runs with the hashes of their networks.

    \b
    rsir-bench submit pack runs --by 'A. Author, Some University' --made-on 'four A100' --networks 0 --out mine
    """  # noqa: D301 - keeps the lines of the examples apart
    from pydantic import ValidationError

    from rsir_bench.publishing.export.selection import Selection
    from rsir_bench.publishing.submit.card import RecordsCard
    from rsir_bench.publishing.submit.pack import pack as pack_records

    try:
        card = RecordsCard(kind="records", by=by, made_on=made_on, url=url)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None
    words = {"boards": boards, "methods": methods, "targets": targets, "rows": rows}
    wanted = Selection(**{name: comma_list(f"--{name}", text) if text else [] for name, text in words.items()})
    for path in pack_records(runs, card, out, wanted, networks, log):
        print(path)
