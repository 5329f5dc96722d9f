"""The README: every command in it is run here, or checked as far as it goes without a network."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from statistics import fmean, stdev

import pytest
from command import InProcess
from conftest import REPOSITORY, Tiny

from rsir_bench.protocol import load, shipped
from rsir_bench.records.cells import is_plain
from rsir_bench.records.store import read_published
from rsir_bench.runs.request import Request

sys.path.insert(0, str(REPOSITORY / "docs" / "pictures"))
sys.path.insert(0, str(REPOSITORY / "tests" / "frozen"))
import make as pictures
from listing import fake_plan

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
SHELL = [block for kind, block in BLOCKS if not kind and re.match(r"git|rsir-bench", block)]
(METHOD,) = (block for kind, block in BLOCKS if kind == "python")
DEMO, ENDS = (block for kind, block in BLOCKS if not kind and block not in SHELL)
PROGRAMS = ("rsir-bench", "pip", "uv", "pytest", "sphinx-build", "git", "cd")

RUN_HERE = {
    "rsir-bench run --plugin mine.py --methods mine,baseline --protocol demo",
    "rsir-bench methods check mine.py",
    "rsir-bench leaderboard --check",
    "rsir-bench --help",
    "rsir-bench datasets",
    # every night
    "rsir-bench demo",
    "rsir-bench drift --exact",
}
RUN_ELSEWHERE = {
    "rsir-bench demo --methods jsst,jsst+se,sk": "its plan: below",
    "rsir-bench drift runs": ".ci/run, on the demo",
    "pytest -n auto": ".ci/run",
    "sphinx-build docs build/docs": ".ci/run",
}
SET_UP = {
    "git clone ADDRESS rsir-bench",
    "cd rsir-bench",
    "pip install uv",
    "uv pip install --torch-backend=cpu torch torchvision",
    "pip install -e .",
    "pip install -e '.[test]'",
    "pip install -e '.[docs]'",
}


def commands() -> set[str]:
    """Every command of the README, in blocks and in sentences."""
    lines = [line.partition(" #")[0] for block in SHELL for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```\w+.*?```|^```$", "", README, flags=re.DOTALL | re.MULTILINE))
    words = [" ".join(part.split()) for line in lines for part in line.split(" && ")]
    return {word for word in words if word.split() and word.split()[0] in PROGRAMS and " " in word}


def ended(text: str) -> str:
    """The last line, with numbers masked."""
    return masked(text.strip().splitlines()[-1])


def masked(text: str) -> str:
    return re.sub(r"[\d,.]*\d", "0", text)


@pytest.fixture
def small(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``mine.py``, where the protocol ``demo`` trains in a second."""
    path = tiny.folder / "demo.toml"
    path.write_text(tiny.protocol.read_text().replace('name = "tiny"', 'name = "demo"'))
    monkeypatch.setattr(load, "shipped", lambda: shipped() | {"demo": path})
    (tiny.folder / "mine.py").write_text(METHOD)
    return tiny.folder


def test_it_is_short_and_names_no_command_that_is_not_checked() -> None:
    assert len(README.splitlines()) <= 130
    assert commands() == RUN_HERE | RUN_ELSEWHERE.keys() | SET_UP


def test_every_link_and_picture_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 20
    assert [link for link in links if not (REPOSITORY / link.partition("#")[0]).exists()] == []
    drawn = list((REPOSITORY / "docs" / "pictures").glob("*.*[gG]"))
    assert {path.name for path in drawn} == {"terminal.svg", "explorer.png", "leaderboard.svg"}
    assert sum(path.stat().st_size for path in drawn) < 400_000
    assert all(f"docs/pictures/{path.name})" in README for path in drawn)


def test_what_is_installed_is_what_the_project_offers() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"test", "docs"} <= set(project["optional-dependencies"])
    assert "--torch-backend=" in (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    versions = sorted(text.rpartition(" ")[2] for text in project["classifiers"] if "Python :: 3." in text)
    assert f"Python {versions[0]} to {versions[-1]}" in README.replace("\n", " ")
    torch = next(text for text in project["dependencies"] if text.startswith("torch>="))
    assert f"torch {torch.removeprefix('torch>=')} or newer" in README.replace("\n", " ")
    ci = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert all(words in ci for words in ('pytest" -n auto', 'sphinx-build"', 'rsir-bench" drift "$environment/demo"'))


def test_the_output_of_the_demo_is_that_of_its_published_records() -> None:
    printed = pictures.demo_output()
    *parts, last = DEMO.split("...\n")
    parts = [part for part in parts if part]
    assert [part for part in parts if part not in f"{printed}\n"] == []
    assert sum(len(part.splitlines()) for part in parts) >= 9
    assert last.startswith("Open file:///")


def test_pictures_of_records_are_those_of_the_published_ones() -> None:
    folder = REPOSITORY / "docs" / "pictures"
    assert (folder / "leaderboard.svg").read_text(encoding="utf-8") == pictures.leaderboard()
    shown = re.sub(r"<[^>]+>|\s|&#160;", "", (folder / "terminal.svg").read_text(encoding="utf-8"))
    tables = pictures.demo_output().split("\n\n")[: pictures.TABLES]
    lines = [line for table in tables for line in table.splitlines() if not line.startswith("---")]
    assert [line for line in lines if "".join(line.split()) not in shown] == []


def test_the_table_of_results_is_that_of_the_published_records() -> None:
    rows = [line.strip("| ").split(" | ") for line in README.splitlines() if re.match(r"\| `[a-z-]+` \|", line)]
    assert [row[0] for row in rows] == ["`baseline`", "`baseline-aug`", "`jsst`"]
    for name, seeds, *values in rows:
        records = [
            record
            for record in read_published(REPOSITORY / "leaderboards" / "results" / "ucm-mobile" / name.strip("`"))
            if record.row.name == "PCA" and is_plain(record)
        ]
        found = [
            [record.metrics[metric] for record in records if record.target.name == target]
            for target in ("rsscn7", "aid")
            for metric in ("mAP", "P@5")
        ]
        assert {str(len(of_seeds)) for of_seeds in found} == {seeds}
        assert values == [f"{fmean(of_seeds):.3f} ± {stdev(of_seeds):.3f}" for of_seeds in found]


@pytest.mark.slow
def test_the_method_trains_keeps_the_contract_and_ends_as_shown(small: Path, cli: InProcess) -> None:
    ends = [masked(line) for line in ENDS.splitlines()]
    made = cli("run", "--plugin", "mine.py", "--methods", "mine,baseline", "--protocol", "demo")
    assert made.code == 0, made.err
    assert {line.split()[0] for line in made.out.splitlines() if line} >= {"mine", "*mine", "baseline"} - {"*mine"}
    checked = cli("methods", "check", "mine.py")
    assert checked.code == 0, checked.out
    assert [ended(made.err), ended(checked.out)] == ends[:2]


def test_the_tables_are_those_of_the_records(cli: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    checked = cli("leaderboard", "--check")
    assert (checked.code, ended(checked.err)) == (0, masked(ENDS.splitlines()[2])), checked.out


def test_what_there_is_is_listed(cli: InProcess) -> None:
    shown = cli("--help").out
    others = re.search(r"`rsir-bench --help` lists the others: (.*?)\n\n", README, re.DOTALL)
    assert others
    assert [verb for verb in re.findall(r"`(\w+)`", others[1]) if f" {verb} " not in shown] == []
    assert "demo-view" in cli("datasets").out


def test_every_method_runs_on_the_trunk_of_the_demo() -> None:
    plan = fake_plan(Request(["all"], targets=["all"], protocol="demo"))
    assert [reason.partition(":")[0] for reason in plan.absent] == ["self-training"]


@pytest.mark.nightly
def test_the_demo_prints_what_is_shown(tmp_path: Path) -> None:
    """On another processor trainings end elsewhere: the values are near, and the lines the same."""
    words = [sys.executable, "-m", "rsir_bench", "demo"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in filter(None, DEMO.split("...\n")[:-1]):
        caption = part.splitlines()[0]
        (found,) = (grid for grid in done.stdout.split("\n\n") if grid.splitlines()[0] == caption)
        assert rows_of(found).keys() == rows_of(part).keys()
        for row, value in rows_of(part).items():
            assert rows_of(found)[row] == pytest.approx(value, abs=0.06), row
    assert done.stdout.splitlines()[-1].startswith("Open file:///")


def rows_of(grid: str) -> dict[tuple[str, str], float]:
    """The mAP of each row of a table."""
    lines = [words for line in grid.splitlines()[3:] if len(words := line.split()) > 3]
    return {(method, row): float(value.lstrip("*")) for method, row, _, value, *_ in lines}


@pytest.mark.nightly
def test_no_step_drifts(cli: InProcess) -> None:
    exact = cli("drift", "--exact")
    assert (exact.code, ended(exact.out)) == (0, masked(ENDS.splitlines()[3]))
