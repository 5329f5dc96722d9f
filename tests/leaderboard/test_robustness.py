"""The robustness table: shares of the clean mAP, from records alone."""

from __future__ import annotations

import csv
import io

import pytest
from factory import record

from rsir_bench.leaderboard.boards import Board, boards
from rsir_bench.leaderboard.formats import comma_separated, latex, markdown
from rsir_bench.leaderboard.robustness import blocks, document
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.terminal import terminal_table
from rsir_bench.leaderboard.write import check, render_leaderboards
from rsir_bench.records.schema import DistortionPart, Record
from rsir_bench.scenes.distortions import GROUPS, KINDS


def distorted(label: str, value: float, kind: str = "", severity: int = 0, **fields: object) -> Record:
    """A record whose mAP is ``value``; without a kind, the target is undistorted."""
    part = DistortionPart(name=kind, severity=severity, version=1) if kind else None
    return record(label, metrics={"mAP": value}, key=f"{label} {kind} {severity} {fields}", distortion=part, **fields)


@pytest.fixture
def records() -> list[Record]:
    return [
        distorted("jsst", 0.5),
        distorted("jsst", 0.4, "haze", 1),
        distorted("jsst", 0.2, "haze", 2),
        distorted("jsst", 0.5, "flip", 3),
        distorted("baseline", 0.6),
        distorted("baseline", 0.3, "haze", 1),
        distorted("baseline", 0.3, "haze", 2),
        distorted("baseline", 0.6, "flip", 3),
        distorted("se", 0.9),
        distorted("cbp", 0.8),
        distorted("cbp", 0.8, "haze", 1),
    ]


@pytest.fixture
def board(records: list[Record]) -> Board:
    (found,) = boards(records)
    return found


def test_shares_are_of_the_same_methods_clean_score(board: Board) -> None:
    (block,) = blocks(board)
    lines = {line.label: line for line in block.rows}
    assert lines["jsst"].retained == pytest.approx({("haze", 1): 0.8, ("haze", 2): 0.4, ("flip", 3): 1.0})
    assert lines["baseline"].mean_retained(block.conditions) == pytest.approx(2 / 3)
    assert lines["jsst"].mean_retained(block.kinds["haze"]) == pytest.approx(0.6)


def test_what_was_not_run_is_no_number(board: Board) -> None:
    (block,) = blocks(board)
    lines = {line.label: line for line in block.rows}
    assert "se" not in lines  # it has no distorted result
    assert lines["cbp"].mean_retained(block.conditions) is None
    assert [line.label for line in block.rows] == ["jsst", "baseline", "cbp"]


def test_a_clean_score_of_0_has_no_share() -> None:
    records = [distorted("jsst", 0.0), distorted("jsst", 0.2, "haze", 1)]
    (found,) = blocks(boards(records)[0])
    assert (found.rows[0].clean, found.rows[0].retained) == (0, {})
    assert found.rows[0].mean_retained(found.conditions) is None


def test_seeds_are_paired() -> None:
    """A seed that was distorted counts against its own clean score, and one without a clean score not at all."""
    (board,) = boards(
        [
            distorted("jsst", 0.4, seed=0),
            distorted("jsst", 0.8, seed=1),
            distorted("jsst", 0.4, "haze", 1, seed=1),
            distorted("jsst", 0.1, "haze", 1, seed=2),
        ]
    )
    ((line,),) = [block.rows for block in blocks(board)]
    assert (line.seeds, line.clean) == (1, 0.8)  # a curve that began at other seeds would have a step of its own
    assert line.retained == pytest.approx({("haze", 1): 0.5})


def test_what_is_fitted_on_the_target_is_not_the_best() -> None:
    """As in every other table: ``"* best of the column, target fits aside"``."""
    fits = [distorted("jsst", 0.5, *under, fit="target") for under in ((), ("haze", 1))]
    (board,) = boards([*fits, distorted("baseline", 0.6), distorted("baseline", 0.3, "haze", 1)])
    made = document(board)
    assert made is not None
    marks = {row.cells[0].text: [cell.mark for cell in row.cells[4:]] for row in made.grids[0].rows}
    assert marks == {"JSST": ["", ""], "BASELINE": ["best", "best"]}


def test_seeds_of_conditions_that_differ_are_a_range() -> None:
    runs = [distorted("jsst", 0.4, *under, seed=seed) for seed in (0, 1) for under in ((), ("haze", 1))]
    (board,) = boards([*runs, distorted("jsst", 0.4, "haze", 3, seed=0)])
    made = document(board)
    assert made is not None
    assert made.grids[0].rows[0].cells[2].text == "1-2"


def test_markdown(board: Board) -> None:
    text = markdown(document(board))
    header = next(line for line in text.splitlines() if line.startswith("| Method"))
    cells = [cell.strip() for cell in header.strip("|").split("|")]
    assert cells == ["Method", "Row", "Seeds", "Clean mAP", "Mean retained", "flip 3", "haze 1-2"]
    jsst = next(line for line in text.splitlines() if line.startswith("| JSST"))
    assert [cell.strip() for cell in jsst.strip("|").split("|")][3:] == [
        "0.5000",
        "**73.3%**",
        "**100.0%**",
        "**60.0%**",
    ]


def test_latex_escapes_the_percent_signs(board: Board) -> None:
    assert r"\textbf{73.3\%}" in latex(document(board))


def test_csv_holds_the_curves(board: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(document(board)))))
    jsst = [row for row in rows if row["method"] == "jsst"]
    assert [(row["distortion"], row["severity"], row["mAP"], row["retained"]) for row in jsst] == [
        ("", "0", "0.5000", "1.0000"),
        ("flip", "3", "0.5000", "1.0000"),
        ("haze", "1", "0.4000", "0.8000"),
        ("haze", "2", "0.2000", "0.4000"),
    ]
    assert next(row for row in rows if row["method"] == "cbp" and row["severity"] == "2")["mAP"] == ""


def test_csv_tells_what_each_condition_was_made_from(records: list[Record], board: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(document(board)))))
    found = {(row["method"], row["distortion"], row["severity"]): row for row in rows}
    clean, haze = found["jsst", "", "0"], found["jsst", "haze", "2"]
    words = "rsir-bench run --protocol patternnet --methods jsst --seeds 0 --targets ucm"
    assert (clean["command"], clean["records"]) == (words, "jsst  0 {}")
    assert (haze["command"], haze["records"]) == (f"{words} --distort haze:2", "jsst  0 {} jsst haze 2 {}")
    assert (found["cbp", "haze", "2"]["command"], found["cbp", "haze", "2"]["records"]) == ("", "")


def test_markdown_ends_with_the_commands(board: Board) -> None:
    end = markdown(document(board)).partition("## How to reproduce these results")[2]
    assert "--methods baseline --seeds 0 --targets ucm --distort flip:3,haze:1,haze:2\n" in end
    assert "--methods se" not in end  # it has no line


def test_distorted_results_are_in_no_other_table(board: Board) -> None:
    lines = [line for table in tables(board) for block in table.blocks for line in block.rows if line.seeds]
    assert {(line.name.label, line.cells["mAP"].mean) for line in lines} == {
        ("jsst", 0.5),
        ("baseline", 0.6),
        ("se", 0.9),
        ("cbp", 0.8),
    }


def test_boards_write_it_only_where_something_was_distorted(records: list[Record], tmp_path) -> None:
    assert "robustness.md" in {path.name for path in render_leaderboards(records, tmp_path)}
    clean = [one for one in records if one.distortion is None]
    assert [path.name for path in check(clean, tmp_path)] == ["robustness.md"]
    assert "robustness.md" not in {path.name for path in render_leaderboards(clean, tmp_path)}


def test_the_terminal_shows_it(records: list[Record]) -> None:
    assert "UCM: retained mAP" in terminal_table(records)
    assert "*73.3%" in terminal_table(records)


def test_many_kinds_are_shown_by_group_and_the_file_has_each() -> None:
    kept = {"views": 0.9, "spectra": 0.7, "detail": 0.5}
    runs = [
        distorted("jsst", 0.5 * share, kind, 3)
        for group, share in kept.items()
        for kind in GROUPS[group]
        if kind != "jpeg"
    ]
    (board,) = boards([distorted("jsst", 0.5), *runs])
    found = document(board)
    assert found is not None
    (grid,) = found.grids
    assert grid.headers[5:] == ("Views", "Spectra", "Detail")
    assert [cell.text for cell in grid.rows[0].cells[5:]] == ["90.0%", "70.0%", "50.0%"]
    assert "detail: noise, blur, resolution; severity 3." in found.notes[0]
    assert len(found.data) == 1 + 13


def test_every_distortion_is_in_one_group() -> None:
    assert sorted(kind for kinds in GROUPS.values() for kind in kinds) == sorted(KINDS)
