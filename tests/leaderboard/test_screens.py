"""What people see at 80 and at 120 columns, compared as text: ``python test_screens.py`` writes it down anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from factory import protocol_part, record, scores

import rsir_bench
from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of, short_path, visible_but_styles
from rsir_bench.base.terminal.tables import Cell, Column, text_table
from rsir_bench.cli.drift import drift_report
from rsir_bench.cli.groups.datasets import list_as_table
from rsir_bench.cli.groups.methods import as_table as methods_as_table
from rsir_bench.cli.score import as_table as scores_as_table
from rsir_bench.conformance.report import Outcome, Report
from rsir_bench.leaderboard import terminal_table
from rsir_bench.publishing.drift import compare

FOLDER = Path(__file__).parent / "screens"
LITE = protocol_part("aid-lite")


def methods(screen: Screen) -> str:
    behind = "those of the method behind it (baseline)"
    tables = "I, II, III, IV, V, VI, VII, VIII"
    fields = ("method", "title", "year", "rows", "tables", "from")
    rows = [
        (
            "baseline",
            "the protocol's trunk",
            2016,
            "FC; PCA",
            tables,
            "/opt/site-packages/rsir_bench/methods/baseline.py",
        ),
        ("jsst", "JSST", 2021, behind, tables, "/opt/site-packages/rsir_bench/methods/jsst.py"),
        ("mine", "Proxy anchor with a margin", 2026, "PCA; Embedding", "", "mine.py"),
    ]
    return methods_as_table([dict(zip(fields, row, strict=True)) for row in rows], screen)


def datasets(screen: Screen) -> str:
    fields = ("dataset", "title", "classes", "labels", "scenes", "pixels", "bands", "licence", "edition", "present")
    terms = "non-commercial: research and education only"
    rows = [
        (
            "ucm",
            "UC Merced land use",
            21,
            0,
            2100,
            256,
            3,
            "public domain",
            "original",
            "/mnt/scenes/UCMerced_LandUse/Images",
        ),
        ("nwpu", "NWPU-RESISC45", 45, 0, 31500, 256, 3, terms, "", "no"),
        ("aid", "AID", 30, 17, 10000, 600, 3, terms, "", "incomplete: Airport is missing"),
    ]
    return list_as_table([dict(zip(fields, row, strict=True)) for row in rows], screen)


def check(screen: Screen) -> str:
    outcomes = (
        Outcome("card", "ok", "name, rows and settings are complete"),
        Outcome(
            "loss", "failed", "loss() gives a tensor of shape (16,); it must be a scalar: take its mean (mine.py:21)"
        ),
        Outcome("learns", "not run", "needs: loss"),
        Outcome("resumes", "not run", "needs: loss"),
    )
    return Report("mine", Path("mine.py"), outcomes).as_text(screen)


def score(screen: Screen) -> str:
    rows = np.random.default_rng(0).normal(size=(40, 4)) + np.repeat(np.eye(4) * 2, 10, axis=0)
    labels = np.repeat(["airport", "beach", "dense residential", "storage tanks"], 10)
    return scores_as_table(rsir_bench.score(rows, labels), screen)


def leaderboard(screen: Screen) -> str:
    records = [record("jsst", protocol=LITE, seed=seed, metrics=scores(0.8 + seed / 20)) for seed in range(3)]
    records += [record("baseline", protocol=LITE, seed=seed, metrics=scores(0.75)) for seed in range(2)]
    return terminal_table([*records, record("jsst", protocol=LITE, target="aid")], screen=screen)


def drift(screen: Screen) -> str:
    before = [record("jsst", protocol=LITE, seed=seed, metrics={"mAP": 0.5 + seed / 100}) for seed in range(3)]
    now = [one.model_copy(update={"metrics": {"mAP": one.metrics["mAP"] - 0.1}}) for one in before]
    return drift_report(compare(now, before), Path("leaderboards/results")).folded().as_text(screen)


SCREENS: dict[str, Callable[[Screen], str]] = {
    "methods": methods,
    "datasets": datasets,
    "check": check,
    "score": score,
    "leaderboard": leaderboard,
    "drift": drift,
}
WIDTHS = (80, 120)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_written_down(name: str, width: int) -> None:
    shown = SCREENS[name](Screen(width))
    assert shown == (FOLDER / f"{name}-{width}.txt").read_text().removesuffix("\n")
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("name", SCREENS)
def test_every_width_fits_and_has_every_word(name: str) -> None:
    """Words of a cell may be on several lines, and optional columns are left out where it is narrow."""
    for width in (80, 93, 140, 200):
        assert max(map(len, SCREENS[name](Screen(width)).splitlines())) <= width
    plain = SCREENS[name](PLAIN)
    assert sorted("".join(SCREENS[name](Screen(500)).split())) == sorted("".join(plain.split()))


@pytest.mark.parametrize("name", SCREENS)
def test_colours_change_no_letter(name: str) -> None:
    screen = Screen(100, colours=True)
    coloured = SCREENS[name](screen)
    bare = coloured
    for code in ("1;32", "32", "33", "1;31", "2", "1", "0"):
        bare = bare.replace(f"\x1b[{code}m", "")
    assert bare == SCREENS[name](Screen(100))
    assert (coloured != bare) == (name not in ("methods", "score"))
    assert visible_but_styles(coloured) == coloured


COLUMNS = [Column("name"), Column("what it is"), Column("where", "path", optional=True), Column("mAP", "number")]
ROWS: list[Sequence[str | Cell]] = [["a", "one two three four five six", "/far/away/in/a/folder/a.py", "0.5000"]]


def test_the_widest_column_gives_way_first_and_paths_lose_their_beginning() -> None:
    assert text_table(COLUMNS, ROWS, Screen(50)).splitlines() == [
        "name  what it is         where                 mAP",
        "----  -----------------  -----------------  ------",
        "a     one two three      …/a/folder/a.py    0.5000",
        "      four five six",
    ]


def test_where_nothing_gives_way_the_table_is_cut_and_each_part_names_its_rows() -> None:
    columns = [Column("name"), *(Column(f"AP@{place}", "number") for place in range(6))]
    rows = [[name, *(f"0.{place}000" for place in range(6))] for name in ("a", "b")]
    assert text_table(columns, rows, Screen(40)).splitlines() == [
        "name    AP@0    AP@1    AP@2    AP@3",
        "----  ------  ------  ------  ------",
        "a     0.0000  0.1000  0.2000  0.3000",
        "b     0.0000  0.1000  0.2000  0.3000",
        "",
        "name    AP@4    AP@5",
        "----  ------  ------",
        "a     0.4000  0.5000",
        "b     0.4000  0.5000",
    ]


def test_control_characters_of_names_are_shown() -> None:
    assert "a\\x1b[2Jb" in text_table([Column("name")], [["a\x1b[2Jb"]])
    assert visible_but_styles("\x1b[32mgood\x1b[0m\x1b[2J") == "\x1b[32mgood\x1b[0m\\x1b[2J"


def test_a_table_without_rows_is_empty() -> None:
    assert text_table(COLUMNS, [], Screen(80)) == ""


class _Terminal:
    def __init__(self, is_one: bool) -> None:
        self.is_one = is_one

    def isatty(self) -> bool:
        return self.is_one


def test_colours_need_a_terminal_and_no_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "91")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert screen_of(_Terminal(True)) == Screen(91, colours=True)
    assert screen_of(_Terminal(False)) == PLAIN
    monkeypatch.setenv("NO_COLOR", "1")
    assert screen_of(_Terminal(True)) == Screen(91)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert screen_of(_Terminal(True)) == Screen(91)


def test_a_long_line_is_folded_between_words_below_its_label() -> None:
    line = "protocol  demo (1234): synthetic scenes, generated when first used"
    assert Screen(40).folded(line).splitlines() == [
        "protocol  demo (1234): synthetic scenes,",
        "          generated when first used",
    ]
    assert Screen(40).folded("x" * 60) == "x" * 60
    assert PLAIN.folded(line) == line


def test_a_path_is_shown_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert short_path(tmp_path / "methods" / "a.py") == "methods/a.py"
    assert short_path("/home/someone/data") == "~/data"
    assert short_path("/opt/a.py") == "/opt/a.py"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in SCREENS.items():
        for width in WIDTHS:
            (FOLDER / f"{name}-{width}.txt").write_text(f"{make(Screen(width))}\n")
