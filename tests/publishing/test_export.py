"""Exports, read back by the programs that they are for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import InProcess
from conftest import NO_ORACLES, REPOSITORY, TINY_PROTOCOL, Tiny, write_scenes
from leaderboard import factory

from rsir_bench.base.errors import UserError
from rsir_bench.publishing.export.described import from_file, from_runs
from rsir_bench.publishing.export.formats import export_descriptors, export_records
from rsir_bench.publishing.export.hub import dataset_ids
from rsir_bench.publishing.export.mteb import task_result
from rsir_bench.publishing.export.selection import Selection
from rsir_bench.publishing.export.trec import word
from rsir_bench.ranking import score
from rsir_bench.ranking.descriptor_files import score_files
from rsir_bench.records.store import read_records, write_record
from rsir_bench.runs.request import UserFiles
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.index import SceneIndex, index_folder
from rsir_bench.scenes.labelling.labels_of_scenes import SceneLabels
from rsir_bench.scenes.naming.scene_ids import scene_ids

NO_MTEB = "NO MTEB: pip install -e '.[mteb]' to read exported results with mteb"


@pytest.fixture
def stripes(tmp_path: Path) -> SceneIndex:
    """Three classes of five scenes, one with a space in its name."""
    folder = write_scenes(tmp_path / "stripes", 3, 5, seed=3, pixels=8)
    (folder / "class2").rename(folder / "dense residential")
    return index_folder(folder)


def descriptors_file(folder: Path, index: SceneIndex, values: np.ndarray) -> Path:
    """A file that names the scenes in reverse order."""
    name = "codes" if values.dtype == np.uint8 else "descriptors"
    np.savez(folder / "mine.npz", ids=np.array(scene_ids(index))[::-1], **{name: values[::-1]})
    return folder / "mine.npz"


def values(index: SceneIndex) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(len(index), 6)).astype(np.float32)


def trec(folder: Path, described: object, depth: int | None = None) -> tuple[list[str], list[str], list[str]]:
    """The lines of the run, those of the judgements, and what was logged."""
    told: list[str] = []
    qrels, run = sorted(
        export_descriptors([described], "trec", folder, told.append, depth), key=lambda path: path.suffix
    )
    assert (qrels.suffix, run.suffix) == (".qrels", ".run")
    return run.read_text().splitlines(), qrels.read_text().splitlines(), told


def test_a_run_of_trec_holds_every_ranking_without_the_query(tmp_path: Path, stripes: SceneIndex) -> None:
    described = from_file(
        descriptors_file(tmp_path, stripes, values(stripes)), stripes, "cosine", codes=False, bits=None
    )
    lines, judged, told = trec(tmp_path / "out", described)
    unit = values(stripes) / np.linalg.norm(values(stripes), axis=1, keepdims=True)
    names = [word(name) for name in scene_ids(stripes)]
    expected = []
    for query, row in enumerate(unit @ unit.T):
        order = [scene for scene in np.argsort(-row) if scene != query]
        expected += [f"{names[query]} Q0 {names[scene]} {rank} {15 - rank} mine" for rank, scene in enumerate(order, 1)]
    assert lines == expected
    assert judged[:4] == [f"class0/scene00 0 class0/scene0{number} 1" for number in range(1, 5)]
    assert len(judged) == 15 * 4
    assert "dense%20residential/scene04 0 dense%20residential/scene03 1" in judged
    assert told == []
    assert trec(tmp_path / "out", described, depth=2)[0][:3] == [
        expected[0].replace(" 14 mine", " 2 mine"),
        expected[1].replace(" 13 mine", " 1 mine"),
        expected[14].replace(" 14 mine", " 2 mine"),
    ]


def test_trec_is_read_back_to_the_scores(tmp_path: Path, stripes: SceneIndex) -> None:
    ir_measures = pytest.importorskip("ir_measures", reason=NO_ORACLES)
    path = descriptors_file(tmp_path, stripes, values(stripes))
    trec(tmp_path / "out", from_file(path, stripes, "pearson", codes=False, bits=None))
    run = list(ir_measures.read_trec_run(str(tmp_path / "out" / "mine.run")))
    (judged,) = (tmp_path / "out").glob("*.qrels")
    names = {"mAP": "AP", "P@5": "P@5", "P@10": "P@10", "R-precision": "Rprec", "mAP@3/R": "AP@3"}
    names |= {"recall@10": "R@10", "hit@1": "Success@1", "MRR": "RR", "nDCG@10": "nDCG@10"}
    measures = [ir_measures.parse_measure(name) for name in names.values()]
    found = ir_measures.calc_aggregate(measures, ir_measures.read_trec_qrels(str(judged)), run)
    expected = score_files(path, dataset=stripes, metrics=list(names)).overall
    for mine, theirs in zip(names, measures, strict=True):
        assert found[theirs] == pytest.approx(expected[mine], abs=1e-9)


def several(index: SceneIndex) -> SceneIndex:
    """The same scenes with one to three of four labels."""
    members = np.random.default_rng(3).random((len(index), 4)) < 0.4
    members[np.arange(len(index)), index.labels] = True
    return replace(index, several=SceneLabels(("beach", "sea", "trees", "cars"), members))


def test_scenes_with_several_labels_are_judged_by_how_many_they_share(tmp_path: Path, stripes: SceneIndex) -> None:
    ir_measures = pytest.importorskip("ir_measures", reason=NO_ORACLES)
    labelled = several(stripes)
    path = descriptors_file(tmp_path, labelled, values(labelled))
    lines, judged, _ = trec(tmp_path / "out", from_file(path, labelled, "pearson", codes=False, bits=None))
    assert labelled.several is not None
    members = labelled.several.members.astype(int)
    gains = members @ members.T
    np.fill_diagonal(gains, 0)
    names = [word(name) for name in scene_ids(labelled)]
    assert judged == [
        f"{names[query]} 0 {names[scene]} {gains[query, scene]}"
        for query in range(len(names))
        for scene in np.flatnonzero(gains[query])
    ]
    assert len(lines) == 15 * 14
    (qrels,) = (tmp_path / "out").glob("*.qrels")
    measures = {ir_measures.parse_measure(theirs): mine for theirs, mine in (
        ("AP", "mAP(any)"), ("nDCG@100", "nDCG@100(g)"))}  # fmt: skip
    run = list(ir_measures.read_trec_run(str(tmp_path / "out" / "mine.run")))
    found = ir_measures.calc_aggregate(list(measures), ir_measures.read_trec_qrels(str(qrels)), run)
    expected = score_files(path, dataset=labelled).overall
    for theirs, mine in measures.items():
        assert found[theirs] == pytest.approx(expected[mine], abs=1e-9)
    (table,) = export_descriptors(
        [from_file(path, labelled, "pearson", codes=False, bits=None)], "parquet", tmp_path / "table", print
    )
    assert pd.read_parquet(table)["label_list"].tolist() == [";".join(one) for one in labelled.several.lists()]
    assert score_files(table, dataset=labelled).overall == expected


def test_ties_are_in_the_order_of_ids_and_told(tmp_path: Path, stripes: SceneIndex) -> None:
    codes = np.zeros((len(stripes), 8), np.uint8)
    codes[:, 0] = stripes.labels == 0
    described = from_file(descriptors_file(tmp_path, stripes, codes), stripes, "pearson", codes=True, bits=None)
    lines, _, told = trec(tmp_path / "out", described)
    first = [line.split()[2] for line in lines if line.startswith("class1/scene02 ")]
    assert first == [word(name) for name in [*sorted(scene_ids(stripes)[5:]), *sorted(scene_ids(stripes)[:5])]
                     if name != "class1/scene02"]  # fmt: skip
    (line,) = told
    assert line.startswith("mine: 15 rankings contain ties, written in the order of the scenes' ids")


def test_packed_codes_are_ranked_by_their_bits(tmp_path: Path, stripes: SceneIndex) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (len(stripes), 12), dtype=np.uint8)
    plain = from_file(descriptors_file(tmp_path, stripes, bits), stripes, "pearson", codes=True, bits=None)
    packed = from_file(
        descriptors_file(tmp_path, stripes, np.packbits(bits, axis=1)), stripes, "pearson", codes=True, bits=12
    )
    assert trec(tmp_path / "a", plain) == trec(tmp_path / "b", packed)
    assert packed.descriptors.dtype == plain.descriptors.dtype == np.uint8
    assert np.array_equal(packed.descriptors, bits)
    floats = from_file(
        descriptors_file(tmp_path, stripes, bits.astype(np.float64)), stripes, "pearson", codes=True, bits=12
    )
    assert floats.descriptors.dtype == np.uint8
    assert np.array_equal(floats.descriptors, bits)


@pytest.mark.parametrize("form", ["parquet", "trec"])
def test_two_files_of_one_stem_are_refused(tmp_path: Path, stripes: SceneIndex, form: str) -> None:
    mine = from_file(descriptors_file(tmp_path, stripes, values(stripes)), stripes, "pearson", codes=False, bits=None)
    with pytest.raises(UserError, match=r"mine\.npz and mine\.npz would both be written as mine; rename one of them"):
        export_descriptors([mine, mine], form, tmp_path / "out", print)
    assert not list((tmp_path / "out").glob("mine*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:, :, None], "expected a non-empty array of shape (scenes, dimensions), got (15, 6, 1)"),
        (lambda rows: np.where(rows > 0, np.nan, rows), "NaN or infinity in"),
        (lambda rows: rows.astype(complex), "expected numbers, got complex128"),
    ],
)
def test_descriptors_that_cannot_be_scored_are_not_exported(
    tmp_path: Path, stripes: SceneIndex, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    path = descriptors_file(tmp_path, stripes, change(values(stripes)))
    with pytest.raises(UserError) as caught:
        from_file(path, stripes, "pearson", codes=False, bits=None)
    assert str(caught.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize(
    ("codes", "bits", "words"),
    [
        (np.linspace(0.01, 0.99, 90).reshape(15, 6), None, "codes hold values other than 0 and 1"),
        (np.full((15, 6), 256), None, "codes hold values other than 0 and 1"),
        (np.full((15, 6), -1, np.int8), 6, "codes hold values other than 0 and 1"),
        (np.full((15, 2), 0b1111, np.uint8), None, "codes hold values other than 0 and 1"),
        (np.full((15, 2), 0b1111, np.uint8), 12, "bits 13 to 16 are padding, but set in 15 of 15 codes"),
        (np.full((15, 2), 0b1111, np.uint8), 20, "2 columns of uint8 are neither 20 columns of 0/1 nor 3 of packed"),
        (np.ones((15, 2), np.uint16), 12, "2 columns of int64 are neither 12 columns of 0/1 nor 2 of packed uint8"),
    ],
)
def test_codes_that_cannot_be_scored_are_not_exported(
    tmp_path: Path, stripes: SceneIndex, codes: np.ndarray, bits: int | None, words: str
) -> None:
    path = descriptors_file(tmp_path, stripes, codes)
    with pytest.raises(UserError) as caught:
        from_file(path, stripes, "pearson", codes=True, bits=bits)
    assert str(caught.value).startswith(f"{path}: {words}")
    with pytest.raises(UserError) as scored:
        score_files(path, dataset=stripes, codes=True, bits=bits)
    assert str(caught.value) == str(scored.value).replace("descriptors", str(path), 1)


def test_a_disk_without_the_space_is_told_before_anything_is_written(
    tmp_path: Path, stripes: SceneIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = from_file(
        descriptors_file(tmp_path, stripes, values(stripes)), stripes, "cosine", codes=False, bits=None
    )
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match=r"mine.run: about 0\.0 GB are needed .* with --depth 1000"):
        trec(tmp_path / "out", described)
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["lock"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A folder with the tiny protocol, and ``runs`` with results of real descriptors and of a code."""
    folder = tmp_path_factory.mktemp("place")
    source, target = (write_scenes(folder / name, 3, 6, seed) for name, seed in (("source", 1), ("target", 2)))
    (folder / "tiny.toml").write_text(TINY_PROTOCOL.format(source=source, target=target))
    made = Tiny(folder, folder / "tiny.toml", f"folder:{source}", f"folder:{target}")
    campaign(made.request("dhn,baseline"), lambda line: None)
    return made


def test_what_runs_have_described_is_exported(place: Tiny, tmp_path: Path, cli: InProcess) -> None:
    finished = read_records([place.folder / "runs"])
    words = ["--to", "parquet", "--out", "out", "--data-root", place.folder, "--protocol", place.protocol]
    result = cli("export", place.folder / "runs", *words)
    assert result.code == 0, result.err
    files = [tmp_path / line for line in result.out.splitlines()]
    assert len(files) == len(finished) == 3
    for record in finished:
        (path,) = (path for path in files if record.key[:8] in path.name)
        code = record.row.kind == "code"
        table = pd.read_parquet(path)
        assert list(table.columns) == ["id", "label", "codes" if code else "descriptors"]
        assert np.stack(table.iloc[:, 2]).shape == (18, record.row.dimensions)
        names = list(record.metrics)
        again = score(np.stack(table.iloc[:, 2]), table["label"], codes=code, metrics=names)
        assert again.overall == pytest.approx(record.metrics, abs=1e-9)
        joined = score_files(path, dataset=index_folder(place.folder / "target"), codes=code, metrics=names)
        assert joined.overall == pytest.approx(record.metrics, abs=1e-9)
    from pyarrow import parquet

    about = json.loads(parquet.read_schema(files[0]).metadata[b"rsir-bench"])
    assert about["key"] in {record.key for record in finished}
    assert about["fingerprint"] == finished[0].target.fingerprint


def test_a_run_as_trec_gives_its_record(place: Tiny, cli: InProcess) -> None:
    ir_measures = pytest.importorskip("ir_measures", reason=NO_ORACLES)
    words = ["--to", "trec", "--out", "out", "--data-root", place.folder, "--protocol", place.protocol]
    result = cli("export", place.folder / "runs", *words, "--methods", "baseline", "--rows", "FC")
    assert result.code == 0, result.err
    qrels, run = sorted(result.out.splitlines(), key=lambda path: path.rpartition(".")[2])
    (record,) = (record for record in read_records([place.folder / "runs"]) if record.row.name == "FC")
    average = ir_measures.parse_measure("AP")
    found = ir_measures.calc_aggregate(
        [average], ir_measures.read_trec_qrels(qrels), list(ir_measures.read_trec_run(run))
    )
    assert found[average] == pytest.approx(record.metrics["mAP"], abs=1e-9)


def test_results_whose_descriptors_cannot_be_had_are_named(place: Tiny, tmp_path: Path) -> None:
    told: list[str] = []
    shutil.copytree(place.folder / "runs", tmp_path / "runs")
    files = UserFiles(place.folder, protocol=str(place.protocol))
    for path in (tmp_path / "runs" / "baseline").rglob("PCA-*.npy"):
        path.unlink()
    found = list(from_runs([tmp_path / "runs"], files, Selection(), told.append))
    assert [one.about["row"] for one in found] == ["FC", "Hashing"]
    (line,) = told
    assert line.startswith("left out  ")
    assert "PCA" in line
    told.clear()
    assert list(from_runs([tmp_path / "runs"], UserFiles(place.folder), Selection(), told.append)) == []
    assert len(told) == 3
    assert all("the current code, protocol and scenes differ" in line for line in told)
    with pytest.raises(UserError, match="nothing to write"):
        export_descriptors([], "parquet", tmp_path / "out", told.append)
    with pytest.raises(UserError, match=r"--methods jsst: .*known: baseline, dhn"):
        list(from_runs([tmp_path / "runs"], files, Selection(methods=["jsst"]), told.append))


def published(folder: Path) -> Path:
    """Published records: two seeds of a method on two targets."""
    for seed in (0, 1):
        for target, best in (("ucm", 0.9), ("rsscn7", 0.7)):
            metrics = {**factory.scores(best + seed / 100), "recall@10": 0.25, "nDCG@10": 0.5, "mAP@100": 0.4}
            record = factory.record("se", row="FC", target=target, seed=seed, metrics=metrics)
            write_record(folder / f"{target}{seed}.json", record)
    return folder


MTEB = """
import sys
from pathlib import Path
from mteb.results import TaskResult
import json
for path in map(Path, sys.argv[1:]):
    found = TaskResult.from_disk(path)
    print(json.dumps({
        "task": found.task_name, "revision": found.dataset_revision, "main": found.get_score(),
        "scores": found.scores["test"][0],
    }))
"""


def test_mteb_reads_its_files_back(tmp_path: Path, cli: InProcess) -> None:
    result = cli("export", published(tmp_path / "records"), "--to", "mteb", "--out", "out")
    assert result.code == 0, result.err
    files = [tmp_path / line for line in result.out.splitlines()]
    assert [path.relative_to(tmp_path / "out").parts[0] for path in files] == ["rsir-bench__se-FC"] * 4
    assert {path.name for path in files} == {"RSIRBench-patternnet-ucm.json", "RSIRBench-patternnet-rsscn7.json"}
    scores = json.loads(next(path for path in files if "ucm" in path.name).read_text())["scores"]["test"][0]
    assert scores["main_score"] == scores["mAP"]
    assert scores["precision_at_5"] == scores["P@5"]
    assert (scores["recall_at_10"], scores["ndcg_at_10"]) == (0.25, 0.5)
    assert "map_at_100" not in scores  # mAP@100 is over min(k, R), mteb's over R


def test_of_several_labels_mteb_has_the_graded_metrics() -> None:
    record = factory.record("se", row="FC", metrics={"mAP(any)": 0.5, "nDCG@100(g)": 0.4, "nDCG@100(2^g-1)": 0.3})
    (scores,) = task_result(record)["scores"]["test"]
    assert (scores["main_score"], scores["ndcg_at_100"]) == (0.5, 0.4)
    assert scores["nDCG@100(2^g-1)"] == 0.3


@pytest.mark.nightly
def test_mteb_itself_reads_the_files(tmp_path: Path, cli: InProcess) -> None:
    """In another folder: ``datasets/`` of this repository would be taken for the package of that name."""
    pytest.importorskip("mteb", reason=NO_MTEB)
    files = cli("export", published(tmp_path / "records"), "--to", "mteb", "--out", "out").out.splitlines()
    code = [sys.executable, "-c", MTEB, *files]
    done = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 4
    for one, path in zip(found, files, strict=True):
        written = json.loads((tmp_path / path).read_text())
        assert one["task"] == written["task_name"]
        assert one["revision"] == written["dataset_revision"]
        assert one["main"] == pytest.approx(one["scores"]["mAP"], abs=1e-9)
        assert one["scores"]["P@5"] == pytest.approx(written["scores"]["test"][0]["P@5"], abs=1e-9)


def test_the_package_called_datasets_is_not_hidden_outside_of_the_checkout(tmp_path: Path) -> None:
    """An installed rsir-bench brings its cards as ``rsir_bench.datasets`` and no module called ``datasets``."""
    code = "import importlib.util, rsir_bench; s = importlib.util.find_spec('datasets'); print(s and s.origin)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert not done.stdout.strip().startswith(str(REPOSITORY / "datasets"))


def test_in_the_checkout_the_hidden_package_is_named() -> None:
    for name, words in (("load_dataset", "start Python in another folder than the checkout"), ("synthetic", "")):
        code = [sys.executable, "-c", f"from datasets import {name}"]
        done = subprocess.run(code, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert (done.returncode, words in done.stderr) == (1 if words else 0, True), done.stderr


def test_results_of_the_hub_are_means_over_seeds(tmp_path: Path, cli: InProcess) -> None:
    yaml = pytest.importorskip("yaml")
    folder = published(tmp_path / "records")
    words = ["--to", "hf", "--out", "out", "--targets", "ucm", "--dataset-id", "ucm=somebody/ucm"]
    result = cli("export", folder, *words)
    assert result.code == 0, result.err
    (path,) = result.out.splitlines()
    assert path == "out/se-FC/.eval_results/rsir-bench-patternnet.yaml"
    (entry,) = yaml.safe_load((tmp_path / path).read_text())
    assert entry["dataset"] == {"id": "somebody/ucm", "task_id": "mAP"}
    first, second = factory.scores(0.9)["mAP"], factory.scores(0.91)["mAP"]
    assert entry["value"] == pytest.approx((first + second) / 2, abs=1e-9)
    assert "mean of 2 seeds, standard deviation 0.0071" in entry["notes"]
    hub = pytest.importorskip("huggingface_hub", minversion="1.0")
    (read,) = hub._eval_results.parse_eval_result_entries([entry])
    assert (read.dataset_id, read.value) == ("somebody/ucm", entry["value"])
    result = cli("export", folder, "--to", "hf", "--out", "out", "--dataset-id", "ucm=somebody/ucm")
    assert result.code == 2
    assert "rsscn7: has no id on the hub; give it with --dataset-id rsscn7=OWNER/NAME" in result.err
    assert (tmp_path / path).is_file()  # an export that fails leaves the former one
    result = cli("export", folder, *words, "--metric", "nDCG@7")
    assert "--metric nDCG@7: se on ucm has AP@10h, " in result.err


def test_a_seed_counts_once_on_the_hub_and_doubts_are_said(tmp_path: Path, cli: InProcess) -> None:
    yaml = pytest.importorskip("yaml")
    made = [factory.record("se", row="FC", seed=seed, metrics=factory.scores(0.9)) for seed in (0, 1)]
    made[1] = made[1].model_copy(update={"doubts": ("9 of 10 descriptors are equal",)})
    for folder, records in (("one", made), ("copy", made[:1])):
        for record in records:
            write_record(tmp_path / folder / f"{record.key}.json", record)
    target = made[0].target.name
    words = ("--to", "hf", "--out", "out", "--dataset-id", f"{target}=somebody/scenes")
    result = cli("export", tmp_path / "one", tmp_path / "copy", *words)
    assert result.code == 0, result.err
    (entry,) = yaml.safe_load((tmp_path / result.out.strip()).read_text())
    assert "mean of 2 seeds, " in entry["notes"]
    assert entry["notes"].endswith("; no measure of retrieval (seed 1: 9 of 10 descriptors are equal)")


@pytest.mark.parametrize("text", ["ucm", "ucm=", "=a/b", "ucm=a", "ucm=a/b/c", "ucm=../b"])
def test_ids_of_the_hub_have_one_form(text: str) -> None:
    with pytest.raises(UserError, match="write TARGET=OWNER/NAME"):
        dataset_ids([text])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--to csv", "--to csv: unknown; choose from hf, mteb, parquet, trec"),
        ("--to mteb --depth 5", "--depth: has no effect with --to mteb; omit it"),
        ("--to trec --metric mAP", "--metric: has no effect with --to trec; omit it"),
        ("--to trec --codes", "--codes: applies only to a file of descriptors; name its dataset with --dataset"),
        ("--to trec --dataset ucm --methods se", "--methods: cannot be combined with --dataset; omit one of the two"),
    ],
)
def test_options_that_change_nothing_are_refused(words: str, message: str, cli: InProcess) -> None:
    result = cli("export", "runs", "--out", "out", *words.split())
    assert result.code == 2
    assert message in result.err


def test_a_file_of_descriptors_needs_its_dataset(tmp_path: Path, cli: InProcess) -> None:
    (tmp_path / "X.npy").touch()
    result = cli("export", tmp_path / "X.npy", "--to", "trec", "--out", tmp_path / "out")
    assert result.code == 2
    assert f"{tmp_path / 'X.npy'}: is a file; name a folder of runs or records, or add --dataset" in result.err


def test_nothing_of_others_is_overwritten(tmp_path: Path, cli: InProcess) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    result = cli("export", published(tmp_path / "records"), "--to", "mteb", "--out", "out")
    assert result.code == 2
    assert "contains files that rsir-bench did not write (mine.txt)" in result.err
    assert export_records([factory.record("se", row="FC")], "mteb", tmp_path / "new") != []
