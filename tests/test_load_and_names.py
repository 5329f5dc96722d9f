"""Many records, little disk and memory, names that collide or look like formulas."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import Tiny
from leaderboard.factory import record, scores
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import page_name, slug, write_sealed
from rsir_bench.cli.app import app
from rsir_bench.leaderboard import write_tables
from rsir_bench.leaderboard.formats import spreadsheet_cell
from rsir_bench.leaderboard.statistics import compare, holm, not_worse_than_best
from rsir_bench.report.board_view import page_of_dataset
from rsir_bench.report.site import build_report
from rsir_bench.runs.runners import campaign as module
from rsir_bench.runs.runners.campaign import campaign


def plainly(values: dict[str, np.ndarray]) -> dict[str, bool | None]:
    """All pairs, one by one, as the tests were first written."""
    tested = [name for name in values if len(values[name]) >= 5]
    marks: dict[str, bool | None] = dict.fromkeys(values)
    best = max(tested, key=lambda name: values[name].mean())
    pairs = list(itertools.combinations(tested, 2))
    adjusted = dict(zip(pairs, holm([compare(values[a], values[b]).p or 0 for a, b in pairs]), strict=True))
    for name in tested:
        of_best = [p for pair, p in adjusted.items() if set(pair) == {name, best}]
        marks[name] = name == best or of_best[0] >= 0.05
    return marks


def test_pairs_in_arrays_give_the_marks_of_pairs_one_by_one() -> None:
    chance = np.random.default_rng(0)
    for number in range(60):
        classes = chance.integers(2, 12)
        values = {
            str(method): chance.normal(0.5, chance.choice([0, 0.05]), classes)
            + chance.normal(0, chance.choice([0, 0.02, 0.1]), (chance.integers(4, 8), classes))
            + chance.normal(0, 0.05)
            for method in range(chance.integers(2, 9))
        }
        values["0"] = chance.normal(0.5, 0.1, (5, classes))
        if number % 5 == 0:
            values["again"] = values["0"].copy()
        assert not_worse_than_best(values) == plainly(values)


@pytest.mark.slow
def test_a_board_of_a_thousand_methods_is_close_to_linear() -> None:
    chance = np.random.default_rng(0)
    seconds = []
    for number in (250, 1000):
        values = {str(n): chance.normal(chance.normal(0.5, 0.02), 0.03, (5, 20)) for n in range(number)}
        started = time.process_time()
        not_worse_than_best(values)
        seconds.append(time.process_time() - started)
    assert seconds[1] < 12 * seconds[0] + 0.5  # pair by pair it was a minute


def test_an_out_that_cannot_be_written_is_refused_beforehand(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    campaign(tiny.request(), lines.append)
    monkeypatch.setattr(module.os, "access", lambda *_: False)  # root may write anywhere
    for plan_only in (True, False):
        with pytest.raises(UserError, match=r"--out .* cannot be written; name another folder"):
            campaign(tiny.request(out="other"), lines.append, plan_only=plan_only)
    assert len(campaign(tiny.request(), lines.append).records) == 2  # all is done: nothing is written


def test_a_full_disk_is_told_with_file_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 64 vs 0")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = r"checkpoint\.pt: cannot be written \(No space left on device, 95 MB are needed\)"
    with pytest.raises(UserError, match=said):
        write_sealed(tmp_path / "checkpoint.pt", save, 95_000_000)
    monkeypatch.undo()
    with pytest.raises(UserError, match="enforce fail"):  # something else
        write_sealed(tmp_path / "checkpoint.pt", save, 95_000_000)


@pytest.mark.skipif(sys.platform != "linux", reason="NO LINUX: its limits are set")
def test_too_little_memory_is_one_line() -> None:
    command = f"ulimit -v 800000; exec {sys.executable} -m rsir_bench methods"
    end = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, check=False)
    assert end.returncode == 1
    assert len(end.stderr.splitlines()) == 1
    assert end.stderr.startswith("rsir-bench: too little memory (")


def test_old_names_are_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from rsir_bench.methods.baseline import Baseline\n"
        "class Mine(Baseline):\n"
        "    card = Baseline.card.model_copy(update={'name': 'mine'})\n"
        "    def report(self): return {}\n"
    )
    command = [sys.executable, "-m", "rsir_bench", "methods", "--plugin", "mine.py"]
    end = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert end.returncode == 0
    (line,) = end.stderr.splitlines()
    assert line.startswith("warning   rsir_bench.method: Mine.report is now called epoch_metrics; rename it (")


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "@SUM(A1)", "+1+1", "-2+3", "\t=1"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, text: str) -> None:
    assert str(spreadsheet_cell(text)).startswith("'")
    one = record("jsst", title=text)
    method = one.method.model_copy(update={"label": text})
    write_tables([one.model_copy(update={"method": method})], tmp_path, ["csv", "md"])
    for path in tmp_path.rglob("*.csv"):
        for row in csv.reader(io.StringIO(path.read_text())):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "\r"))
                if cell.startswith(("+", "-")):
                    float(cell)


@pytest.mark.parametrize("cell", ["-0.5", "+1e-3", "0.25", "-", 3, "jsst+se", ""])
def test_numbers_and_names_in_csv_stay(cell: str | int) -> None:
    assert spreadsheet_cell(cell) == (f"'{cell}" if cell == "-" else cell)


def test_names_that_map_to_one_file_are_told_apart() -> None:
    names = [
        "set a",
        "set-a",
        "set:a",
        "Set-a",
        "SET-A",
        "set=a",
        "set(a)",
        "index",
        "con",
        "set.a",
        "set a ",
        "x" * 99,
    ]
    pages = [page_name(name) for name in names]
    assert len({page.lower() for page in pages}) == len(names)
    assert page_name("set-a") == "set-a"
    assert page_name("jsst+se") == "jsst+se"
    assert "index" not in pages
    assert slug("set a") == "set-a"  # folders of runs keep their names


def test_two_targets_of_one_file_name_have_two_pages(tmp_path: Path) -> None:
    names = ["set a", "set-a", "index"]
    found = [record(target=name, fingerprint=str(place), metrics=scores(0.6)) for place, name in enumerate(names)]
    build_report(found, tmp_path / "report")
    pages = {page_of_dataset(name) for name in names}
    assert len(pages | {"datasets/index.html"}) == 4
    for name in names:
        assert f"<h1>{name.upper()}" in (tmp_path / "report" / page_of_dataset(name)).read_text()


def test_drift_of_many_results_is_a_summary(tmp_path: Path) -> None:
    from rsir_bench.records.commands import record_path
    from rsir_bench.records.store import write_record

    for name, shown in (("base/results", 60), ("runs/results", 50)):
        for seed in range(shown):
            one = record(seed=seed)
            write_record(tmp_path / name / record_path(one), one)
    words = ["drift", str(tmp_path / "runs"), "--baseline", str(tmp_path / "base")]
    end = CliRunner().invoke(app, words)
    assert end.exit_code == 0
    assert len(end.output.splitlines()) < 12
    assert "--all prints them" in end.output
    assert len(CliRunner().invoke(app, [*words, "--all"]).output.splitlines()) > 50
