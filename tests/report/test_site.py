"""The report as a folder: complete, the same every time, and never written over other files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from made import result, small
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.cli.app import app
from rsir_bench.records.store import write_record
from rsir_bench.report.site import build_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "report"
    build_report(small(), folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_link_leads_to_a_file(report: Path) -> None:
    checked = 0
    for page in report.rglob("*.html"):
        for address in re.findall(r'(?:href|src|srcset)="([^"]+)"', page.read_text()):
            address = urldefrag(unquote(address)).url
            if address and not address.startswith(("https://", "data:")):
                assert (page.parent / address).is_file(), f"{page}: {address}"
                checked += 1
    assert checked > 100


def test_pages_ask_for_nothing_from_elsewhere(report: Path) -> None:
    for page in report.rglob("*.html"):
        assert not re.search(r'(?:src|srcset)="(?:https?:)?//|<link[^>]+href="https?:', page.read_text())
    assert "@import" not in (report / "static" / "style.css").read_text()


def test_equal_records_give_equal_bytes(report: Path, tmp_path: Path) -> None:
    build_report(small()[::-1], tmp_path / "again")
    assert contents(tmp_path / "again") == contents(report)


def test_an_older_report_is_replaced_without_a_trace(tmp_path: Path) -> None:
    build_report([result("gone", 0.8, target="aid"), result("jsst", 0.7, target="aid")], tmp_path)
    assert (tmp_path / "methods" / "gone.html").is_file()
    build_report([result("jsst", 0.7, target="rsscn7")], tmp_path)
    assert not (tmp_path / "methods" / "gone.html").exists()
    assert not list((tmp_path / "figures").rglob("aid-*"))
    assert list((tmp_path / "figures").rglob("rsscn7-*"))
    assert not list((tmp_path / "tables" / "results").rglob("gone/*"))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="contains files that rsir-bench did not write"):
        build_report(small(), tmp_path)
    assert contents(tmp_path) == {"letters.txt": b"dear"}
    with pytest.raises(UserError, match="is a file; name a folder"):
        build_report(small(), tmp_path / "letters.txt")


def test_no_records_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records to report"):
        build_report([], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_the_verb_writes_a_report_and_names_its_first_page(tmp_path: Path) -> None:
    write_record(tmp_path / "results" / "one.json", result("jsst", 0.7, target="aid"))
    command = f"report {shlex.quote(str(tmp_path / 'results'))} --out {shlex.quote(str(tmp_path / 'report'))}"
    outcome = CliRunner().invoke(app, shlex.split(command))
    assert outcome.exit_code == 0, outcome.output
    assert f"{tmp_path / 'report' / 'index.html'}: open it in a browser" in outcome.output
    assert (tmp_path / "report" / "index.html").is_file()
