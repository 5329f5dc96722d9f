"""The pages that need the runs and the scenes: query explorer, panels, curves, converted scenes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from rsir_bench.base.files import write_text
from rsir_bench.base.progress import log
from rsir_bench.report.renderer import Link
from rsir_bench.report.scenes.curves import draw_curves
from rsir_bench.report.scenes.explorer import shown_metrics, write_explorer
from rsir_bench.report.scenes.front_ends import convert
from rsir_bench.report.scenes.panels import choose_queries, make_panels, rule
from rsir_bench.report.scenes.rows import write_showcase, write_strip
from rsir_bench.report.scenes.targets import Target, find_targets
from rsir_bench.report.scenes.thumbnails import Sheets, write_sheets
from rsir_bench.report.tiles import Scenes
from rsir_bench.runs.request import UserFiles
from rsir_bench.scenes.decode import UNREADABLE, remedy, why_unreadable

STATIC = ("explorer.css", "explorer.js")


def add_scenes(
    out: Path,
    runs: Sequence[Path],
    files: UserFiles,
    render: Callable[..., Path],
) -> Scenes:
    """Add the query explorer, and a page for each target with curves, retrieval panels and converted scenes.

    Missing descriptors, scenes and networks are reported on standard error and on the explorer's page, one line each;
    everything else is still shown.

    Args:
        out: The report's folder.
        runs: Folders that ``rsir-bench run --out`` wrote.
        files: What the runs were made with.
        render: ``Frame.render`` of the report's frame.

    Returns:
        Links to the pages, the explorer first, and scenes for other pages; empty if nothing can be shown.

    Raises:
        UserError: A folder of runs does not exist, or a file cannot be written.
    """
    missing: list[str] = []

    def log_missing(line: str) -> None:
        missing.append(line)
        log(line)

    targets = _with_sheets(out, find_targets(runs, files, log_missing), log_missing)
    if not targets:
        log_missing(
            f"no retrieved scenes shown: nothing in {', '.join(map(str, runs))} has both descriptors and scenes"
        )
        return Scenes()
    for name in STATIC:
        text = resources.files("rsir_bench.report").joinpath("static", name).read_text(encoding="utf-8")
        write_text(out / "static" / name, text)
    pages = [_write_page(out, target, sheets, render, log_missing) for target, sheets in targets]
    links = [write_explorer(out, targets, missing, render), *pages]
    strips = {target.index.name: write_strip(out, target, sheets) for target, sheets in reversed(targets)}
    return Scenes(links, strips, write_showcase(out, targets))


def _with_sheets(out: Path, targets: Sequence[Target], log: Callable[[str], None]) -> list[tuple[Target, Sheets]]:
    """Write thumbnails, which boards share, and return the targets with them."""
    groups: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        groups[target.index.fingerprint].append(target)
    found = []
    for group in groups.values():
        index = group[0].index
        try:
            sheets = write_sheets(out, index)
        except UNREADABLE as error:
            log(f"{index.name} not shown: no scene of it can be read ({why_unreadable(error)}); {remedy(error)}")
            continue
        if sheets.unreadable:
            log(f"{index.name}: {len(sheets.unreadable)} scenes cannot be read and are grey: {sheets.unreadable[0]}")
        found += [(target, sheets) for target in group]
    return sorted(found, key=lambda pair: (pair[0].board, pair[0].label))


def _write_page(
    out: Path, target: Target, sheets: Sheets, render: Callable[..., Path], log: Callable[[str], None]
) -> Link:
    curves = draw_curves(target)
    href = f"scenes/{target.name}.html"
    converted = convert(out, target, choose_queries(target), log)
    if curves is not None:
        write_text(out / f"scenes/{curves.name}.svg", curves.file)
    render(
        "scenes.html",
        href,
        target=target,
        metrics=shown_metrics(target),
        colours=sheets.colours.text,
        curves=curves,
        panels=make_panels(target, sheets),
        rule=rule(target),
        converted=converted,
    )
    parts = [("precision-recall curves", curves), ("retrieval panels", True), ("converted scenes", converted)]
    shown_parts = ", ".join(words for words, there in parts if there).capitalize()
    title = f"Scenes of {target.title} ({target.board_title})"
    labels = tuple(shown.record.method.label for shown in target.methods)
    return Link(title, href, f"{shown_parts}: what the methods retrieve.", target.board, target.index.name, labels)
