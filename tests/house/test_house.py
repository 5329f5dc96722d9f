"""The rooms of docs/architecture.md: what the contracts refuse, and whether contracts and page match the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

NO_LINTER = "NO IMPORT LINTER: pip install -e '.[dev]' to check which room imports which"
ROOTS = ("rsir_bench", "methods", "datasets")
MOST = 12  # modules in a room
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["id"]: contract
    for contract in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
LAYERS: list[str] = CONTRACTS["rooms"]["layers"]


def broken(folder: Path) -> set[str]:
    """The contracts that a checkout breaks."""
    pytest.importorskip("importlinter", reason=NO_LINTER)
    call = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", call, "--no-cache"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},  # no name of a contract is broken over two lines
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(re.findall(r"^(.+) (KEPT|BROKEN)$", done.stdout, re.MULTILINE))
    assert set(found) == {contract["name"] for contract in CONTRACTS.values()}, done.stdout + done.stderr
    assert done.returncode == ("BROKEN" in found.values())
    return {id_ for id_, contract in CONTRACTS.items() if found[contract["name"]] == "BROKEN"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the modules and the contracts, which a test may break."""
    for root in ROOTS:
        for module in (REPOSITORY / root).rglob("*.py"):
            copied = tmp_path / module.relative_to(REPOSITORY)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(module, copied)
    shutil.copyfile(REPOSITORY / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


@pytest.fixture(scope="module")
def already() -> set[str]:
    """The contracts that this checkout breaks: none, or one test fails and not all of them."""
    return broken(REPOSITORY)


def test_all_contracts_hold(already: set[str]) -> None:
    assert already == set()


@pytest.mark.parametrize(
    ("module", "line", "contracts"),
    [
        ("rsir_bench/base/files.py", "from rsir_bench.ranking import metrics", {"rooms"}),
        ("rsir_bench/ranking/metrics/groups.py", "def late(): from rsir_bench.leaderboard import boards", {"rooms"}),
        ("rsir_bench/base/files.py", "from rsir_bench import score", {"rooms", "runs"}),
        (
            "rsir_bench/records/schema.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING: from rsir_bench.method import Card",
            {"rooms"},
        ),
        ("rsir_bench/runs/request.py", "from rsir_bench.runs import plan", {"runs", "circles"}),
        ("rsir_bench/nn/head.py", "from rsir_bench.nn import late\n", {"circles"}),
        ("rsir_bench/conformance/report.py", "from methods import baseline", {"by-name"}),
        ("methods/se.py", "from rsir_bench.training import loop", {"methods"}),
        ("methods/se.py", "from methods import sk", {"alone"}),
        ("datasets/synthetic.py", "from rsir_bench.scenes import card", {"datasets"}),
        ("rsir_bench/attic/new.py", "", {"rooms"}),
    ],
)
def test_an_import_that_the_house_refuses_breaks_its_contract(
    copy: Path, already: set[str], module: str, line: str, contracts: set[str]
) -> None:
    damaged = copy / module
    if not damaged.exists():
        damaged.parent.mkdir()
        (damaged.parent / "__init__.py").touch()
        damaged.touch()
    (copy / "rsir_bench" / "nn" / "late.py").write_text("import rsir_bench.nn.head\n")
    damaged.write_text(f"{damaged.read_text()}\n{line}\n")
    assert broken(copy) == contracts | already


def test_installed_names_of_methods_and_datasets_are_banned(copy: Path) -> None:
    """import-linter does not see them: setuptools maps them in from other folders."""
    pytest.importorskip("ruff", reason=NO_LINTER)
    (copy / "rsir_bench" / "late.py").write_text(
        "import rsir_bench.methods.se\nfrom rsir_bench import datasets\ndef late(): from rsir_bench.methods import sk\n"
    )
    check = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "--output-format", "concise"]
    done = subprocess.run([*check, *ROOTS], cwd=copy, capture_output=True, text=True, check=False)
    assert re.findall(r"^(\S+?):(\d):\d+: TID251", done.stdout, re.MULTILINE) == [
        (str(Path("rsir_bench/late.py")), line) for line in "123"
    ]


def test_no_modules_import_each_other_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers refuse cycles of rooms; this contract refuses those of modules, also within a package."""
    grimp = pytest.importorskip("grimp", reason=NO_LINTER)
    monkeypatch.syspath_prepend(str(REPOSITORY))
    graph = grimp.build_graph(*ROOTS, cache_dir=None)
    assert len(graph.modules) > 150
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()


def rooms() -> set[str]:
    """The folders with modules."""
    return {folder.name for folder in (REPOSITORY / "rsir_bench").iterdir() if next(folder.glob("*.py"), None)}


def test_the_contracts_list_the_rooms_that_are_there() -> None:
    assert {layer for layer in LAYERS if not layer.startswith("(")} <= rooms()
    assert rooms() <= {layer.strip("()") for layer in LAYERS}
    for id_, allowed in {"methods": {"method", "encoders", "nn", "protocol"}, "datasets": {"base"}}.items():
        forbidden = {name.removeprefix("rsir_bench.") for name in CONTRACTS[id_]["forbidden_modules"]}
        assert forbidden == rooms() - allowed | {"methods", "datasets"} - {id_}


def test_no_room_has_more_than_a_dozen_modules() -> None:
    folders = {module.parent for module in (REPOSITORY / "rsir_bench").rglob("*.py")}
    sizes = {folder: len({path.name for path in folder.glob("*.py")} - {"__init__.py"}) for folder in folders}
    assert not {str(folder): size for folder, size in sizes.items() if size > MOST}


def test_only_the_front_door_is_outside_the_rooms() -> None:
    assert {path.name for path in (REPOSITORY / "rsir_bench").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_setuptools_installs_every_folder_of_modules() -> None:
    setuptools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    mapped = {folder: name for name, folder in setuptools["package-dir"].items()}
    folders = {path.parent.relative_to(REPOSITORY) for root in ROOTS for path in (REPOSITORY / root).rglob("*.py")}
    modules = {mapped.get(folder.as_posix(), ".".join(folder.parts)) for folder in folders}
    assert modules == set(setuptools["packages"]) - {"rsir_bench.paper"}


def test_the_page_draws_the_rooms_in_the_order_of_the_contract() -> None:
    drawing = PAGE.split("```")[1]
    assert re.findall(r"^(?:  )?(\w+)/ ", drawing, re.MULTILINE) == [
        "methods",
        "datasets",
        *(layer.strip("()") for layer in LAYERS),
    ]
    assert " > ".join(layer.strip("()") for layer in CONTRACTS["runs"]["layers"]) in PAGE


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    lines = PAGE.split(f"## {heading}\n")[1].split("\n\n## ")[0].splitlines()
    return [
        line.strip("| ").split(" | ")
        for line in lines
        if line.startswith("| ") and line[2:8] not in ("I want", "step |")
    ]


@pytest.mark.parametrize("row", [*table("The route of a run"), *table("Where to add things")], ids=lambda row: row[0])
def test_the_page_leads_to_what_is_there(row: list[str]) -> None:
    paths = re.findall(r"(new: )?`([\w.-]+/[\w./-]*|\w+\.toml)`", " | ".join(row[1:]))
    for new, name in paths:
        path = REPOSITORY / name
        if new:
            assert not path.exists(), f"{name} is not new any more"
            assert path.parent.exists() or path.parent.parent.exists()
        else:
            assert (path.parent if "NAME" in path.name else path).exists(), name
    assert paths or row[0] == "a result"


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their name alone."""
    names = [path.name for path in (REPOSITORY / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
