"""Standard output as users have it, text as their editors save it, names as their archives unpack them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_PROTOCOL, Tiny, write_scenes

from rsir_bench.base.text import as_xml, decode, encode, visible
from rsir_bench.base.toml import read_toml

COMMAND = [sys.executable, "-m", "rsir_bench"]


def call(*words: str, redirect: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a shell, in another environment."""
    line = 'exec "$@" ' + redirect
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", *COMMAND, *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.mark.parametrize("encoding", ["gbk", "cp932", "ascii", "latin-1", "cp1252"])
def test_what_an_encoding_lacks_is_written_as_its_number(encoding: str) -> None:
    end = call("datasets", "show", "rs19", PYTHONIOENCODING=encoding)
    assert (end.returncode, end.stderr) == (0, "")
    assert "Google satellite imagery" in end.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["methods"], ["datasets", "--json"], ["run", "--help"]])
def test_a_full_disk_behind_standard_output_is_one_line(words: list[str], unbuffered: str) -> None:
    end = call(*words, redirect="> /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert end.returncode == 1
    assert end.stderr == (
        "rsir-bench: standard output cannot be written (No space left on device); free space or redirect it\n"
    )


def test_a_reader_that_goes_is_no_error_to_tell() -> None:
    end = subprocess.run(
        ["/bin/sh", "-c", '"$@" | head -c 1', "sh", *COMMAND, "methods"], capture_output=True, text=True, check=False
    )
    assert (len(end.stdout), end.stderr) == (1, "")


@pytest.mark.parametrize(
    ("redirect", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("<&- >&-", 0), ("2> /dev/full", 0)]
)
def test_closed_streams(redirect: str, code: int) -> None:
    end = call("datasets", "--json", redirect=redirect)
    assert end.returncode == code
    assert end.stderr == ""
    if end.stdout:
        json.loads(end.stdout)


def test_messages_never_take_the_place_of_closed_standard_output(tmp_path: Path) -> None:
    assert call("publish", str(tmp_path), "--results", str(tmp_path / "r"), redirect="2>&-").stdout == ""


@pytest.mark.parametrize("columns", ["0", "1", "-3", "many"])
def test_a_narrow_terminal(columns: str) -> None:
    assert call("run", "--help", COLUMNS=columns).returncode == 0


def test_names_outside_ascii_in_a_locale_without_utf_8(tiny: Tiny) -> None:
    (tiny.folder / "target").rename(tiny.folder / "数据")
    words = ["run", "--protocol", str(tiny.protocol), "--methods", "baseline", "--plan", "--targets"]
    words += [f"folder:{tiny.folder}/数据", "--out", str(tiny.folder / "o")]
    end = call(*words, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert end.returncode == 0, end.stderr
    assert "results   2: 0 done, 2 to make" in end.stderr


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-8"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.toml").write_bytes('title = "数据"\r\n'.encode(encoding))
    assert read_toml(tmp_path / "a.toml") == {"title": "数据"}


@pytest.mark.parametrize("content", ["é".encode("latin-1"), "数据".encode("gbk"), b"\xff\xfea"])
def test_what_is_no_text_is_told_how_to_save(content: bytes) -> None:
    with pytest.raises(ValueError, match="save it as UTF-8"):
        decode(content)


def test_control_characters_are_seen_and_text_stays() -> None:
    assert visible("a\tb\nc é 数 ± ≈") == "a\tb\nc é 数 ± ≈"
    assert visible("\x1b[31m\x00\x7f\x9b\u202e\ufffe") == r"\x1b[31m\x00\x7f\x9b\u202e\ufffe"
    assert as_xml("a\x1b\x00\ufffe\udc80b\n") == "ab\n"
    assert encode("a\udcff") == b"a\\udcff"


@pytest.mark.faults
@pytest.mark.slow
def test_names_that_are_no_text_and_control_characters_on_every_output(tmp_path: Path) -> None:
    for name, seed in (("source", 1), ("target", 2)):
        write_scenes(tmp_path / name, 3, 6, seed=seed)
        (tmp_path / name / "class0").rename(tmp_path / name / os.fsdecode("海滩".encode("gbk")))
        (tmp_path / name / "class1").rename(tmp_path / name / "a\x1b[31mb\x01")
    target = os.fsdecode("目标".encode("gbk"))
    (tmp_path / "target").rename(tmp_path / target)
    (tmp_path / "tiny.toml").write_text(TINY_PROTOCOL.format(source="source", target="target"))
    to = ["--target", f"folder:{target}"]
    own = ["--protocol", "tiny.toml", "--data-root", ".", "--device", "cpu"]
    image = "source/class2/scene00.png"
    lines = [
        ["run", "--methods", "baseline", "--targets", to[1], *own],
        ["datasets", "verify", to[1]],
        ["datasets", "audit", "folder:source", to[1], "--out", "audit"],
        ["search", image, *to, "--method", "baseline", *own, "--panel", "panel.html"],
        ["search", image, *to, "--method", "baseline", *own, "--json"],
        ["publish", "runs", "--results", "results"],
        ["leaderboard", "results", "--out", "tables", "--format", "md,csv,tex,html"],
        ["drift", "runs", "--baseline", "results", "--markdown", "drift.md"],
        ["report", "results", "--runs", "runs", "--data-root", ".", "--protocol", "tiny.toml", "--out", "report"],
    ]
    for words in lines:
        end = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, check=False)
        assert end.returncode == 0, (words, end.stderr[-1000:])
        assert not {0x1B, 0x01} & {*end.stdout, *end.stderr}, words
    for path in tmp_path.rglob("*"):
        kept = path.suffix in (".html", ".md", ".csv", ".tex", ".svg", ".js", ".json")
        if path.is_file() and kept and "cache" not in path.parts:
            assert not {0x1B, 0x01} & {*path.read_bytes()}, path
            path.read_text(encoding="utf-8")
