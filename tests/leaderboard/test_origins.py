"""Lines that were made elsewhere: who made them, and that they compete only where they were made again here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from leaderboard import factory

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard import costs, significance
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.tables.parts import MethodRow
from rsir_bench.publishing.publish import publish
from rsir_bench.records.commands import commands
from rsir_bench.records.schema import OriginPart, Record
from rsir_bench.records.store import read_record, write_record
from rsir_bench.runs.locate import locate
from rsir_bench.runs.request import UserFiles

HERE = {"device": "cpu (a model)", "precision": "32"}
CLASSES = ("beach", "field", "lake", "river")


def made(label: str, best: float, seed: int, **changes: Any) -> Record:
    """A result with values per class, made here."""
    per_class = {
        name: {"mAP": round(best - 0.3 + 0.01 * number + 0.001 * seed, 4)} for number, name in enumerate(CLASSES)
    }
    record = factory.record(label, seed=seed, metrics=factory.scores(best + seed / 1000), per_class=per_class)
    return record.model_copy(update={"environment": HERE, **changes})


def elsewhere(label: str, best: float, seed: int = 0, remade: str = "") -> Record:
    """A result of a run elsewhere."""
    return made(label, best, seed, origin=OriginPart(kind="record", by="A. Author", made_on="four A100", remade=remade))


def submitted(name: str, best: float, seed: int = 0, by: str = "B. Author") -> Record:
    """A result of submitted descriptors."""
    label = f"submitted:{name}"
    record = made(label, best, seed, source=None)
    origin = OriginPart(kind="descriptors", by=by, made_on="one A100", training="on PatternNet", sha256="0" * 64)
    method = record.method.model_copy(update={"name": label, "title": "Net"})
    return record.model_copy(update={"origin": origin, "method": method, "environment": {}})


def rows(records: list[Record]) -> dict[str, MethodRow]:
    """The rows of the only target by label."""
    (board,) = boards(records)
    return {row.name.label: row for table in tables(board) for block in table.blocks for row in block.rows if row.seeds}


def five(make: Any, label: str, best: float, **more: Any) -> list[Record]:
    return [make(label, best, seed, **more) for seed in range(5)]


def test_lines_of_others_are_neither_marked_nor_tested() -> None:
    ours = [*five(made, "jsst", 0.8), *five(made, "se", 0.7)]
    theirs = [*five(submitted, "net", 0.95), *five(elsewhere, "sk", 0.9)]
    alone, together = rows(ours), rows([*ours, *theirs])
    for label in ("jsst", "se"):
        assert together[label].cells == alone[label].cells
        assert not together[label].apart
    assert alone["jsst"].cells["mAP"].mark == "best"
    assert alone["se"].cells["mAP"].not_worse is False
    for label in ("submitted:net", "sk"):
        assert {(cell.mark, cell.not_worse) for cell in together[label].cells.values()} == {("", None)}
        assert not together[label].apart


def test_a_line_of_which_a_seed_was_made_again_competes() -> None:
    theirs = [elsewhere("sk", 0.9, seed, remade="2026-12-01, equal" if seed == 2 else "") for seed in range(5)]
    found = rows([*five(made, "jsst", 0.8), *five(made, "se", 0.7), *theirs])
    assert found["sk"].cells["mAP"].mark == "best"
    assert found["sk"].cells["mAP"].not_worse is True
    assert found["jsst"].cells["mAP"].mark == "second"
    assert found["sk"].origin == "made by A. Author (four A100); recomputed here, seed 2: 2026-12-01, equal"


def test_many_submissions_do_not_say_what_is_usual() -> None:
    others = [record for name in ("a", "b", "c") for record in five(submitted, name, 0.9)]
    found = rows([*five(made, "jsst", 0.8), *five(made, "se", 0.7), *others])
    assert [found[label].apart for label in ("jsst", "se", "submitted:a")] == [False, False, False]
    assert found["jsst"].cells["mAP"].not_worse is True


def test_every_format_says_who_made_a_line_and_where() -> None:
    (board,) = boards([made("jsst", 0.8, 0), submitted("net", 0.9), elsewhere("sk", 0.7)])
    document = next(document for document in documents(board) if document.name == "I")
    for form, write in FORMATS.items():
        text = write(document)
        assert "descriptors submitted by B. Author (one A100), scored here; on PatternNet" in text, form
        assert "made by A. Author (four A100); not recomputed here" in text, form
    markdown = FORMATS["md"](document)
    assert "1<sup>‡</sup>" in markdown
    assert "‡: made elsewhere. Such rows are marked and tested only where" in markdown
    assert "submitted:net" not in markdown.partition("How to reproduce")[2]
    assert "--methods sk" in markdown.partition("How to reproduce")[2]
    assert "made elsewhere" not in FORMATS["md"](documents(boards([made("jsst", 0.8, 0)])[0])[0])


def test_submitted_descriptors_have_neither_commands_nor_costs() -> None:
    one = submitted("net", 0.9).model_copy(update={"cost": {}})
    other = made("jsst", 0.8, 0, cost={"parameters": 5e6})
    assert commands([one]) == []
    assert [row.label for row in costs.cost_rows(boards([one, other])[0])] == ["jsst"]
    assert locate([one], Path("runs"), UserFiles()) == {}


def test_a_line_of_several_makers_is_refused() -> None:
    with pytest.raises(UserError, match=r"jsst, row PCA, on ucm has different makers: made here .*record by A. Author"):
        boards([made("jsst", 0.8, 0), elsewhere("jsst", 0.8, 1)])
    one, other = submitted("net", 0.9), submitted("net", 0.9, seed=1, by="C. Author")
    target = other.target.model_copy(update={"name": "rsscn7", "paper_name": "RSSCN"})
    with pytest.raises(UserError, match="method submitted:net has different makers"):
        boards([one, other.model_copy(update={"target": target})])


def test_records_made_here_keep_their_bytes_and_others_their_origin(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", made("jsst", 0.8, 0))
    assert "origin" not in json.loads((tmp_path / "a.json").read_text())
    write_record(tmp_path / "b.json", elsewhere("jsst", 0.8))
    assert read_record(tmp_path / "b.json") == elsewhere("jsst", 0.8)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": None},
        {"origin": {"remade": "2026"}},
        {"origin": {"sha256": ""}},
        {"origin": {"by": " "}},
        {"origin": {"by": "A\nB"}},
        {"origin": {"made_on": "\x1b[2J"}},
        {"origin": {"training": "x" * 301}},
        {"origin": {"kind": "record"}},
        {"method": {"name": "net"}},
        {"method": {"name": "net", "label": "net"}},
    ],
)
def test_what_an_origin_may_not_say(tmp_path: Path, change: dict[str, Any]) -> None:
    values = submitted("net", 0.9).model_dump(mode="json")
    write_record(tmp_path / "good.json", Record.model_validate(values))
    read_record(tmp_path / "good.json")
    for part, fields in change.items():
        values[part] = None if fields is None else values[part] | fields
    write_record(tmp_path / "a.json", Record.model_validate(values))
    with pytest.raises(UserError, match="not a result record") as caught:
        read_record(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def runs(folder: Path, *records: Record) -> Path:
    for record in records:
        write_record(folder / "results" / f"{record.key[:12]}.json", record)
    return folder


def test_publishing_never_replaces_or_mixes(tmp_path: Path) -> None:
    results = tmp_path / "published"
    first = publish([runs(tmp_path / "a", made("jsst", 0.8, 0), submitted("net", 0.9))], results)
    before = {path: path.read_bytes() for path in first}
    for number, (record, words) in enumerate(
        [
            (
                elsewhere("jsst", 0.9).model_copy(update={"key": "1" * 64}),
                "already on the board; a submission cannot replace",
            ),
            (
                submitted("net", 0.5).model_copy(update={"key": "1" * 64}),
                "already on the board; a submission cannot replace",
            ),
            (elsewhere("jsst", 0.9, seed=1), r"made with cpu, 32 \(record by A. Author\), but seed 0 with cpu, 32;"),
            (submitted("net", 0.9, seed=1, by="C. Author"), r"\(descriptors by C. Author\), but seed 0 with"),
            (
                elsewhere("sk", 0.9).model_copy(
                    update={"accepted": (factory_accepted(made("jsst", 0.8, 0)),)},
                ),
                "names results that it replaces; a submission cannot replace anything",
            ),
        ]
    ):
        with pytest.raises(UserError, match=words):
            publish([runs(tmp_path / f"more{number}", record)], results)
    assert {path: path.read_bytes() for path in sorted(results.rglob("*.json"))} == dict(sorted(before.items()))
    assert len(publish([runs(tmp_path / "more", submitted("net", 0.9, seed=1))], results)) == 1


def factory_accepted(record: Record) -> Any:
    """A deliberate change that replaces a record."""
    from rsir_bench.records.schema import AcceptedPart

    return AcceptedPart(reason="better", previous=record.metrics, previous_key=record.key)


def test_the_sign_is_unlike_the_others() -> None:
    assert len({significance.SIGN, significance.APART, significance.ELSEWHERE}) == 3
