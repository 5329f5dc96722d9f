"""What a verb writes for people never costs anybody a file that the verb did not write."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Tiny, write_scenes
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.base.output_folder import listed_digests, replaced_folder, write_page
from rsir_bench.cli.app import app
from rsir_bench.runs.runners.campaign import campaign

FOREIGN = {
    "index.html": "a site of one's own",
    "static/table.js": "export const rows = []",
    "datasets/ucm/scene.png": "pixels",
    "figures/poster.svg": "<svg/>",
    "methods/mine.py": "loss = 0",
    "audit.json": "{}",
    "aid/table_I.md": "of a paper",
}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: dict[str, str]) -> None:
    with replaced_folder(folder, "test") as staging:
        fill(staging, files)


def test_files_of_the_last_time_are_replaced_and_removed(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1", "old/b.txt": "1"})
    write(tmp_path, {"a.txt": "2", "c.txt": "2"})
    assert {name for name in contents(tmp_path) if not name.startswith(".rsir-bench")} == {"a.txt", "c.txt"}
    assert (tmp_path / "a.txt").read_text() == "2"
    assert not (tmp_path / "old").exists()
    assert listed_digests(tmp_path, "test").keys() == {"a.txt", "c.txt"}


def test_the_list_is_one_that_sha256sum_checks(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1", "b/c d.txt": "2"})
    command = ["sha256sum", "--check", "--strict", ".rsir-bench/test.sha256"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout.count(b": OK\n") == 2


def test_files_put_there_later_stay(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1", "notes/b.txt": "1"})
    fill(tmp_path, {"notes/mine.txt": "dear"})
    write(tmp_path, {"a.txt": "2"})
    assert (tmp_path / "notes" / "mine.txt").read_text() == "dear"
    assert not (tmp_path / "notes" / "b.txt").exists()


@pytest.mark.parametrize("name", ["a.txt", "gone.txt"])
def test_an_edited_file_is_named_and_nothing_is_touched(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"a.txt": "1", "b.txt": "1", "gone.txt": "1"})
    (tmp_path / name).write_text("edited")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=f"{name}: not written by rsir-bench, or changed since; move it away"):
        write(tmp_path, {"a.txt": "2", "b.txt": "2"})
    assert contents(tmp_path) == before


def test_a_file_of_others_in_the_way_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1"})
    fill(tmp_path, {"b.txt": "mine", "c/d.txt": "mine"})
    before = contents(tmp_path)
    for name in ("b.txt", "c", "b.txt/e.txt"):
        with pytest.raises(UserError, match="move it away, or name another --out"):
            write(tmp_path, {"a.txt": "2", name: "2"})
        assert contents(tmp_path) == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "report", tmp_path / "elsewhere"
    write(folder, {"data/a.txt": "1"})
    fill(elsewhere, {"a.txt": "1"})  # the very bytes that are listed
    shutil.rmtree(folder / "data")
    (folder / "data").symlink_to(elsewhere)
    for files in ({"data/a.txt": "2"}, {"b.txt": "2"}):
        with pytest.raises(UserError, match="not a folder that rsir-bench made"):
            write(folder, files)
    (folder / "data").unlink()
    (folder / "b.txt").symlink_to(elsewhere / "a.txt")
    with pytest.raises(UserError, match=r"b\.txt: not written by rsir-bench"):
        write(folder, {"b.txt": "1"})
    assert contents(elsewhere) == {"a.txt": b"1"}


@pytest.mark.parametrize("line", ["no digest", f"{'0' * 64}  ../victim.txt", f"{'0' * 64}  /victim.txt"])
def test_a_list_that_was_tampered_with_is_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path / "report", {"a.txt": "1"})
    (tmp_path / "report" / ".rsir-bench" / "test.sha256").write_text(line + "\n")
    with pytest.raises(UserError, match="not a list of files"):
        write(tmp_path / "report", {"a.txt": "2"})


@pytest.mark.parametrize("name", ["./a.txt", "a.txt/", ".rsir-bench/lock", "."])
def test_a_list_names_each_file_in_one_way(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"a.txt": "1"})
    listed = tmp_path / ".rsir-bench" / "test.sha256"
    listed.write_text(f"{listed.read_text()}{listed.read_text()[:64]}  {name}\n")
    with pytest.raises(UserError, match="not a list of files"):
        write(tmp_path, {"a.txt": "2"})


def test_files_of_another_verb_are_files_of_others(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1"})
    before = contents(tmp_path)
    with (
        pytest.raises(UserError, match="contains files that rsir-bench did not write"),
        replaced_folder(tmp_path, "another"),
    ):
        pytest.fail("the folder was given to another verb")
    assert contents(tmp_path) == before


def test_a_failure_leaves_the_last_version(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1"})
    before = contents(tmp_path)
    with pytest.raises(OSError, match="File name too long"):
        write(tmp_path, {"a.txt": "2", "b" * 300: "2"})
    with pytest.raises(UserError, match="File name too long; name another folder with --out"):
        write(tmp_path / ("c" * 300), {"a.txt": "2"})
    assert contents(tmp_path) == before


@pytest.mark.parametrize("moves", range(4))
def test_a_kill_while_files_move_is_made_good_the_next_time(
    tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a.txt": "1", "b.txt": "1", "c.txt": "1"})
    done, replace = [], Path.replace

    def killed(path: Path, target: Path) -> Path:
        if ".rsir-bench/new" in path.as_posix() and ".partial" not in path.name:
            if len(done) == moves:
                raise KeyboardInterrupt
            done.append(target)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, {"a.txt": "2", "b.txt": "2", "d.txt": "2", "e.txt": "2"})
    monkeypatch.undo()
    write(tmp_path, {"a.txt": "3"})
    assert {name for name in contents(tmp_path) if not name.startswith(".rsir-bench")} == {"a.txt"}


def _write_many(folder: Path, text: str) -> None:
    write(folder, {f"{number}.txt": text for number in range(50)})


def test_processes_that_write_one_folder_take_turns(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write_many, args=(tmp_path / "report", text)) for text in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len({text for name, text in contents(tmp_path / "report").items() if name.endswith(".txt")}) == 1


def test_a_page_replaces_only_a_page_that_is_as_it_was_written(tmp_path: Path) -> None:
    page = tmp_path / "found.html"
    write_page(page, "<p>one</p>\n")
    write_page(page, "<p>two</p>\n")
    assert page.read_text().startswith("<p>two</p>\n")
    page.write_text(page.read_text().replace("two", "edited"))
    link = tmp_path / "latest.html"
    for target in (page, tmp_path / "nothing.html"):
        link.symlink_to(target)
        with pytest.raises(UserError, match="not a page written by rsir-bench"):
            write_page(link, "<p>three</p>\n")
        link.unlink()
    for text in (page.read_text(), "mine", ""):
        page.write_text(text)
        with pytest.raises(UserError, match="not a page written by rsir-bench, or was edited; name another file"):
            write_page(page, "<p>three</p>\n")
        assert page.read_text() == text


# --- each verb that writes ---


def call(*words: object) -> tuple[int, str]:
    """The exit code, and what went to standard error in one line."""
    ended = subprocess.run(
        [sys.executable, "-m", "rsir_bench", *map(str, words)], capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stderr.strip()


@pytest.fixture
def runs(tiny: Tiny) -> Path:
    """The records of one tiny run."""
    campaign(tiny.request("timm:test_resnet@none"), lambda line: None)
    return tiny.folder / "runs"


@pytest.mark.parametrize("verb", ["report", "leaderboard", "datasets audit"])
def test_a_folder_of_others_is_refused_in_one_line_and_left_as_it_is(tiny: Tiny, runs: Path, verb: str) -> None:
    out = tiny.folder / "web"
    fill(out, FOREIGN)
    before = contents(out)
    what = tiny.target if verb == "datasets audit" else runs
    code, said = call(*verb.split(), what, "--out", out)
    assert (code, said.count("\n")) == (2, 0)
    assert "web: contains files that" in said
    assert "name a new folder with --out" in said
    assert contents(out) == before


@pytest.mark.parametrize("verb", ["report", "leaderboard", "datasets audit"])
def test_a_folder_of_the_verb_is_written_again_and_files_of_others_there_stay(
    tiny: Tiny, runs: Path, verb: str
) -> None:
    out = tiny.folder / "web"
    command = [*verb.split(), tiny.target if verb == "datasets audit" else str(runs), "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    first = contents(out)
    foreign = {f"{Path(name).parent}/of-others.txt": "mine" for name in first}
    fill(out, foreign)
    assert CliRunner().invoke(app, command).exit_code == 0
    again = contents(out)
    assert {name: again[name] for name in first} == first
    assert again.keys() - first.keys() == {Path(name).as_posix() for name in foreign}


def test_an_older_report_without_a_list_is_refused(tiny: Tiny, runs: Path) -> None:
    fill(tiny.folder / "report", {"static/table.js": "", "index.html": "", "datasets/mine.csv": "1,2"})
    code, said = call("report", runs, "--out", tiny.folder / "report")
    assert code == 2
    assert "contains files that" in said
    assert (tiny.folder / "report" / "datasets" / "mine.csv").read_text() == "1,2"


def test_publish_leaves_files_of_others_alone_and_never_leaves_its_folder(tiny: Tiny, runs: Path) -> None:
    results = tiny.folder / "leaderboards" / "results"
    fill(results, {"README.txt": "mine", "tiny/notes.md": "mine"})
    assert CliRunner().invoke(app, ["publish", str(runs), "--results", str(results)]).exit_code == 0
    assert (results / "README.txt").read_text() == (results / "tiny" / "notes.md").read_text() == "mine"
    fill(results, {"package.json": '{"name": "of a web project"}'})
    result = CliRunner().invoke(app, ["publish", str(runs), "--results", str(results)])
    assert result.exit_code == 1
    assert "left out" in result.output
    assert "package.json: not a result record" in result.output
    assert (results / "package.json").is_file()
    record = next(path for path in runs.rglob("results/**/*.json"))
    escaped = json.loads(record.read_text())
    escaped["protocol"]["board"] = "../../outside"
    away = tiny.folder / "away" / "results"
    fill(away, {"one.json": json.dumps(escaped)})
    code, said = call("publish", away.parent, "--results", tiny.folder / "elsewhere")
    assert (code, said.count("\n")) == (2, 0)
    assert "'../../outside' is not a valid folder name" in said
    assert not list(tiny.folder.parent.rglob("outside"))


def test_a_run_leaves_files_of_others_below_out_alone(tiny: Tiny) -> None:
    request = tiny.request(out=".")
    fill(tiny.folder, {"baseline/notes.txt": "mine", "results/mine.json": "{}", "round1/weights.safetensors": "mine"})
    first = campaign(request, lambda line: None).records
    folder = next(path.parent.parent for path in (tiny.folder / "baseline").rglob("trained.json"))
    fill(folder, {"round1/notes.txt": "mine", "round1/descriptors/notes.txt": "mine", "results/notes.txt": "mine"})
    (folder / "round1" / "trained.json").unlink()
    for record in folder.rglob("results/**/*.json"):
        record.unlink()
    again = campaign(request, lambda line: None).records
    assert [record.metrics for record in again] == [record.metrics for record in first]
    kept = ("baseline/notes.txt", "results/mine.json", "round1/weights.safetensors")
    assert [(tiny.folder / name).read_text() for name in kept] == ["mine", "{}", "mine"]
    for name in ("round1/notes.txt", "round1/descriptors/notes.txt", "results/notes.txt"):
        assert (folder / name).read_text() == "mine"


def test_pages_of_search_and_drift_do_not_replace_other_files(tiny: Tiny, runs: Path) -> None:
    scene = next(Path(tiny.target.removeprefix("folder:")).rglob("*.png"))
    mine = tiny.folder / "mine.html"
    mine.write_text("mine")
    options = ["--method", "timm:test_resnet@none", "--target", tiny.target, "--protocol", tiny.protocol]
    code, said = call("search", scene, *options, "--out", runs, "--data-root", tiny.folder, "--panel", mine)
    assert (code, said.count("\n")) == (2, 0)
    code_of_drift, said_of_drift = call("drift", runs, "--baseline", runs, "--markdown", mine)
    assert code_of_drift == 2
    for line in (said, said_of_drift):
        assert "mine.html: exists and is not a page written by rsir-bench" in line
    assert mine.read_text() == "mine"


def test_the_cache_leaves_files_of_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {"pixels/mine.u8": "1", "hashes/mine.json": "{}", "synthetic/mine/scene.png": "1", "notes.txt": "mine"}
    fill(tmp_path / "cache", foreign)
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    scenes = write_scenes(tmp_path / "scenes", 2, 2, seed=0)
    from rsir_bench.scenes.index import resolve_dataset
    from rsir_bench.scenes.pixel_cache import Transform, open_pixels

    open_pixels(resolve_dataset(f"folder:{scenes}", tmp_path), Transform(16))
    resolve_dataset("demo-view", tmp_path)
    assert {name: (tmp_path / "cache" / name).read_text() for name in foreign} == foreign
