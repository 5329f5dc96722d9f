"""Check a submission against the published records: it may add to boards, but not change them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsir_bench.base.errors import Problems, UserError
from rsir_bench.publishing.folder import refuse_no_tables
from rsir_bench.publishing.publish import check_sound, new_records
from rsir_bench.records.cells import SUBMITTED, describe_cell, is_submitted, maker_of
from rsir_bench.records.schema import Record


def check_board(records: Sequence[Record], published: Sequence[Record], results: Path) -> None:
    """Refuse records that could not be published, or that a reader would take for somebody else's.

    Args:
        records: Of the submission.
        published: Of all boards.
        results: The folder of the published records.

    Raises:
        UserError: A name or title is taken, a result is there already, or no tables could be made; a line for each
            problem.
    """
    problems = Problems()
    for record in {record.method.label: record for record in records}.values():
        with problems.collecting():
            _check_names(record, published)
    for record in records:
        with problems.collecting():
            check_sound(record)
    problems.raise_any()
    if len(new_records(records, published, results)) < len(records):
        known = {record.key for record in published}
        there = next(record for record in records if record.key in known)
        raise UserError(f"{describe_cell(there)}: already on the board; submit only what is not")
    refuse_no_tables(published, records)


def _check_names(record: Record, published: Sequence[Record]) -> None:
    """Refuse the label of another maker's line, and a name or title that looks like a line of the board."""
    label, name = record.method.label, record.method.label.removeprefix(SUBMITTED).casefold()
    for other in published:
        if other.protocol.board != record.protocol.board:
            continue
        if other.method.label == label:
            if is_submitted(record) and maker_of(other) != maker_of(record):
                raise UserError(f"{label}: already on the board, of {maker_of(other)}; choose another name")
        elif is_submitted(record) and (
            other.method.label.removeprefix(SUBMITTED).casefold() == name
            or other.method.title.casefold() == record.method.title.casefold()
        ):
            raise UserError(
                f"{label}, {record.method.title!r}: the board has {other.method.label}, {other.method.title!r}; "
                "choose another name and title"
            )
