"""Check finished results and copy them to ``leaderboards/results/``, which is never edited by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.records.cells import CellId, describe_cell
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published, read_record, write_record
from rsir_bench.runs.artifacts.code import read_current


def publish(runs: Sequence[Path], results: Path) -> list[Path]:
    """Copy every record below ``runs`` to ``results/<board>/<method>/<row>-<target>-seed<n>-<key>.json``.

    Returns:
        The files written. Records that are already published are left alone, and records that a deliberate change has
        replaced are not copied.

    Raises:
        UserError: A record is not sound, or is the second one of a result: then nothing is written. Or a record differs
            from the published one of the same key.
    """
    published = read_published(results) if results.is_dir() else []
    replaced = {part.previous_key for record in published for part in record.accepted}
    records = [record for record in read_current(runs, log) if record.key not in replaced]
    for record in records:
        check_sound(record)
    _refuse_second(records, published)
    written = []
    paths = [_path_inside(results, record) for record in records]
    for record, path in zip(records, paths, strict=True):
        if not path.is_file():
            write_record(path, record)
            written.append(path)
        elif not _same_scores(read_record(path), record):
            raise UserError(f"{path}: differs from the scores of {record.command!r}; delete it to replace it")
    return written


def _path_inside(results: Path, record: Record) -> Path:
    """Return the published path of a record, whose board's name is not trusted, since it comes from a file."""
    path = results / record_path(record)
    if not path.resolve().is_relative_to(results.resolve()):
        raise UserError(
            f"{describe_cell(record)}: board {record.protocol.board!r} is outside {results}; rename the protocol"
        )
    return path


def _refuse_second(records: Sequence[Record], published: Sequence[Record]) -> None:
    """Refuse two records of one result, for example from two versions of a method: a board shows only one."""
    taken = {_result(record): (record, True) for record in published}
    for record in records:
        other, is_published = taken.setdefault(_result(record), (record, False))
        if other.key == record.key:
            continue
        keys = f"keys {other.key[:8]}, {record.key[:8]}"
        if is_published:
            todo = "replace it with `rsir-bench drift RUNS --accept REASON`"
            raise UserError(f"{describe_cell(record)}: already published with another key ({keys}); {todo}")
        raise UserError(f"{describe_cell(record)}: the runs hold two of it ({keys}); name the folder of one of them")


def _result(record: Record) -> tuple[CellId, int, str]:
    return CellId.of(record), record.seed, record.protocol.hash


def check_sound(record: Record) -> None:
    """Refuse a record with impossible scores.

    Raises:
        UserError: A metric is outside 0 to 1, or there is no query.
    """
    name = f"{record.method.label} {record.row.name} on {record.target.name} seed {record.seed}"
    for metric, value in record.metrics.items():
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise UserError(f"{name}: {metric} is {value}, outside 0..1; score the run again")
    if record.queries.count == 0:
        raise UserError(f"{name}: no query was scored; check the labels of {record.target.name}")


def _same_scores(one: Record, other: Record) -> bool:
    # Other block sizes and numbers of threads change float32 scores by less than this.
    return all(math.isclose(one.metrics[name], other.metrics[name], abs_tol=1e-5) for name in one.metrics)
