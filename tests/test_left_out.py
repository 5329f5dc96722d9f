"""Own galleries and junk: scenes that a ranking leaves out are neither hits nor misses."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking_reference import has_work, metrics_of, over_all_orders
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.cli.app import app
from rsir_bench.ranking import Scores, score
from rsir_bench.ranking.descriptor_files import GalleryFiles, score_files
from rsir_bench.scenes.index import SceneIndex

K, HITS = (1, 3), 2
NAMES = list(metrics_of(np.ones(1), K, HITS))


@pytest.fixture
def clusters() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    return rng.normal(size=(200, 16)) + 0.5 * rng.normal(size=(5, 16))[labels], labels


def assert_same(one: Scores, other: Scores) -> None:
    for mine, theirs in ((one.overall, other.overall), (one.lower, other.lower), (one.upper, other.upper)):
        assert mine == pytest.approx(theirs, abs=1e-12)
    assert one.query_index.tolist() == other.query_index.tolist()
    for name, values in one.per_query.items():
        assert values == pytest.approx(other.per_query[name], abs=1e-12), name
    assert one.chance == pytest.approx(other.chance, abs=1e-12)
    assert one.curve == pytest.approx(other.curve, abs=1e-12)
    assert (one.queries, one.skipped) == (other.queries, other.skipped)


@pytest.mark.parametrize("codes", [False, True])
def test_queries_that_are_in_the_gallery_score_as_if_they_were_left_out_of_it(
    clusters: tuple[np.ndarray, np.ndarray], codes: bool
) -> None:
    rows, labels = clusters
    rows, options = (rows > 0, {"codes": True, "metrics": [*NAMES, "P@H2"]}) if codes else (rows, {"metrics": NAMES})
    order = np.random.default_rng(1).permutation(200)
    place = np.argsort(order)
    usual = score(rows, labels, **options)
    assert_same(score(rows, labels, gallery=rows[order], gallery_labels=labels[order], own=place, **options), usual)
    junk = place[:, None].tolist()
    assert_same(score(rows, labels, gallery=rows[order], gallery_labels=labels[order], ignore=junk, **options), usual)
    own = torch.from_numpy(np.where(np.arange(200) < 100, place, -1))
    half = score(rows, labels, gallery=rows[order], gallery_labels=labels[order], own=own, **options)
    alone = score(rows[100:], labels[100:], gallery=rows[order], gallery_labels=labels[order], **options)
    for name in NAMES:
        expected = [*usual.per_query[name][:100], *alone.per_query[name]]
        assert half.per_query[name] == pytest.approx(expected, abs=1e-12), name


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(4, 7),
    bits=st.integers(1, 4),
    share=st.floats(0, 0.5),
    apart=st.booleans(),
)
def test_equals_all_orders_of_the_rankings_without_the_junk(
    seed: int, n: int, bits: int, share: float, apart: bool
) -> None:
    rng = np.random.default_rng(seed)
    codes, labels = rng.integers(0, 2, (n, bits)), rng.integers(0, 2, n)
    left_out = rng.random((n, n)) < share
    if not apart:
        np.fill_diagonal(left_out, True)
    relevant = ((labels[:, None] == labels) & ~left_out).sum(axis=1)
    assume(has_work(labels))
    assume(relevant.max() > 0)
    options: dict[str, Any] = {"gallery": codes, "gallery_labels": labels} if apart else {}
    junk = [np.flatnonzero(row) for row in left_out]
    scores = score(codes, labels, codes=True, ignore=junk, metrics=NAMES, **options)
    assert scores.query_index.tolist() == np.flatnonzero(relevant).tolist()
    assert scores.skipped == (relevant == 0).sum()
    bounds = []
    for place, query in enumerate(scores.query_index):
        kept = ~left_out[query]
        distances = (codes[query] != codes[kept]).sum(axis=1)
        found = over_all_orders(distances, (labels[kept] == labels[query]).astype(int), K, HITS)
        bounds.append([value[1:] for value in found.values()])
        for name, (mean, *_) in found.items():
            assert scores.per_query[name][place] == pytest.approx(mean, abs=1e-12), name
    least, greatest = np.mean(bounds, axis=0).T
    assert list(scores.lower.values()) == pytest.approx(least.tolist(), abs=1e-12)
    assert list(scores.upper.values()) == pytest.approx(greatest.tolist(), abs=1e-12)


def test_junk_of_a_scene_that_is_no_query_has_no_effect(clusters: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = clusters
    junk: list[list[int]] = [[] for _ in labels]
    usual = score(rows, labels, queries=[7, 3])
    junk[0], junk[199] = [3, 5], [7]
    assert_same(score(rows, labels, queries=[7, 3], ignore=junk), usual)
    junk[3] = [3, 3]  # itself, twice
    assert_same(score(rows, labels, queries=[7, 3], ignore=junk), usual)
    junk[3] = np.flatnonzero(labels != labels[3]).tolist()
    assert score(rows, labels, queries=[3], ignore=junk).overall["mAP"] == 1
    padded = np.full((200, len(junk[3])), -1)
    padded[3] = junk[3]
    assert score(rows, labels, queries=[3], ignore=padded).overall["mAP"] == 1


@pytest.mark.parametrize("block", [1, 7, None])
def test_blocks_do_not_matter(clusters: tuple[np.ndarray, np.ndarray], block: int | None) -> None:
    rows, labels = clusters
    junk = np.random.default_rng(0).integers(-1, 200, (200, 6))
    assert_same(score(rows, labels, ignore=junk, block=block), score(rows, labels, ignore=junk, block=64))


def warnings_of(caplog: pytest.LogCaptureFixture, *arguments: Any, **options: Any) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        score(*arguments, **options)
    return [record.getMessage() for record in caplog.records]


def test_queries_that_find_themselves_are_warned_of(
    clusters: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    rows, labels = clusters
    inside = {"gallery": rows, "gallery_labels": labels}
    (line,) = warnings_of(caplog, rows[:30], labels[:30], **inside)
    assert line == "gallery: 30 of 30 queries equal a row of the gallery; if it is the same scene, give own, its row"
    (line,) = warnings_of(caplog, rows[:30] > 0, labels[:30], gallery=rows > 0, gallery_labels=labels, codes=True)
    assert "of 30 queries" in line
    assert not warnings_of(caplog, rows[:30], labels[:30], **inside, own=np.arange(30))
    assert not warnings_of(caplog, rows[:30], labels[:30], **inside, ignore=[[]] * 30)
    assert not warnings_of(caplog, rows[:30], labels[:30], gallery=rows[30:], gallery_labels=labels[30:])
    assert not warnings_of(caplog, rows, labels)
    constant = np.ones((200, 16))
    assert not warnings_of(caplog, constant, labels, gallery=constant, gallery_labels=labels)
    short = rows[:, :4] > 0  # 16 codes for 200 scenes
    assert not warnings_of(caplog, short[:30], labels[:30], gallery=short[30:], gallery_labels=labels[30:], codes=True)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"own": [0, 1, 2, 3]}, "own: without a separate gallery, each query is left out of its own ranking; omit own"),
        ({"gallery": 4, "own": [0, 1, 2]}, "own: 3 entries for 4 descriptors; give one for each, -1 for none"),
        ({"gallery": 4, "own": [0, 1, 2, 4]}, "own: rows 0 to 4, but the gallery has 0 to 3; -1 is none"),
        ({"gallery": 4, "own": [0, 1, 2, -2]}, "own: rows -2 to 2, but the gallery has 0 to 3; -1 is none"),
        ({"gallery": 4, "own": [0.0, 1.0, 2.0, 3.0]}, "own: expected rows of the gallery, got float64; give integers"),
        ({"gallery": 4, "own": 3}, r"own: expected one row of the gallery per descriptor, got an array of shape \(\)"),
        ({"gallery": 4, "own": np.zeros((4, 2), int)}, r"own: expected one row .*, got an array of shape \(4, 2\)"),
        ({"ignore": 3}, "ignore: expected a list of rows of the gallery for each descriptor, got a single value"),
        ({"ignore": [[0], [1]]}, "ignore: 2 lists for 4 descriptors; give one for each, empty where none is"),
        ({"ignore": [[], [], [], [9]]}, r"ignore\[3\]: rows 9 to 9, but the gallery has 0 to 3; -1 is none"),
        ({"ignore": [[], ["a"], [], []]}, r"ignore\[1\]: expected rows of the gallery, got <U1; give integers"),
        ({"ignore": np.zeros((3, 2), int)}, "ignore: 3 entries for 4 descriptors; give one for each, -1 for none"),
        ({"ignore": [[1], [0], [3], [2]]}, "labels: no query has another scene of its class in the gallery"),
    ],
)
def test_what_cannot_be_left_out_is_one_line(options: dict[str, Any], line: str) -> None:
    rows = np.eye(4)
    if "gallery" in options:
        options = options | {"gallery": rows, "gallery_labels": [0, 0, 1, 1]}
    with pytest.raises(UserError, match=f"^{line}"):
        score(rows, [0, 0, 1, 1], **options)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, np.atleast_2d])
def test_one_row_to_ignore_for_each_descriptor(clusters: tuple[np.ndarray, np.ndarray], kind: Any) -> None:
    rows, labels = clusters
    junk = [3] * 199 + [-1]
    wanted = score(rows, labels, ignore=[[one] if one >= 0 else [] for one in junk]).per_query["mAP"]
    given = kind(junk) if kind is not np.atleast_2d else np.atleast_2d(junk).T
    assert np.array_equal(score(rows, labels, ignore=given).per_query["mAP"], wanted)


@pytest.mark.parametrize("header", [True, False])
def test_rows_left_out_from_a_table(clusters: tuple[np.ndarray, np.ndarray], tmp_path: Path, header: bool) -> None:
    rows, labels = clusters
    np.savez(tmp_path / "gallery.npz", descriptors=rows, labels=labels)
    np.savez(tmp_path / "first.npz", descriptors=rows[:40], labels=labels[:40])
    own, junk = np.where(np.arange(40) % 2, np.arange(40), -1), [7] * 40
    for name, column in {"own": own, "ignore": junk, "queries": range(30)}.items():
        lines = [name] * header + [str(row) for row in column]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    words = ["score", "--json", "--descriptors", "first.npz"]
    wanted = score(rows[:40], labels[:40], gallery=rows, gallery_labels=labels, own=own, ignore=[[7]] * 40)
    given = ["--gallery", "gallery.npz", "--own", "own.csv", "--ignore", "ignore.csv"]
    assert printed(tmp_path, [*words, *given]) == json.dumps(wanted.as_dict())
    wanted = score(rows[:40], labels[:40], queries=np.arange(30))
    assert printed(tmp_path, [*words, "--queries", "queries.csv"]) == json.dumps(wanted.as_dict())


def test_a_gallery_of_its_own_from_files(clusters: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    rows, labels = clusters
    own, junk = np.where(np.arange(40) % 2, np.arange(40), -1), [[1, 5], [], *[[int(i)] for i in range(38)]]
    np.savez(tmp_path / "gallery.npz", descriptors=rows, labels=labels)
    for name, array in {"rows": rows, "labels": labels, "first": rows[:40], "first_labels": labels[:40]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "own.txt").write_text("".join(f"{row}\n" for row in own))
    (tmp_path / "junk.txt").write_text("".join(f"{' '.join(map(str, some))}\n" for some in junk))
    padded = np.full((40, 2), -1)
    for row, some in enumerate(junk):
        padded[row, : len(some)] = some
    np.save(tmp_path / "junk.npy", padded)
    words = ["score", "--json", "--descriptors", "first.npy", "--labels", "first_labels.npy"]
    apart = [["--gallery", "rows.npy", "--gallery-labels", "labels.npy"], ["--gallery", "gallery.npz"]]
    wanted = score(rows[:40], labels[:40], gallery=rows, gallery_labels=labels, own=own, ignore=junk).as_dict()
    for gallery, ignored in zip(apart, ("junk.txt", "junk.npy"), strict=True):
        assert printed(tmp_path, [*words, *gallery, "--own", "own.txt", "--ignore", ignored]) == json.dumps(wanted)
    wanted = score(rows[:40], labels[:40], ignore=junk).as_dict()
    (tmp_path / "short.txt").write_text("\n" + "0\n" * 39)
    assert printed(tmp_path, [*words, "--ignore", "short.txt"]) == json.dumps(
        score(rows[:40], labels[:40], ignore=[[], *[[0]] * 39]).as_dict()
    )


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--gallery-labels", "labels.npy"], "--gallery-labels labels.npy: there is no gallery; give --gallery"),
        (["--gallery", "rows.npy"], "rows.npy: holds no labels; name a file of labels with --gallery-labels"),
        (["--own", "own.txt"], "own: without a separate gallery, each query is left out of its own ranking; omit own"),
        (["--ignore", "words.txt"], "words.txt: expected indices, separated by spaces"),
    ],
)
def test_files_that_do_not_fit_are_one_line(
    clusters: tuple[np.ndarray, np.ndarray], tmp_path: Path, more: list[str], line: str
) -> None:
    rows, labels = clusters
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "labels.npy", labels)
    (tmp_path / "own.txt").write_text("0\n" * 200)
    (tmp_path / "words.txt").write_text("1 2\none 2\n")
    with pytest.raises(UserError, match=f"^{line}"):
        printed(tmp_path, ["score", "--descriptors", "rows.npy", "--labels", "labels.npy", *more])


def test_rows_of_files_do_not_go_with_scenes_named_by_id(tmp_path: Path) -> None:
    labels = np.zeros(1, np.int64)
    dataset = SceneIndex("small", tmp_path, ("a/1.png",), labels, ("a",), "0" * 64, 3, (0, 1, 2), None, None)
    files = GalleryFiles(own=tmp_path / "own.txt")
    with pytest.raises(
        UserError,
        match=r"^--gallery, --own and --ignore refer to rows, which --dataset reorders; omit them or --dataset$",
    ):
        score_files(tmp_path / "rows.npz", dataset=dataset, apart=files)


def printed(folder: Path, words: list[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(app, words, catch_exceptions=False).output.strip()
