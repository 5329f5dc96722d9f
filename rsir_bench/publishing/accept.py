"""Deliberate changes: results take the place of the baseline's, and the reason stays in the record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.publishing.publish import check_sound
from rsir_bench.records.cells import beside, by_place, name_of
from rsir_bench.records.commands import place
from rsir_bench.records.schema import AcceptedPart, Record
from rsir_bench.records.store import read_published, write_record
from rsir_bench.records.verdict import refuse_no_reason


def accept(records: Iterable[Record], baseline: Path, reason: str) -> list[Path]:
    """Replaces the results of the baseline that ``records`` give otherwise; equal and new ones are left alone.

    Args:
        records: Finished results.
        baseline: The folder of published results, as ``publish`` lays it out.
        reason: Why the change is wanted; it goes into each replaced record, with the metrics of its predecessor.

    Returns:
        The files written.

    Raises:
        UserError: The baseline would hold a method half before and half after the change, a result is not sound or
            its predecessor not where it belongs, or there is no reason. Nothing is replaced then.
    """
    refuse_no_reason(reason)
    now = by_place(records, "the runs")
    before = by_place(beside(now.values(), read_published(baseline)), str(baseline))
    changed = {key: record for key, record in now.items() if key in before and not _same(record, before[key])}
    methods = {_method(record) for record in changed.values()}
    left = [record for key, record in before.items() if _method(record) in methods and key not in now]
    if left:
        rest = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise UserError(
            f"--accept: {name_of(left[0])}{rest} would stay as before the change; "
            f"run them again too, first: {left[0].command}"
        )
    for key, record in changed.items():
        check_sound(record)
        former, name = baseline / place(before[key]), name_of(before[key])
        if not former.is_file():
            raise UserError(f"{former}: not there, where `rsir-bench publish` puts it; move {name} there")
    return [_replace(before[key], record, baseline, reason) for key, record in changed.items()]


def _replace(old: Record, new: Record, baseline: Path, reason: str) -> Path:
    part = AcceptedPart(reason=reason, previous=old.metrics, previous_key=old.key)
    former, path = baseline / place(old), baseline / place(new)
    write_record(path, new.model_copy(update={"accepted": (*old.accepted, part)}))
    if path != former:
        former.unlink()
    return path


def _same(one: Record, other: Record) -> bool:
    return one.key == other.key and one.metrics == other.metrics


def _method(record: Record) -> tuple[str, str]:
    return record.protocol.board, record.method.label
