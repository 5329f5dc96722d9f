"""Tables with other metrics than the usual ones, from records that may lack them."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from factory import protocol_part, record, scores
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.cli.app import app
from rsir_bench.leaderboard import boards, check, render_leaderboards, tables, terminal_table
from rsir_bench.leaderboard.tables.parts import METRICS
from rsir_bench.publishing.drift import compare
from rsir_bench.publishing.publish import publish
from rsir_bench.ranking.names import LOWER_IS_BETTER
from rsir_bench.records.metrics import held_metrics
from rsir_bench.records.schema import Record
from rsir_bench.records.store import write_record
from rsir_bench.records.verdict import Verdict

LITE = protocol_part("aid-lite")
NEWER = {"hit@1": 0.8, "ANMRR": 0.4}


def made(label: str, seed: int = 0, **metrics: float) -> Record:
    return record(label, seed=seed, target="t", protocol=LITE, metrics=scores(0.9) | metrics)


def columns(records: list[Record], *names: str) -> dict[str, tuple]:
    """By method and metric the mean and the mark."""
    (board,) = boards(records)
    (table,) = tables(board, metrics=names)
    assert table.metrics == names
    (block,) = table.blocks
    return {row.name.label: tuple((row.cells[name].mean, row.cells[name].mark) for name in names) for row in block.rows}


def test_a_record_that_lacks_a_metric_leaves_its_cell_empty_and_enters_no_mean() -> None:
    older, newer = made("a"), made("a", 1, **{"hit@1": 0.6})
    assert columns([older, newer], "hit@1", "mAP") == {"a": ((None, ""), (pytest.approx(0.6), ""))}
    found = columns([older, made("b", **NEWER), made("c", **{"hit@1": 0.7})], "hit@1")
    assert found == {"b": ((0.8, "best"),), "c": ((0.7, "second"),), "a": ((None, ""),)}
    assert list(found) == ["b", "c", "a"]  # best first, in the first column


def test_of_anmrr_the_lowest_is_the_best() -> None:
    found = columns([made(name, ANMRR=value) for name, value in {"a": 0.3, "b": 0.1, "c": 0.2}.items()], "ANMRR", "mAP")
    assert list(found) == ["b", "c", "a"]
    assert [found[name][0][1] for name in "bca"] == ["best", "second", ""]


@pytest.mark.parametrize("metric", ["ANMRR", "P@5"])
def test_what_is_not_worse_depends_on_which_way_is_better(metric: str) -> None:
    chance = random.Random(0)
    records = [
        record(
            label,
            seed=seed,
            target="t",
            protocol=LITE,
            metrics=scores(0.9) | {metric: value},
            per_class={f"c{number}": {metric: value + chance.gauss(0, 0.001)} for number in range(8)},
        )
        for label, value in {"low": 0.2, "high": 0.4}.items()
        for seed in range(5)
    ]
    (board,) = boards(records)
    (table,) = tables(board, metrics=(metric,))
    marks = {row.name.label: row.cells[metric].not_worse for row in table.blocks[0].rows}
    best = "low" if metric in LOWER_IS_BETTER else "high"
    assert marks == {"low": best == "low", "high": best == "high"}


def test_the_usual_columns_do_not_depend_on_what_else_a_record_holds(tmp_path: Path) -> None:
    (plain,) = render_leaderboards([made("a")], tmp_path / "plain")
    (more,) = render_leaderboards([made("a", **NEWER)], tmp_path / "more")
    assert plain.read_bytes() == more.read_bytes()
    assert terminal_table([made("a")]) == terminal_table([made("a", **NEWER)])


def test_tables_have_the_name_that_metric_learning_prints(tmp_path: Path) -> None:
    assert "hit@1 (R@1)" in terminal_table([made("a", **NEWER)], ["hit@1"])
    assert "AP@10h" not in terminal_table([made("a", **NEWER)], ["hit@1"])
    files = render_leaderboards([made("a", **NEWER)], tmp_path, ["md", "csv"], metrics=["hit@1", "ANMRR"])
    markdown, table = (path.read_text() for path in sorted(files, key=lambda path: path.suffix, reverse=True))
    assert "hit@1 (R@1)" in markdown
    assert ",hit@1,hit@1 sd,hit@1 not worse,ANMRR," in table
    assert check([made("a", **NEWER)], tmp_path, ["md", "csv"], ["hit@1", "ANMRR"]) == []
    assert check([made("a", **NEWER)], tmp_path, ["md", "csv"]) == sorted(files)


def test_what_no_record_holds_is_one_line() -> None:
    records = [made("a"), made("b", **NEWER)]
    assert held_metrics(["hit@1", "mAP", "hit@1"], records) == ("hit@1", "mAP")
    with pytest.raises(UserError, match=r"^metric recall@7: no record holds it; they hold mAP, .*, hit@1, ANMRR$"):
        held_metrics(["recall@7"], records)
    with pytest.raises(UserError, match=r"^metric 'beauty': unknown; known: mAP"):
        held_metrics(["beauty"], records)
    with pytest.raises(UserError, match=r"^metric WAP: no record holds it; they hold mAP, "):
        held_metrics(["WAP"], records)


def test_leaderboard_renders_chosen_columns_elsewhere_only(tmp_path: Path) -> None:
    write_record(tmp_path / "runs" / "a.json", made("a", **NEWER))
    words = ["leaderboard", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--metrics", "ANMRR,hit@1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    (page,) = (tmp_path / "out").rglob("*.md")
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)[:2] == ["ANMRR", "hit@1 (R@1)"]
    with pytest.raises(UserError, match=r"with the usual metrics only; name another folder with --out$"):
        CliRunner().invoke(app, ["leaderboard", "--metrics", "ANMRR"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--metrics", "recall@7"],
            "metric recall@7: records do not hold it; they hold mAP, AP@10h, .*, P@H2, nDCG@100",
        ),
        (["--metrics", "maap"], r"metric 'maap': unknown, did you mean mAP or mAP@R\?"),
        (["--metrics", "mAP", "--json"], "--metrics: --json prints whole records; omit one of the two"),
        (["--metrics", ","], "metrics: none given"),
    ],
)
def test_a_run_refuses_columns_before_it_begins(words: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        CliRunner().invoke(app, ["run", "--methods", "baseline", *words], catch_exceptions=False)


def test_drift_compares_the_metrics_that_both_hold() -> None:
    newest = {"hit@1": 0.8, "MRR": 0.4}
    older, newer = made("a"), made("a", **newest)
    for now, before in ((newer, older), (older, newer)):
        (cell,) = compare([now], [before]).cells
        assert {shift.metric for shift in cell.shifts} == {*METRICS}
        assert cell.verdict is Verdict.OK
    mixed = compare([made("a", 0, **newest), made("a", 1)], [made("a", 0), made("a", 1, **newest)])
    assert [len(cell.shifts) for cell in mixed.cells] == [6, 6, 6]
    moved = compare([made("a", **{"hit@1": 0.2})], [made("a", **{"hit@1": 0.8})])
    assert moved.cells[0].shifts[0].metric == "hit@1"
    assert not moved.passed


def test_a_published_record_may_hold_fewer_or_more_metrics_than_the_one_made_again(tmp_path: Path) -> None:
    older, newer = (made("a", **more).model_copy(update={"tie_bounds": {}}) for more in ({}, NEWER))
    for first, second in ((older, newer), (newer, older)):
        folder = tmp_path / str(len(first.metrics))
        for name, one in (("first", first), ("second", second)):
            write_record(folder / name / "a.json", one)
        (kept,) = publish([folder / "first"], folder / "results")
        content = kept.read_bytes()
        assert publish([folder / "second"], folder / "results") == []
        assert kept.read_bytes() == content
