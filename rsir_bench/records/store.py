"""Read and write result records: files are written atomically, and errors name the file and the field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rsir_bench.base.errors import UserError, map_collecting_errors
from rsir_bench.base.files import is_intact, write_atomically, write_sealed
from rsir_bench.base.text import decode, encode
from rsir_bench.records.cells import CellId
from rsir_bench.records.schema import Record
from rsir_bench.records.validity import check_record

LeaveOut = Callable[[str], object]
Place = tuple[CellId, int, str]
"""Cell, seed and key of a record."""

LEFT_OUT = "left out  "
LISTINGS = 5
"""How often a folder is read again while others write there."""

CODE_NOTE = "code.json"
WEIGHTS_NOTE = "weights.json"

RUN_NOTES = ("trained.json", "described.json", CODE_NOTE, WEIGHTS_NOTE)
"""Other JSON files of a run, which are below ``results`` if ``--out`` has that name."""


def write_record(path: Path, record: Record, *, sealed: bool = False) -> None:
    """Write a record atomically, with sorted keys, so that equal records have equal bytes.

    Args:
        path: The file.
        record: The record.
        sealed: Whether to write a checksum file as well; published records have git's checksums.
    """
    # A record from before one of these was stored keeps its bytes.
    newer = ("request", "doubts", "effect", "origin", "encoder", "graded", "after", "unlabelled")
    unset: dict[str, Any] = {name: True for name in newer if not getattr(record, name)}
    if record.request and not record.request.after:
        unset["request"] = {"after"}
    if not record.queries.by_class:
        unset["queries"] = {"by_class"}
    unset |= {
        name: {"reading"} for name in ("source", "unlabelled") if (part := getattr(record, name)) and not part.reading
    }
    values = record.model_dump(mode="json", exclude=unset)
    text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write = write_sealed if sealed else write_atomically
    write(path, lambda unfinished: unfinished.write_bytes(encode(text)))


def read_record(path: Path) -> Record:
    """Read one record.

    Raises:
        UserError: The file is not a record of this version, holds impossible values, or does not match its checksum.
    """
    try:
        if not is_intact(path):
            problem = (
                "damaged (its checksum differs); delete it and run again"
                if path.exists()
                else "no such file; run again"
            )
            raise UserError(f"{path}: {problem}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        record = Record.model_validate(json.loads(decode(content)))
        check_record(record)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise _refused(path, f"{where}: {first['msg']}") from None
    except (ValueError, RecursionError, UserError) as error:
        raise _refused(path, str(error) or "nested too deeply") from None
    return record


def _refused(path: Path, problem: str) -> UserError:
    short = " ".join(f"{problem:.200}".split())
    return UserError(f"{path}: not a result record ({short}); move it elsewhere, and run again if it was a result")


def read_each(paths: Iterable[Path], leave_out: LeaveOut | None = None) -> list[Record]:
    """Read records.

    Args:
        paths: Their files.
        leave_out: Called with a line for each that cannot be read; None: the first ends it.

    Raises:
        UserError: Records cannot be read, and there is no ``leave_out``; the message has a line for each.
    """
    if leave_out is None:
        return map_collecting_errors(paths, read_record)
    records = []
    for path in paths:
        try:
            records.append(read_record(path))
        except UserError as error:
            leave_out(f"{LEFT_OUT}{error}")
    return records


def read_records(folders: Iterable[Path], leave_out: LeaveOut | None = None) -> list[Record]:
    """Read all records below folders: of runs every ``results/**/*.json``, of published records every ``*.json``.

    Raises:
        UserError: A folder does not exist; or a record cannot be read, and there is no ``leave_out``.
    """
    return read_each(result_files(folders), leave_out)


def result_files(folders: Iterable[Path]) -> list[Path]:
    """Return the files of records below folders: of runs every ``results/**/*.json``, elsewhere every ``*.json``.

    Raises:
        UserError: A folder does not exist.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; name a folder that `rsir-bench run --out` wrote")
        files = record_files(folder)
        found += [path for path in files if "results" in path.resolve().parts] or files
    return found


def read_published(folder: Path, leave_out: LeaveOut | None = None) -> list[Record]:
    """Read all published records but those that a deliberate change has replaced and not yet removed.

    Args:
        folder: The folder; another process may be writing there.
        leave_out: Called with a line for each record that cannot be read.

    Raises:
        UserError: It does not exist; or a record cannot be read, and there is no ``leave_out``.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no published records; change to a clone of the repository, or name their folder")
    files = record_files(folder)
    for _ in range(LISTINGS):
        problems: list[str] = []
        records = read_each(files, problems.append)
        before, files = files, record_files(folder)
        if files == before:
            break
    for problem in problems:
        if leave_out is None:
            raise UserError("\n".join(line.removeprefix(LEFT_OUT) for line in problems))
        leave_out(problem)
    return without_replaced(records)


def without_replaced(records: Sequence[Record]) -> list[Record]:
    """Return the records of one folder but those that a deliberate change has replaced, and not yet removed."""
    changes: dict[Place, int] = {}
    for record in records:
        for part in record.accepted:
            place = (CellId.of(record), record.seed, part.previous_key)
            changes[place] = max(changes.get(place, 0), len(record.accepted))
    return [
        record
        for record in records
        if changes.get((CellId.of(record), record.seed, record.key), 0) <= len(record.accepted)
    ]


def record_files(folder: Path) -> list[Path]:
    """Return the JSON files below a folder, sorted, without a run's other JSON files and unfinished ones.

    Linked folders are followed, and read once.
    """
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        stat = Path(place).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders.sort()
        shown = [name for name in files if name.endswith(".json") and not name.startswith(".")]
        found += [Path(place, name) for name in shown if name not in RUN_NOTES]
    return sorted(found)
