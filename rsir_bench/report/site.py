"""Build the whole report: from records, and the runs behind them, to one folder of pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import write_text
from rsir_bench.base.output_folder import replaced_folder
from rsir_bench.base.progress import track
from rsir_bench.leaderboard.write import write_boards
from rsir_bench.method.registry import discover
from rsir_bench.records import commands
from rsir_bench.records.schema import Record
from rsir_bench.records.store import write_record
from rsir_bench.report.board_view import BoardView, views
from rsir_bench.report.figures import figures
from rsir_bench.report.pages import Content, tables_of, write_pages
from rsir_bench.report.plot_style import Drawing
from rsir_bench.report.renderer import NAVIGATION, Frame
from rsir_bench.report.tiles import Scenes
from rsir_bench.runs.request import UserFiles
from rsir_bench.scenes.card import load_cards

EXPLORER = "explorer.html"


def build_report(
    records: Sequence[Record],
    out: Path,
    runs: Sequence[Path] = (),
    files: UserFiles | None = None,
) -> list[Path]:
    """Write the report, which opens from disk at ``out / "index.html"``.

    Pages, figures and tables from records depend on the records alone: equal records give equal bytes.

    Args:
        records: Records of any boards.
        out: A new folder, an empty one, or an earlier report, which is replaced.
        runs: Folders of runs, for pages of scenes.
        files: What the runs were made with; None: only what is found by name.

    Returns:
        Every page.

    Raises:
        UserError: There are no records, they cannot share a board, the folder holds other files or an edited page, or
            scenes or methods of the runs are missing.
    """
    if not records:
        raise UserError("no records to report; make some with `rsir-bench run`, or name a folder that holds them")
    with replaced_folder(out, "report") as staging:
        pages = _write(records, staging, runs, files or UserFiles())
    return [out / page.relative_to(staging) for page in pages]


def _write(
    records: Sequence[Record],
    out: Path,
    runs: Sequence[Path],
    files: UserFiles,
) -> list[Path]:
    """Write the report into an empty folder and return its pages."""
    frame = Frame(out)
    frame.add_static("table.js")
    shown = views(records)
    methods = discover(files.plugins, strict=False)
    scenes = Scenes()
    if runs:
        from rsir_bench.report.scenes.pages import add_scenes  # its packages are only needed for scenes

        frame.nav = [*NAVIGATION, ("Explorer", EXPLORER)]
        scenes = add_scenes(out, runs, files, frame.render)
    frame.nav = [*NAVIGATION, *([("Explorer", EXPLORER)] if scenes.links else [])]
    content = Content(shown, _draw(shown, out), _tables(records, shown, out), methods, load_cards(), scenes)
    write_pages(frame, content)
    return frame.pages


def _draw(shown: list[BoardView], out: Path) -> dict[tuple[str, str], list[Drawing]]:
    places = [(view, target) for view in shown for target in view.targets]
    drawings = {}
    for view, target in track(places, "drawing figures"):
        drawings[view.name, target.name] = list(figures(view, target))
        for drawing in drawings[view.name, target.name]:
            write_text(out / "figures" / f"{drawing.name}.svg", drawing.file)
    return drawings


def _tables(records: Sequence[Record], shown: Sequence[BoardView], out: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Write the tables in all formats, and the records that they link to."""
    folder = out / "tables"
    for record in track(records, "writing records"):
        write_record(folder / "results" / commands.record_path(record), record)
    boards = ((view.board, view.rendered) for view in track(shown, "writing tables"))
    return tables_of(write_boards(boards, folder), out)
