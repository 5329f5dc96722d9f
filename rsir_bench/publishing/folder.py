"""Lock the folder of published records for one writer at a time, and remove leftovers of killed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import discard, locked, sweep
from rsir_bench.base.output_folder import OWN
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS
from rsir_bench.records.cells import describe_cell
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import Record
from rsir_bench.records.store import without_replaced


@contextmanager
def writing(results: Path) -> Iterator[None]:
    """Hold the folder's lock; other commands that write there wait. First remove what killed ones have left.

    Raises:
        UserError: The folder cannot be written.
    """
    with locked(results / OWN / "lock"):
        sweep(results)
        yield


def remove_replaced(results: Path, records: Sequence[Record]) -> list[Record]:
    """Remove records that a deliberate change has replaced, where accepting it was cut off; return the others."""
    kept = without_replaced(records)
    places = {record_path(record) for record in kept}
    for record in records:
        if record not in kept and record_path(record) not in places:
            discard(path_inside(results, record))
    return kept


def path_inside(results: Path, record: Record) -> Path:
    """Return the published path of a record, whose names are not trusted, since they come from a file.

    Raises:
        UserError: It would be outside the folder.
    """
    path = results / record_path(record)
    if not path.resolve().is_relative_to(results.resolve()):
        raise UserError(
            f"{describe_cell(record)}: board {record.protocol.board!r} is outside {results}; rename the protocol"
        )
    return path


def refuse_no_tables(published: Sequence[Record], added: Sequence[Record]) -> None:
    """Refuse records from which, together with those of the same boards, no tables can be rendered.

    Raises:
        UserError: Records cannot share a board.
    """
    names = {record.protocol.board for record in added}
    for board in boards([*(record for record in published if record.protocol.board in names), *added]):
        for document in documents(board):
            for write in FORMATS.values():
                write(document)
