"""Check a submission, and turn it into records that ``publish`` takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.output_folder import replaced_folder
from rsir_bench.publishing.submit.again import make_again
from rsir_bench.publishing.submit.board import check_board
from rsir_bench.publishing.submit.card import DescriptorsCard, RecordsCard, read_card
from rsir_bench.publishing.submit.described import score_submission
from rsir_bench.publishing.submit.expected import Expected
from rsir_bench.publishing.submit.package import check_package, read_package
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published, write_record
from rsir_bench.runs.request import UserFiles

VERB = "submit"
Log = Callable[[str], object]


def check_submission(
    folder: Path, files: UserFiles, results: Path, log: Log, *, exact: bool = False, device: str = "cpu"
) -> list[Record]:
    """Return the records of a submission that has passed every check.

    Args:
        folder: The submission: ``submission.toml`` with descriptors, or with what ``pack`` wrote.
        files: The folder of the datasets, and the checker's cards, plugins and protocol file.
        results: The folder of the published records.
        log: Takes lines about what could not be checked.
        exact: Whether to make the descriptors of one seed of each method again, from its network.
        device: Where to do so.

    Raises:
        UserError: It is refused; a line for each reason.
    """
    card = read_card(folder)
    if isinstance(card, DescriptorsCard):
        if exact:
            raise UserError(f"--exact: {folder} has descriptors but no networks, so nothing can be recomputed; omit it")
        records = score_submission(folder, card, files)
    else:
        records = _of_package(folder, card, files, log, device if exact else None)
    if results.is_dir():
        published = read_published(results, log)
    else:
        log(f"not compared with the board: {results} is not there; name the published records with --results")
        published = []
    check_board(records, published, results)
    return records


def _of_package(folder: Path, card: RecordsCard, files: UserFiles, log: Log, device: str | None) -> list[Record]:
    """Return the records of a package; with a device, one seed of each method is made again there."""
    with tempfile.TemporaryDirectory(prefix="rsir-bench-") as runs:
        expected = Expected(files, Path(runs), device or "cpu", log)
        records = read_package(folder, card)
        found = check_package(records, expected)
        remade = make_again(folder, records, found, expected, log) if device else {}
    return [
        record.model_copy(update={"origin": record.origin.model_copy(update={"remade": remade.get(record.key, "")})})
        for record in records
        if record.origin is not None
    ]


def write_checked(records: Sequence[Record], out: Path) -> list[Path]:
    """Write the records of a submission into a folder that ``publish`` takes.

    Raises:
        UserError: The folder holds files of others, or cannot be written.
    """
    with replaced_folder(out, VERB) as staging:
        for record in records:
            write_record(staging / record_path(record), record)
    return sorted(out / record_path(record) for record in records)
