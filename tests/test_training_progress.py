"""How a training is shown: a line for each epoch without a terminal, one bar on one."""

from __future__ import annotations

import io
import re
import sys

import pytest

from rsir_bench.base import progress as lines
from rsir_bench.base.progress import duration, track
from rsir_bench.base.training_progress import TrainingProgress, planned_runs


def lines_of(capsys: pytest.CaptureFixture[str], what: str, **seconds: float | None) -> list[str]:
    """The lines of a training whose epochs take 60 s each."""
    with planned_runs(seconds), TrainingProgress(what, 3, 1, 2) as progress:
        for epoch in (2, 3):
            assert list(progress.epoch(epoch, ["a", "b"])) == ["a", "b"]
            progress.ended(epoch, 1.2345, 4321.9, 60.0)
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_each_epoch_is_a_line_with_what_is_left_of_all_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(capsys, "jsst, round 1", baseline=7.0, jsst=9.0, se=600.0) == [
        "epoch     run 2 of 3, jsst, round 1: 2 of 3, loss 1.23, 4,322 images/s, about 11 min left",
        "epoch     run 2 of 3, jsst, round 1: 3 of 3, loss 1.23, 4,322 images/s, about 10 min left",
    ]


def test_no_time_is_said_where_a_later_run_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(capsys, "jsst", jsst=9.0, se=None) == [
        "epoch     run 1 of 2, jsst: 2 of 3, loss 1.23, 4,322 images/s",
        "epoch     run 1 of 2, jsst: 3 of 3, loss 1.23, 4,322 images/s",
    ]


def test_a_single_run_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(capsys, "jsst", jsst=9.0) == [
        "epoch     jsst: 2 of 3, loss 1.23, 4,322 images/s, about 60 s left",
        "epoch     jsst: 3 of 3, loss 1.23, 4,322 images/s",
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that pass before each item."""
    left: list[float] = []
    now = [0.0]

    def monotonic() -> float:
        now[0] += left.pop(0) if left else 0.0
        return now[0]

    monkeypatch.setattr(lines.time, "monotonic", monotonic)
    return left


def test_without_a_terminal_a_long_step_says_now_and_then_how_far_it_is(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    clock += [0, 0, 60, 60, 60, 120]
    assert list(track(range(10), "describing aid")) == [*range(10)]
    clock += [0, 0, 200]
    assert list(track(iter("abc"), "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines() == [
        "so far    describing aid: 20%, about 8 min left",
        "so far    describing aid: 40%, about 8 min left",
        "so far    reading: 1",
    ]


def test_a_long_epoch_says_so_too(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    clock += [0, 0, 300]
    with TrainingProgress("jsst", 3, 1, 2) as shown:
        list(shown.epoch(2, ["a", "b"]))
    assert capsys.readouterr().err == "so far    jsst, epoch 2 of 3: 50%, about 5 min left\n"


def test_ranks_but_the_first_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress("jsst", 1, 0, 1, shown=False) as progress:
        list(progress.epoch(1, [0]))
        progress.ended(1, 1.0, 1.0, 1.0)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_one_bar_over_all_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with planned_runs({"a": 1.0, "b": 2.0}), TrainingProgress("a", 2, 1, 4) as progress:
        for number, _ in enumerate(progress.epoch(2, range(4))):
            if number == 2:
                progress._bar.refresh()  # type: ignore[union-attr]
        progress.ended(2, 0.5, 100.0, 3.0)
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "1/2, a 2/2" in shown
    assert " 75 %" in shown  # six of eight batches
    assert "epoch     " not in shown


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (95, "2 min"), (5400, "1.5 h")])
def test_a_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
