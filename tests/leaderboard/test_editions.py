"""Editions of a dataset on one board are side by side, and never share a line, mark, test, mean, ratio or file."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from factory import protocol_part, record, scores

from rsir_bench.leaderboard import costs, robustness
from rsir_bench.leaderboard.boards import Board, boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS
from rsir_bench.leaderboard.grids import Document
from rsir_bench.leaderboard.tables.build import tables
from rsir_bench.leaderboard.terminal import leaders, terminal_table
from rsir_bench.publishing.export.mteb import task_name
from rsir_bench.publishing.export.selection import Selection
from rsir_bench.records.cells import cell_of
from rsir_bench.records.editions import of_usual_editions, source_edition, suite_names, target_edition, with_editions
from rsir_bench.records.schema import DistortionPart, Record
from rsir_bench.records.store import read_record, write_record
from rsir_bench.report.board_view import views
from rsir_bench.report.site import build_report
from rsir_bench.scenes.card import load_cards

LITE = protocol_part("aid-lite")
OURS = {"rsscn7": "jpeg-256", "ucm": "jpeg-256", "aid": "jpeg-128"}
ORIGINAL = {"rsscn7": "original", "ucm": "original", "aid": "11111111"}
CLASSES = ("beach", "field", "forest", "river")


def fingerprint(name: str, edition: str) -> str:
    """The fingerprint of an edition that a card knows, or one that begins with its digits."""
    return load_cards()[name].editions.get(edition, edition * 8)


def made(label: str, value: float, seed: int, editions: dict[str, str], target: str, **changes: Any) -> Record:
    """A result with values by class, costs and a machine."""
    chance = random.Random(f"{label} {seed} {target} {value}")
    noise = [chance.uniform(-0.02, 0.02) for _ in CLASSES]
    per_class = {name: {"mAP": value + one, "P@5": value + one / 2} for name, one in zip(CLASSES, noise, strict=True)}
    mean = {name: sum(of[name] for of in per_class.values()) / len(CLASSES) for name in ("mAP", "P@5")}
    fields = {
        "protocol": LITE,
        "target": target,
        "seed": seed,
        "fingerprint": fingerprint(target, editions[target]),
        "source_fingerprint": fingerprint("aid", editions["aid"]),
        "metrics": scores(0.9) | mean,
        "per_class": per_class,
        "key": f"{editions[target][:3]}{label[:4]}{seed}{target[:3]}",
    }
    one = record(label, **(fields | changes))
    environment = {"device": "cpu (a)", "threads": "1", "precision": "32"}
    cost = {"parameters": 1e6, "macs": 1e9, "train_seconds": 3600 * value, "describe_images_per_second": 100 * value}
    return one.model_copy(update={"environment": environment, "cost": cost})


def a_board(editions: dict[str, str], shift: float) -> list[Record]:
    """Two methods with five seeds on two targets, and one distortion."""
    found = []
    for target in ("rsscn7", "ucm"):
        for label, value in (("baseline", 0.4 + shift), ("jsst", 0.6 + shift), ("wallis", 0.5 + shift)):
            found += [made(label, value + seed / 100, seed, editions, target) for seed in range(5)]
        haze = DistortionPart(name="haze", severity=3, version=1)
        key = f"h{editions[target][:3]}{target}"
        found.append(made("jsst", 0.3 + shift, 0, editions, target, distortion=haze, key=key))
    return found


PUBLISHED = [*a_board(OURS, 0.0), made("gamma", 0.35, 0, OURS, "ucm")]
STRANGERS = a_board(ORIGINAL, 0.1)
LABELS = {"rsscn7": "rsscn7 (jpeg-256, source jpeg-128)", "ucm": "ucm (jpeg-256, source jpeg-128)"}
OTHER_LABELS = {name: f"{name} (original, source 11111111)" for name in LABELS}


@pytest.fixture(scope="module")
def both() -> Board:
    (board,) = boards([*PUBLISHED, *STRANGERS])
    return board


@pytest.fixture(scope="module")
def alone() -> Board:
    (board,) = boards(PUBLISHED)
    return board


def rows_of(document: Document, label: dict[str, str]) -> list[dict[str, Any]]:
    """The lines of a CSV file that are about some targets, without their names."""
    kept = [fields for fields in document.data if fields.get("target") in label.values()]
    return [{name: value for name, value in fields.items() if name != "target"} for fields in kept]


def test_an_edition_has_its_name_on_the_card_or_its_first_digits() -> None:
    ours, theirs = PUBLISHED[0], STRANGERS[0]
    assert (target_edition(ours), source_edition(ours)) == ("jpeg-256", "jpeg-128")
    assert (target_edition(theirs), source_edition(theirs)) == ("original", "11111111")
    assert source_edition(ours.model_copy(update={"source": None})) == ""


def test_one_edition_has_no_label(alone: Board) -> None:
    assert {one.target.label for one in alone.records} == {"rsscn7", "ucm"}
    assert with_editions(PUBLISHED) == PUBLISHED
    assert {one.target.suite for one in alone.records} == {0}


def test_editions_are_separate_targets(both: Board) -> None:
    counts = Counter(one.target.label for one in both.records)
    assert counts == dict.fromkeys((*LABELS.values(), *OTHER_LABELS.values()), 16) | {LABELS["ucm"]: 17}
    assert {one.target.suite for one in both.records if "jpeg" in one.target.label} == {0}
    assert {one.target.suite for one in both.records if "original" in one.target.label} == {1}


def test_only_the_source_is_named_where_targets_are_alike() -> None:
    theirs = [made("jsst", 0.5, seed, OURS | {"aid": "11111111"}, "ucm", key=f"k{seed}") for seed in range(2)]
    ours = [one for one in PUBLISHED if one.target.name == "ucm"]
    untrained = made("plain", 0.2, 0, OURS, "ucm").model_copy(update={"source": None})
    labels = {one.method.label: one.target.label for one in with_editions([*ours, untrained])}
    assert labels["plain"] == labels["jsst"] == "ucm"
    found = with_editions([*ours, *theirs, untrained])
    assert {one.target.label for one in found} == {"ucm (source jpeg-128)", "ucm (source 11111111)", "ucm"}
    assert found[-1].target.label == "ucm"  # without a source, it belongs to neither


def test_an_untrained_method_is_with_the_only_source_of_its_scenes() -> None:
    untrained = [
        made("plain", 0.2, 0, editions, "ucm", key=key).model_copy(update={"source": None})
        for key, editions in (("a", OURS), ("b", ORIGINAL))
    ]
    found = with_editions([*PUBLISHED, *STRANGERS, *untrained])
    assert [one.target.label for one in found[-2:]] == [LABELS["ucm"], OTHER_LABELS["ucm"]]


def test_editions_of_the_same_name_are_in_one_suite() -> None:
    """Even where one dataset has more results on the original, and another on the copy."""
    asked = [("plain", name, edition) for name in ("ucm", "rsscn7") for edition in ("original", "jpeg-256")]
    asked += [("gamma", "ucm", "original"), ("gamma", "rsscn7", "jpeg-256")]
    untrained = [
        made(label, 0.2, 0, OURS | {name: edition}, name, key=f"{label}{name}{edition}").model_copy(
            update={"source": None}
        )
        for label, name, edition in asked
    ]
    targets = [one.target for one in with_editions(untrained)]
    assert {target.label: target.suite for target in targets} == {
        "ucm (jpeg-256)": 0,
        "rsscn7 (jpeg-256)": 0,
        "ucm (original)": 1,
        "rsscn7 (original)": 1,
    }
    assert suite_names(targets) == {0: "jpeg-256", 1: "original"}


def test_a_suite_is_named_by_its_editions_each_once() -> None:
    others = [made("jsst", 0.5, 0, OURS | {"ucm": "original"}, name, key=name) for name in ("ucm", "rsscn7")]
    targets = [one.target for one in with_editions([*PUBLISHED, *STRANGERS, *others])]
    assert suite_names(targets) == {
        0: "jpeg-256, source jpeg-128",
        1: "original, source 11111111",
        2: "original, source jpeg-128",
    }
    assert suite_names(one.target for one in with_editions(PUBLISHED)) == {0: ""}


def test_two_editions_with_the_same_first_digits_stay_apart() -> None:
    others = [record(protocol=LITE, fingerprint="0123456789" + digit, key=digit) for digit in "ab"]
    assert {one.target.label for one in with_editions(others)} == {"ucm (0123456789a)", "ucm (0123456789b)"}


def test_another_board_does_not_matter() -> None:
    frozen = record(protocol=protocol_part("ucm"), target="aid", fingerprint="beef")
    found = with_editions([*PUBLISHED, frozen, record(protocol=LITE, target="aid", fingerprint="f00d")])
    assert {one.target.edition for one in found if one.protocol != LITE} == {""}


def test_values_marks_and_tests_are_those_of_a_board_alone(both: Board, alone: Board) -> None:
    for one in (alone, *boards(STRANGERS)):
        blocks = {block.target: block for table in tables(one) for block in table.blocks}
        labels = LABELS if one is alone else OTHER_LABELS
        mixed = {block.target: block for table in tables(both) for block in table.blocks}
        assert {*mixed} == {*LABELS.values(), *OTHER_LABELS.values()}
        for name, block in blocks.items():
            rows = {row.name.label: row for row in mixed[labels[name]].rows}
            for row in block.rows:
                assert rows.pop(row.name.label).cells == row.cells
            assert [cell for row in rows.values() for cell in row.cells.values() if cell.mean or cell.mark] == []
            assert [row.cells["mAP"].mark for row in block.rows].count("best") == 1
            assert any(row.cells["mAP"].not_worse is False for row in block.rows)
            assert mixed[labels[name]].dataset == name


def test_differences_means_costs_and_shares_are_those_of_a_board_alone(both: Board, alone: Board) -> None:
    whole = {document.name: document for document in documents(both)}
    for one, labels in ((alone, LABELS), *((board, OTHER_LABELS) for board in boards(STRANGERS))):
        editions = "jpeg-256, source jpeg-128" if one is alone else "original, source 11111111"
        own = {document.name: document for document in documents(one)}
        assert {"leaderboard", "costs", "robustness"} <= own.keys() == whole.keys()
        means = [fields for fields in own["leaderboard"].data if fields["target"] == "mean over targets"]
        assert len(means) == 2  # jsst and wallis
        found = [f for f in whole["leaderboard"].data if f["target"] == f"mean over targets ({editions})"]
        assert [fields | {"target": ""} for fields in found] == [fields | {"target": ""} for fields in means]
        names = {name: name for name in LABELS}
        for page in ("leaderboard", "robustness"):
            assert rows_of(own[page], names) == rows_of(whole[page], labels) != []
        rows = [row for row in costs.cost_rows(both) if row.editions == editions]
        assert [row.values for row in rows] == [row.values for row in costs.cost_rows(one)]
        assert [row.ratios for row in rows] == [row.ratios for row in costs.cost_rows(one)]
        assert [row.hours for row in rows] == [row.hours for row in costs.cost_rows(one)]
    retained = {block.target: block.rows[0].mean_retained(block.conditions) for block in robustness.blocks(both)}
    assert len(retained) == 4
    for value in retained.values():
        assert value is not None
        assert value < 0.7


def test_the_pages_say_which_edition_is_which(both: Board) -> None:
    pages = {document.name: FORMATS["md"](document) for document in documents(both)}
    text = pages["leaderboard"]
    assert "RSSCN7 (jpeg-256, source jpeg-128) | " in text
    assert "RSSCN7 (original, source 11111111) | " in text
    known = load_cards()["rsscn7"].editions
    assert "Editions are separate targets" in text
    assert f"rsscn7 (jpeg-256) {known['jpeg-256'][:12]}, rsscn7 (original) {known['original'][:12]}" in text
    assert "Mean over targets (original, source 11111111)" in text
    assert "BASELINE (original, source 11111111)" in pages["costs"]
    assert "RSSCN7 (original, source 11111111)" in pages["robustness"]


def rendered(records: list[Record]) -> Iterator[str]:
    for board in boards(records):
        for document in documents(board):
            yield from (write(document) for write in FORMATS.values())


def test_the_order_of_the_records_changes_no_byte() -> None:
    records = [*PUBLISHED, *STRANGERS]
    first = list(rendered(records))
    for seed in range(3):
        assert list(rendered(random.Random(seed).sample(records, len(records)))) == first
    assert list(rendered(records[::-1])) == first


def test_the_terminal_and_its_last_lines_keep_them_apart(both: Board) -> None:
    text = terminal_table([*PUBLISHED, *STRANGERS])
    assert "UCM (jpeg-256, source jpeg-128) (2100 scenes" in text
    assert "UCM (original, source 11111111) (2100 scenes" in text
    lines = leaders([*PUBLISHED, *STRANGERS])
    assert len(lines) == 4
    assert lines[:2] == [line.replace(":", " (jpeg-256, source jpeg-128):", 1) for line in leaders(PUBLISHED)]


def test_the_report_shows_both_and_has_one_page_for_the_dataset(tmp_path: Path) -> None:
    every = [one for one in (*PUBLISHED, *STRANGERS) if one.target.name == "rsscn7"]
    records = [one.model_copy(update={"per_class": {}}) for one in every if one.seed == 0]
    build_report(records, tmp_path / "one")
    build_report(records[::-1], tmp_path / "other")
    files = {path.relative_to(tmp_path / "one"): path for path in (tmp_path / "one").rglob("*") if path.is_file()}
    for name, path in files.items():
        assert path.read_bytes() == (tmp_path / "other" / name).read_bytes(), name
    board = (tmp_path / "one/boards/aid-lite.html").read_text()
    for editions in ("jpeg-256, source jpeg-128", "original, source 11111111"):
        assert f">RSSCN7 ({editions})</h2>" in board
    dataset = (tmp_path / "one/datasets/rsscn7.html").read_text()
    assert "<small>original, source 11111111</small> mAP" in dataset
    assert len([name for name in files if name.match("datasets/rsscn7*.html")]) == 1
    method = (tmp_path / "one/methods/jsst.html").read_text()
    assert "<small>original, source 11111111</small></th>" in method
    assert len([name for name in files if name.suffix == ".json"]) == len(records)


def test_figures_of_an_edition_have_its_costs_and_values() -> None:
    (view,) = views([*PUBLISHED, *STRANGERS])
    (jsst,) = (one for one in view.standings if one.label == "jsst")
    assert {suite: row.editions for suite, row in jsst.costs_by_suite.items()} == {
        0: "jpeg-256, source jpeg-128",
        1: "original, source 11111111",
    }
    assert jsst.cost == jsst.costs_by_suite[0]
    for target in view.targets:
        edition = {target_edition(one) for one in view.records(target.name, jsst)}
        assert edition == {"jpeg-256" if target.suite == 0 else "original"}
    assert [one.label for one in view.main] == ["jsst", "wallis", "baseline", "gamma"]


def test_a_label_is_stored_nowhere(tmp_path: Path, both: Board) -> None:
    (labelled,) = (one for one in both.records if one.key == STRANGERS[0].key)
    assert labelled.target.label != "rsscn7"
    write_record(tmp_path / "labelled.json", labelled)
    write_record(tmp_path / "plain.json", STRANGERS[0])
    assert (tmp_path / "labelled.json").read_bytes() == (tmp_path / "plain.json").read_bytes()
    assert read_record(tmp_path / "labelled.json") == STRANGERS[0]


def test_exports_are_selected_by_dataset_or_by_label_and_named_apart() -> None:
    records = [*PUBLISHED, *STRANGERS]
    assert len(Selection(targets=["ucm"]).of(records)) == 33
    found = Selection(targets=[OTHER_LABELS["ucm"]]).of(records)
    assert {target_edition(one) for one in found} == {"original"}
    tasks = {task_name(one) for one in Selection(targets=["ucm"]).of(records) if one.distortion is None}
    assert sorted(task.rpartition("-")[0] for task in tasks) == [
        "RSIRBench-aid-lite-ucm-jpeg-256-source-jpeg-128",
        "RSIRBench-aid-lite-ucm-original-source-11111111",
    ]
    assert task_name(PUBLISHED[-1]) == "RSIRBench-aid-lite-ucm"


def test_studies_of_several_boards_take_the_edition_with_most_results() -> None:
    few = [one for one in STRANGERS if one.seed == 0]
    assert of_usual_editions([*few, *PUBLISHED]) == PUBLISHED


def test_a_cell_holds_one_edition(both: Board) -> None:
    cells: dict[tuple[str, str, str], set[str]] = {}
    for one in both.records:
        cells.setdefault(cell_of(one), set()).add(target_edition(one))
    assert {len(editions) for editions in cells.values()} == {1}
