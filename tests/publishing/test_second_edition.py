"""The same scenes re-encoded as JPEG of another quality and size: run, published and compared with the first."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from command import InProcess
from conftest import TINY_PROTOCOL, write_scenes
from PIL import Image

from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS
from rsir_bench.records.editions import target_edition
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_records
from rsir_bench.scenes.card import SceneClass, load_cards


def re_encoded(folder: Path, out: Path) -> None:
    """Write the scenes of a folder as JPEG files of quality 80 and 28 px."""
    for path in sorted(folder.rglob("*.png")):
        place = out / path.relative_to(folder).with_suffix(".jpg")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((28, 28)).save(place, quality=80)


def label_of(record: Record) -> str:
    """What a board with both calls the target of a record."""
    assert record.source is not None
    return f"folder-target ({record.target.fingerprint[:8]}, source {record.source.fingerprint[:8]})"


def pages(records: list[Record]) -> list[str]:
    """All documents in all formats."""
    return [write(one) for board in boards(records) for one in documents(board) for write in FORMATS.values()]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: InProcess) -> Path:
    """Two folders with runs of one protocol on two editions of one source and one target."""
    for number, name in enumerate(("source", "target")):
        re_encoded(write_scenes(tmp_path / "first" / name, 3, 6, seed=number), tmp_path / "second" / name)
    for place in ("first", "second"):
        (tmp_path / place / "tiny.toml").write_text(TINY_PROTOCOL.format(source="source", target="target"))
        monkeypatch.chdir(tmp_path / place)
        words = ["run", "--protocol", "tiny.toml", "--methods", "baseline", "--targets", "all", "--seeds", "0,1"]
        ended = cli(*words, "--out", "runs", "--device", "cpu")
        assert ended.code == 0, ended.err
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_second_edition_is_published_next_to_the_first_and_compared(
    two: Path, cli: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (read_records([two / place / "runs"]) for place in ("first", "second"))
    assert {one.protocol.hash for one in first} == {one.protocol.hash for one in second}
    labels = {name: label_of(found[0]) for name, found in (("first", first), ("second", second))}

    assert cli("publish", "first/runs", "--results", "results").code == 0
    drifted = cli("drift", "second/runs", "--baseline", "results")
    assert drifted.code == 0, drifted.out
    within = sum(line.startswith("another edition: within") for line in drifted.out.splitlines())
    assert f"another edition: {within} within, {6 - within} outside the interval" in " ".join(drifted.out.split())
    for words in ([], ["--accept", "other scenes"]):
        assert cli("drift", "first/runs", "--baseline", "results", *words).code == (1 if words else 0)
    refused = cli("drift", "second/runs", "--baseline", "results", "--accept", "other scenes")
    assert (refused.code, refused.out) == (1, "")

    assert cli("publish", "second/runs", "--results", "results").code == 0
    assert {one.key for one in read_records([two / "results"])} == {one.key for one in (*first, *second)}
    assert cli("drift", "second/runs", "--baseline", "results").code == 0
    board = cli("leaderboard", "results", "--out", "tables", "--format", "md,csv,tex,html")
    assert board.code == 0, board.err
    text = next((two / "tables").rglob("leaderboard.md")).read_text()
    for name, found in (("first", first), ("second", second)):
        assert f"| {labels[name]} |" in text.replace("  ", "")
        mean = sum(one.metrics["mAP"] for one in found if one.row.name == "FC") / 2
        assert f"{mean:.3f}" in text
    assert pages([*first, *second]) == pages(random.Random(1).sample([*second, *first], len(first) + len(second)))
    monkeypatch.chdir(two / "first")
    runs = ["--runs", "runs", "--runs", "../second/runs", "--protocol", "tiny.toml"]
    report = cli("report", "runs", "../second/runs", "--out", "../report", *runs)
    assert report.code == 0, report.err
    assert f"{labels['second']} on board" in report.err  # its scenes are not in this folder
    (scenes,) = (two / "report" / "scenes").glob("*.html")
    assert f"<h1>Scenes of {labels['first']}</h1>" in scenes.read_text()
    page = next((two / "report" / "boards").glob("*.html")).read_text()
    assert all(f">{label}</h2>" in page for label in labels.values())


def test_packed_records_on_another_edition_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: InProcess
) -> None:
    classes = tuple(SceneClass(name=f"class{number}", scenes=6) for number in range(3))
    for number, (name, folder) in enumerate((("ucm", "source"), ("rsscn7", "target"))):
        changes = {"classes": classes, "folders": (folder,), "pixels": 32}
        monkeypatch.setitem(load_cards(), name, load_cards()[name].model_copy(update=changes))
        re_encoded(write_scenes(tmp_path / "first" / folder, 3, 6, seed=number), tmp_path / "second" / folder)
    protocol = TINY_PROTOCOL.replace("folder:{source}", "ucm").replace("folder:{target}", "rsscn7")
    (tmp_path / "tiny.toml").write_text(protocol)
    words = ["run", "--protocol", "tiny.toml", "--methods", "baseline", "--targets", "all", "--device", "cpu"]
    made = cli(*words, "--data-root", "second", "--out", "runs")
    assert made.code == 0, made.err
    maker = ["--by", "A. Author", "--made-on", "one A100"]
    packed = cli("submit", "pack", "runs", "--out", "package", *maker, "--networks", "0")
    assert packed.code == 0, packed.err

    check = ["submit", "check", "package", "--protocol", "tiny.toml", "--data-root", "first", "--exact"]
    ended = cli(*check, "--results", "results", "--out", "checked")
    assert ended.code == 0, ended.err
    (record, *_) = read_records([tmp_path / "checked"])
    assert record.origin is not None
    assert record.origin.remade == ""  # only scenes of the record's edition can reproduce it
    assert f"not here   rsscn7: edition {target_edition(record)} of the record" in ended.err
    assert "the scenes of rsscn7 are not here" in ended.err
    assert cli(*check[:-3], "--data-root", "second", "--exact", "--out", "again").code == 0
    assert all(one.origin and one.origin.remade for one in read_records([tmp_path / "again"]))

    forged = next((tmp_path / "package/records").iterdir())
    values = json.loads(forged.read_text())
    values["target"]["fingerprint"] = "1" * 64
    forged.write_text(json.dumps(values))
    refused = cli(*check, "--results", "results")
    assert refused.code == 2
    assert "does not follow from the record" in refused.err
