"""The folder of rendered tables, and whether those on disk are what the records give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from rsir_bench.base.files import write_text
from rsir_bench.base.output_folder import list_of, listed_digests, replaced_folder, text_digest
from rsir_bench.leaderboard import costs, robustness
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.render import comma_separated, html, latex, markdown
from rsir_bench.leaderboard.tables import tables
from rsir_bench.records.schema import Record

RECORDS = "results"
"""The subfolder of the leaderboards that `publish` writes."""

FORMATS = {"md": markdown, "csv": comma_separated, "tex": latex, "html": html}
ROBUSTNESS = {
    "md": robustness.markdown,
    "csv": robustness.comma_separated,
    "tex": robustness.latex,
    "html": robustness.html,
}
COSTS = {"md": costs.markdown, "csv": costs.comma_separated, "tex": costs.latex, "html": costs.html}


def render_leaderboards(
    records: Iterable[Record], folder: Path, on_removal: Callable[[Path], object] = lambda path: None
) -> list[Path]:
    """Write the tables of :func:`write_tables` in the place of those that were rendered into the folder before.

    Args:
        records: Of any boards.
        folder: Of the leaderboards; made if need be. Files of others that it holds are left alone.
        on_removal: Called with each file that is removed because its records are gone.

    Returns:
        The files of all tables, sorted.

    Raises:
        UserError: Records that must not share a board, a folder of others, a table that was edited, or a file that
            cannot be written.
    """
    rendered = _rendered(records)
    with replaced_folder(folder, beside=[RECORDS]) as staging:
        gone = listed_digests(folder).keys() - rendered.keys()
        _write(rendered, staging)
    for name in sorted(gone):
        on_removal(folder / name)
    return [folder / name for name in sorted(rendered)]


def write_tables(records: Iterable[Record], folder: Path) -> list[Path]:
    """Write ``<folder>/<board>/table_<name>.{md,csv,tex,html}`` for every board.

    A board whose records tell any cost has a table ``costs`` too, and one with distorted targets ``robustness``.

    The bytes depend on the records alone: not on their order, the time or the machine.

    Returns:
        The files of all tables, sorted.

    Raises:
        UserError: Records that must not share a board, or a file that cannot be written.
    """
    rendered = _rendered(records)
    _write(rendered, folder)
    return [folder / name for name in sorted(rendered)]


def check(records: Iterable[Record], folder: Path) -> list[Path]:
    """The tables below ``folder`` that differ by a byte from what the records give, are missing, or have no records.

    The folder's list of its tables is checked too: rendering refuses to replace what is not on it.

    Raises:
        UserError: Records that must not share a board.
    """
    rendered = _rendered(records)
    differing = _present(folder) ^ rendered.keys()
    differing |= {
        name
        for name, text in rendered.items()
        if name not in differing and (folder / name).read_bytes() != text.encode()
    }
    listed = {name: {text_digest(text)} for name, text in rendered.items()}
    if not differing and listed_digests(folder) != listed:
        return [list_of(folder)]
    return [folder / name for name in sorted(differing)]


def _write(rendered: dict[str, str], folder: Path) -> None:
    for name, text in rendered.items():
        write_text(folder / name, text)


def _rendered(records: Iterable[Record]) -> dict[str, str]:
    """Text by file name relative to the folder of leaderboards."""
    rendered: dict[str, str] = {}
    for board in boards(records):
        for table in tables(board):
            rendered |= {f"{board.name}/table_{table.name}.{suffix}": show(table) for suffix, show in FORMATS.items()}
        if costs.lines(board):
            rendered |= {f"{board.name}/table_costs.{suffix}": show(board) for suffix, show in COSTS.items()}
        if robustness.blocks(board):
            rendered |= {f"{board.name}/table_robustness.{suffix}": show(board) for suffix, show in ROBUSTNESS.items()}
    return rendered


def _present(folder: Path) -> set[str]:
    files = (path for suffix in FORMATS for path in folder.glob(f"*/table_*.{suffix}"))
    return {path.relative_to(folder).as_posix() for path in files}
