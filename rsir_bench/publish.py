"""Finished results into ``leaderboards/results/``, checked; nothing there is edited by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rsir_bench.errors import UserError
from rsir_bench.leaderboard.traces import place
from rsir_bench.results import Record, read_record, read_records, write_record


def publish(runs: Sequence[Path], results: Path) -> list[Path]:
    """Copies every record below ``runs`` to ``results/<board>/<method>/<row>-<target>-seed<n>-<key>.json``.

    Returns:
        The files written; a record that lies there already is left as it is.

    Raises:
        UserError: A record is not sound, or differs from the published one of the same key.
    """
    records = read_records(runs)
    for record in records:
        check_sound(record)
    written = []
    for record in records:
        path = results / place(record)
        if not path.is_file():
            write_record(path, record)
            written.append(path)
        elif not _same_scores(read_record(path), record):
            raise UserError(f"{path}: other scores than {record.command!r} gave; delete it to replace it")
    return written


def check_sound(record: Record) -> None:
    """Refuses what no scoring of a target can give.

    Raises:
        UserError: A metric outside 0 to 1, or no query.
    """
    what = f"{record.method.label} {record.row.name} on {record.target.name} seed {record.seed}"
    for name, value in record.metrics.items():
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise UserError(f"{what}: {name} is {value}, outside 0..1; score the run again")
    if record.queries.count == 0:
        raise UserError(f"{what}: no query was scored; check the labels of {record.target.name}")


def _same_scores(one: Record, other: Record) -> bool:
    # Block size and threads move float32 scores by less than this.
    return all(math.isclose(one.metrics[name], other.metrics[name], abs_tol=1e-5) for name in one.metrics)
