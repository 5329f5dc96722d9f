"""Store in a run's folder which code made its results, and compare it with the current code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rsir_bench.base.errors import UserError
from rsir_bench.method.code.code_files import file_code
from rsir_bench.records.cells import CellId, result_of
from rsir_bench.records.schema import Record
from rsir_bench.records.store import (
    CODE_NOTE,
    LEFT_OUT,
    LeaveOut,
    read_each,
    result_files,
    without_replaced,
)
from rsir_bench.runs.notes import read_note, write_note
from rsir_bench.runs.plan import Plan, Run


def note_code(run: Run) -> None:
    """Write down which files the run's method comes from, and what their code is."""
    files = {str(path): content for path, content in run.method.code.items()}
    write_note(run.folder / CODE_NOTE, {"code": run.method.own_code, "files": files, "otherwise": run.plain_key})


def changed_since(run: Run) -> Path | None:
    """Return the folder that other code of the same method has left for an equal run; None if there is none."""
    if run.folder.is_dir():
        return None
    for path in sorted(run.folder.parent.glob(f"*/{CODE_NOTE}")):
        note = _read(path)
        if note.get("otherwise") == run.plain_key and note.get("code") != run.method.own_code:
            return path.parent
    return None


def changed_lines(plan: Plan) -> list[str]:
    """Return a line for each unfinished run whose method's code or initial weights have changed since."""
    lines = []
    for run in plan.todo:
        if former := changed_since(run):
            then = _read(former / CODE_NOTE)["files"]
            changed = [path.name for path, content in run.method.code.items() if content not in then.values()]
            what = ", ".join(changed) or "the code"
            lines.append(f"{run.title}: {what} changed since {former}; recomputed")
        for name, identity in run.weights.items():
            if "@" in identity:
                known = identity.partition("@")[0]
                lines.append(f"{run.title}: {name}: other weights of {known} in timm's cache now; recomputed")
    return lines


def read_current(
    folders: Iterable[Path], log: Callable[[str], object], leave_out: LeaveOut | None = None
) -> list[Record]:
    """Return all records below folders, except those of runs whose method's code has changed since.

    The code is compared where the method's files are still where they were; results of other folders, such as the
    published ones, are taken as they are. Of rankings that were post-processed by several versions of one code, the
    newest are taken.

    Args:
        folders: Of runs, or of published records.
        log: Takes a line about the results that are left out.
        leave_out: Takes a line for each record that cannot be read.

    Raises:
        UserError: A folder does not exist; or records cannot be read, and there is no ``leave_out``.
    """
    of_runs: dict[Path, list[Path]] = defaultdict(list)
    for path in result_files(folders):
        of_runs[run_folder_of(path)].append(path)
    notes: dict[Path, dict[str, Any]] = {}
    for folder in of_runs:
        try:
            notes[folder] = _read(folder / CODE_NOTE)
        except UserError as error:
            if leave_out is None:
                raise
            leave_out(f"{LEFT_OUT}{error}")
    why = {folder: reason for folder, note in notes.items() if (reason := _changed(note))}
    why |= _replaced({folder: note for folder, note in notes.items() if folder not in why})
    for folder, reason in why.items():
        log(f"left out  {len(of_runs[folder])} results in {folder}: {reason}")
    current = [path for folder in notes if folder not in why for path in of_runs[folder]]
    read = [(path, record) for path in current for record in read_each([path], leave_out)]
    return without_replaced(_newest_processed(read, log))


def _newest_processed(read: Sequence[tuple[Path, Record]], log: Callable[[str], object]) -> list[Record]:
    """Return the records but those whose post-processing has been made by newer code since."""
    newest: dict[tuple[CellId, int, str], tuple[int, str]] = {}
    for path, record in read:
        if record.after is not None:
            place, made = result_of(record), (path.stat().st_mtime_ns, record.key)
            newest[place] = max(made, newest.get(place, made))
    kept = []
    for path, record in read:
        if record.after is not None and newest[result_of(record)][1] != record.key:
            log(f"left out  {path}: post-processed by other code than a newer result")
        else:
            kept.append(record)
    return kept


def run_folder_of(record: Path) -> Path:
    """Return the folder of the run that made a record; any folder above it where no run has."""
    return next((folder for folder in record.parents if (folder / CODE_NOTE).is_file()), record.parent)


def _changed(note: dict[str, Any]) -> str | None:
    """Return which files have changed since a run, in words; None if none has, of those that are still there."""
    files = {Path(path): content for path, content in note.get("files", {}).items()}
    names = [path.name for path, content in files.items() if path.is_file() and _digest(path) != content]
    if not names:
        return None
    have = "has" if len(names) == 1 else "have"
    return f"{', '.join(names)} {have} changed since; `rsir-bench run` makes them again"


def _digest(path: Path) -> str | None:
    """Return the digest of a file's code; None if it is no longer Python."""
    try:
        return file_code(path)
    except UserError:
        return None


def _replaced(notes: dict[Path, dict[str, Any]]) -> dict[Path, str]:
    """Return the runs that a newer one of other code has replaced in the same folder, with the reason in words."""
    alike: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for folder, note in notes.items():
        if note:
            alike[folder.parent, note["otherwise"]].append(folder)
    why: dict[Path, str] = {}
    for folders in alike.values():
        newest = max(folders, key=lambda folder: (folder / CODE_NOTE).stat().st_mtime_ns)
        reason = f"made with other code or weights than {newest}, which is newer"
        why |= dict.fromkeys((folder for folder in folders if folder != newest), reason)
    return why


def _read(path: Path) -> dict[str, Any]:
    """Return a note; empty if there is none.

    Raises:
        UserError: It is damaged, or not as ``note_code`` writes it.
    """
    if not path.is_file():
        return {}
    note = read_note(path)
    texts = isinstance(note.get("code"), str) and isinstance(note.get("otherwise"), str)
    if not texts or not isinstance(note.get("files"), dict):
        raise UserError(f"{path}: damaged; delete it and run again")
    return note
