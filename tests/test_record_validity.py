"""One bad record costs only itself: it is refused when it is read, in one line, or every table can be made from it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Tiny
from leaderboard.factory import record
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.cli.app import app
from rsir_bench.leaderboard import terminal_table, write_tables
from rsir_bench.publishing.drift import compare
from rsir_bench.publishing.publish import publish
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published, read_record, write_record
from rsir_bench.report.site import build_report
from rsir_bench.runs.runners.campaign import campaign

GONE = object()
DEEP: Any = {}
for _ in range(60):
    DEEP = {"a": DEEP}
BAD: list[Any] = [GONE, None, "", "\0", "a\0b", "../../x", "/etc/x", "\x1b[2J", "=A1", "x" * 70_000, -1, 2**70, 1e308]
BAD += [float("nan"), float("inf"), True, [], {}, [1, "a"], {"a": {"b": 1}}, DEEP, "'", "rsir-bench run --seeds x"]


def example() -> dict[str, Any]:
    scores = {"mAP": 0.5, "AP@10h": 0.6, "P@5": 0.5, "P@10": 0.4, "P@50": 0.3, "P@100": 0.2}
    made = record(metrics=scores, per_class={"a": scores, "b": scores}, key="a" * 64)
    values = made.model_dump(mode="json")
    values["tie_bounds"] = {"mAP": [0.4, 0.6]}
    values["cost"] = {"parameters": 1e6, "macs": 1e9, "train_images_per_second": 10.0, "train_loss": -0.5}
    values["environment"] = {"device": "cpu", "threads": "1", "precision": "32"}
    values["weights"] = {"trunk": "none", "trained": "sha256:0"}
    values["distortion"] = {"name": "haze", "severity": 2, "version": 1}
    values["accepted"] = [{"reason": "why", "previous": {"mAP": 0.4}, "previous_key": "b" * 64}]
    values["request"]["distortion"] = "haze:2"
    return values


def places(values: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of a record lies, settings of the protocol aside but for three."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, value in inner:
        yield (*where, name)
        if where[:2] != ("protocol", "settings") or name in ("data", "describe"):
            yield from places(value, (*where, name))


def damaged() -> list[tuple[tuple[Any, ...], Any]]:
    return [(place, bad) for place in places(example()) for bad in BAD]


def change(place: tuple[Any, ...], bad: Any) -> dict[str, Any]:
    values = copy.deepcopy(example())
    part = values
    for name in place[:-1]:
        part = part[name]
    if bad is GONE:
        del part[place[-1]]
    else:
        part[place[-1]] = bad
    return values


def told(path: Path) -> Record | None:
    try:
        return read_record(path)
    except UserError as error:
        assert len(str(error).splitlines()) == 1, str(error)  # noqa: PT017
        assert len(str(error)) < 900  # noqa: PT017
        return None


@pytest.mark.parametrize(
    ("one_in", "reports"),
    [pytest.param(12, 0), pytest.param(1, 60, marks=pytest.mark.nightly)],
)
def test_a_damaged_record_is_refused_or_every_table_can_be_made(tmp_path: Path, one_in: int, reports: int) -> None:
    good = Record.model_validate({**example(), "seed": 1, "key": "c" * 64})
    chance, read = random.Random(0), []
    for number, (place, bad) in enumerate(damaged()):
        if chance.randrange(one_in):
            continue
        path = tmp_path / "one.json"
        path.write_text(json.dumps(change(place, bad)))
        found = told(path)
        if found is None:
            continue
        read.append((place, bad))
        try:
            records = [found, good]
            write_tables(records, tmp_path / f"tables{number}")
            terminal_table(records)
            compare([found], [good])
            write_record(tmp_path / "results" / record_path(found), found)
        except UserError as error:  # cannot share a board
            assert "\n" not in str(error)  # noqa: PT017
    assert not list(tmp_path.parent.glob("x*"))
    for place, bad in chance.sample(read, min(reports, len(read))):
        build_report([Record.model_validate(change(place, bad))], tmp_path / "report")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (("metrics", "mAP"), float("nan"), "metrics.mAP is nan, outside 0..1"),
        (("metrics", "mAP"), 1.01, "metrics.mAP is 1.01, outside 0..1"),
        (("metrics", "mAP"), -0.01, "metrics.mAP is -0.01, outside 0..1"),
        (("per_class", "a"), {"mAP": 0.5}, "per_class: classes differ in their metrics"),
        (("key",), "a\0", "key: "),
        (("protocol", "board"), "../../x", "protocol.board: '../../x' is not a valid folder name"),
        (("protocol", "board"), "/x", "protocol.board: '/x' is not a valid folder name"),
        (("seed",), 2**63, "seed"),
        (("seed",), -1, "seed is -1, below 0"),
        (("request",), None, "command: "),
        (("protocol", "settings"), {}, "protocol.settings: lacks data.source"),
        (("target", "scenes"), 0, "target.scenes is 0, below 1"),
        (("queries",), {"count": 0, "skipped": 0, "constant": 0}, "queries.count is 0, below 1"),
        (("cost", "train_images_per_second"), 0.0, "cost.train_images_per_second is 0.0, below 1e-06 or too large"),
        (("cost", "parameters"), 1e308, "cost.parameters is 1e+308, below 0 or too large"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, field: tuple[str, ...], value: Any, said: str) -> None:
    values = change(field, value)
    if field == ("request",):
        values["command"] = "rsir-bench run 'open"
    (tmp_path / "one.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"one\.json: not a result record") as caught:
        read_record(tmp_path / "one.json")
    assert said in str(caught.value)


def test_all_published_records_are_sound() -> None:
    results = REPOSITORY / "leaderboards" / "results"
    files = [path for path in results.rglob("*.json") if ".rsir-bench" not in path.parts]
    assert len(read_published(results)) == len(files) >= 1103


def test_a_record_saved_by_a_windows_editor_is_read(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "one.json").write_bytes(json.dumps(example()).encode(encoding))
        assert read_record(tmp_path / "one.json").key == "a" * 64


@pytest.fixture
def results(tiny: Tiny) -> Path:
    """A folder of two good published records and a bad one."""
    campaign(tiny.request(), lambda line: None)
    publish([tiny.folder / "runs"], tiny.folder / "results")
    one = next((tiny.folder / "results").rglob("*.json"))
    bad = json.loads(one.read_text())
    bad["metrics"]["mAP"] = float("nan")
    (one.parent / "bad.json").write_text(json.dumps(bad))
    return tiny.folder / "results"


@pytest.mark.parametrize(
    "words",
    [
        "leaderboard RESULTS --out OUT/tables",
        "report RESULTS --out OUT/report",
        "drift RUNS --baseline RESULTS",
        "publish RUNS --results RESULTS",
    ],
)
def test_one_bad_record_is_named_and_left_out(tiny: Tiny, results: Path, words: str) -> None:
    for name, path in (("RESULTS", results), ("RUNS", tiny.folder / "runs"), ("OUT", tiny.folder / "out")):
        words = words.replace(name, str(path))
    end = CliRunner().invoke(app, words.split())
    assert end.exit_code == 1
    assert end.exception is None or isinstance(end.exception, SystemExit)
    lines = [line for line in end.output.splitlines() if line.startswith("left out")]
    assert len(lines) == 1
    assert "bad.json" in lines[0]
    if "--out" in words:
        assert list((tiny.folder / "out").rglob("*.md" if "leaderboard" in words else "index.html"))


def test_a_bad_published_record_is_made_again(tiny: Tiny, results: Path) -> None:
    request = tiny.request(published=results, out="again")
    lines: list[str] = []
    assert len(campaign(request, lines.append, plan_only=True).records) == 2


def test_publish_refuses_what_leaderboard_could_not_render(tiny: Tiny) -> None:
    (one, *_) = campaign(tiny.request(), lambda line: None).records
    publish([tiny.folder / "runs"], tiny.folder / "results")
    before = sorted((tiny.folder / "results").rglob("*.json"))
    other = tiny.folder / "other" / "results" / "one.json"
    write_record(other, one.model_copy(update={"seed": 7, "key": "d" * 64, "metric_version": 99}))
    with pytest.raises(UserError, match="has different versions"):
        publish([other.parent.parent], tiny.folder / "results")
    assert sorted((tiny.folder / "results").rglob("*.json")) == before
