"""Folders of the user's own: classes, settings, the range of values, and what is said of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import Tiny
from fake_data import small_card, write_dataset, write_scene
from PIL import Image
from torchvision.datasets import ImageFolder

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.cli.groups.datasets import verification_in_words
from rsir_bench.runs.keys import scenes_as_read
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.campaign import campaign, describe_plan
from rsir_bench.scenes.card import parse_card
from rsir_bench.scenes.index import index_folder, index_scenes, list_dataset, resolve_dataset
from rsir_bench.scenes.inspect.verify import Verdict, verify
from rsir_bench.scenes.pixel_cache import Transform, open_pixels
from rsir_bench.scenes.readers.given_cards import GivenCards, read_cards


def classes_of(root: Path, *paths: str) -> tuple[str, ...]:
    for number, path in enumerate(paths):
        write_scene(root / path, seed=number, size=4)
    return index_folder(root).classes


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (["beach/2015/1.png", "beach/2016/1.png", "forest/2015/1.png"], ("beach", "forest")),
        (["beach/2015/06/1.png", "beach/2016-07-01/1.png", "forest/2015_summer/1.png"], ("beach", "forest")),
        (["beach/train/1.png", "beach/test/1.png", "forest/images/1.png"], ("beach", "forest")),
        (["train/beach/1.png", "train/forest/1.png", "val/beach/1.png"], ("beach", "forest")),
        (["train/0/1.png", "train/1/1.png", "val/0/1.png"], ("0", "1")),
        (["beach/part_1/1.png", "beach/tile 2/1.png", "forest/summer/1.png"], ("beach", "forest")),
        (["mine/0/1.png", "mine/1/1.png"], ("0", "1")),
        (["2015/1.png", "2016/1.png"], ("2015", "2016")),
        (["a/river/1.png", "b/river/2.png", "b/field/1.png"], ("field", "river")),
        (["x/y/river/1.png", "x/y/field/1.png"], ("field", "river")),
        (["beach/1.png", "beach/2015/2.png", "forest/1.png"], ("beach", "forest")),
    ],
)
def test_the_folder_that_names_a_class(paths: list[str], classes: tuple[str, ...], tmp_path: Path) -> None:
    assert classes_of(tmp_path, *paths) == classes


def test_class_folders_above_years_are_those_of_image_folder(tmp_path: Path) -> None:
    found = classes_of(tmp_path, "beach/2015/1.png", "beach/2016/1.png", "forest/2015/1.png", "forest/2016/1.png")
    assert list(found) == ImageFolder(str(tmp_path)).classes


def test_settings_say_which_folders_name_classes(tmp_path: Path) -> None:
    paths = ["beach/north/1.png", "beach/south/1.png", "forest/north/1.png"]
    assert classes_of(tmp_path, *paths) == ("north", "south")
    (note,) = index_folder(tmp_path).notes
    assert note.startswith("folders with the same name are one class: north (beach, forest);")
    (tmp_path / "dataset.toml").write_text('classes = "outer"\n')
    assert classes_of(tmp_path, *paths) == ("beach", "forest")
    (tmp_path / "dataset.toml").write_text('classes = "inner"\n')
    assert classes_of(tmp_path, *paths) == ("north", "south")


def test_what_is_odd_about_folders_and_files_is_said_by_plan_and_verify(tiny: Tiny) -> None:
    folder = tiny.folder / "target"
    write_scene(folder / "Class 0/1.png", size=8)
    (folder / "empty/below").mkdir(parents=True)
    write_scene(folder / "cover.png", size=8)
    for name in ("1.avif", "2.avif", "notes.txt", "bare"):
        (folder / "class1" / name).write_bytes(b"x")
    plan = describe_plan(make_plan(tiny.request("timm:test_resnet@none")))
    words = verification_in_words(verify(f"folder:{folder}", tiny.folder))
    for told in (
        "classes differ only in case, spaces or dashes: 'Class 0' = 'class0'; rename them if they are one",
        "folders without scenes: empty",
        "left out by file extension: 4 files (.avif 2, .txt 1, no ending 1)",
        "left out: 1 scene files outside class folders",
    ):
        assert f"note      folder-target: {told}" in plan
        assert f"note: {told}" in words


@pytest.mark.parametrize("ending", ["jp2", "gif", "ppm", "pgm", "JPE"])
def test_pictures_of_more_endings_are_scenes(ending: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "field/1.png", size=40)
    picture = Image.open(tmp_path / "field/1.png")
    (tmp_path / "river").mkdir()
    (picture.convert("L") if ending == "pgm" else picture).save(tmp_path / f"river/1.{ending}")
    assert index_folder(tmp_path).classes == ("field", "river")


def test_too_few_classes_name_the_endings_that_were_left_out(tmp_path: Path) -> None:
    write_scene(tmp_path / "field/1.png")
    (tmp_path / "river").mkdir()
    (tmp_path / "river/1.heic").write_bytes(b"x")
    with pytest.raises(SceneError, match=r"found: field; left out by file extension: 1 files \(\.heic 1\)"):
        index_folder(tmp_path)


def reflectance(folder: Path, kind: str = "uint16", low: float = 100, high: float = 4080) -> np.ndarray:
    """Two classes of one scene each, of values between two limits; returns the first."""
    values = np.random.default_rng(0).uniform(low, high, (2, 10, 10, 4)).astype(kind)
    values[0, 0, 0, 0], values[1, 0, 0, 0] = low, high
    for scene, name in zip(values, ("field", "river"), strict=True):
        (folder / name).mkdir(parents=True)
        tifffile.imwrite(folder / name / "1.tif", scene, photometric="minisblack", planarconfig="contig")
    return values[0]


@pytest.mark.parametrize("kind", ["uint16", "int16", "int32", "float32"])
def test_the_value_range_is_measured_over_all_scenes_and_in_the_key(kind: str, tmp_path: Path) -> None:
    field = reflectance(tmp_path, kind)
    index = index_folder(tmp_path)
    assert index.value_range == (100, 4080)
    assert index.notes == ("value range 100..4080, measured; value_range in dataset.toml sets another",)
    assert scenes_as_read(index, Transform(10, bands="all")) == [index.fingerprint, (0, 1, 2, 3), (100, 4080)]
    pixels = open_pixels(index, Transform(10, "nearest", bands="all"))
    assert np.abs(pixels[0] - (field.astype(float) - 100) * 255 / 3980).max() <= 0.5 + 1e-4


def test_a_measured_range_is_kept_for_the_same_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    reflectance(tmp_path / "own")
    index_folder(tmp_path / "own")
    (kept,) = (tmp_path / "cache/values").glob("*.json")
    stored = json.loads(kept.read_text())
    kept.write_text(json.dumps(stored | {"limits": [0, 5000]}))
    assert index_folder(tmp_path / "own").value_range == (0, 5000)
    kept.write_text("{")
    assert index_folder(tmp_path / "own").value_range == (100, 4080)


def test_folders_of_8_bits_are_known_by_their_fingerprint_alone(tmp_path: Path) -> None:
    classes_of(tmp_path, "field/1.png", "river/1.jpg", "river/2.tif")
    index = index_folder(tmp_path)
    assert (index.value_range, index.notes) == (None, ())
    assert scenes_as_read(index, Transform(10)) == index.fingerprint


def test_settings_in_the_folder_count_and_go_into_key_and_record(tiny: Tiny) -> None:
    for name in ("source", "target"):
        for path in (tiny.folder / name).rglob("*.png"):
            values = np.asarray(Image.open(path)).astype(np.uint16) * 16
            tifffile.imwrite(path.with_suffix(".tif"), values, photometric="rgb")
            path.unlink()
    (tiny.folder / "target/dataset.toml").write_text('title = "My scenes"\nvalue_range = [0, 4095]\nrgb = [2, 1, 0]\n')
    index = resolve_dataset(tiny.target, tiny.folder)
    assert (index.value_range, index.rgb, index.title) == ((0.0, 4095.0), (2, 1, 0), "My scenes")
    (record,) = campaign(tiny.request("timm:test_resnet@none"), print).records
    assert record.pixels.value_range == (0.0, 4095.0)
    assert (record.target.title, record.pixels.bands) == ("My scenes", [2, 1, 0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "range = [0, 1]",
            r"dataset\.toml: range: unknown; .*known: bands, class_names",
        ),
        ("value_range = [5, 1]", "value_range must rise"),
        ("value_range = [0, inf]", r"value_range\.1: Input should be a finite number"),
        ("rgb = [0, 1, 9]", r"rgb \[0, 1, 9\] names a band outside 0\.\.3"),
        ("bands =", "not valid TOML"),
    ],
)
def test_settings_that_are_not_valid_are_told_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    reflectance(tmp_path)
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(UserError, match=told) as caught:
        index_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_bands_in_the_settings_keep_a_band_tagged_alpha(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    for name in ("field", "river"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(
            tmp_path / name / "1.tif", values, photometric="rgb", planarconfig="contig", extrasamples=["unassalpha"]
        )
    index = index_folder(tmp_path)
    note = "every scene: band 4 is taken for alpha and left out; bands = 4 in dataset.toml keeps it"
    assert (index.bands, index.notes) == (3, (note,))
    assert note in verify(f"folder:{tmp_path}", tmp_path).notes
    (tmp_path / "dataset.toml").write_text("bands = 4\n")
    index = index_folder(tmp_path)
    assert (index.bands, index.notes) == (4, ())
    np.testing.assert_array_equal(open_pixels(index, Transform(8, bands="all"))[0], values)


def test_a_card_of_four_bands_takes_a_band_tagged_alpha(tmp_path: Path) -> None:
    card = small_card("ucm", scenes=1, classes=2).model_copy(update={"bands": 4})
    data_root = write_dataset(card.model_copy(update={"bands": 3}), tmp_path)
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    for path in data_root.rglob("*.tif"):
        tifffile.imwrite(path, values, photometric="rgb", planarconfig="contig", extrasamples=["unassalpha"])
    index = index_scenes(card, data_root)
    np.testing.assert_array_equal(open_pixels(index, Transform(8, bands="all"))[0], values)


def test_a_card_without_a_range_warns_of_scenes_that_use_little_of_their_type(tmp_path: Path) -> None:
    reflectance(tmp_path / "data/aerial")
    card = parse_card(CARD.replace("value_range = [0, 5000]\n", ""), "naip.toml")
    (note,) = index_scenes(card, tmp_path / "data").notes
    told = "2 of 2 scenes look flat: they use less than 10% of the range 0..65535; set value_range in the card"
    assert note == f"WARNING: {told}"
    report = verify("naip", tmp_path / "data", GivenCards({"naip": card}))
    assert report.warnings == (told,)
    assert index_scenes(parse_card(CARD, "naip.toml"), tmp_path / "data").notes == ()


CARD = """name = "naip"
title = "NAIP"
description = "d"
citation = "c"
licence = "l"
source = "s"
ground_resolution = "1 m"
pixels = 10
bands = 4
value_range = [0, 5000]
folders = ["aerial"]
classes = [{ name = "field", scenes = 1 }, { name = "river", scenes = 1 }]
[download]
by_hand = "ask"
"""


def test_card_files_serve_one_command(tmp_path: Path) -> None:
    reflectance(tmp_path / "data/aerial")
    (tmp_path / "card.toml").write_text(CARD)
    (tmp_path / "settings.toml").write_text("value_range = [0, 10_000]\n")
    given = read_cards([tmp_path / "card.toml", tmp_path / "settings.toml"])
    assert list_dataset("naip", tmp_path / "data", given).card == parse_card(CARD, "naip.toml")
    report = verify("naip", tmp_path / "data", given)
    assert (report.verdict, report.value_range, report.range_origin) == (Verdict.COMPLETE, (0, 5000), "from the card")
    own = f"folder:{tmp_path / 'data/aerial'}"
    assert verify(own, tmp_path, given).value_range == (0, 10_000)
    assert verify(own, tmp_path).value_range == (100, 4080)
    with pytest.raises(UserError, match="unknown dataset 'naip'"):
        list_dataset("naip", tmp_path / "data")
    with pytest.raises(UserError, match="a second one for folder:, parquet: and tar:; write dataset"):
        read_cards([tmp_path / "settings.toml"] * 2)
    with pytest.raises(UserError, match=r"--card .*gone\.toml: cannot be read .*; name a TOML file"):
        read_cards([tmp_path / "gone.toml"])


def test_a_card_file_of_a_run_is_in_the_command_of_its_record(tiny: Tiny) -> None:
    for path in (tiny.folder / "target").rglob("*.png"):
        tifffile.imwrite(path.with_suffix(".tif"), np.asarray(Image.open(path)).astype(np.float32), photometric="rgb")
        path.unlink()
    (tiny.folder / "own.toml").write_text("value_range = [0, 300]\n")
    request = tiny.request("timm:test_resnet@none", cards=[tiny.folder / "own.toml"])
    (record,) = campaign(request, print).records
    assert record.pixels.value_range == (0.0, 300.0)
    assert "--card own.toml" in record.command


def test_verify_prints_types_and_values_and_warns_of_a_range_hardly_used(tmp_path: Path) -> None:
    reflectance(tmp_path)
    write_scene(tmp_path / "river/2.png")
    hot = np.full((10, 10, 4), 4000, np.uint16)
    hot[0, 0, 0] = 65_535
    tifffile.imwrite(tmp_path / "river/3.tif", hot, photometric="minisblack", planarconfig="contig")
    report = verify(f"folder:{tmp_path}", tmp_path)
    words = verification_in_words(report)
    assert "  types: 3 uint16 4 bands" in words
    assert "  values: 100..65535 where not 8-bit; 100..65535 become 0..255 (measured)" in words
    assert list(report.other_bands) == ["river/2.png"]
    told = "3 of 3 scenes look flat: they use less than 10% of the range 100..65535; set value_range in dataset.toml"
    assert f"  WARNING: {told}, or by --card" in words
    (warning,) = (note for note in index_folder(tmp_path).notes if note.startswith("WARNING"))
    assert warning == f"WARNING: {told}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_among_the_scenes_is_named_by_verify_and_index(tmp_path: Path) -> None:
    classes_of(tmp_path, "field/1.png", "river/1.png")
    os.mkfifo(tmp_path / "river/x.png")
    report = verify(f"folder:{tmp_path}", tmp_path)
    assert report.unreadable == {"river/x.png": "is a pipe, a device or a folder, not a regular file; remove it"}
    with pytest.raises(SceneError, match=r"river/x\.png: is a pipe, a device or a folder"):
        index_folder(tmp_path)
