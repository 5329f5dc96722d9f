"""A result belongs to the code that made it: changed code is made again, and never shares a line with the old."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from conftest import Tiny
from leaderboard.factory import record
from tiny import message

from rsir_bench.base.files import digest
from rsir_bench.leaderboard.boards import boards
from rsir_bench.method.code.code_files import code_files, code_of, digest_of, note_imported
from rsir_bench.method.registry import discover, own_code, shipped_methods
from rsir_bench.publishing.publish import publish
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_records, write_record
from rsir_bench.runs.artifacts.code import read_current
from rsir_bench.runs.runners.campaign import CampaignResult, campaign
from rsir_bench.training import loop

PLUGIN = '''"""Colours."""
import torch
from rsir_bench.method import Card, Method, Row
from weighting import weight


class Colours(Method):
    """Mean colours."""

    rows = {"Mean": Row(descriptor="m")}
    card = Card(name="colours", title="Colours", paper="none", year=2026, trained=False, rows=rows)

    def describe(self, scenes):
        """Return them."""
        return {"m": weight(scenes.mean(dim=(2, 3)) - 0.5)}

    def loss(self, batch):
        """Train nothing."""
        raise NotImplementedError
'''
HELPER = "def weight(colours):\n    return colours * 1.0\n"
OTHER = HELPER.replace("colours * 1.0", "colours * 0.0 + 1.0")  # every scene alike


@pytest.fixture
def plugin(tiny: Tiny) -> Path:
    folder = tiny.folder / "mine"
    folder.mkdir()
    (folder / "weighting.py").write_text(HELPER)
    (folder / "colours.py").write_text(PLUGIN)
    return folder / "colours.py"


def run(tiny: Tiny, plugin: Path, **changes: object) -> tuple[CampaignResult, str]:
    lines: list[str] = []
    outcome = campaign(tiny.request("colours", plugins=[plugin], **changes), lines.append)
    assert not outcome.failures
    return outcome, "\n".join(lines)


def scores(records: list[Record]) -> list[dict[str, float]]:
    return [record.metrics for record in records]


@pytest.mark.parametrize("file", ["colours.py", "weighting.py"])
def test_changed_code_is_made_again_with_a_line(tiny: Tiny, plugin: Path, file: str) -> None:
    before, _ = run(tiny, plugin)
    path = plugin.with_name(file)
    path.write_text(path.read_text().replace("* 1.0", "* 0.0 + 1.0").replace("- 0.5)", "* 0 + 1)"))
    after, lines = run(tiny, plugin)
    assert f"changed   colours seed 0: {file} changed since" in lines
    assert scores(after.records) != scores(before.records)
    assert scores(after.records) == scores(run(tiny, plugin, out="fresh")[0].records)
    path.write_text(path.read_text().replace("* 0.0 + 1.0", "* 1.0").replace("* 0 + 1)", "- 0.5)"))
    again, lines = run(tiny, plugin)  # the code of the first time: its results are still there
    assert "1 done, 0 to do" in lines
    assert scores(again.records) == scores(before.records)


def test_what_changes_nothing_makes_nothing_again(tiny: Tiny, plugin: Path) -> None:
    run(tiny, plugin)
    elsewhere = tiny.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weighting.py").write_text(f'"""Weights."""\n# more\n{HELPER}')
    (elsewhere / "colours.py").write_text(PLUGIN.replace('"""Mean colours."""', '"""Means."""  # prose'))
    (elsewhere / "unused.py").write_text("x = 1\n")
    assert "1 done, 0 to do" in run(tiny, elsewhere / "colours.py")[1]


def test_a_second_change_within_a_second_is_seen(tiny: Tiny, plugin: Path) -> None:
    """Python's bytecode files know the size and the second of a source."""
    for factor, equal in ((1.0, False), (0.0, True), (2.0, False), (0.0, True)):
        plugin.with_name("weighting.py").write_text(HELPER.replace("* 1.0", f"* {factor}"))
        assert (run(tiny, plugin)[0].records[0].queries.constant > 0) is equal


def test_two_plugins_do_not_share_a_module_by_accident(tiny: Tiny, plugin: Path) -> None:
    other = tiny.folder / "other"
    other.mkdir()
    (other / "weighting.py").write_text(OTHER)
    (other / "greys.py").write_text(PLUGIN.replace('"colours"', '"greys"'))
    text = message(lambda: discover([plugin, other / "greys.py"]))
    assert "weighting.py" in text
    assert "rename one of them" in text


def test_installed_modules_come_before_those_beside_a_plugin(tiny: Tiny, plugin: Path) -> None:
    plugin.with_name("json.py").write_text("raise SystemExit")
    plugin.write_text(f"import json\nassert json.dumps(1) == '1'\n{PLUGIN}")
    assert run(tiny, plugin)[0].records


def test_results_of_former_code_are_left_out_of_boards(tiny: Tiny, plugin: Path) -> None:
    run(tiny, plugin)
    plugin.with_name("weighting.py").write_text(OTHER)
    run(tiny, plugin)
    runs, lines = tiny.folder / "runs", list[str]()
    kept = read_current([runs], lines.append)
    assert len(read_records([runs])) == 2 * len(kept)
    assert [line for line in lines if "weighting.py has changed since" in line]
    publish([runs], tiny.folder / "published")
    assert scores(read_records([tiny.folder / "published"])) == scores(kept)


@pytest.mark.parametrize("part", [{"otherwise": None}, {"otherwise": []}, {"files": []}, {"files": None}])
def test_a_note_of_code_that_was_changed_by_hand_is_one_line(tmp_path: Path, part: dict[str, object]) -> None:
    write_record(tmp_path / "run" / "results" / "one.json", record())
    note = tmp_path / "run" / "code.json"
    note.write_text(json.dumps({"code": "a", "files": {}, "otherwise": "b"} | part))
    assert message(lambda: read_current([tmp_path], print)) == f"{note}: damaged; delete it and run again"


def test_two_codes_never_share_a_line(tiny: Tiny, plugin: Path) -> None:
    """Where the plugin's file is gone, its records still tell which code made them."""
    run(tiny, plugin)
    (first,) = read_records([tiny.folder / "runs"])
    plugin.with_name("weighting.py").write_text(OTHER)
    (second,) = run(tiny, plugin, out="second")[0].records
    twin = second.model_copy(update={"seed": 1})
    assert "method colours has different codes" in message(lambda: boards([first, twin]))


def test_seeds_of_other_initial_weights_never_share_a_line(tiny: Tiny) -> None:
    (record,) = campaign(tiny.request("timm:test_resnet@none"), lambda line: None).records
    twin = record.model_copy(update={"seed": 1, "weights": {**record.weights, "timm.weights": "sha256:0"}})
    assert "different initial weights" in message(lambda: boards([record, twin]))


def test_a_changed_shipped_method_is_the_users_own(tmp_path: Path) -> None:
    shipped = discover()["se"].source
    edited = tmp_path / "se.py"
    edited.write_text(f"# prose\n{shipped.read_text()}")
    assert own_code({"se": code_of(edited)}) == ""
    edited.write_text(f"{shipped.read_text()}\nOTHER = 1\n")
    assert own_code({"se": code_of(edited)}) != ""
    assert own_code({"baseline": code_of(discover()["baseline"].source), "se": code_of(edited)}) != ""
    assert set(shipped_methods()) >= set(discover())


def test_a_training_of_other_code_starts_again(tiny: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    """One network of two codes would be nobody's."""
    request = tiny.request()
    whole = campaign(request, lambda line: None).records
    (network,) = (tiny.folder / "runs").rglob("weights.safetensors")
    folder, weights = network.parent, network.read_bytes()
    for path in [*folder.rglob("*.npy"), *folder.rglob("trained.json*"), *folder.parent.rglob("results/**/*.json*")]:
        path.unlink()
    log = [{"epoch": 1, "loss": 0.0, "images": 1, "seconds": 1.0}] * 2
    torch.save({"log": log, "code": "ast:other"}, folder / "checkpoint.pt")
    again = campaign(request, lambda line: None).records
    assert "training starts again" in caplog.text
    assert network.read_bytes() == weights
    assert scores(again) == scores(whole)


def test_the_code_of_a_training_is_that_of_its_losses_layers_and_pixels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(loop, "source_digest", lambda *files: seen.extend(files) or "")
    loop._code_of_training.__wrapped__()
    names = {path.relative_to(Path(loop.__file__).parents[1]).as_posix() for path in seen}
    assert {"method/head_method.py", "nn/checkpoints/reading.py", "scenes/batches.py", "training/loop.py"} <= names


def test_fresh_makes_everything_again_and_keeps_what_is_foreign(tiny: Tiny, plugin: Path) -> None:
    first, _ = run(tiny, plugin)
    (record,) = (tiny.folder / "runs").rglob("results/**/*.json")
    stale = json.loads(record.read_text())
    stale["metrics"]["mAP"] = 0.999
    record.write_text(json.dumps(stale))
    record.with_name(f"{record.name}.sha256").unlink()
    mine = record.parents[2] / "notes.txt"
    mine.write_text("mine")
    assert run(tiny, plugin)[0].records[0].metrics["mAP"] == 0.999
    again, lines = run(tiny, plugin, fresh=True)
    assert scores(again.records) == scores(first.records)
    assert "is recomputed" in lines
    assert mine.read_text() == "mine"


def test_fresh_does_not_count_published_results_either(tiny: Tiny, plugin: Path) -> None:
    run(tiny, plugin)
    publish([tiny.folder / "runs"], tiny.folder / "published")
    assert "1 done, 0 to do" in run(tiny, plugin, out="new", published=tiny.folder / "published")[1]
    assert "0 done, 1 to do" in run(tiny, plugin, out="new", published=tiny.folder / "published", fresh=True)[1]


def test_fresh_loses_nothing_where_nothing_can_run(tiny: Tiny, plugin: Path) -> None:
    first, _ = run(tiny, plugin)
    (tiny.folder / "bad.safetensors").write_bytes(b"no weights")
    methods = f"colours,timm:test_resnet@{tiny.folder / 'bad.safetensors'}"
    message(lambda: campaign(tiny.request(methods, plugins=[plugin], fresh=True), lambda line: None))
    assert read_records([tiny.folder / "runs"]) == first.records


def test_the_code_of_a_plugin_is_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    for name in ("tools/__init__.py", "tools/deep.py", "unused.py", "late.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "helper.py").write_text("from tools import deep\n")
    (tmp_path / "main.py").write_text("import os, helper, numpy\nimport rsir_bench\ndef f():\n    from late import x\n")
    found = [path.relative_to(tmp_path).as_posix() for path in code_files(tmp_path / "main.py")]
    assert found == ["main.py", "helper.py", "late.py", "tools/__init__.py", "tools/deep.py"]


def test_files_of_one_name_count_by_their_folders(tmp_path: Path) -> None:
    def code(folder: str, a: str, b: str) -> str:
        place = tmp_path / folder
        return digest_of({place / "main.py": "m", place / "a" / "util.py": a, place / "b" / "util.py": b})

    assert code("here", "1", "2") != code("here", "2", "1")
    assert code("here", "1", "2") == code("there", "1", "2")
    assert code("here", "1", "1") == digest(["m", [["util.py", "1"], ["util.py", "1"]]])  # as it always was


def test_an_installed_package_is_its_own_code_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below one folder of ``sys.path``, as pip installs them."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine", "other", "mine-1.dist-info"):
        (tmp_path / name).mkdir()
    for name in ("mine/__init__.py", "mine/helper.py", "mine/deep.py", "other/__init__.py"):
        (tmp_path / name).write_text("")
    method = tmp_path / "mine" / "method.py"
    method.write_text("import other, torch\nfrom mine.helper import x\nfrom . import deep\n")
    names = {path.relative_to(tmp_path).as_posix() for path in code_files(method)}
    assert names == {"mine/method.py", "mine/__init__.py", "mine/helper.py", "mine/deep.py"}


def test_code_that_builds_on_a_shipped_method_is_its_code_too(tmp_path: Path) -> None:
    plugin = tmp_path / "child.py"
    plugin.write_text("from rsir_bench.methods.baseline import Baseline\nfrom rsir_bench.method import Card\n")
    assert [path.name for path in code_files(plugin)] == ["child.py", "baseline.py"]


@pytest.mark.parametrize("place", ["beside", "elsewhere"])
def test_a_module_that_the_user_has_imported_is_imported_anew(
    tiny: Tiny, plugin: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook, from the plugin's folder or from another one of ``sys.path``."""
    helper = plugin.with_name("weighting.py")
    if place == "elsewhere":
        helper = tiny.folder / "lib" / "weighting.py"
        helper.parent.mkdir()
        helper.write_text(HELPER)
        plugin.with_name("weighting.py").write_text(OTHER)  # not the one that Python takes
    monkeypatch.syspath_prepend(helper.parent)
    importlib.import_module("weighting")
    assert run(tiny, plugin)[0].records[0].queries.constant == 0
    helper.write_text(OTHER)
    assert run(tiny, plugin)[0].records[0].queries.constant > 0
    assert helper in code_files(plugin)


def test_a_file_that_python_imports_once_must_not_change(tmp_path: Path) -> None:
    text = "imported"
    file = tmp_path / "dropped.py"
    file.write_text(f'"""{text}"""\n')
    note_imported(file)
    assert code_of(file)
    file.write_text("changed = 1\n")
    assert "changed since this Python imported it; restart Python" in message(lambda: code_of(file))


def test_a_moved_and_changed_plugin_replaces_its_former_results(tiny: Tiny, plugin: Path) -> None:
    """The former file is gone, so that it cannot be looked at."""
    run(tiny, plugin)
    folder = tiny.folder / "moved"
    plugin.parent.rename(folder)
    (folder / "weighting.py").write_text(OTHER)
    after, _ = run(tiny, folder / "colours.py")
    lines: list[str] = []
    assert scores(read_current([tiny.folder / "runs"], lines.append)) == scores(after.records)
    assert ["which is newer" in line for line in lines] == [True]


def test_seeds_of_other_pixels_never_share_a_line(tiny: Tiny, plugin: Path) -> None:
    (record,) = run(tiny, plugin)[0].records
    pixels = record.pixels.model_copy(update={"value_range": (0.0, 900.0)})
    twin = record.model_copy(update={"seed": 1, "pixels": pixels})
    assert "different pixels" in message(lambda: boards([record, twin]))


@pytest.mark.parametrize("text", ["x = (\n", "\0", "(" * 5000])
def test_a_file_that_is_not_python_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert "not valid Python" in message(lambda: code_of(tmp_path / "mine.py"))
