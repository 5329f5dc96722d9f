"""Draw the pictures of the README: from published records, and from the scenes and runs of `rsir-bench demo`.

    rsir-bench demo && python docs/pictures/make.py demo

`terminal.svg` and `leaderboard.svg` depend on published records alone. `explorer.png` is a page of the demo's report,
as Chromium shows it: it needs Playwright and Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = REPOSITORY / "docs" / "pictures"
RESULTS = REPOSITORY / "leaderboards" / "results"

DEMO = ("baseline", "jsst", "se")
"""The methods that `rsir-bench demo` trains unless others are named."""

TABLES = 3
"""How many tables the picture of the terminal shows: one for each target."""

BOARD, TARGETS, ROW, SEEDS = "ucm-mobile", ("rsscn7", "aid"), "PCA", 5
"""What the picture of the leaderboard shows: the lines of at least so many seeds."""

EXPLORED = "board=demo&target=demo-view&class=harbour&scene=harbour/harbour_004.png"
"""What the picture of the explorer shows: a query with four to five of ten right, as the mean of all queries."""


def demo_output(colours: bool = False) -> str:
    """Return what `rsir-bench demo` prints of its published records, but for the link to open."""
    from rsir_bench.base.terminal.screen import Screen
    from rsir_bench.cli.demo import COLUMNS
    from rsir_bench.leaderboard import terminal_table
    from rsir_bench.records.store import read_published

    records = [record for record in read_published(RESULTS / "demo") if record.method.label in DEMO and not record.seed]
    return terminal_table(records, COLUMNS, Screen(width=110 if colours else None, colours=colours))


def terminal() -> str:
    """Return the picture of a terminal after `rsir-bench demo`, as SVG."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    console = Console(record=True, width=112, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print("[bold green]$[/] rsir-bench demo\n", highlight=False)
    grids = demo_output(colours=True).split("\n\n")
    console.print(Text.from_ansi("\n\n".join(grids[:TABLES])))
    console.print("\n...\n\nOpen file:///home/you/rsir-bench/demo/report/index.html", highlight=False)
    return console.export_svg(title="rsir-bench demo", theme=MONOKAI, unique_id="terminal")


def leaderboard_lines() -> list[tuple[str, dict[str, list[float]]]]:
    """Return the mAP of each seed on each target, by method, best mean first."""
    from rsir_bench.records.cells import is_plain
    from rsir_bench.records.editions import of_usual_editions
    from rsir_bench.records.store import read_published

    found: dict[str, dict[str, list[float]]] = {}
    for record in of_usual_editions(read_published(RESULTS / BOARD)):
        if record.row.name == ROW and is_plain(record) and record.row.fit != "target":
            of_target = found.setdefault(record.method.label, {}).setdefault(record.target.name, [])
            of_target.append(record.metrics["mAP"])
    whole = {
        name: of_targets
        for name, of_targets in found.items()
        if all(len(of_targets.get(target, [])) >= SEEDS for target in TARGETS)
    }
    return sorted(whole.items(), key=lambda line: -fmean(line[1][TARGETS[0]]))


def leaderboard() -> str:
    """Return the picture of a board, as SVG: a dot for the mean over seeds, a line for one standard deviation."""
    lines = leaderboard_lines()
    left, panel, step, top = 140, 340, 30, 70
    height = top + step * len(lines) + 40
    width = left + len(TARGETS) * panel + 20
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="14" fill="#24292f">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
        f'<text x="20" y="30" font-weight="bold">Board {BOARD}, row {ROW}: mAP, mean and deviation over seeds</text>',
    ]
    for number, (name, _) in enumerate(lines):
        drawn.append(f'<text x="20" y="{top + step * number + 19}">{escape(name)}</text>')
    for number, target in enumerate(TARGETS):
        values = [of_targets[target] for _, of_targets in lines]
        drawn += _panel(target, values, left + number * panel, panel - 60, top, step)
    return "\n".join([*drawn, "</svg>\n"])


def _panel(target: str, values: Sequence[Sequence[float]], x: int, width: int, top: int, step: int) -> list[str]:
    """Return the marks of one target: a scale in steps of .05 from below the least to above the greatest value."""
    low = int(min(fmean(seeds) - stdev(seeds) for seeds in values) * 20) / 20
    high = -int(-max(fmean(seeds) + stdev(seeds) for seeds in values) * 20 - 1) / 20

    def place(value: float) -> float:
        return round(x + (value - low) / (high - low) * width, 1)

    bottom = top + step * len(values)
    drawn = [f'<text x="{x}" y="{top - 12}" fill="#57606a">{escape(target.upper())}</text>']
    for tick in range(round(low * 20), round(high * 20) + 1):
        at = place(tick / 20)
        drawn.append(f'<path d="M{at} {top}V{bottom}" stroke="#d0d7de"/>')
        drawn.append(f'<text x="{at}" y="{bottom + 20}" text-anchor="middle" fill="#57606a">{tick / 20:.2f}</text>')
    for number, seeds in enumerate(values):
        y, mean, spread = top + step * number + 14, fmean(seeds), stdev(seeds)
        line = f"M{place(mean - spread)} {y}H{place(mean + spread)}"
        drawn.append(f'<path d="{line}" stroke="#0b5d7a" stroke-width="3"/>')
        drawn.append(f'<circle cx="{place(mean)}" cy="{y}" r="5" fill="#0b5d7a"/>')
    return drawn


def explorer(report: Path, width: int = 1180, height: int = 930) -> bytes:
    """Return a picture of the explorer, as a PNG of 128 colours.

    Args:
        report: The report of the demo.
        width: Of the picture in pixels.
        height: Likewise.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        page.goto(f"{(report / 'explorer.html').resolve().as_uri()}#{EXPLORED}")
        page.wait_for_selector("#rankings[data-scene]")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        shot = page.screenshot()
        browser.close()
    picture, packed = Image.open(io.BytesIO(shot)).convert("RGB").quantize(128), io.BytesIO()
    picture.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def main() -> None:
    """Draw all pictures; those of records alone where no demo is named."""
    (PICTURES / "terminal.svg").write_text(terminal(), encoding="utf-8")
    (PICTURES / "leaderboard.svg").write_text(leaderboard(), encoding="utf-8")
    if len(sys.argv) > 1:
        (PICTURES / "explorer.png").write_bytes(explorer(Path(sys.argv[1]) / "report"))


if __name__ == "__main__":
    main()
