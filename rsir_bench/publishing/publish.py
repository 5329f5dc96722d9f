"""Finished results into ``leaderboards/results/``, checked; nothing there is edited by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.records.cells import Place, name_of
from rsir_bench.records.commands import place
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published, read_record, read_records, write_record


def publish(runs: Sequence[Path], results: Path) -> list[Path]:
    """Copies every record below ``runs`` to ``results/<board>/<method>/<row>-<target>-seed<n>-<key>.json``.

    Returns:
        The files written; a record that lies there already is left as it is, and so is one that a deliberate change
        has replaced.

    Raises:
        UserError: A record is not sound, differs from the published one of the same key, or would stand beside
            another of the same result. Of those that are not sound or stand beside another, nothing is written.
    """
    published = read_published(results) if results.is_dir() else []
    replaced = {part.previous_key for record in published for part in record.accepted}
    records = [record for record in read_records(runs) if record.key not in replaced]
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
            raise UserError(f"{path}: other scores than {record.command!r} gave; delete it to replace it")
    return written


def _path_inside(results: Path, record: Record) -> Path:
    """Return where a record goes; a board's name comes from a file, which may say anything."""
    path = results / place(record)
    if not path.resolve().is_relative_to(results.resolve()):
        raise UserError(
            f"{name_of(record)}: board {record.protocol.board!r} leads out of {results}; rename the protocol"
        )
    return path


def _refuse_second(records: Sequence[Record], published: Sequence[Record]) -> None:
    """Refuses two records of one result, as of two versions of a method: a board shows one."""
    taken = {_result(record): (record, True) for record in published}
    for record in records:
        other, is_published = taken.setdefault(_result(record), (record, False))
        if other.key == record.key:
            continue
        keys = f"keys {other.key[:8]}, {record.key[:8]}"
        if is_published:
            todo = "`rsir-bench drift RUNS --accept REASON` puts the new one in the place of the published one"
            raise UserError(f"{name_of(record)}: published already, made otherwise ({keys}); {todo}")
        raise UserError(f"{name_of(record)}: the runs hold two of it ({keys}); name the folder of one of them")


def _result(record: Record) -> tuple[Place, int, str]:
    return Place.of(record), record.seed, record.protocol.hash


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
