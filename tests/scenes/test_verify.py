"""Verification: what is missing, damaged, repeated or re-encoded is named; no verdict claims more than is known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command import InProcess
from fake_data import small_card, write_dataset, write_scene
from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.cli.groups.datasets import verification_in_words
from rsir_bench.scenes.card import load_cards
from rsir_bench.scenes.index import resolve_dataset
from rsir_bench.scenes.inspect import manifest
from rsir_bench.scenes.inspect.listing import dataset_list
from rsir_bench.scenes.inspect.manifest import load_manifest, parse_manifest
from rsir_bench.scenes.inspect.verify import Verdict, present_datasets, verify

COPY = "complete, not the original bytes"


def manifest_of(folder: Path) -> str:
    """The manifest of a tree as it lies there, as CSV."""
    rows = ["path,bytes,sha256"]
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        rows.append(f"{path.relative_to(folder).as_posix()},{len(content)},{hashlib.sha256(content).hexdigest()}")
    return "\n".join(rows)


def put_in_place(dataset: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes a small dataset, and lets its card and its manifest describe exactly that; returns its folder."""
    card = small_card(dataset).model_copy(update={"pixels": 20})
    place = write_dataset(card, tmp_path) / folder
    monkeypatch.setitem(load_cards(), dataset, card)
    manifests = tmp_path / "manifests"
    manifests.mkdir(exist_ok=True)
    (manifests / f"{dataset}.manifest.csv").write_text(manifest_of(place))
    monkeypatch.setattr(manifest, "FOLDER", manifests)
    return place


@pytest.fixture
def rsscn7(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return put_in_place("rsscn7", "RSSCN7", tmp_path, monkeypatch)


@pytest.fixture
def ucm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return put_in_place("ucm", "UCMerced_LandUse/Images", tmp_path, monkeypatch)


@pytest.fixture
def eurosat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = "EuroSATallBands/ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
    return put_in_place("eurosat", folder, tmp_path, monkeypatch)


def test_untouched_scenes_are_the_original_bytes(rsscn7: Path, tmp_path: Path) -> None:
    report = verify("rsscn7", tmp_path)
    assert report.verdict is Verdict.ORIGINAL
    fingerprint = resolve_dataset("rsscn7", tmp_path).fingerprint
    assert verification_in_words(report).splitlines() == [
        "rsscn7: original bytes",
        f"  folder: {rsscn7}",
        "  classes: 14 scenes in 7 classes; every count matches the card",
        "  sizes: 14 of 20 x 20",
        "  types: 14 uint8 RGB",
        "  manifest: 14 of 14 original files",
        f"  edition: {fingerprint[:8]}, not on the card (known editions: original, jpeg-256)",
        f"  content fingerprint: {fingerprint}",
    ]


def test_the_edition_has_the_name_on_the_card(rsscn7: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {row["dataset"]: row for row in dataset_list(tmp_path)}
    assert listed["rsscn7"]["edition"] == ""  # nothing was hashed yet
    known = {"original": "0" * 64, "second": resolve_dataset("rsscn7", tmp_path).fingerprint}
    monkeypatch.setitem(load_cards(), "rsscn7", load_cards()["rsscn7"].model_copy(update={"editions": known}))
    report = verify("rsscn7", tmp_path)
    assert report.edition == "second"
    assert "  edition: second (known editions: original, second)" in verification_in_words(report).splitlines()
    listed = {row["dataset"]: row for row in dataset_list(tmp_path)}
    assert (listed["rsscn7"]["edition"], listed["demo-view"]["edition"], listed["ucm"]["edition"]) == ("second", "", "")
    min(rsscn7.rglob("*.jpg")).write_bytes(b"other")
    listed = {row["dataset"]: row for row in dataset_list(tmp_path)}
    assert listed["rsscn7"]["edition"] == ""  # one scene has changed since it was hashed


@pytest.mark.parametrize("dataset", ["ucm", "eurosat"])
def test_original_tifs(dataset: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(dataset)
    report = verify(dataset, tmp_path)
    assert report.verdict is Verdict.ORIGINAL
    assert set(report.sizes.values()) == {(20, 20)}


def test_without_a_manifest_nothing_is_said_of_the_bytes(rsscn7: Path, tmp_path: Path) -> None:
    (tmp_path / "manifests/rsscn7.manifest.csv").unlink()
    report = verify("rsscn7", tmp_path)
    assert (report.verdict, report.comparison) == (Verdict.COMPLETE, None)
    assert report.verdict_in_words == "complete; no manifest says whether these are the original bytes"


def test_without_a_manifest_copies_are_known_by_their_size(rsscn7: Path, tmp_path: Path) -> None:
    (tmp_path / "manifests/rsscn7.manifest.csv").unlink()
    report = verify("rsscn7", tmp_path)
    smaller = dict.fromkeys(report.sizes, (10, 10))
    assert dataclasses.replace(report, sizes=smaller).verdict_in_words == COPY
    first = next(iter(smaller))
    assert dataclasses.replace(report, sizes=smaller | {first: (20, 20)}).verdict_in_words.startswith("complete; no")


def test_a_byte_that_changed_under_the_same_size_and_time_is_seen(rsscn7: Path, tmp_path: Path) -> None:
    before = verify("rsscn7", tmp_path)
    scene = min(rsscn7.rglob("*.jpg"))
    state, content = scene.stat(), bytearray(scene.read_bytes())
    content[-3] ^= 1
    scene.write_bytes(content)
    os.utime(scene, ns=(state.st_atime_ns, state.st_mtime_ns))
    report = verify("rsscn7", tmp_path)
    assert report.verdict is not Verdict.ORIGINAL
    assert report.fingerprint != before.fingerprint
    assert resolve_dataset("rsscn7", tmp_path).fingerprint == report.fingerprint


def test_a_renamed_folder_keeps_the_original_bytes_and_the_fingerprint(rsscn7: Path, tmp_path: Path) -> None:
    before = verify("rsscn7", tmp_path)
    (rsscn7 / "dRiverLake").rename(rsscn7 / "rivers_lakes")
    report = verify("rsscn7", tmp_path)
    assert report.verdict is Verdict.ORIGINAL
    assert report.fingerprint == before.fingerprint


def test_one_other_byte_is_not_the_original(rsscn7: Path, tmp_path: Path) -> None:
    with (rsscn7 / "aGrass/a001.jpg").open("ab") as file:
        file.write(b"\0")
    report = verify("rsscn7", tmp_path)
    assert report.verdict_in_words == COPY
    assert (report.comparison.original, report.comparison.differing) == (13, ("aGrass/a001.jpg",))


def test_re_encoded_copies_are_complete_but_not_original(ucm: Path, tmp_path: Path) -> None:
    for path in list(ucm.rglob("*.tif")):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    report = verify("ucm", tmp_path)
    assert report.verdict_in_words == COPY
    assert report.comparison.original == 0
    assert len(report.comparison.differing) == 42
    assert report.comparison.missing == report.comparison.unlisted == ()


def test_the_original_bytes_under_other_file_names_are_not_the_original_files(rsscn7: Path, tmp_path: Path) -> None:
    (rsscn7 / "aGrass/a001.jpg").rename(rsscn7 / "aGrass/grass1.jpg")
    report = verify("rsscn7", tmp_path)
    assert report.verdict_in_words == COPY
    assert (report.comparison.unlisted, report.comparison.missing) == (("aGrass/grass1.jpg",), ("aGrass/a001.jpg",))


def test_a_missing_file_is_named_by_the_manifest(rsscn7: Path, tmp_path: Path) -> None:
    (rsscn7 / "bField/b002.jpg").unlink()
    report = verify("rsscn7", tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert report.wrong_counts == {"field": (2, 1)}
    text = verification_in_words(report)
    assert "13 scenes, not 14; field has 1 scenes, not 2" in text
    assert "missing: 1: bField/b002.jpg" in text


def test_an_extra_file(rsscn7: Path, tmp_path: Path) -> None:
    write_scene(rsscn7 / "bField/b003.jpg", seed=99)
    report = verify("rsscn7", tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert (report.wrong_counts, report.comparison.unlisted) == ({"field": (2, 3)}, ("bField/b003.jpg",))


def test_a_missing_class(rsscn7: Path, tmp_path: Path) -> None:
    shutil.rmtree(rsscn7 / "cIndustry")
    report = verify("rsscn7", tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert (report.missing_classes, report.wrong_counts) == (("industry",), {})
    assert "industry is missing" in verification_in_words(report)


def test_an_unexpected_folder(rsscn7: Path, tmp_path: Path) -> None:
    write_scene(rsscn7 / "hAirport/h001.jpg")
    report = verify("rsscn7", tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert report.unexpected == ("hAirport",)
    assert "unexpected folders: 1: hAirport" in verification_in_words(report)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


DAMAGES = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>Not found</html>"),
    "dead link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("dataset", ["rsscn7", "ucm", "eurosat"])
def test_unreadable_files_are_named(dataset: str, damage: str, tmp_path: Path, request) -> None:
    folder = request.getfixturevalue(dataset)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in (paths[0], paths[3]):
        DAMAGES[damage](path)
    report = verify(dataset, tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert {report.folder / path for path in report.unreadable} == {paths[0], paths[3]}
    assert report.repeated == report.repeated_across == ()  # empty files are no repeated scenes
    assert (report.fingerprint is None) == (damage == "dead link")
    assert all("\n" not in line for line in report.unreadable.values())


def test_five_unreadable_files_are_named_and_the_others_counted(rsscn7: Path, tmp_path: Path) -> None:
    for path in sorted(rsscn7.rglob("*.jpg"))[:7]:
        path.write_bytes(b"")
    line = next(
        line for line in verification_in_words(verify("rsscn7", tmp_path)).splitlines() if "unreadable:" in line
    )
    assert line.startswith("  unreadable: 7: aGrass/a001.jpg (not an image), ")
    assert line.endswith(" and 2 more")
    assert line.count(".jpg") == 5


def test_repeated_scenes_within_and_across_classes(rsscn7: Path, tmp_path: Path) -> None:
    shutil.copy(rsscn7 / "aGrass/a001.jpg", rsscn7 / "aGrass/a002.jpg")
    shutil.copy(rsscn7 / "bField/b001.jpg", rsscn7 / "gParking/g002.jpg")
    report = verify("rsscn7", tmp_path)
    assert report.verdict_in_words == COPY
    assert report.repeated == (("aGrass/a001.jpg", "aGrass/a002.jpg"),)
    assert report.repeated_across == (("bField/b001.jpg", "gParking/g002.jpg"),)
    text = verification_in_words(report)
    assert "repeated within a class: 1: aGrass/a001.jpg = aGrass/a002.jpg" in text
    assert "REPEATED ACROSS CLASSES: 1: bField/b001.jpg = gParking/g002.jpg" in text


@pytest.mark.parametrize(("dataset", "bands"), [("rsscn7", 3), ("eurosat", 13)])
def test_other_sizes_are_counted_and_named_but_complete(dataset: str, bands: int, tmp_path: Path, request) -> None:
    folder = request.getfixturevalue(dataset)
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    values = np.zeros((18, 20, bands), np.uint8 if bands == 3 else np.uint16)  # 20 wide, 18 high
    if bands == 3:
        Image.fromarray(values).save(path)
    else:
        tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
    report = verify(dataset, tmp_path)
    assert report.verdict_in_words == COPY
    (odd,) = report.other_sizes
    assert (report.folder / odd, report.sizes[odd]) == (path, (20, 18))
    assert f"1 of 20 x 18; not 20 x 20: 1: {odd}" in verification_in_words(report)


def test_other_bands_are_named_apart(eurosat: Path, tmp_path: Path) -> None:
    write_scene(eurosat / "River/River_2.tif", bands=4)
    Image.new("RGB", (20, 20)).save(eurosat / "Forest/Forest_1.tif")
    report = verify("eurosat", tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert report.unreadable == {}
    named = {path.rsplit("/", 1)[-1]: which for path, which in report.other_bands.items()}
    assert named == {"River_2.tif": "holds 4 bands, not 13", "Forest_1.tif": "holds 3 bands, not 13"}


def test_multi_band_scenes_in_a_dataset_of_pictures(ucm: Path, tmp_path: Path) -> None:
    write_scene(ucm / "river/river00.tif", bands=6)
    report = verify("ucm", tmp_path)
    assert (report.verdict, list(report.other_bands)) == (Verdict.INCOMPLETE, ["river/river00.tif"])


def own_folder(tmp_path: Path) -> Path:
    for number, name in enumerate(["a/river/1.jpg", "a/river/2.png", "b/deep/field/1.tif", "b/river/3.jpg"]):
        write_scene(tmp_path / "own" / name, seed=number)
    return tmp_path / "own"


def test_own_folder_needs_no_card(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    report = verify(f"folder:{folder}", tmp_path)
    assert (report.verdict, report.found) == (Verdict.COMPLETE, {"field": 1, "river": 3})
    assert report.fingerprint == resolve_dataset(f"folder:{folder}", tmp_path).fingerprint
    text = verification_in_words(report)
    assert "every scene can be read; no card says" in text
    assert "4 scenes; field 1, river 3" in text
    assert "manifest" not in text


def test_damage_in_an_own_folder(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    shutil.copy(folder / "a/river/1.jpg", folder / "b/deep/field/2.jpg")
    (folder / "b/deep/field/0.tif").write_bytes(b"II*")  # the first file of all: the bands come from a later one
    report = verify(f"folder:{folder}", tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert list(report.unreadable) == ["b/deep/field/0.tif"]
    assert report.repeated_across == (("b/deep/field/2.jpg", "a/river/1.jpg"),)


def test_own_folder_of_multi_band_scenes_with_a_picture_among_them(tmp_path: Path) -> None:
    for name in ("field/1.tif", "field/2.tif", "river/1.tif"):
        write_scene(tmp_path / "own" / name, bands=6, seed=len(name))
    write_scene(tmp_path / "own/river/2.png")
    report = verify(f"folder:{tmp_path / 'own'}", tmp_path)
    assert report.other_bands == {"river/2.png": "holds 3 bands, not 6"}


def test_all_means_what_is_present(rsscn7: Path, ucm: Path, tmp_path: Path) -> None:
    assert present_datasets(["all"], tmp_path) == ["rsscn7", "ucm"]
    with pytest.raises(UserError, match=r"no dataset under .*nowhere"):
        present_datasets(["all"], tmp_path / "nowhere")


def test_every_problem_with_the_names_is_told_before_anything_is_read(rsscn7: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        present_datasets(["rsscn7", "ucn", "aid", "demo-view", "folder:gone"], tmp_path)
    lines = str(caught.value).splitlines()
    for line, words in zip(
        lines, ["did you mean ucm", "aid: not found", "generated on first use", "no such folder"], strict=True
    ):
        assert words in line


@pytest.mark.parametrize("name", ["ucm", "rsscn7"])
def test_manifests_that_come_with_the_cards(name: str) -> None:
    card = load_cards()[name]
    manifest = load_manifest(card)
    assert len(manifest) == sum(entry.scenes for entry in card.classes)
    assert len({original.sha256 for original in manifest.values()}) == len(manifest)


def test_first_line_of_a_manifest() -> None:
    original = load_manifest(load_cards()["ucm"])["agricultural", "agricultural00"]
    assert (original.path, original.bytes) == ("agricultural/agricultural00.tif", 209728)
    assert original.sha256.startswith("85ac47bf0b3e840a")


def test_most_cards_have_no_manifest() -> None:
    having = [name for name, card in load_cards().items() if load_manifest(card)]
    assert having == ["dlrsd", "rsscn7", "ucm-multilabel", "ucm"]  # the scenes of ucm, under three names


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("path,bytes", "file,bytes", "columns file,bytes,sha256; they must be path,bytes,sha256"),
        ("aGrass/a001.jpg", "a001.jpg", "line 2"),
        ("aGrass/a002.jpg", "hAirport/a002.jpg", "line 3"),
        ("aGrass/a002.jpg", "aGrass/a001.jpg", "or some twice"),
        ("aGrass/a002.jpg", "bField/a003.jpg", "other numbers per class"),
        (",7,", ",seven,", "line 2"),
        ("00ff", "0xff", "line 2"),
        ("00ff", "00", "line 2"),
    ],
)
def test_a_bad_manifest_names_its_line(old: str, new: str, told: str) -> None:
    card = small_card("rsscn7", classes=2)
    names = ["aGrass/a001.jpg", "aGrass/a002.jpg", "bField/b001.jpg", "bField/b002.jpg"]
    rows = [f"{name},{size},00ff{'5' * 60}" for name, size in zip(names, range(7, 11), strict=True)]
    text = "\n".join(["path,bytes,sha256", *rows])
    assert len(parse_manifest(text, card)) == 4
    with pytest.raises(UserError, match=rf"^rsscn7\.manifest\.csv: .*{told}"):
        parse_manifest(text.replace(old, new), card)


def test_exit_codes(rsscn7: Path, ucm: Path, tmp_path: Path, cli: InProcess) -> None:
    verb, root = ("datasets", "verify"), ("--data-root", tmp_path)
    ended = cli(*verb, "rsscn7", *root)
    assert ended.code == 0
    assert ended.out.startswith("rsscn7: original bytes\n")
    Image.new("RGB", (20, 20)).save(rsscn7 / "aGrass/a001.jpg")
    ended = cli(*verb, "rsscn7", *root)
    assert ended.code == 0
    assert ended.out.startswith(f"rsscn7: {COPY}\n")
    (ucm / "river/river01.tif").unlink()
    ended = cli(*verb, "rsscn7,ucm", *root)
    assert ended.code == 1
    assert "\nucm: incomplete\n" in ended.out
    ended = cli(*verb, "rsscn7", "aid", *root)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("rsir-bench: aid: not found")
    assert cli(*verb, f"folder:{own_folder(tmp_path)}", *root).code == 0


def test_json_for_programs(rsscn7: Path, tmp_path: Path, cli: InProcess) -> None:
    cut(rsscn7 / "aGrass/a001.jpg")
    ended = cli("datasets", "verify", "all", "--data-root", tmp_path, "--json")
    assert ended.code == 1
    (report,) = json.loads(ended.out)
    assert (report["dataset"], report["verdict"], report["in_words"]) == ("rsscn7", "incomplete", "incomplete")
    assert report["classes"]["grass"] == {"expected": 2, "found": 2}
    assert list(report["unreadable"]) == ["aGrass/a001.jpg"]
    assert report["sizes"] == {"20x20": 13}
    assert report["manifest"]["original"] == 13
    assert report["fingerprint"] == resolve_dataset("rsscn7", tmp_path).fingerprint


def linked(source: Path, target: Path) -> Path:
    """A tree of links to the files of ``source``, which can be damaged without harm."""
    return shutil.copytree(source, target, copy_function=os.symlink)


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.real
@pytest.mark.parametrize("name", ["ucm", "rsscn7", "aid"])
def test_real_copies_are_complete(name: str, shared: Path) -> None:
    report = verify(name, shared / "data")
    assert report.verdict_in_words == COPY
    assert report.fingerprint == resolve_dataset(name, shared / "data").fingerprint
    if report.comparison:
        assert report.comparison.missing == report.comparison.unlisted == ()


@pytest.mark.real
def test_damage_among_real_scenes_is_found(shared: Path, tmp_path: Path) -> None:
    folder = linked(shared / "data/RSSCN7", tmp_path / "RSSCN7")
    picture = (folder / "aGrass/a005.jpg").read_bytes()
    replace(folder / "aGrass/a006.jpg", picture)
    replace(folder / "bField/b001.jpg", picture)
    replace(folder / "cIndustry/c010.jpg", picture[:-40])
    replace(folder / "dRiverLake/d001.jpg", b"")
    (folder / "eForest/e400.jpg").unlink()
    (folder / "gParking").rename(folder / "hHarbour")
    report = verify("rsscn7", tmp_path)
    assert report.verdict is Verdict.INCOMPLETE
    assert sorted(report.unreadable) == ["cIndustry/c010.jpg", "dRiverLake/d001.jpg"]
    assert report.wrong_counts == {"forest": (400, 399)}
    assert (report.missing_classes, report.unexpected) == (("parking",), ("hHarbour",))
    assert ("aGrass/a005.jpg", "aGrass/a006.jpg", "bField/b001.jpg") in report.repeated_across
    assert "eForest/e400.jpg" in report.comparison.missing


def test_a_report_is_made_only_of_datasets_with_classes(tmp_path: Path) -> None:
    write_scene(tmp_path / "one/river/1.jpg")
    with pytest.raises(SceneError, match="at least two class folders"):
        verify(f"folder:{tmp_path / 'one'}", tmp_path)
