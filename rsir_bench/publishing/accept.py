"""Accept deliberate changes: results replace those of the baseline, and the record keeps the reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import discard
from rsir_bench.base.progress import log
from rsir_bench.publishing.folder import path_inside, refuse_no_tables, remove_replaced, writing
from rsir_bench.publishing.publish import check_sound
from rsir_bench.records.cells import CellId, describe_cell, index_by_cell, matching_baseline
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import AcceptedPart, Record
from rsir_bench.records.store import LeaveOut, read_each, read_published, record_files, write_record
from rsir_bench.records.verdict import refuse_no_reason


def accept(records: Iterable[Record], baseline: Path, reason: str, leave_out: LeaveOut = log) -> list[Path]:
    """Replace the results of the baseline that ``records`` change; equal and new results are left alone.

    One process at a time does this in a folder; the others wait. Where it is killed, the same command finishes it.

    Args:
        records: Finished results.
        baseline: The folder of published results, as ``publish`` writes it.
        reason: Why the results change; stored in each new record, with the metrics of its predecessor.
        leave_out: Takes a line for each record of the baseline that cannot be read.

    Returns:
        The files of the results that were accepted for this reason, now or before.

    Raises:
        UserError: The baseline would mix results of a method from before and after the change, a result is not sound,
            its predecessor is not where ``publish`` puts it, or the reason is empty. Nothing is replaced then.
    """
    refuse_no_reason(reason)
    now = index_by_cell(records, "the runs")
    if not baseline.is_dir():
        read_published(baseline)  # says so
    with writing(baseline):
        published = remove_replaced(baseline, read_each(record_files(baseline), leave_out))
        before = index_by_cell(matching_baseline(now.values(), published), str(baseline))
        changed = {key: record for key, record in now.items() if key in before and _differ(record, before[key])}
        _refuse_mixed(changed, now, before)
        for key, record in changed.items():
            check_sound(record)
            path_inside(baseline, record)
            former = path_inside(baseline, before[key])
            if not former.is_file():
                raise UserError(f"{former}: missing; move the record of {describe_cell(before[key])} there")
        replacing = [_accepted(before[key], record, reason) for key, record in changed.items()]
        gone = {record.key for record in before.values()}
        refuse_no_tables([record for record in published if record.key not in gone], [
            *replacing, *(record for key, record in before.items() if key not in changed)
        ])  # fmt: skip
        for old, new in zip((before[key] for key in changed), replacing, strict=True):
            _replace(old, new, baseline)
    earlier = [before[key] for key in now if key in before and key not in changed and _has(before[key], reason)]
    return [baseline / record_path(record) for record in (*replacing, *earlier)]


Cells = dict[tuple[CellId, int], Record]


def _refuse_mixed(changed: Cells, now: Cells, before: Cells) -> None:
    methods = {_method(record) for record in changed.values()}
    left = [record for key, record in before.items() if _method(record) in methods and key not in now]
    if left:
        rest = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise UserError(
            f"--accept: {describe_cell(left[0])}{rest} would keep the results from before the change; "
            f"recompute them first: {left[0].command}"
        )


def _accepted(old: Record, new: Record, reason: str) -> Record:
    part = AcceptedPart(reason=reason, previous=old.metrics, previous_key=old.key)
    return new.model_copy(update={"accepted": (*old.accepted, part)})


def _replace(old: Record, new: Record, baseline: Path) -> None:
    """Write the new record, then remove the old one: a command that dies in between is finished by the next."""
    write_record(baseline / record_path(new), new)
    if record_path(new) != record_path(old):
        discard(baseline / record_path(old))


def _has(record: Record, reason: str) -> bool:
    return any(part.reason == reason for part in record.accepted)


def _differ(record: Record, former: Record) -> bool:
    return record.key != former.key or record.metrics != former.metrics


def _method(record: Record) -> tuple[str, str]:
    return record.protocol.board, record.method.label
