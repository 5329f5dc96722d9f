"""The published tables, as pages of the site."""

from __future__ import annotations

from pathlib import Path

from .markdown import contents

INTRO = """The tables that `rsir-bench leaderboard` renders from the published records, and
[what was run](boards/README.md). How to read one: [Reading a leaderboard](../leaderboards.md). The same records with
figures, to sort and to filter: <a href="../report/index.html">the report</a>."""


ORDER = ("leaderboard", "variants", "robustness", "postprocessing", "costs")
"""Pages of a board as they are listed, after the tables of the paper."""

NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")


def _place(file: Path) -> int:
    names = [*(f"table_{numeral}" for numeral in NUMERALS), *ORDER]
    return names.index(file.stem)


def pages(folder: Path) -> dict[str, str]:
    """Return the page that lists the boards, one for each board that lists its tables, and the tables.

    Args:
        folder: ``leaderboards/`` of the repository.
    """
    boards: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*/*.md")):
        boards.setdefault(file.parent.name, []).append(file)
    found = {
        "boards.md": contents("Published boards", INTRO, ["boards/README", *(f"boards/{name}" for name in boards)])
    }
    found["boards.md"] += "\n" + "\n".join(f"- [{name}](boards/{name}.md)" for name in boards) + "\n"
    found["boards/README.md"] = (folder / "README.md").read_text(encoding="utf-8")
    for name, files in boards.items():
        listed = "\n".join(f"{name}/{file.stem}" for file in sorted(files, key=_place))
        report = f'The figures of this board: <a href="../../report/boards/{name}.html">report</a>.'
        if not (folder / "results" / name).is_dir():
            report = "No result of this protocol is published yet: each empty cell leads to the command that fills it."
        found[f"boards/{name}.md"] = f"# {name}\n\n{report}\n\n```{{toctree}}\n\n{listed}\n```\n"
        found |= {f"boards/{name}/{file.name}": file.read_text(encoding="utf-8") for file in files}
    return found
