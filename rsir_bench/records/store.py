"""Read and write result records: files are written atomically, and errors name the file and the field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import is_intact, write_atomically, write_sealed
from rsir_bench.records.schema import Record

CODE_NOTE = "code.json"

RUN_NOTES = ("trained.json", "described.json", CODE_NOTE)
"""Other JSON files of a run, which are below ``results`` if ``--out`` has that name."""


def write_record(path: Path, record: Record, *, sealed: bool = False) -> None:
    """Write a record atomically, with sorted keys, so that equal records have equal bytes.

    Args:
        path: The file.
        record: The record.
        sealed: Whether to write a checksum file as well; published records have git's checksums.
    """
    # A record from before requests were stored keeps its bytes.
    values = record.model_dump(mode="json", exclude={"request"} if record.request is None else None)
    text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write = write_sealed if sealed else write_atomically
    write(path, lambda unfinished: unfinished.write_bytes(text.encode()))


def read_record(path: Path) -> Record:
    """Read one record.

    Raises:
        UserError: The file is not a record of this version, or does not match its checksum.
    """
    if not is_intact(path):
        raise UserError(f"{path}: damaged (its checksum differs); delete it and run again")
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        problem = f"not a result record ({where}: {first['msg']})"
        raise UserError(f"{path}: {problem}; move it elsewhere, and run again if it was a result") from None


def read_records(folders: Iterable[Path]) -> list[Record]:
    """Read all records below folders: of runs every ``results/**/*.json``, of published records every ``*.json``.

    Raises:
        UserError: A folder does not exist, or a record cannot be read.
    """
    return [read_record(path) for path in result_files(folders)]


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


def read_published(folder: Path) -> list[Record]:
    """Read all published records.

    Raises:
        UserError: It does not exist, or a record cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no published records; change to a clone of the repository, or name their folder")
    return [read_record(path) for path in record_files(folder)]


def record_files(folder: Path) -> list[Path]:
    """Return the JSON files below a folder, sorted, without a run's other JSON files and unfinished ones."""
    return [
        path for path in sorted(folder.rglob("*.json")) if path.name not in RUN_NOTES and not path.name.startswith(".")
    ]
