"""Empty cells of the paper's tables: each leads to a command, and what that command plans fills the cell."""

from __future__ import annotations

import re
import shlex
import sys

import pytest
from conftest import REPOSITORY
from factory import BASELINE, JSST, record

from rsir_bench.leaderboard.boards import Board, boards, paper_boards
from rsir_bench.leaderboard.formats import html, markdown
from rsir_bench.leaderboard.grids import EMPTY
from rsir_bench.leaderboard.pages.fill import commands_to_fill, method_for
from rsir_bench.leaderboard.pages.paper import document
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.parts import Table
from rsir_bench.records.paper import paper_row
from rsir_bench.records.schema import PaperRow
from rsir_bench.runs.request import Request
from rsir_bench.scenes.card import load_cards

sys.path.insert(0, str(REPOSITORY / "tests" / "frozen"))
from listing import fake_plan

EMPTY_BOARDS = {board.name: board for board in paper_boards()}


def planned(command: str) -> set[tuple[str, PaperRow]]:
    """The paper's names of the targets, and the published rows, that a command makes on datasets that are there."""
    words = shlex.split(command)
    assert words[:2] == ["rsir-bench", "run"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options.keys() == {"--protocol", "--methods", "--targets"}
    plan = fake_plan(Request([options["--methods"]], options["--targets"].split(","), protocol=options["--protocol"]))
    assert not plan.absent
    found = set()
    for run in plan.runs:
        rows = run.method.card.rows
        for cell in run.cells:
            if paper := rows[cell.row_name].paper:
                found.add((load_cards()[cell.target].paper_name or "", paper_row(cell.row_name, paper)))
    return found


@pytest.mark.parametrize("name", EMPTY_BOARDS)
def test_each_empty_cell_leads_to_a_command_that_fills_it(name: str) -> None:
    plans: dict[str, set[tuple[str, PaperRow]]] = {}
    cells = 0
    for table in tables(EMPTY_BOARDS[name]):
        commands = commands_to_fill(table)
        for block in table.blocks:
            for row in block.rows:
                command = commands[method_for(row)]
                if command not in plans:
                    plans[command] = planned(command)
                made = plans[command]
                assert (block.target, row.name.paper) in made, (table.name, block.title, row.name.title)
                cells += 1
    assert cells == {"patternnet": 140, "ucm": 10}[name]


def filled(*records: object) -> Table:
    (board,) = boards(records)
    return tables(board)[0]


def test_a_command_names_the_targets_that_are_still_empty() -> None:
    jsst = [record(paper=JSST, target=target) for target in ("rs19", "rsscn7")]
    commands = commands_to_fill(filled(*jsst, record("baseline", row="FC", kind="real", paper=BASELINE)))
    assert commands["jsst"] == "rsir-bench run --protocol patternnet --methods jsst --targets rs19,ucm,rsscn7"  # row FC
    both = JSST, JSST.model_copy(update={"pooling": "FC"})
    everything = [
        record(paper=paper, row=paper.pooling, target=target) for target in ("rs19", "ucm", "rsscn7") for paper in both
    ]
    assert "jsst" not in commands_to_fill(filled(*everything))
    commands = commands_to_fill(filled(*everything[2:]))
    assert commands["jsst"] == "rsir-bench run --protocol patternnet --methods jsst --targets rs19"


def test_a_line_with_other_settings_has_no_command_of_the_plain_method() -> None:
    table = filled(record("jsst (padding=zeros)", paper=JSST, target="ucm"))
    rows = [row for block in table.blocks for row in block.rows if row.name.label]
    assert [(row.seeds, method_for(row)) for row in rows] == [(0, ""), (1, ""), (0, "")]


def test_markdown_links_each_empty_cell_to_a_heading_with_its_command() -> None:
    (board,) = (one for one in paper_boards() if one.name == "ucm")
    text = markdown(document(tables(board)[0]))
    links = set(re.findall(rf"\[{EMPTY}\]\(#([\w-]+)\)", text))
    headings = dict(re.findall(r"^### ([\w-]+)\n\n    (rsir-bench .+)$", text, re.MULTILINE))
    assert links == headings.keys() == {"baseline", "jsst", "self-training"}
    assert headings["self-training"] == "rsir-bench run --protocol ucm --methods self-training --targets rs19,rsscn7"
    assert f"| {EMPTY} " not in text.partition("## How")[0]  # nothing of ours is empty without a way to fill it
    assert "How to reproduce" not in text


def test_html_links_to_the_commands_too() -> None:
    (board,) = (one for one in paper_boards() if one.name == "ucm")
    text = html(document(tables(board)[0]))
    assert text.count('<a href="#fill-jsst">') == 14  # seeds and six metrics, on two targets
    assert '<h3 id="fill-jsst">jsst</h3>' in text


def test_a_table_without_a_result_has_no_differences() -> None:
    empty = document(tables(paper_boards()[0])[0])
    assert "Δ" not in empty.grids[0].headers
    (board,) = boards([record(paper=JSST)])
    assert "Δ" in document(tables(board)[0]).grids[0].headers


def test_the_boards_of_the_paper_are_those_of_its_protocols() -> None:
    (made,) = boards([record()])
    empty = EMPTY_BOARDS["patternnet"]
    assert isinstance(empty, Board)
    assert (empty.protocol, empty.metric_version) == (made.protocol, made.metric_version)
    assert empty.records == ()
