"""Accept deliberate changes: results replace those of the baseline, and the record keeps the reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.publishing.publish import check_sound
from rsir_bench.records.cells import describe_cell, index_by_cell, matching_baseline
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import AcceptedPart, Record
from rsir_bench.records.store import read_published, write_record
from rsir_bench.records.verdict import refuse_no_reason


def accept(records: Iterable[Record], baseline: Path, reason: str) -> list[Path]:
    """Replace the results of the baseline that ``records`` change; equal and new results are left alone.

    Args:
        records: Finished results.
        baseline: The folder of published results, as ``publish`` writes it.
        reason: Why the results change; stored in each new record, with the metrics of its predecessor.

    Returns:
        The files written.

    Raises:
        UserError: The baseline would mix results of a method from before and after the change, a result is not sound,
            its predecessor is not where ``publish`` puts it, or the reason is empty. Nothing is replaced then.
    """
    refuse_no_reason(reason)
    now = index_by_cell(records, "the runs")
    before = index_by_cell(matching_baseline(now.values(), read_published(baseline)), str(baseline))
    changed = {key: record for key, record in now.items() if key in before and _differ(record, before[key])}
    methods = {_method(record) for record in changed.values()}
    left = [record for key, record in before.items() if _method(record) in methods and key not in now]
    if left:
        rest = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise UserError(
            f"--accept: {describe_cell(left[0])}{rest} would keep the results from before the change; "
            f"recompute them first: {left[0].command}"
        )
    for key, record in changed.items():
        check_sound(record)
        former = baseline / record_path(before[key])
        if not former.is_file():
            raise UserError(f"{former}: missing; move the record of {describe_cell(before[key])} there")
    return [_replace(before[key], record, baseline, reason) for key, record in changed.items()]


def _replace(old: Record, new: Record, baseline: Path, reason: str) -> Path:
    part = AcceptedPart(reason=reason, previous=old.metrics, previous_key=old.key)
    former, path = baseline / record_path(old), baseline / record_path(new)
    write_record(path, new.model_copy(update={"accepted": (*old.accepted, part)}))
    if path != former:
        former.unlink()
    return path


def _differ(record: Record, former: Record) -> bool:
    return record.key != former.key or record.metrics != former.metrics


def _method(record: Record) -> tuple[str, str]:
    return record.protocol.board, record.method.label
