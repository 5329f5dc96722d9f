"""``rsir-bench demo``, with a protocol of that name that trains in a second."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from command import InProcess
from conftest import Tiny

from rsir_bench.protocol import load, shipped
from rsir_bench.report import site


@pytest.fixture
def small(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol ``demo`` is the tiny one."""
    path = tiny.folder / "demo.toml"
    path.write_text(tiny.protocol.read_text().replace('name = "tiny"', 'name = "demo"'))
    monkeypatch.setattr(load, "shipped", lambda: shipped() | {"demo": path})


@pytest.mark.slow
def test_it_trains_once_and_shows_a_table_and_a_report(
    cli: InProcess, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cli("demo", "--methods", "timm:test_resnet@none,baseline")
    assert first.code == 0, first.err
    *table, blank, last = first.out.splitlines()
    assert blank == ""
    assert sum(line.split()[0] == "baseline" for line in table if line) == 2
    assert last.startswith("Open file:///")
    index = Path(unquote(urlsplit(last.removeprefix("Open ")).path))
    assert index == Path("demo/report/index.html").resolve()
    assert "baseline" in index.read_text(encoding="utf-8")
    assert (index.parent / "explorer.html").is_file()
    assert "done    baseline seed 0" in first.err

    written = index.stat().st_mtime_ns
    again = cli("demo", "--methods", "timm:test_resnet@none,baseline")
    assert (again.code, again.out) == (0, first.out)
    assert "epoch" not in again.err
    assert index.stat().st_mtime_ns == written, "nothing is new, so nothing is written"

    made: list[Path] = []
    monkeypatch.setattr(site, "build_report", lambda records, folder, *_: made.append(folder))
    record = next(Path("demo/runs").rglob("results/*/*.json"))
    os.utime(record, ns=(written + 1, written + 1))
    assert cli("demo", "--methods", "baseline").code == 0
    assert made == [Path("demo/report")], "a report on what was made since"


def test_an_unknown_method_stops_it_before_anything_is_made(cli: InProcess, small: None) -> None:
    unknown = cli("demo", "--methods", "baselin")
    assert unknown.code == 2
    assert "did you mean 'baseline'?" in unknown.err
    assert not Path("demo").exists()
