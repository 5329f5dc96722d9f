"""The table of front ends: there where a record has an effect, with its means, and nowhere else."""

from __future__ import annotations

from factory import JSST, protocol_part, record

from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import comma_separated, markdown
from rsir_bench.leaderboard.grids import EMPTY
from rsir_bench.leaderboard.pages.variants import document
from rsir_bench.leaderboard.significance import ELSEWHERE
from rsir_bench.leaderboard.terminal import terminal_table
from rsir_bench.leaderboard.variants import effect_of
from rsir_bench.records.schema import EffectPart, OriginPart, Record
from rsir_bench.records.store import read_record, write_record


def behind(
    label: str = "jsst", off: float = 0.5, moved: float | None = 2.0, seed: int = 0, **options: object
) -> Record:
    """A record with an effect: mAP .6 with the front end."""
    effect = EffectPart(metrics={"mAP": off, "P@5": off + 0.2}, displacement=moved, change=0.0125)
    return record(label, seed=seed, **options).model_copy(update={"effect": effect})


def table(*records: Record) -> list[list[str]]:
    (board,) = boards(records)
    found = document(board)
    assert found is not None
    return [[cell.text for cell in row.cells] for grid in found.grids for row in grid.rows]


def test_there_is_none_where_no_record_has_an_effect() -> None:
    (board,) = boards([record("jsst"), record("baseline")])
    assert document(board) is None
    assert "variants" not in [each.name for each in documents(board)]


def test_scores_with_and_without_beside_what_the_front_end_does() -> None:
    assert table(behind(), record("baseline", metrics={"mAP": 0.4, "P@5": 0.7})) == [
        ["JSST", "PCA", "1", "0.6000", "0.5000", "+0.1000", "0.8500", "0.7000", "+0.1500", "2.00", "0.0125"],
        ["BASELINE", "PCA", "1", "0.4000", EMPTY, EMPTY, "0.7000", EMPTY, EMPTY, EMPTY, EMPTY],
    ]


def test_means_over_the_seeds_that_have_an_effect() -> None:
    rows = table(behind(off=0.5, moved=2), behind(off=0.3, moved=1, seed=1), record("jsst", seed=2))
    assert rows == [
        ["JSST", "PCA", "2", "0.6000", "0.4000", "+0.2000", "0.8500", "0.6000", "+0.2500", "1.50", "0.0125"]
    ]


def test_a_displacement_that_is_not_defined_is_a_dash() -> None:
    assert table(behind(moved=None))[0][-2:] == [EMPTY, "0.0125"]
    mixed = effect_of([behind(moved=None), behind(seed=1)])
    assert mixed is not None
    assert mixed.displacement is None


def test_a_doubtful_row_comes_last_with_its_mark_and_reason() -> None:
    doubtful = behind("away", metrics={"mAP": 0.9}).model_copy(update={"doubts": ("the front end has run away",)})
    (board,) = boards([doubtful, behind()])
    found = document(board)
    assert found is not None
    assert [row.records[0].method.label for row in found.grids[0].rows] == ["jsst", "away"]
    text = markdown(found)
    assert "0.9000 !" in text
    assert "! away, PCA, on UCM, seed 0: the front end has run away." in text
    assert "the front end has run away" in comma_separated(found)


def test_questions_say_seeds_authors_and_doubts_as_the_leaderboard_does() -> None:
    """Three seeds on one target and one on the other, of a run elsewhere; and a result that is no retrieval."""
    part = protocol_part("aid-lite")
    asked = {"protocol": part, "paper": JSST.model_copy(update={"variant": "PGN-I"})}
    theirs = [record("jsst-pgn-i", seed=seed, target="ucm", **asked) for seed in range(3)]
    theirs.append(record("jsst-pgn-i", target="rsscn7", **asked))
    origin = OriginPart(kind="record", by="A. Author", made_on="four A100")
    doubtful = record("jsst", target="ucm", protocol=part, paper=JSST).model_copy(update={"doubts": ("ran away",)})
    (board,) = boards([*(one.model_copy(update={"origin": origin}) for one in theirs), doubtful])
    found = document(board)
    assert found is not None
    seeds = {row.records[0].method.label: row.cells[2] for grid in found.grids for row in grid.rows}
    assert (seeds["jsst-pgn-i"].text, seeds["jsst-pgn-i"].superscript) == ("1-3", ELSEWHERE)
    assert any(note.startswith(f"{ELSEWHERE} jsst-pgn-i: made by A. Author (four A100)") for note in found.notes)
    doubts = {(row["method"], row["doubts"]) for row in found.data}
    assert doubts == {("jsst-pgn-i", ""), ("jsst", "seed 0: ran away")}


def test_the_run_prints_it() -> None:
    assert "front ends on and off" in terminal_table([behind()])
    assert "front ends" not in terminal_table([record("jsst")])


def test_a_record_without_an_effect_keeps_its_bytes(tmp_path) -> None:
    write_record(tmp_path / "a.json", record("baseline"))
    assert "effect" not in (tmp_path / "a.json").read_text()
    write_record(tmp_path / "b.json", behind())
    assert read_record(tmp_path / "b.json") == behind()
