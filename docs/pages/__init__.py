"""Sphinx extension: pages of the reference, written from code and cards before Sphinx reads its sources.

Everything below ``docs/reference/`` is written here and is not kept in the repository.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import boards, commands, datasets, distortions, methods, metrics, protocols
from .links import adapted

if TYPE_CHECKING:
    from sphinx.application import Sphinx

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("CONTRIBUTING", "CHANGELOG")
"""Pages of the repository's top folder that the site holds too."""


def reference() -> dict[str, str]:
    """Return the Markdown of every page, by its path below ``docs/reference/``."""
    return {
        "commands.md": commands.page(),
        "metrics.md": metrics.page(),
        "distortions.md": distortions.page(),
        **{f"{name.lower()}.md": (REPOSITORY / f"{name}.md").read_text(encoding="utf-8") for name in COPIED},
        **methods.pages(),
        **datasets.pages(),
        **protocols.pages(),
        **boards.pages(REPOSITORY / "leaderboards"),
    }


def write(folder: Path, pages: dict[str, str]) -> None:
    """Write the pages into a folder: those that are there unchanged keep their time, others are removed."""
    for path in folder.rglob("*.md"):
        if path.relative_to(folder).as_posix() not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _write_reference(app: Sphinx) -> None:
    write(Path(app.srcdir) / "reference", reference())


def _adapt(_: Sphinx, page: str, source: list[str]) -> None:
    source[0] = adapted(source[0], page)


def _write_report(app: Sphinx, error: Exception | None) -> None:
    """Add the report on the published records, whose pages are links of the site."""
    if error is None and app.builder.name == "html":
        report = [sys.executable, "-m", "rsir_bench", "report", "--out", str(Path(app.outdir) / "report")]
        subprocess.run(report, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("builder-inited", _write_reference)
    app.connect("source-read", _adapt)
    app.connect("build-finished", _write_report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
