"""The index: finds a dataset, checks it against its card, and fingerprints its content."""

import hashlib
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fake_data import archive_path, small_card, write_dataset, write_scene
from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.base.files import write_sealed
from rsir_bench.scenes import fingerprint
from rsir_bench.scenes.card import DatasetCard, Generator, load_cards
from rsir_bench.scenes.index import find_dataset, index_folder, index_scenes, list_dataset, resolve_dataset
from rsir_bench.scenes.pixel_cache import Transform, open_pixels

ALL = ["patternnet", "rs19", "ucm", "rsscn7", "aid", "nwpu", "eurosat"]


@pytest.fixture
def rsscn7(tmp_path: Path) -> tuple[DatasetCard, Path]:
    card = small_card("rsscn7")
    return card, write_dataset(card, tmp_path / "data")


@pytest.mark.parametrize("dataset", ALL)
def test_the_layout_of_every_archive_is_indexed(dataset: str, tmp_path: Path) -> None:
    card = small_card(dataset)
    index = index_scenes(card, write_dataset(card, tmp_path))
    assert index.classes == tuple(c.name for c in card.classes)
    assert index.labels.dtype == np.int64
    assert index.labels.tolist() == [label for label in range(len(card.classes)) for _ in range(2)]
    expected = [archive_path(dataset, c.name, number) for c in card.classes for number in (1, 2)]
    assert [(index.root / path).relative_to(tmp_path).as_posix() for path in index.paths] == expected
    assert (index.bands, index.rgb, index.value_range, index.card) == (card.bands, card.rgb, card.value_range, card)


@pytest.mark.parametrize("dataset", ALL)
def test_any_nesting_above_and_any_case_of_the_folder(dataset: str, tmp_path: Path) -> None:
    card = small_card(dataset, scenes=1)
    write_dataset(card, tmp_path / "plain")
    top = card.folders[0].split("/")[0]
    (tmp_path / "deep/in").mkdir(parents=True)
    (tmp_path / "plain" / top).rename(tmp_path / "deep/in" / top.lower())
    assert len(index_scenes(card, tmp_path / "deep")) == len(card.classes)


def test_the_data_root_may_be_the_dataset_itself(rsscn7) -> None:
    card, data_root = rsscn7
    assert index_scenes(card, data_root / "RSSCN7").fingerprint == index_scenes(card, data_root).fingerprint


def test_the_folder_with_the_classes_wins_over_one_that_only_has_the_name(rsscn7, tmp_path: Path) -> None:
    card, data_root = rsscn7
    (tmp_path / "other/RSSCN7").mkdir(parents=True)
    data_root.rename(tmp_path / "other/copies")
    assert find_dataset(card, tmp_path / "other") == tmp_path / "other/copies/RSSCN7"


def test_missing_dataset_says_where_it_was_looked_for_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SceneError) as caught:
        resolve_dataset("patternnet", tmp_path)
    assert str(caught.value) == (
        f"patternnet: not found (looked for PatternNet/images, PatternNet under {tmp_path}); "
        f"get it with: rsir-bench datasets download patternnet --data-root {tmp_path}"
    )


def test_a_folder_deeper_down_that_has_the_name_and_no_scene_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "runs/jsst/results/ucm").mkdir(parents=True)
    with pytest.raises(SceneError, match="ucm: not found"):
        find_dataset(load_cards()["ucm"], tmp_path)


def test_missing_data_root_reads_like_a_missing_dataset(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"patternnet: not found .*under .*nowhere"):
        resolve_dataset("patternnet", tmp_path / "nowhere")


def test_missing_aid_is_got_by_hand(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"aid: not found .*by hand.*captain-whu\.github\.io/AID"):
        resolve_dataset("aid", tmp_path)


def test_unknown_dataset_names_the_nearest_and_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown dataset 'patternet' \(did you mean patternnet\?\).*aid.*ucm"):
        resolve_dataset("patternet", tmp_path)


def test_wrong_class_folders_are_named_expected_against_found(rsscn7) -> None:
    card, data_root = rsscn7
    (data_root / "RSSCN7/bField").rename(data_root / "RSSCN7/bMeadow")
    with pytest.raises(SceneError) as caught:
        index_scenes(card, data_root)
    message = str(caught.value)
    assert "7 class folders" in message
    assert "6 of them found; missing: field; unexpected: bMeadow" in message
    assert "\n" not in message


def test_an_empty_dataset_folder_is_told_as_missing_classes(tmp_path: Path) -> None:
    (tmp_path / "RSSCN7").mkdir()
    with pytest.raises(SceneError, match="0 of them found; missing: grass, field"):
        index_scenes(small_card("rsscn7"), tmp_path)


def test_wrong_counts_name_class_expected_and_found(rsscn7) -> None:
    card, data_root = rsscn7
    (data_root / "RSSCN7/bField/b002.jpg").unlink()
    write_scene(data_root / "RSSCN7/gParking/g003.jpg")
    with pytest.raises(SceneError, match="field: 2 expected, 1 found; parking: 2 expected, 3 found"):
        index_scenes(card, data_root)


def test_copies_in_another_format_count_but_have_another_fingerprint(rsscn7) -> None:
    card, data_root = rsscn7
    original = index_scenes(card, data_root)
    for path in list(data_root.rglob("*.jpg")):
        Image.open(path).save(path.with_suffix(".PNG"))
        path.unlink()
    copy = index_scenes(card, data_root)
    assert len(copy) == len(original)
    assert copy.fingerprint != original.fingerprint


def test_an_rgb_copy_of_a_multi_band_dataset_is_refused(tmp_path: Path) -> None:
    card = small_card("eurosat", classes=2)
    write_dataset(card.model_copy(update={"bands": 3}), tmp_path)
    with pytest.raises(SceneError, match="scenes of 3 bands, not 13"):
        index_scenes(card, tmp_path)


def test_hidden_files_notes_and_mac_copies_are_no_scenes(rsscn7) -> None:
    card, data_root = rsscn7
    folder = data_root / "RSSCN7"
    before = index_scenes(card, data_root).fingerprint
    shutil.copytree(folder / "aGrass", folder / "__MACOSX/aGrass")
    shutil.copytree(folder / "aGrass", folder / ".trash/aGrass")
    shutil.copy(folder / "aGrass/a001.jpg", folder / "aGrass/._a001.jpg")
    shutil.copy(folder / "aGrass/a001.jpg", folder / "overview.jpg")
    (folder / "aGrass/Thumbs.db").write_text("x")
    assert index_scenes(card, data_root).fingerprint == before


def test_a_ring_of_links_ends(rsscn7) -> None:
    card, data_root = rsscn7
    (data_root / "RSSCN7/again").symlink_to(data_root, target_is_directory=True)
    assert len(index_scenes(card, data_root)) == 14


def test_linked_class_folders_count(rsscn7, tmp_path: Path) -> None:
    card, data_root = rsscn7
    (data_root / "RSSCN7/aGrass").rename(tmp_path / "elsewhere")
    (data_root / "RSSCN7/aGrass").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(index_scenes(card, data_root)) == 14


def test_fingerprint_follows_content_not_place_time_or_folder_names(rsscn7, tmp_path: Path) -> None:
    card, data_root = rsscn7
    before = index_scenes(card, data_root).fingerprint
    copy = shutil.copytree(data_root, tmp_path / "copy", copy_function=shutil.copyfile)
    (copy / "RSSCN7/dRiverLake").rename(copy / "RSSCN7/rivers_lakes")
    assert index_scenes(card, copy).fingerprint == before


@pytest.mark.parametrize("change", ["byte", "name", "class"])
def test_fingerprint_changes_with(change: str, rsscn7) -> None:
    card, data_root = rsscn7
    before = index_scenes(card, data_root).fingerprint
    grass, field = data_root / "RSSCN7/aGrass/a001.jpg", data_root / "RSSCN7/bField/b001.jpg"
    if change == "byte":
        content = bytearray(grass.read_bytes())
        content[-3] ^= 1
        grass.write_bytes(content)
    elif change == "name":
        grass.rename(grass.with_name("a009.jpg"))
    else:
        swapped = grass.read_bytes()
        field.rename(grass)
        field.write_bytes(swapped)
    assert index_scenes(card, data_root).fingerprint != before


def test_fingerprint_is_pinned() -> None:
    # Fingerprints stand in published records: a change of the definition must not pass unseen.
    found = fingerprint.content_fingerprint(["river", "field"], ["b/2.jpg", "a/1.jpg"], ["ff", "00"])
    assert found == hashlib.sha256(b'[["field", "1.jpg", "00"], ["river", "2.jpg", "ff"]]').hexdigest()


def test_fingerprint_with_labels_is_pinned() -> None:
    """Bytes follow only where scenes of one class and file name differ in bytes and in labels."""
    classes, paths = ["river"] * 4, ["a/1.jpg", "b/1.jpg", "a/2.jpg", "b/2.jpg"]
    labels, hashes = [["wet", "blue"], ["dry"], ["wet"], ["wet"]], ["ff", "ee", "00", "11"]
    both = b'["river", "2.jpg", "wet"], ["river", "2.jpg", "wet"]'
    apart = b'["river", "1.jpg", "blue;wet", "ff"], ["river", "1.jpg", "dry", "ee"]'
    found = fingerprint.labelled_fingerprint("c", classes, paths, labels, hashes)
    assert found == hashlib.sha256(b'["c", [' + apart + b", " + both + b"]]").hexdigest()
    alike = b'["river", "1.jpg", "blue;wet"], ["river", "1.jpg", "dry"]'
    found = fingerprint.labelled_fingerprint("c", classes, paths, labels, ["ff", "ff", "00", "11"])
    assert found == hashlib.sha256(b'["c", [' + alike + b", " + both + b"]]").hexdigest()


def test_unchanged_files_are_not_read_again(rsscn7, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a wrong hash is kept, only a file that is read again brings the right one."""
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    card, data_root = rsscn7
    index = index_scenes(card, data_root)
    (store,) = (tmp_path / "cache/hashes").glob("*.json")
    states = json.loads(store.read_text())
    unread = list(states)[1::2]  # the others are read all the same
    assert len(index) - len(unread) <= fingerprint.SPOT_CHECKS
    for path in unread:
        states[path][-1] = "0" * 64
    write_sealed(store, lambda unfinished: unfinished.write_text(json.dumps(states)))
    wrong = index_scenes(card, data_root).fingerprint
    assert index_scenes(card, data_root).fingerprint == wrong != index.fingerprint
    for path in unread:
        assert index_scenes(card, data_root).fingerprint != index.fingerprint
        os.utime(index.root / path, ns=(1, 1))
    assert index_scenes(card, data_root).fingerprint == index.fingerprint


def test_a_damaged_list_of_hashes_is_made_anew(rsscn7, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    card, data_root = rsscn7
    before = index_scenes(card, data_root).fingerprint
    (store,) = (tmp_path / "cache/hashes").glob("*.json")
    store.write_text(store.read_text()[:40])
    assert index_scenes(card, data_root).fingerprint == before


def test_own_folder_at_any_nesting(tmp_path: Path) -> None:
    for number, path in enumerate(["my/a/river/1.jpg", "my/b/field/2.png", "my/b/river/0.tif", "my/cover.jpg"]):
        write_scene(tmp_path / path, seed=number)
    index = resolve_dataset(f"folder:{tmp_path / 'my'}", tmp_path / "unused")
    assert (index.name, index.classes, index.card) == ("folder-my", ("field", "river"), None)
    assert index.paths == ("b/field/2.png", "b/river/0.tif", "a/river/1.jpg")
    assert index.labels.tolist() == [0, 1, 1]
    assert (index.bands, index.rgb, index.value_range) == (3, (0, 1, 2), None)


def test_scenes_of_one_name_keep_their_order_when_a_folder_above_them_is_renamed(tmp_path: Path) -> None:
    for number, path in enumerate(f"my/{part}/{name}/1.png" for part in ("train", "val") for name in ("a", "b")):
        write_scene(tmp_path / path, seed=number)
    before = index_folder(tmp_path / "my")
    contents = [(tmp_path / "my" / path).read_bytes() for path in before.paths]
    for part in ("train", "val"):
        (tmp_path / f"my/{part}").rename(tmp_path / f"my/{'z' if part == 'train' else 'a'}-{part}")
    after = index_folder(tmp_path / "my")
    assert after.fingerprint == before.fingerprint
    assert [(tmp_path / "my" / path).read_bytes() for path in after.paths] == contents


@pytest.mark.parametrize("bands", [2, 4, 13])
def test_own_folder_of_multi_band_scenes(bands: int, tmp_path: Path) -> None:
    for name in ("river", "field"):
        write_scene(tmp_path / name / "1.tif", bands)
    index = index_folder(tmp_path)
    assert (index.bands, index.rgb) == (bands, (0, 1, min(2, bands - 1)))


def test_own_folder_of_every_kind_of_picture_can_be_used(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65_536, (20, 20, 3), np.uint16)
    deep[0, 0, :2] = (0, 65_535)  # the range that is measured
    for number, name in enumerate(
        ["x/river/1.jpg", "x/y/river/2.png", "z/field/3.tif", "field/4.TIFF", "field/5.JPEG"]
    ):
        write_scene(tmp_path / "my" / name, seed=number)
    tifffile.imwrite(tmp_path / "my/field/6.tif", deep, photometric="rgb")
    Image.fromarray(deep[..., 0]).save(tmp_path / "my/x/river/7.png")
    index = resolve_dataset(f"folder:{tmp_path / 'my'}", tmp_path)
    assert [path.rsplit("/", 1)[-1][0] for path in index.paths] == list("3456127")
    pixels = open_pixels(index, Transform(20, "nearest"))
    assert pixels.shape == (7, 20, 20, 3)
    np.testing.assert_array_equal(pixels[3], np.rint(deep / 65_535 * 255))
    np.testing.assert_array_equal(pixels[6], np.repeat(np.rint(deep[..., :1] / 65_535 * 255), 3, axis=2))


def test_nested_own_folder_of_multi_band_scenes_can_be_used(tmp_path: Path) -> None:
    for number, name in enumerate(["a/river/1.tif", "b/c/field/1.tif"]):
        write_scene(tmp_path / "my" / name, bands=6, seed=number)
    index = resolve_dataset(f"folder:{tmp_path / 'my'}", tmp_path)
    every, shown = open_pixels(index, Transform(20, "nearest", "all")), open_pixels(index, Transform(20, "nearest"))
    river = tifffile.imread(tmp_path / "my/a/river/1.tif")
    low, high = index.value_range
    assert (low, high) == (0, 3999)
    np.testing.assert_array_equal(every[1], np.rint(river / 3999 * 255))
    np.testing.assert_array_equal(shown, every[..., :3])


def test_a_picture_among_multi_band_scenes_is_named(tmp_path: Path) -> None:
    write_scene(tmp_path / "my/river/1.tif", bands=6)
    write_scene(tmp_path / "my/field/1.tif", bands=6)
    write_scene(tmp_path / "my/river/2.png")
    with pytest.raises(SceneError, match=r"1 unreadable: .*river/2\.png \(.*holds 3 bands, not 6\)"):
        open_pixels(resolve_dataset(f"folder:{tmp_path / 'my'}", tmp_path), Transform(8))


def test_own_folder_needs_two_classes(tmp_path: Path) -> None:
    write_scene(tmp_path / "river/1.jpg")
    with pytest.raises(SceneError, match="two class folders with scenes, found: river; sort the scenes into"):
        index_folder(tmp_path)


def test_a_folder_named_as_a_dataset_says_how_to_name_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"unknown dataset '{tmp_path}'; for this folder write folder:{tmp_path}$"):
        resolve_dataset(str(tmp_path), tmp_path)
    for odd in ("x" * 300, "a\0b"):
        with pytest.raises(UserError, match=r"unknown dataset .*; known: "):
            resolve_dataset(odd, tmp_path)


def test_own_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no such folder"):
        resolve_dataset(f"folder:{tmp_path / 'gone'}", tmp_path)


@pytest.mark.parametrize("name", ["patternnet", "aid", "patternet", "folder:gone", "rsscn7"])
def test_what_shows_without_a_scene_is_told_in_the_same_words(name: str, rsscn7, monkeypatch) -> None:
    card, data_root = rsscn7
    next((data_root / "RSSCN7").rglob("*.jpg")).unlink()
    monkeypatch.setitem(load_cards(), "rsscn7", card)
    with pytest.raises(UserError) as expected:
        resolve_dataset(name, data_root)
    with pytest.raises(type(expected.value)) as told:
        list_dataset(name, data_root)
    assert str(told.value) == str(expected.value)


@pytest.fixture
def synthetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetCard:
    """A card whose scenes a module made on the spot writes; each writing leaves a line in ``written``."""
    (tmp_path / "scene_maker.py").write_text(
        "import sys, time\nsys.path.insert(0, {!r})\nfrom fake_data import small_card, write_dataset\n"
        "def write(folder, scenes):\n"
        "    with open({!r}, 'a') as log: print(scenes, file=log)\n"
        "    time.sleep(0.1)\n"
        "    write_dataset(small_card('rsscn7', scenes), folder)\n".format(
            str(Path(__file__).parent), str(tmp_path / "written")
        )
    )
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "scene_maker", raising=False)
    card = small_card("rsscn7", 3).model_copy(
        update={"download": None, "generator": Generator(function="scene_maker:write", arguments={"scenes": 3})}
    )
    monkeypatch.setitem(load_cards(), "rsscn7", card)
    return card


def test_synthetic_scenes_are_written_once_under_the_cache_root(synthetic: DatasetCard, tmp_path: Path) -> None:
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(resolve_dataset("rsscn7", tmp_path / "no data"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(index) for index in found] == [21, 21, 21]
    assert found[0].root.is_relative_to(tmp_path / "cache")
    assert (tmp_path / "written").read_text() == "3\n"


def test_synthetic_scenes_are_expected_and_not_drawn(synthetic: DatasetCard, tmp_path: Path) -> None:
    list_dataset("rsscn7", tmp_path)
    assert not (tmp_path / "written").exists()


def test_synthetic_scenes_of_a_stopped_process_are_not_taken_for_complete(synthetic, tmp_path: Path) -> None:
    root = resolve_dataset("rsscn7", tmp_path).root
    unfinished = root.with_suffix(".tmp")
    root.rename(unfinished)
    (unfinished / "RSSCN7/aGrass/a001.jpg").unlink()
    (unfinished / "RSSCN7/aGrass/left_over.jpg").write_bytes(b"x")
    assert len(resolve_dataset("rsscn7", tmp_path)) == 21
    assert not unfinished.exists()


def test_other_arguments_make_other_scenes(synthetic: DatasetCard, tmp_path: Path, monkeypatch) -> None:
    first = resolve_dataset("rsscn7", tmp_path)
    other = small_card("rsscn7", 4).model_copy(
        update={"download": None, "generator": synthetic.generator.model_copy(update={"arguments": {"scenes": 4}})}
    )
    monkeypatch.setitem(load_cards(), "rsscn7", other)
    second = resolve_dataset("rsscn7", tmp_path)
    assert (len(first), len(second)) == (21, 28)
    assert first.root != second.root


def test_a_changed_generator_makes_other_scenes(synthetic: DatasetCard, tmp_path: Path) -> None:
    first = resolve_dataset("rsscn7", tmp_path).root
    (tmp_path / "scene_maker_colours.py").write_text("GRASS = 3\n")
    assert resolve_dataset("rsscn7", tmp_path).root != first


@pytest.mark.real
@pytest.mark.parametrize(("dataset", "scenes"), [("aid", 10_000), ("ucm", 2_100), ("rsscn7", 2_800)])
def test_real_datasets_are_complete(dataset: str, scenes: int, shared: Path) -> None:
    index = resolve_dataset(dataset, shared / "data")
    assert len(index) == scenes
    assert np.bincount(index.labels).tolist() == [c.scenes for c in index.card.classes]
