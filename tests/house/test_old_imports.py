"""Imports from before the rooms: each works for one more release, and warns with the new name."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import REPOSITORY

from rsir_bench.base.moved import MOVED, MOVED_FROM
from rsir_bench.method.registry import discover

NAMES = {
    "accept": "accept",
    "batches": "Scenes",
    "campaign": "campaign",
    "cluster": "Cluster",
    "conformance.bench": "Failure",
    "describe": "describe",
    "descriptor_files": "read_descriptors",
    "errors": "UserError",
    "estimate": "estimate",
    "files": "write_text",
    "leaderboard.comparison": "not_worse",
    "leaderboard.drift": "differences Tolerance",
    "leaderboard.folder": "render_leaderboards",
    "leaderboard.paper": "published",
    "leaderboard.page": "Grid",
    "leaderboard.render": "escape_latex heading plain_number",
    "leaderboard.style": "EMPTY ORIGIN",
    "leaderboard.traces": "commands",
    "method_listing": "method_list",
    "nn.across": "gathered",
    "nn.centre": "CentreLoss",
    "nn.histogram": "histograms",
    "nn.non_local": "NonLocal",
    "nn.pgn": "ParameterNetwork",
    "nn.ranking_loss": "ranking_hinge",
    "nn.spectral": "gamma linear",
    "nn.triplet": "triplet_loss dual_anchor_loss",
    "nn.wallis": "wallis",
    "parallel": "launch size",
    "plan": "Request Plan make_plan",
    "progress": "track",
    "publish": "publish",
    "queries": "choose_queries",
    "ranking.inputs": "scoring_task",
    "ranking.positives": "PositiveRanks",
    "ranking.workers": "workers",
    "recorded": "locate",
    "registry": "discover resolve",
    "results": "Record read_published",
    "scenes.archive": "unpack",
    "scenes.audit": "find_pairs",
    "scenes.cache": "open_pixels",
    "scenes.disk": "require_space",
    "scenes.distort": "parse_distortions",
    "scenes.download": "download",
    "scenes.fetch": "fetch",
    "scenes.layout": "walk_scenes",
    "scenes.listing": "dataset_list",
    "scenes.manifest": "load_manifest",
    "scenes.paths": "cache_root",
    "scenes.picture": "as_address",
    "scenes.verify": "verify Verdict",
    "search.kept": "kept_index",
    "search.space": "VectorSpace",
    "statistics": "compare",
    "template": "write_template",
    "toml": "read_toml",
    "train": "train find_device",
}
"""Names that each module had, one for each module that has them now."""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports old modules as if for the first time."""
    for old in MOVED:
        monkeypatch.delitem(sys.modules, f"rsir_bench.{old}", raising=False)
        package, _, name = f"rsir_bench.{old}".rpartition(".")
        if package in sys.modules:
            monkeypatch.delattr(sys.modules[package], name, raising=False)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_has_its_names_and_warns_with_the_new_one(old: str) -> None:
    if old == "cluster":
        pytest.importorskip("ray", reason="NO RAY: pip install -e '.[cluster]' to import the cluster's old name")
    homes = MOVED[old].split()
    with pytest.warns(DeprecationWarning, match=rf"^rsir_bench\.{old} is now rsir_bench\.{homes[0]}") as caught:
        module = importlib.import_module(f"rsir_bench.{old}")
    assert all(f"rsir_bench.{home}" in str(caught[0].message) for home in homes)
    for name in NAMES[old].split():
        assert getattr(module, name) in [
            getattr(importlib.import_module(f"rsir_bench.{home}"), name, None) for home in homes
        ]
    with pytest.raises(AttributeError, match=f"rsir_bench.{old}.* has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package in MOVED_FROM for name in MOVED_FROM[package]]
)
def test_a_package_still_has_names_that_moved(package: str, name: str) -> None:
    module = importlib.import_module(f"rsir_bench.{package}")
    home, _, renamed = f"rsir_bench.{MOVED_FROM[package][name]}".partition(":")
    new = renamed or name
    with pytest.warns(DeprecationWarning, match=f"^rsir_bench.{package}.{name} is now {home}.{new}$"):
        value = getattr(module, name)
    assert value is getattr(importlib.import_module(home), new)
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from rsir_bench.{package} import nothing")


OLD_PLUGIN = """
from rsir_bench import errors
from rsir_bench.method import NamedMethod
from rsir_bench.nn.centre import CentreLoss
from rsir_bench.methods.baseline import Baseline

class Mine(Baseline):
    card = Baseline.card.model_copy(update={"name": "mine"})
    refused = errors.UserError
"""


@pytest.mark.usefixtures("fresh")
def test_a_plugin_from_before_is_found_and_the_warnings_point_to_its_imports(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(OLD_PLUGIN)
    with pytest.warns(DeprecationWarning, match=r"^rsir_bench\.") as caught:
        found = discover([plugin])
    assert found["mine"].source == plugin
    assert {(warning.filename, warning.lineno) for warning in caught} == {(str(plugin), line) for line in (2, 3, 4)}


IN_A_NEW_PROCESS = r"""
import sys, warnings
from pathlib import Path

warnings.filterwarnings("error", r"rsir_bench\.", DeprecationWarning)
import rsir_bench.base.errors
with warnings.catch_warnings(action="ignore"):
    import rsir_bench.nn.centre
assert not hasattr(rsir_bench.nn.centre, "__wrapped__")  # as debuggers ask
assert not {"torch", "numpy", "pydantic"} & sys.modules.keys()

from rsir_bench.method.registry import discover
assert "everything" in discover([Path(sys.argv[1])])
"""


def test_import_needs_no_library_and_a_plugin_of_today_gives_no_warning() -> None:
    """The plugin uses every hook, and is found together with all shipped methods."""
    plugin = REPOSITORY / "tests" / "plugins" / "everything.py"
    subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS, str(plugin)], check=True, timeout=120)


def test_what_never_was_is_not_found() -> None:
    assert find_spec("rsir_bench.nothing") is None
    assert find_spec("rsir_bench.nn.errors") is None
    with warnings.catch_warnings(action="error"), pytest.raises(ModuleNotFoundError, match=r"rsir_bench\.nothing"):
        importlib.import_module("rsir_bench.nothing")


def test_the_project_itself_imports_no_old_name() -> None:
    old = {f"rsir_bench.{name}" for name in MOVED}
    old |= {f"rsir_bench.{package}.{name}" for package, names in MOVED_FROM.items() for name in names}
    found = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {name}"
        for folder in ("rsir_bench", "methods", "datasets", "studies", "tests")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        for name in imported(node) & old
    ]
    assert not found


def imported(node: ast.AST) -> set[str]:
    """The modules and names that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


def test_no_old_name_is_in_the_way_of_a_new_module() -> None:
    """The finder is asked last: a table's entry that a real module has again would never be served."""
    for old in MOVED:
        path = REPOSITORY / "rsir_bench" / old.replace(".", "/")
        assert not path.with_suffix(".py").exists()
        assert not (path / "__init__.py").exists()
    assert set(NAMES) == set(MOVED)
