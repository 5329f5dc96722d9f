"""Check finished results and copy them to ``leaderboards/results/``, which is never edited by hand."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.publishing.folder import path_inside, refuse_no_tables, remove_replaced, writing
from rsir_bench.records.cells import CellId, describe_cell, machine_of, maker_of, result_of
from rsir_bench.records.schema import Record
from rsir_bench.records.store import LeaveOut, read_each, record_files, write_record
from rsir_bench.records.validity import check_record
from rsir_bench.runs.artifacts.code import read_current


def publish(runs: Sequence[Path], results: Path, leave_out: LeaveOut = log) -> list[Path]:
    """Copy every record below ``runs`` to ``results/<board>/<method>/<row>-<target>-seed<n>-<key>.json``.

    One process at a time does this in a folder; the others wait. Where it is killed, the same command finishes it.

    Args:
        runs: Folders of runs.
        results: The folder of the published records.
        leave_out: Takes a line for each published record that cannot be read.

    Returns:
        The files written. Records that are already published are left alone, and records that a deliberate change has
        replaced are not copied.

    Raises:
        UserError: A record cannot be read, is not sound, is the second one of a result, or cannot share a board with
            the published ones: then nothing is written. Or a record differs from the published one of the same key.
    """
    found = read_current(runs, log)
    for record in found:
        check_sound(record)
        path_inside(results, record)
    if not found:
        return []
    if not results.exists():  # nothing is made for records that are refused
        refuse_no_tables([], new_records(found, [], results))
    with writing(results):
        published = remove_replaced(results, read_each(record_files(results), leave_out))
        new = new_records(found, published, results)
        refuse_no_tables(published, new)
        for record in new:
            write_record(path_inside(results, record), record)
    return [path_inside(results, record) for record in new]


def new_records(found: Sequence[Record], published: Sequence[Record], results: Path) -> list[Record]:
    """Return the records that are not published yet, nor replaced by a deliberate change.

    Args:
        found: Records that are to be published.
        published: Those that are.
        results: The folder of the published records.

    Raises:
        UserError: One is the second of a result, would mix makers or machines in a line, or differs from the published
            one of its key.
    """
    replaced = {part.previous_key for record in published for part in record.accepted}
    records = [record for record in found if record.key not in replaced]
    _refuse_second(records, published)
    _refuse_mixed(records, published)
    known = {record.key: record for record in published}
    new = []
    for record in records:
        path = path_inside(results, record)
        if record.key not in known and path.exists():
            raise UserError(f"{path}: exists and holds another record; move it elsewhere")
        if not _same_scores(known.setdefault(record.key, record), record):
            raise UserError(f"{path}: differs from the scores of {record.command!r}; delete it to replace it")
        if known[record.key] is record:
            new.append(record)
    return new


def _refuse_second(records: Sequence[Record], published: Sequence[Record]) -> None:
    """Refuse two records of one result, for example from two versions of a method: a board shows only one."""
    taken = {result_of(record): (record, True) for record in published}
    for record in records:
        other, is_published = taken.setdefault(result_of(record), (record, False))
        if other.key == record.key:
            continue
        if is_published and record.origin is not None:
            raise UserError(f"{describe_cell(record)}: already on the board; a submission cannot replace anything")
        keys = f"keys {other.key[:8]}, {record.key[:8]}"
        if is_published:
            todo = "replace it with `rsir-bench drift RUNS --accept REASON`"
            raise UserError(f"{describe_cell(record)}: already published with another key ({keys}); {todo}")
        raise UserError(f"{describe_cell(record)}: the runs hold two results of it ({keys}); name the folder of one")


def _refuse_mixed(records: Sequence[Record], published: Sequence[Record]) -> None:
    """Refuse new records that would give a line several kinds of devices, precisions or makers; a line is averaged."""
    known = {record.key for record in published}
    lines: dict[tuple[CellId, str], dict[str, Record]] = defaultdict(dict)
    for record in published:
        lines[CellId.of(record), record.protocol.hash].setdefault(_making(record), record)
    for record in records:
        if record.key in known:
            continue
        line = lines[CellId.of(record), record.protocol.hash]
        line.setdefault(_making(record), record)
        if len(line) > 1:
            other = next(one for making, one in line.items() if making != _making(record))
            raise UserError(
                f"{describe_cell(record)}: made with {_making(record)}, but seed {other.seed} with {_making(other)}; "
                "all seeds of a line must have the same author, kind of device and precision"
            )


def _making(record: Record) -> str:
    """Return on what a result was made, and by whom where that was elsewhere."""
    maker = maker_of(record)
    return f"{machine_of(record)} ({maker})" if maker else machine_of(record)


def check_sound(record: Record) -> None:
    """Refuse a record with impossible values.

    Raises:
        UserError: A value is impossible, there is no query, or a submission would replace another result.
    """
    name = f"{record.method.label} {record.row.name} on {record.target.name} seed {record.seed}"
    try:
        check_record(record)
    except UserError as error:
        raise UserError(f"{name}: {error}; score the run again") from None
    if record.origin is not None and record.accepted:
        raise UserError(f"{name}: submitted, and names results that it replaces; a submission cannot replace anything")
    if record.queries.count == 0:
        raise UserError(f"{name}: no query was scored; check the labels of {record.target.name}")


def _same_scores(one: Record, other: Record) -> bool:
    # Other block sizes and numbers of threads change float32 scores by less than this.
    shared = one.metrics.keys() & other.metrics.keys()  # older records hold fewer
    return all(math.isclose(one.metrics[name], other.metrics[name], abs_tol=1e-5) for name in shared)
