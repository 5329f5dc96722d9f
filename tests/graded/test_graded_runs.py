"""A target whose scenes have several labels, from the run to records, tables and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command import InProcess
from conftest import TINY_PROTOCOL, Tiny, write_scenes

import rsir_bench
from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard.boards import boards
from rsir_bench.leaderboard.documents import documents
from rsir_bench.leaderboard.formats import FORMATS
from rsir_bench.leaderboard.terminal import leaders, terminal_table
from rsir_bench.publishing.publish import check_sound
from rsir_bench.ranking.graded.names import GRADED_COLUMNS, GRADED_METRICS, HEADLINE
from rsir_bench.records.schema import EffectPart, Record
from rsir_bench.records.store import read_record, write_record
from rsir_bench.records.validity import check_record
from rsir_bench.report.site import build_report
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.request import UserFiles
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.index import resolve_dataset

WORDS = {0: ("sea", "sea;sand"), 1: ("trees", "trees;sand"), 2: ("sand", "sea;trees")}
"""The labels of each class's scenes, in turn."""


def with_labels(folder: Path) -> None:
    """Give the scenes of a tiny target labels."""
    names = [(number, scene) for number in range(3) for scene in range(6)]
    lines = [f"class{number}/scene{scene:02}.png,{WORDS[number][scene % 2]}" for number, scene in names]
    (folder / "labels.csv").write_text("\n".join(["filename,labels", *lines]))
    (folder / "dataset.toml").write_text('labels = "labels.csv"')


@pytest.fixture
def labelled(tiny: Tiny) -> Tiny:
    """The tiny target with labels of its own."""
    with_labels(Path(tiny.target.removeprefix("folder:")))
    return tiny


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """The results of two methods on that target; none of them is changed."""
    folder = tmp_path_factory.mktemp("labelled")
    source = write_scenes(folder / "source", 3, 8, seed=1)
    target = write_scenes(folder / "target", 3, 6, seed=2)
    with_labels(target)
    (folder / "tiny.toml").write_text(TINY_PROTOCOL.format(source=source, target=target))
    return run(Tiny(folder, folder / "tiny.toml", f"folder:{source}", f"folder:{target}"), "baseline,dhn")


def run(tiny: Tiny, methods: str = "baseline", **changes: object) -> list[Record]:
    outcome = campaign(tiny.request(methods, **changes), lambda line: None)
    assert not outcome.failures
    return outcome.records


def test_records_hold_chance_and_oracle(records: list[Record]) -> None:
    assert {record.row.kind for record in records} >= {"pca", "code"}
    for record in records:
        assert set(record.metrics) == set(record.tie_bounds) == set(GRADED_METRICS)
        assert record.per_class == {}
        assert record.graded is not None
        assert record.graded.labels == ("sand", "sea", "trees")
        assert record.graded.chance.keys() == record.graded.oracle.keys() == record.metrics.keys()
        for name, value in record.metrics.items():
            assert 0 <= value <= record.graded.oracle[name] + 1e-12
        assert record.graded.oracle["WAP"] > 1
        check_record(record)


def test_a_record_holds_what_the_scorer_says_of_the_descriptors(labelled: Tiny) -> None:
    records = run(labelled)
    index = resolve_dataset(labelled.target, labelled.folder)
    plan = make_plan(labelled.request())
    (one,) = plan.runs
    for record in records:
        (cell,) = [cell for cell in one.cells if cell.key == record.key]
        rows = RunArtifacts(plan, one).descriptors(cell).load()
        scores = rsir_bench.score(rows, index.several.members, class_names=index.several.names)
        assert scores.overall == pytest.approx(record.metrics)
        assert scores.per_label["sea"] == pytest.approx(record.graded.per_label["sea"])
        assert record.target.fingerprint == index.fingerprint


def test_a_record_is_read_back_as_it_was_written(records: list[Record], tmp_path: Path) -> None:
    write_record(tmp_path / "one.json", records[0])
    assert read_record(tmp_path / "one.json") == records[0]


def damaged(record: Record, part: str, value: object) -> Record:
    values = json.loads(record.model_dump_json())
    *path, last = part.split(".")
    place = values
    for name in path:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return Record.model_validate(values)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("metrics.WAP", 9.0, "metrics.WAP is 9.0, outside 0.."),
        ("metrics.mAP(any)", None, "metrics: lacks mAP(any)"),
        (f"metrics.{HEADLINE}", None, f"metrics: lacks {HEADLINE}"),
        ("graded.chance.WAP", None, "chance and oracle are not those of its metrics"),
        ("graded.oracle.WAP", 99.0, "graded.oracle.WAP is 99.0, outside 0..3"),
        ("graded.chance.mAP(any)", 1.5, "graded.chance.mAP(any) is 1.5, outside 0..1"),
        ("graded.per_label.sea.WAP", 50.0, "graded.per_label.'sea'.WAP is 50.0, outside"),
        ("graded.per_label.sky", {}, "graded: 'sky' is not one of its labels"),
        ("graded.labels", ["sea", "sea", "sand", "trees"], "graded.labels: a label twice"),
        ("graded.without.WAP", -1, "graded.without: below 0"),
        ("per_class", {"sea": {"mAP(any)": 0.5}}, "per_class: scenes with several labels have none"),
        ("graded", None, "metrics: lacks mAP"),
    ],
)
def test_impossible_records_are_refused(part: str, value: object, words: str, records: list[Record]) -> None:
    with pytest.raises(UserError) as caught:
        check_record(damaged(records[0], part, value))
    assert words in str(caught.value)


def test_sums_of_shared_labels_are_sound_up_to_their_oracle(records: list[Record]) -> None:
    """Labels shared with a scene are counted by ACG@k and WAP, which exceed 1."""
    most = damaged(records[0], "graded.oracle.ACG@10", 2.5)
    check_sound(damaged(most, "metrics.ACG@10", 2.4))
    with pytest.raises(UserError, match=r"metrics\.ACG@10 is 2\.6, outside 0\.\.2\.5.*; score the run again"):
        check_sound(damaged(most, "metrics.ACG@10", 2.6))


def test_front_ends_are_compared_by_the_headline_and_map_of_any(records: list[Record], tmp_path: Path) -> None:
    first = next(one for one in records if one.method.name == "baseline")
    off = {name: value / 2 for name, value in first.metrics.items()}
    effect = EffectPart(metrics=off, displacement=1.5, change=0.25)
    behind = first.model_copy(update={"effect": effect, "method": first.method.model_copy(update={"name": "dhn"})})
    (board,) = boards([behind])
    (document,) = [one for one in documents(board) if one.name == "variants"]
    assert document.grids[0].headers[3:6] == (HEADLINE, f"{HEADLINE} off", "Δ")
    assert document.data[0]["mAP(any) off"] == f"{off['mAP(any)']:.4f}"
    build_report([behind], tmp_path, [])
    page = (tmp_path / "methods/dhn.html").read_text()
    assert f"{off[HEADLINE]:.4f}" in page.partition("What its front end does")[2]


def test_tables_show_chance_and_oracle_below_the_methods(records: list[Record]) -> None:
    (board,) = boards(records)
    (document,) = [one for one in documents(board, metrics=GRADED_COLUMNS) if one.name == "leaderboard"]
    assert [grid.caption for grid in document.grids] == [*GRADED_COLUMNS]
    assert "(18 scenes, 3 labels)" in document.notes[0]
    part = records[0].graded
    for grid, metric in zip(document.grids, GRADED_COLUMNS, strict=True):
        chance, oracle = grid.rows[-2:]
        assert [row.cells[0].text for row in (chance, oracle)] == ["Chance", "Oracle"]
        assert [row.cells[3].text for row in (chance, oracle)] == [
            f"{part.chance[metric]:.3f}",
            f"{part.oracle[metric]:.3f}",
        ]
    (usual,) = [one for one in documents(board) if one.name == "leaderboard"]
    assert [grid.caption for grid in usual.grids] == [HEADLINE, "mAP(any)"]
    for suffix, write in FORMATS.items():
        text, digits = write(document), 4 if suffix == "csv" else 3
        assert f"{part.chance[HEADLINE]:.{digits}f}" in text
        assert f"{part.oracle['WAP']:.{digits}f}" in text
    shown = terminal_table(records)
    assert "Chance" in shown
    assert "paper" not in shown
    assert "WAP" in terminal_table(records, ["WAP", "mAP"])
    (line,) = leaders(records)
    assert f", {HEADLINE} " in line


def test_single_and_several_labels_share_a_board_but_no_table(labelled: Tiny, tmp_path: Path) -> None:
    other = f"folder:{labelled.folder / 'plain'}"
    (labelled.folder / "plain").mkdir()
    for number in range(3):
        (labelled.folder / "plain" / f"class{number}").symlink_to(
            Path(labelled.target.removeprefix("folder:")) / f"class{number}"
        )
    records = run(labelled, targets=[labelled.target, other], after=["aqe:2,1"])
    (board,) = boards(records)
    (document,) = [one for one in documents(board) if one.name == "leaderboard"]
    assert [(grid.caption, grid.headers[3]) for grid in document.grids] == [
        ("mAP", "folder-plain"),
        ("P@5", "folder-plain"),
        (HEADLINE, "folder-target"),
        ("mAP(any)", "folder-target"),
    ]
    build_report(records, tmp_path / "report", [])
    page = (tmp_path / "report/methods/baseline.html").read_text()
    heads = [
        re.findall(r"<th[^>]*>(?:<button[^>]*>)?([^<]+)", region.partition("</thead>")[0])
        for region in page.split('aria-label="Post-processing, before and after"')[1:]
    ]
    assert sorted(HEADLINE in head for head in heads) == [False, True]
    assert sorted("mAP" in head for head in heads) == [False, True]


def test_distorted_scenes_with_several_labels_retain_their_headline(labelled: Tiny) -> None:
    records = run(labelled, distortions=["haze:3"])
    (board,) = boards(records)
    (document,) = [one for one in documents(board) if one.name == "robustness"]
    assert f"Clean {HEADLINE}" in document.grids[0].headers
    assert HEADLINE in document.data[0]
    assert any(f"the metric is {HEADLINE}" in note for note in document.notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overrides": ["score.queries=fifth"]}, "score.queries=fifth: takes a share of each class"),
        ({"overrides": ["data.source=TARGET"], "targets": ["SOURCE"]}, "methods train on classes"),
    ],
)
def test_what_needs_classes_is_refused_in_one_line(changes: dict[str, list[str]], words: str, labelled: Tiny) -> None:
    def filled(text: str) -> str:
        return text.replace("TARGET", labelled.target).replace("SOURCE", labelled.source)

    with pytest.raises(UserError) as caught:
        make_plan(labelled.request(**{name: [filled(text) for text in texts] for name, texts in changes.items()}))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labelled_scenes_of_the_source_are_no_target_of_a_trained_method(tiny: Tiny) -> None:
    """The same files under labels have another fingerprint; they are the source's scenes all the same."""
    folder = Path(tiny.source.removeprefix("folder:"))
    twin = tiny.folder / "twin"
    twin.mkdir()
    for number in range(3):
        (twin / f"class{number}").symlink_to(folder / f"class{number}")
    index, plain = resolve_dataset(f"folder:{twin}", tiny.folder), resolve_dataset(tiny.source, tiny.folder)
    assert index.shows_scenes_of(plain)


def test_the_report_shows_chance_oracle_and_shared_labels(labelled: Tiny) -> None:
    records = run(labelled, "baseline,dhn")
    out = labelled.folder / "report"
    files = UserFiles(labelled.folder, protocol=str(labelled.protocol))
    written = build_report(records, out, [labelled.folder / "runs"], files)
    pages = {page.relative_to(out).as_posix(): page for page in written}
    board_page = f"boards/{records[0].protocol.board}.html"
    part = records[0].graded
    for name in ("index.html", "methods/baseline.html", "datasets/folder-target.html"):
        text = pages[name].read_text()
        assert f"{part.chance['WAP']:.4f}" in text, name
        assert f"{part.oracle['WAP']:.4f}" in text, name
    board = pages[board_page].read_text()
    assert f"{HEADLINE} of every label and method, in numbers" in board
    assert all(f'<th scope="row">{label}</th>' in board for label in part.labels)
    (scenes,) = [page for name, page in pages.items() if name.startswith("scenes/")]
    text = scenes.read_text()
    assert "18 scenes, 3 labels" in text
    assert "shared labels on average" in text
    assert "Precision and recall" not in text
    (data,) = (out / "explorer").glob("*/scenes.js")
    labels = json.loads(data.read_text().partition(", ")[2].rpartition(")")[0])["labels"]
    assert labels == resolve_dataset(labelled.target, labelled.folder).several.lists()


def test_a_search_shows_labels(labelled: Tiny, cli: InProcess) -> None:
    run(labelled)
    query = Path(labelled.target.removeprefix("folder:")) / "class0/scene01.png"  # sea and sand
    words = ("--target", labelled.target, "--method", "baseline", "--protocol", labelled.protocol, "--out", "runs")
    shown = cli("search", query, *words, "--top", 3)
    assert shown.code == 0, shown.err
    assert "shared labels" in shown.out
    assert "the query itself" in shown.out
    found = json.loads(cli("search", query, *words, "--top", 5, "--json", "--panel", "panel.html").out)
    assert found["query"]["labels"] == ["sand", "sea"]
    assert found["query"]["class"] is None
    for hit in found["hits"]:
        assert hit["shared_labels"] == [name for name in hit["labels"] if name in ("sand", "sea")]
    page = Path("panel.html").read_text()
    assert "the query: sand, sea" in page
    assert "shared: " in page


def test_the_command_line_scores_several_labels(labelled: Tiny, cli: InProcess) -> None:
    rng = np.random.default_rng(0)
    index = resolve_dataset(labelled.target, labelled.folder)
    names = [path.rpartition("/")[2].removesuffix(".png") for path in index.paths]
    ids = [f"{path}" for path in index.paths]
    rows = rng.normal(size=(18, 8))
    np.savez("X.npz", descriptors=rows, ids=np.array(ids))
    np.save("X.npy", rows)
    np.save("Y.npy", index.several.members.astype(int))
    lists = [";".join(labels) for labels in index.several.lists()]
    Path("Y.csv").write_text(
        "\n".join(["filename,labels", *(f"{path},{text}" for path, text in zip(ids, lists, strict=True))])
    )
    asked = ("--similarity", "cosine", "--json")
    by_matrix = json.loads(cli("score", "--descriptors", "X.npy", "--labels", "Y.npy", *asked).out)
    by_list = json.loads(cli("score", "--descriptors", "X.npy", "--labels", "Y.csv", *asked).out)
    by_id = json.loads(
        cli("score", "--descriptors", "X.npz", "--dataset", labelled.target, "--data-root", ".", *asked).out
    )
    for other in (by_list, by_id):
        assert {name: other[name] for name in GRADED_METRICS} == pytest.approx(
            {name: by_matrix[name] for name in GRADED_METRICS}
        )
        assert other["chance"] == pytest.approx(by_matrix["chance"])
    assert names
    shown = cli("score", "--descriptors", "X.npy", "--labels", "Y.csv")
    assert shown.code == 0
    assert "oracle" in shown.out
    assert "sand, chance" in shown.out
    refused = cli("score", "--descriptors", "X.npy", "--labels", "Y.csv", "--metrics", "P@5")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "not one for several labels per scene" in refused.err


def test_labels_of_a_file_are_joined_by_id(cli: InProcess) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(8, 4))
    words = ["sea", "sea;sand", "sand", "trees", "sea;trees", "sand;trees", "sea", "trees"]
    ids = np.array([f"folder/scene{number}.jpg" for number in range(8)])
    order = rng.permutation(8)
    Path("labels.csv").write_text("\n".join(f"scene{number},{words[number]}" for number in order))
    np.savez("X.npz", descriptors=rows, ids=ids)
    found = json.loads(cli("score", "--descriptors", "X.npz", "--labels", "labels.csv", "--json").out)
    expected = rsir_bench.score(rows, [text.split(";") for text in words])
    assert found["WAP"] == pytest.approx(expected.overall["WAP"])
    Path("labels.csv").write_text("\n".join(f"scene{number},{words[number]}" for number in order[1:]))
    refused = cli("score", "--descriptors", "X.npz", "--labels", "labels.csv")
    assert refused.code == 2
    assert f"has no labels of 1 (folder/scene{order[0]}.jpg) of the 8 scenes" in refused.err
    np.savez("X.npz", descriptors=rows, ids=np.array(["scene1", *ids[1:]]))
    assert (
        "names 1 (scene1) of its scenes more than once"
        in cli("score", "--descriptors", "X.npz", "--labels", "labels.csv").err
    )


def test_scenes_of_one_name_in_several_folders_have_their_own_labels(cli: InProcess) -> None:
    rows = np.random.default_rng(2).normal(size=(6, 4))
    words = ["sea", "sea;sand", "sand", "trees", "sea;trees", "sand;trees"]
    ids = [f"photos/{folder}/{number}.jpg" for folder in ("beach", "forest") for number in (1, 2, 3)]
    np.savez("X.npz", descriptors=rows, ids=np.array(ids))
    shorter = [name.removeprefix("photos/").removesuffix(".jpg") for name in ids]
    lines = [f"{name},{text}" for name, text in zip(shorter, words, strict=True)]
    Path("labels.csv").write_text("\n".join(reversed(lines)))
    found = json.loads(cli("score", "--descriptors", "X.npz", "--labels", "labels.csv", "--json").out)
    assert found["WAP"] == pytest.approx(rsir_bench.score(rows, [text.split(";") for text in words]).overall["WAP"])
    nested = [name.removeprefix("photos/beach/") for name in ids]
    np.savez("Y.npz", descriptors=rows, ids=np.array(nested))
    Path("labels.csv").write_text("\n".join(f"{name},{text}" for name, text in zip(nested, words, strict=True)))
    assert json.loads(cli("score", "--descriptors", "Y.npz", "--labels", "labels.csv", "--json").out) == found
    Path("labels.csv").write_text("\n".join(line.replace("forest", "lake") for line in lines))
    refused = cli("score", "--descriptors", "X.npz", "--labels", "labels.csv").err
    assert "has no labels of 3 (photos/forest/1.jpg, photos/forest/2.jpg, photos/forest/3.jpg)" in refused
    np.savez("X.npz", descriptors=rows[:1], ids=np.array(["1.jpg"]))
    assert (
        "labels.csv: names 1 (1.jpg) of its scenes more than once"
        in cli("score", "--descriptors", "X.npz", "--labels", "labels.csv").err
    )
