"""Everything that a folder of scenes serves for, with scenes in shards and with a CSV: equal results, and pages."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from command import InProcess
from conftest import Tiny
from packing import files_of, to_csv, to_parquet, to_tar

import rsir_bench
from rsir_bench.base.errors import UserError
from rsir_bench.records.schema import Record
from rsir_bench.report.site import build_report
from rsir_bench.runs.request import UserFiles
from rsir_bench.runs.runners.campaign import CampaignResult, campaign
from rsir_bench.scenes.index import resolve_dataset
from rsir_bench.scenes.naming.scene_ids import scene_ids
from rsir_bench.search.answer import as_page, search_scenes

FORMS = {"parquet": to_parquet, "tar": to_tar, "folder": to_csv}
UNTRAINED = "timm:test_resnet@none"


def folder_of(tiny: Tiny, name: str) -> Path:
    """A folder of scenes whose file names are all different, as a CSV needs them."""
    folder = tiny.folder / name
    for path in list(folder.rglob("scene*.png")):
        path.rename(path.with_name(f"{path.parent.name}-{path.name}"))
    return folder


def packed(tiny: Tiny, form: str, name: str = "target") -> str:
    """The tiny target, or source, in another form."""
    return f"{form}:{FORMS[form](folder_of(tiny, name), tiny.folder / f'packed-{form}-{name}')}"


def quietly(request: object) -> CampaignResult:
    outcome = campaign(request, lambda line: None)  # type: ignore[arg-type]
    assert outcome.failures == {}
    return outcome


def measured(records: list[Record]) -> list[object]:
    return [(record.row.name, record.metrics, record.per_class, record.target.fingerprint) for record in records]


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("form", FORMS)
def test_training_on_shards_gives_the_key_and_the_scores_of_training_on_folders(form: str, tiny: Tiny) -> None:
    source, target = packed(tiny, form, "source"), packed(tiny, form)
    plain = quietly(tiny.request("baseline", out="plain"))
    found = quietly(tiny.request("baseline", targets=[target], overrides=[f"data.source={json.dumps(source)}"]))
    assert measured(found.records) == measured(plain.records)
    assert {record.target.name for record in found.records} == {f"{form}-packed-{form}-target"}
    assert key_of_run(tiny.folder / "runs") == key_of_run(tiny.folder / "plain")


def key_of_run(out: Path) -> str:
    (network,) = out.rglob("weights.safetensors")
    return network.parents[1].name.rpartition("-")[2]


@pytest.mark.parametrize("form", ["parquet", "tar"])
def test_a_run_is_taken_up_as_it_was_and_made_again_where_a_shard_changed(
    form: str, tiny: Tiny, cli: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = packed(tiny, form)
    words = ["run", "--protocol", tiny.protocol, "--methods", UNTRAINED, "--targets", target, "--out", "runs"]
    plan = [*words, "--plan"]
    assert cli(*words).code == 0
    assert "0 to make" in cli(*plan).err + cli(*plan).out
    scene = folder_of(tiny, "target") / "class0/class0-scene00.png"
    shutil.copy(scene.with_name("class0-scene01.png"), scene)
    shard_folder = Path(target.partition(":")[2])
    states = {path.name: path.stat() for path in shard_folder.rglob("*") if path.is_file()}
    shutil.rmtree(shard_folder)
    FORMS[form](tiny.folder / "target", shard_folder)
    for path in shard_folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(states[path.name].st_atime_ns, states[path.name].st_mtime_ns))
    assert "0 to make" not in cli(*plan).err + cli(*plan).out


@pytest.mark.parametrize("form", FORMS)
def test_a_search_finds_scenes_in_shards_and_shows_them(form: str, tiny: Tiny) -> None:
    target = packed(tiny, form)
    query = tiny.folder / "target/class1/class1-scene03.png"
    answer = search_scenes(query, tiny.request(UNTRAINED, targets=[target]), top=4, log=lambda line: None)
    assert answer.query.scene is not None
    assert answer.scenes.paths[answer.query.scene].endswith("/class1-scene03.png" if form != "folder" else ".png")
    assert answer.query_class == "class1"
    page = as_page(answer)
    assert page.count("data:image/jpeg;base64,") == 6  # the query, itself in the target, and four others
    assert all(answer.scenes.paths[hit.scene] in page for hit in answer.hits)


@pytest.mark.parametrize("form", FORMS)
def test_descriptors_by_id_are_joined_to_scenes_in_shards(form: str, tiny: Tiny, cli: InProcess) -> None:
    target = packed(tiny, form)
    names = scene_ids(resolve_dataset(target, tiny.folder))
    folder = scene_ids(resolve_dataset(f"folder:{tiny.folder / 'target'}", tiny.folder))
    assert names == folder
    values = np.random.default_rng(0).normal(size=(len(names), 4)).astype(np.float32)
    order = np.random.default_rng(1).permutation(len(names))
    np.savez("d.npz", descriptors=values[order], ids=np.array(names)[order])
    scores = [
        json.loads(cli("score", "--descriptors", "d.npz", "--dataset", name, "--json").out)
        for name in (target, f"folder:{tiny.folder / 'target'}")
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("form", ["parquet", pytest.param("tar", marks=pytest.mark.nightly)])
def test_a_report_shows_the_scenes_of_shards(form: str, tiny: Tiny) -> None:
    target = packed(tiny, form)
    records = quietly(tiny.request(UNTRAINED, targets=[target])).records
    files = UserFiles(data_root=tiny.folder, protocol=str(tiny.protocol))
    build_report(records, tiny.folder / "report", [tiny.folder / "runs"], files)
    pictures = sorted(path.name for path in (tiny.folder / "report/thumbnails").rglob("*.jpg"))
    assert [name.partition("-")[0] for name in pictures] == ["0.jpg", "query", "strip.jpg"]
    pages = "".join(path.read_text() for path in (tiny.folder / "report").rglob("*.html"))
    assert re.search(r"class1-scene0\d\.png", pages)
    assert "explorer" in pages


def test_the_command_of_a_record_makes_it_again(tiny: Tiny) -> None:
    target = packed(tiny, "parquet")
    (record,) = quietly(tiny.request(UNTRAINED, targets=[target])).records
    assert f"--targets {target}" in record.command


def test_a_folder_and_its_shards_score_alike_one_command_after_the_other(tiny: Tiny) -> None:
    names = [f"folder:{folder_of(tiny, 'target')}", packed(tiny, "parquet")]
    records = [quietly(tiny.request(UNTRAINED, targets=[name])).records[0] for name in names]
    assert [record.target.name for record in records] == ["folder-target", "parquet-packed-parquet-target"]
    assert records[0].metrics == records[1].metrics
    with pytest.raises(UserError, match="both are the same scenes; name one of them"):
        quietly(tiny.request(UNTRAINED, targets=names))


def test_labels_that_are_missing_stop_a_run_before_it_begins(tiny: Tiny) -> None:
    folder = to_tar(folder_of(tiny, "target"), tiny.folder / "packed", shards=1)
    shard = folder / "scenes-000000.tar"
    with tarfile.open(shard, "a") as tar:
        tar.add(files_of(tiny.folder / "target")[0][1], "more.png")
    with pytest.raises(UserError, match=r"1 of 19 scenes have no label: scenes-000000\.tar/more\.png"):
        rsir_bench.run([UNTRAINED], [f"tar:{folder}"], protocol=str(tiny.protocol), out=tiny.folder / "runs")


@pytest.mark.real
@pytest.mark.nightly
def test_real_scenes_give_equal_descriptors_and_scores_in_every_form(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UC Merced: 2,100 scenes, of their own folder and of their card, with a cache for each form."""
    source = shared / "data/UCMerced_LandUse/Images"
    in_parquet = to_parquet(source, tmp_path / "data/UCMerced_LandUse", shards=4, rows=100)
    forms = {
        f"folder:{source}": shared / "data",
        f"parquet:{in_parquet}": tmp_path,
        f"tar:{to_tar(source, tmp_path / 'tar', shards=4)}": tmp_path,
        f"folder:{to_csv(source, tmp_path / 'csv')}": tmp_path,
        "ucm": shared / "data",
        "ucm in parquet": tmp_path / "data",
    }
    found = []
    for number, (target, data_root) in enumerate(forms.items()):
        monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / f"cache{number}"))
        out, overrides = tmp_path / f"runs{number}", ["data.size=64"]
        (record,) = rsir_bench.run(
            ["timm:resnet18@none"],
            [target.split()[0]],
            protocol="ucm-mobile",
            data_root=data_root,
            device="cpu",
            out=out,
            overrides=overrides,
        )
        (descriptors,) = out.rglob("descriptors/**/*.npy")
        found.append((record.target.fingerprint, record.metrics, record.per_class, np.load(descriptors)))
    for plain, *others in (found[:4], found[4:]):
        assert plain[3].shape == (2100, 512)
        for other in others:
            assert other[:3] == plain[:3]
            np.testing.assert_array_equal(other[3], plain[3])
    assert found[0][1] == found[4][1]  # other names of classes, the same scores
