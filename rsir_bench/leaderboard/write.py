"""Write a folder of rendered tables, and check whether one is up to date."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import file_digest, write_text
from rsir_bench.base.output_folder import list_of, listed_digests, replaced_folder
from rsir_bench.base.progress import track
from rsir_bench.leaderboard.boards import Board, boards, paper_boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.parts import Table
from rsir_bench.records.schema import Record

VERB = "leaderboard"
RECORDS = "results"
"""The subfolder of the leaderboards that ``publish`` writes."""

NAMES = ("table_*", "leaderboard", "variants", "postprocessing", "costs", "robustness")
"""What the files of a board are called."""

COMMITTED = ("md",)
"""The formats of the committed leaderboards; the others are written on demand."""


def render_leaderboards(
    records: Iterable[Record],
    folder: Path,
    formats: Sequence[str] = COMMITTED,
    log: Callable[[Path], object] = lambda path: None,
    metrics: Sequence[str] | None = None,
    *,
    paper: bool = False,
) -> list[Path]:
    """Write the tables of ``write_tables``, replacing those that were rendered into the folder before.

    Args:
        records: Records of any boards.
        folder: The folder of the leaderboards; created if missing. Other files in it are left alone.
        formats: Suffixes, of ``FORMATS``.
        log: Called with each file that is removed because its records or its format are gone.
        metrics: The columns of the tables and the grids of the leaderboard; None: the usual ones.
        paper: Whether the paper's tables are written even where there is no result of their protocol.

    Returns:
        The files of all tables, sorted.

    Raises:
        UserError: An unknown format, records that cannot share a board, a folder with other files, a table that was
            edited, or a file that cannot be written.
    """
    rendered = _rendered(records, formats, metrics, paper=paper)
    with replaced_folder(folder, VERB, beside=[RECORDS]) as staging:
        removed = listed_digests(folder, VERB).keys() - rendered.keys()
        _write(rendered, staging)
    for name in sorted(removed):
        log(folder / name)
    return [folder / name for name in sorted(rendered)]


def write_tables(records: Iterable[Record], folder: Path, formats: Sequence[str] = tuple(FORMATS)) -> list[Path]:
    """Write ``<folder>/<board>/<name>.<format>`` for every board.

    Names are ``table_I`` and so on for the tables of the paper, else ``leaderboard``, ``variants``, ``postprocessing``,
    ``costs`` and ``robustness``, as far as records have that. The text depends on the records alone: not on their
    order, the time or the machine.

    Returns:
        The files of all tables, sorted.

    Raises:
        UserError: An unknown format, records that cannot share a board, or a file that cannot be written.
    """
    return write_boards([(board, tables(board)) for board in boards(records)], folder, formats)


def write_boards(
    found: Iterable[tuple[Board, Sequence[Table]]], folder: Path, formats: Sequence[str] = tuple(FORMATS)
) -> list[Path]:
    """Write what ``write_tables`` does, from boards with their tables.

    Returns:
        The files of all tables, sorted.

    Raises:
        UserError: A file cannot be written.
    """
    written = []
    for board, known in found:  # one by one: the pages of thousands fill the memory
        rendered = _texts(board, known, formats)
        _write(rendered, folder)
        written += [folder / name for name in rendered]
    return sorted(written)


def check(
    records: Iterable[Record],
    folder: Path,
    formats: Sequence[str] = COMMITTED,
    metrics: Sequence[str] | None = None,
    *,
    paper: bool = False,
) -> list[Path]:
    """Return the tables below ``folder`` that differ from the records, are missing, or have no records.

    A table is compared without its padding, which differs between versions of tabulate. The folder's list of its files
    is checked too: rendering refuses to replace a file that differs from the list.

    Raises:
        UserError: An unknown format, or records that cannot share a board.
    """
    rendered = _rendered(records, formats, metrics, paper=paper)
    differing = _present(folder) ^ rendered.keys()
    listed = listed_digests(folder, VERB)
    for name in rendered.keys() - differing:
        path = folder / name
        edited = name in listed and listed[name] != {file_digest(path)}
        if edited or _unpadded(path.read_bytes().decode(errors="replace")) != _unpadded(rendered[name]):
            differing.add(name)
    if not differing and listed.keys() != rendered.keys():
        return [list_of(folder, VERB)]
    return [folder / name for name in sorted(differing)]


def _unpadded(text: str) -> str:
    return re.sub(r" +", " ", re.sub(r"-{2,}", "--", text))


def _write(rendered: dict[str, str], folder: Path) -> None:
    for name, text in rendered.items():
        write_text(folder / name, text)


def _rendered(
    records: Iterable[Record], formats: Sequence[str], metrics: Sequence[str] | None, *, paper: bool
) -> dict[str, str]:
    """Return texts by file name relative to the folder of leaderboards."""
    unknown = [suffix for suffix in formats if suffix not in FORMATS]
    if unknown:
        raise UserError(f"--format {','.join(unknown)}: unknown; choose from {', '.join(FORMATS)}")
    texts: dict[str, str] = {}
    found = boards(records)
    if paper:
        found += [board for board in paper_boards() if board.name not in {one.name for one in found}]
    for board in track(found, "rendering boards"):
        texts |= _texts(board, None, formats, metrics)
    return texts


def _texts(
    board: Board, known: Sequence[Table] | None, formats: Sequence[str], metrics: Sequence[str] | None = None
) -> dict[str, str]:
    """Return the texts of one board by file name."""
    return {
        f"{board.name}/{document.stem}.{suffix}": FORMATS[suffix](document)
        for document in documents(board, known, metrics)
        for suffix in formats
    }


def _present(folder: Path) -> set[str]:
    files = (path for name in NAMES for suffix in FORMATS for path in folder.glob(f"*/{name}.{suffix}"))
    return {path.relative_to(folder).as_posix() for path in files}
