"""Datasets in parquet and tar shards: the same scenes, classes, fingerprints and pixels as in folders."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from fake_data import small_card, write_dataset, write_scene
from packing import (
    add_member,
    class_label,
    files_of,
    hugging_face,
    image_type,
    to_csv,
    to_parquet,
    to_tar,
)
from PIL import Image

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.index import SceneIndex, index_listing, index_scenes, list_dataset, resolve_dataset
from rsir_bench.scenes.inspect.duplicate_report import audit
from rsir_bench.scenes.inspect.listing import dataset_list
from rsir_bench.scenes.inspect.verify import Verdict, verify
from rsir_bench.scenes.naming.scene_ids import scene_ids
from rsir_bench.scenes.pixel_cache import Transform, open_pixels
from rsir_bench.scenes.readers.given_cards import GivenCards

FORMS: dict[str, Callable[[Path, Path], Path]] = {"parquet": to_parquet, "tar": to_tar, "folder": to_csv}
PACKED = [form for form in FORMS if form != "folder"]
SMALL = Transform(8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Three classes of four scenes of several kinds of files."""
    for number in range(12):
        ending = ("png", "jpg", "bmp", "tif")[number % 4]
        write_scene(tmp_path / f"own/{('forest', 'beach', 'river')[number // 4]}/s{number:02}.{ending}", seed=number)
    return tmp_path / "own"


def resolved(name: str) -> SceneIndex:
    return resolve_dataset(name, Path("nowhere"))


def message(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused(name: str) -> str:
    """The one line by which a dataset is refused."""
    return message(lambda: resolved(name))


def table_of(labels: Any, feature: dict[str, Any] | None = None, paths: Sequence[str | None] | None = None) -> pa.Table:
    """A scene for each label."""
    images = []
    for number in range(len(labels)):
        stream = io.BytesIO()
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(stream, "png")
        images.append({"bytes": stream.getvalue(), "path": f"{number}.png" if paths is None else paths[number]})
    table = pa.table({"image": pa.array(images, image_type()), "label": labels})
    return table if feature is None else table.replace_schema_metadata(hugging_face({"label": feature}))


def in_parquet(folder: Path, table: pa.Table, name: str = "train.parquet", **options: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, **options)
    return f"parquet:{folder}"


def in_tar(folder: Path, members: dict[str, bytes], name: str = "0.tar") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / name, "w") as tar:
        for member, content in members.items():
            add_member(tar, member, content)
    return f"tar:{folder}"


def png(value: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(stream, "png")
    return stream.getvalue()


# --- the same as a folder ---


@pytest.mark.parametrize("form", FORMS)
def test_scenes_classes_fingerprint_and_pixels_are_those_of_the_folder(
    form: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = resolved(f"folder:{own}")
    expected = np.array(open_pixels(folder, SMALL))
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "other"))
    index = resolved(f"{form}:{FORMS[form](own, tmp_path / 'packed')}")
    assert index.name == f"{form}-packed"
    assert index.classes == folder.classes == ("beach", "forest", "river")
    assert index.fingerprint == folder.fingerprint
    assert [path.rsplit("/", 1)[-1] for path in index.paths] == [path.rsplit("/", 1)[-1] for path in folder.paths]
    assert index.labels.tolist() == folder.labels.tolist()
    np.testing.assert_array_equal(open_pixels(index, SMALL), expected)
    assert scene_ids(index) == scene_ids(folder)
    assert [index.store.read(path) for path in index.paths] == [folder.store.read(path) for path in folder.paths]


@pytest.mark.parametrize("form", PACKED)
def test_the_pixels_of_a_folder_serve_for_the_same_scenes_in_shards(
    form: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = np.array(open_pixels(resolved(f"folder:{own}"), SMALL))
    index = resolved(f"{form}:{FORMS[form](own, tmp_path / 'packed')}")
    shutil.rmtree(tmp_path / "packed")
    np.testing.assert_array_equal(open_pixels(index, SMALL), expected)


@pytest.mark.parametrize(("shards", "rows"), [(1, 1), (1, 100), (3, 2), (12, 1)])
def test_shards_and_row_groups_of_any_size_are_one_dataset(shards: int, rows: int, own: Path, tmp_path: Path) -> None:
    index = resolved(f"parquet:{to_parquet(own, tmp_path / 'packed', shards, rows)}")
    folder = resolved(f"folder:{own}")
    assert index.fingerprint == folder.fingerprint
    order = np.random.default_rng(0).permutation(len(index))
    for row in [*order, *order[::-1]]:
        assert index.store.read(index.paths[row]) == folder.store.read(folder.paths[row])


def test_scenes_read_by_several_threads_in_any_order_are_whole_under_a_small_limit(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    index, folder = resolved(f"parquet:{to_parquet(own, tmp_path / 'packed')}"), resolved(f"folder:{own}")
    monkeypatch.setenv("RSIR_BENCH_SCENE_BYTES", "2000")  # little is kept on the way
    rows = np.random.default_rng(0).integers(0, len(index), 300).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: index.store.read(index.paths[row]), rows))
    assert found == [folder.store.read(folder.paths[row]) for row in rows]


def test_reading_in_order_reads_each_row_group_once(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = list_dataset(f"parquet:{to_parquet(own, tmp_path / 'packed', shards=2, rows=3)}", tmp_path)
    paths = [path for of_class in listing.files.values() for path in of_class]
    opened = []
    whole = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile, "iter_batches", lambda *args, **options: opened.append(options) or whole(*args, **options)
    )
    assert listing.store is not None
    for position in listing.store.reading_order(paths):
        listing.store.read(paths[position])
    assert [options["row_groups"] for options in opened] == [[0], [1], [0], [1]]


@pytest.mark.parametrize("form", PACKED)
def test_verify_decodes_every_scene_and_finds_the_same(form: str, own: Path, tmp_path: Path) -> None:
    (own / "beach/again.jpg").write_bytes((own / "forest/s01.jpg").read_bytes())
    report = verify(f"{form}:{FORMS[form](own, tmp_path / 'packed')}", tmp_path)
    folder = verify(f"folder:{own}", tmp_path)
    assert report.verdict is Verdict.COMPLETE
    assert (report.fingerprint, report.found, report.survey) == (folder.fingerprint, folder.found, folder.survey)
    assert [{path.rsplit("/")[-1] for path in paths} for paths in report.repeated_across] == [{"again.jpg", "s01.jpg"}]


@pytest.mark.parametrize("form", PACKED)
def test_audit_finds_what_a_folder_and_shards_have_in_common(form: str, own: Path, tmp_path: Path) -> None:
    packed = FORMS[form](own, tmp_path / "packed")
    *_, between = audit([f"folder:{own}", f"{form}:{packed}"], tmp_path, tmp_path / "out")
    assert {str(pair.kind) for pair in between.pairs} == {"same bytes"}
    assert len(between.pairs) == 12
    assert "data:image/jpeg" in (tmp_path / "out/audit.html").read_text()


# --- labels ---


NAMES = ["sea", "land"]
FORMS_OF_LISTS = [
    {"feature": class_label(NAMES), "_type": "List"},
    {"feature": class_label(NAMES), "length": -1, "_type": "Sequence"},
    [class_label(NAMES)],
]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint32()])
def test_numbers_have_the_names_of_the_metadata(kind: pa.DataType, tmp_path: Path) -> None:
    index = resolved(in_parquet(tmp_path / "x", table_of(pa.array([1, 0, 1], kind), class_label(NAMES))))
    assert index.classes == ("land", "sea")
    assert [(path.rsplit("/", 1)[-1], label) for path, label in zip(index.paths, index.labels, strict=True)] == [
        ("0.png", 0),
        ("2.png", 0),
        ("1.png", 1),
    ]


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(["sea", "land", "sea"]),
        pa.array(["sea", "land", "sea"], pa.large_string()),
        pa.array(["sea", "land", "sea"]).dictionary_encode(),
    ],
)
def test_texts_are_the_names_of_classes(labels: Any, tmp_path: Path) -> None:
    assert resolved(in_parquet(tmp_path / "x", table_of(labels))).classes == ("land", "sea")


def test_numbers_without_names_are_classes_and_class_names_name_them(tmp_path: Path) -> None:
    name = in_parquet(tmp_path / "x", table_of(pa.array([1, 0, 2])))
    assert resolved(name).classes == ("0", "1", "2")
    (tmp_path / "x/dataset.toml").write_text('class_names = ["c", "b", "a"]\n')
    assert resolved(name).classes == ("a", "b", "c")
    (tmp_path / "x/dataset.toml").write_text('class_names = ["c", "b"]\n')
    assert "labels without a name: 2 (train.parquet/2/2.png); there are 2 names, for 0 to 1" in refused(name)


@pytest.mark.parametrize(
    ("labels", "feature", "told"),
    [
        (
            pa.array([0, None, 1]),
            None,
            "1 of 3 scenes have no label: train.parquet/1/1.png; label them, or name a part",
        ),
        (
            pa.array([0, -1, -1]),
            class_label(NAMES),
            "2 of 3 scenes have no label: train.parquet/1/1.png, train.parquet/2",
        ),
        (
            pa.array([0, 1, 7]),
            class_label(NAMES),
            "labels without a name: 7 (train.parquet/2/2.png); there are 2 names",
        ),
        (pa.array([0.0, 1.0]), None, "column 'label' is of type double; labels are whole numbers or texts"),
        (pa.array([True, False]), None, "column 'label' is of type bool; labels are whole numbers or texts"),
        (pa.array([0, 1]), class_label(["a", "a"]), "several classes are called a; give each a name of its own"),
        (
            pa.array([0, 1]),
            {"names": "ab", "_type": "ClassLabel"},
            "names of its classes are not a list of strings",
        ),
        (pa.array([0, 1]), class_label(["a", "b\x1b[2J"]), r"the class name 'b\x1b[2J' holds control characters"),
        (pa.array(["a", ""]), None, "the class name '' is empty"),
        (pa.array(["a", "b" * 2000]), None, "a file name or label of 2,000 bytes"),
        (pa.array([0, 0]), class_label(NAMES), "needs scenes of at least two classes, found: sea"),
    ],
)
def test_labels_that_are_missing_unknown_or_of_another_kind_are_named(
    labels: Any, feature: Any, told: str, tmp_path: Path
) -> None:
    assert told in refused(in_parquet(tmp_path / "x", table_of(labels, feature)))


@pytest.mark.parametrize("text", ["{", "[]", '{"info": 1}', '{"info": {"features": []}}', "[" * 100_000])
def test_metadata_that_are_not_those_of_features_are_refused(text: str, tmp_path: Path) -> None:
    table = table_of(pa.array([0, 1])).replace_schema_metadata({"huggingface": text})
    assert "its metadata 'huggingface' are not those of features" in refused(in_parquet(tmp_path / "x", table))


def test_the_columns_are_those_of_the_settings_or_the_only_ones_of_their_kind(tmp_path: Path) -> None:
    table = table_of(pa.array([1, 0])).rename_columns(["picture", "kind"])
    name = in_parquet(tmp_path / "x", table)
    told = (
        'which column holds the scenes is not known; its columns: picture, kind; set image = "COLUMN" in dataset.toml'
    )
    assert told in refused(name)
    (tmp_path / "x/dataset.toml").write_text('image = "picture"\nlabel = "kind"\n')
    assert resolved(name).classes == ("0", "1")
    (tmp_path / "x/dataset.toml").write_text('image = "picture"\nlabel = "sort"\n')
    assert "no column 'sort'; its columns: picture, kind" in refused(name)
    features = {"picture": {"_type": "Image"}, "kind": class_label(NAMES)}
    (tmp_path / "x/dataset.toml").unlink()
    assert resolved(in_parquet(tmp_path / "x", table.replace_schema_metadata(hugging_face(features)))).classes == (
        "land",
        "sea",
    )


def test_pictures_may_be_plain_bytes(tmp_path: Path) -> None:
    table = pa.table({"image": [png(1), png(2)], "label": ["a", "b"]})
    index = resolved(in_parquet(tmp_path / "x", table))
    assert index.paths == ("train.parquet/0/00000000", "train.parquet/1/00000001")
    assert open_pixels(index, Transform(2))[:, 0, 0, 0].tolist() == [1, 2]


def test_a_column_of_anything_else_is_no_picture(tmp_path: Path) -> None:
    table = pa.table({"image": ["a.png", "b.png"], "label": ["a", "b"]})
    assert "column 'image' is of type string; scenes are bytes, or a struct of 'bytes' and 'path'" in refused(
        in_parquet(tmp_path / "x", table)
    )


def test_a_scene_without_a_file_name_is_named_by_its_number(tmp_path: Path) -> None:
    one, two = table_of(pa.array(["a", "b"]), paths=[None, "C:\\x\\b.png"]), table_of(pa.array(["a"]), paths=["a/"])
    in_parquet(tmp_path / "x", one, "0.parquet")
    index = resolved(in_parquet(tmp_path / "x", two, "1.parquet"))
    assert index.paths == ("0.parquet/0/00000000", "1.parquet/0/00000002", "0.parquet/1/b.png")


def test_a_path_instead_of_bytes_is_not_followed(tmp_path: Path) -> None:
    images = [{"bytes": png(), "path": "a.png"}, {"bytes": None, "path": "/etc/passwd"}]
    table = pa.table({"image": pa.array(images, image_type()), "label": ["a", "b"]})
    told = refused(in_parquet(tmp_path / "x", table))
    assert "train.parquet/1/passwd: contains no image, at most a path, which is not followed; write its bytes" in told


@pytest.mark.parametrize(
    ("label", "settings"),
    [
        (lambda name: ("txt", f"{name}\n".encode()), ""),
        (lambda name: ("cls", name.encode()), ""),
        (lambda name: ("json", json.dumps({"label": name, "width": 3}).encode()), ""),
        (lambda name: ("json", json.dumps(name).encode()), ""),
        (lambda name: ("json", json.dumps({"label": 3, "kind": name}).encode()), 'label = "kind"'),
        (
            lambda name: ("cls", str(["river", "beach", "forest"].index(name)).encode()),
            'class_names = ["river", "beach", "forest"]',
        ),
        (
            lambda name: ("json", f'{{"label": {["river", "beach", "forest"].index(name)}}}'.encode()),
            'class_names = ["river", "beach", "forest"]',
        ),
    ],
)
def test_labels_of_every_kind_of_member(
    label: Callable[[str], tuple[str, bytes]], settings: str, own: Path, tmp_path: Path
) -> None:
    packed = to_tar(own, tmp_path / "packed", label)
    (packed / "dataset.toml").write_text(settings)
    assert resolved(f"tar:{packed}").fingerprint == resolved(f"folder:{own}").fingerprint


SCENES = {"a.jpg": png(1), "a.cls": b"0", "b.jpg": png(2), "b.cls": b"1"}


def test_other_members_are_left_out_with_a_note(tmp_path: Path) -> None:
    rest = {"a.seg.png": png(9), "b.npy": b"x", "._a.jpg": b"x", "__MACOSX/a.jpg": b"x", "README": b"x"}
    index = resolved(in_tar(tmp_path / "x", {**SCENES, **rest}))
    assert index.paths == ("0.tar/a.jpg", "0.tar/b.jpg")
    assert index.notes == ("left out by file extension: 3 files (.npy 1, .seg.png 1, no ending 1)",)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"c.jpg": png(3)}, "1 of 3 scenes have no label: 0.tar/c.jpg; label them, or name a part that has labels"),
        ({"b.cls": b""}, "1 of 2 scenes have no label: 0.tar/b.jpg"),
        ({"b.cls": b"-1"}, "1 of 2 scenes have no label: 0.tar/b.jpg"),
        ({"c.cls": b"1"}, "the label 'c' has no scene; remove it, or get the shard again"),
        ({"b.cls": b"sea"}, "labels mix numbers and words: 0 (0.tar/a.jpg) and 'sea' (0.tar/b.jpg)"),
        ({"b.cls": b"\xff"}, "its member 'b.cls' is not text"),
        ({"b.cls": b"x" * 2_000_000}, "its member 'b.cls' has 2,000,000 bytes, too many for a label"),
        ({"a.png": png(3)}, "its member 'a.png' is a second scene of one key; give each scene a key of its own"),
        ({"./a.cls": b"1"}, "its member './a.cls' is a second .cls of one key"),
        ({"../c.jpg": png(3)}, "its member '../c.jpg' is a path outside"),
        ({"/c.jpg": png(3)}, "its member '/c.jpg' is a path outside"),
        ({"c\x1b.jpg": png(3)}, r"the name of its member 'c\x1b.jpg' holds control characters"),
    ],
)
def test_members_that_do_not_match_are_named(changes: dict[str, bytes], told: str, tmp_path: Path) -> None:
    assert told in refused(in_tar(tmp_path / "x", {**SCENES, **changes}))


@pytest.mark.parametrize(
    ("json_text", "told"),
    [
        ("{", "its member 'b.json' is not JSON"),
        ("[" * 100_000, "its member 'b.json' is not JSON"),
        ('{"kind": 1}', "has no field 'label'; its fields: 'kind'; set label = \"FIELD\" in dataset.toml"),
        ('{"label": [1, 2.5]}', "the label in its member 'b.json' is neither a whole number nor a text"),
        ('{"label": []}', "1 of 2 scenes have no label: 0.tar/b.jpg"),
        ('{"label": [1, 1]}', "0.tar/b.jpg has the label '1' twice; give each label once"),
        ('{"label": 1.5}', "the label in its member 'b.json' is neither a whole number nor a text"),
        ('{"label": true}', "the label in its member 'b.json' is neither a whole number nor a text"),
        ('{"label": null}', "1 of 2 scenes have no label: 0.tar/b.jpg"),
    ],
)
def test_json_that_gives_no_label_is_named(json_text: str, told: str, tmp_path: Path) -> None:
    members = {"a.jpg": png(1), "a.json": b'{"label": 0}', "b.jpg": png(2), "b.json": json_text.encode()}
    assert told in refused(in_tar(tmp_path / "x", members))


def test_a_tar_without_labels_or_scenes_says_so(tmp_path: Path) -> None:
    told = refused(in_tar(tmp_path / "x", {"sea/1.jpg": png(1), "land/2.jpg": png(2)}))
    assert "2 scenes and no label (KEY.cls, KEY.json or KEY.txt); unpack it and give folder:PATH" in told
    told = refused(in_tar(tmp_path / "y", {"1.npy": b"x", "2.npy": b"x"}))
    assert "no scene in it; its members: 2 files (.npy 2); a scene is KEY.jpg" in told


def test_long_names_of_gnu_and_posix_are_read(own: Path, tmp_path: Path) -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        folder = tmp_path / str(form)
        folder.mkdir()
        deep = "/".join(["d" * 60] * 3)
        with tarfile.open(folder / "0.tar", "w", format=form) as tar:
            for name, path in files_of(own):
                add_member(tar, f"{deep}/{path.name}", path.read_bytes())
                add_member(tar, f"{deep}/{path.stem}.txt", name.encode())
        index = resolved(f"tar:{folder}")
        assert index.paths[0].startswith(f"0.tar/{deep}/")
        assert index.fingerprint == resolved(f"folder:{own}").fingerprint


# --- names, splits and settings ---


def test_one_shard_one_split_or_all_of_them(tmp_path: Path) -> None:
    train, test = table_of(pa.array(["a", "b"])), table_of(pa.array(["a", "b", "c"]))
    in_parquet(tmp_path / "x/data", train, "train-00000-of-00001.parquet")
    in_parquet(tmp_path / "x/data", test, "test-00000-of-00001-b42a775f407cee45.parquet")
    everything = resolved(f"parquet:{tmp_path / 'x'}")
    assert (everything.name, len(everything)) == ("parquet-x", 5)
    assert everything.notes == ("all of test, train are taken; parquet:PATH/train takes one part",)
    part = resolved(f"parquet:{tmp_path / 'x/test'}")
    assert (part.name, len(part), part.notes) == ("parquet-x-test", 3, ())
    assert part.paths[0] == "data/test-00000-of-00001-b42a775f407cee45.parquet/0/0.png"
    one = resolved(f"parquet:{tmp_path / 'x/data/train-00000-of-00001.parquet'}")
    assert (one.name, len(one)) == ("parquet-train-00000-of-00001", 2)


def test_shards_in_folders_of_their_split(own: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        to_tar(own, tmp_path / "x" / split)
    both, one = resolved(f"tar:{tmp_path / 'x'}"), resolved(f"tar:{tmp_path / 'x/test'}")
    assert (len(both), len(one)) == (24, 12)
    assert both.notes == ("all of test, train are taken; tar:PATH/train takes one part",)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("parquet:x/nothing", "no such file or folder; of the .parquet files of {x}, none has 'nothing' in its name: "),
        ("parquet:y", "parquet:{y}: no such file or folder; of the .parquet files of "),
        ("parquet:y/z", "parquet:{y}/z: no such file or folder; give a .parquet file or a folder of such files"),
        ("tar:x", "tar:{x}: no .tar file in it, but 1 files (.parquet 1); name the folder of the .tar files"),
        ("tar:x/train.parquet", "its name does not end with .tar; give a .tar file or a folder of such files"),
        ("folder:x", "found: none; left out by file extension: 1 files (.parquet 1); give shards as parquet:{x}"),
    ],
)
def test_what_is_not_there_is_told(name: str, told: str, tmp_path: Path) -> None:
    in_parquet(tmp_path / "x", table_of(pa.array(["a", "b"])))
    form, _, place = name.partition(":")
    expected = told.replace("{x}", str(tmp_path / "x")).replace("{y}", str(tmp_path / "y"))
    assert expected in refused(f"{form}:{tmp_path / place}")


def test_shards_of_two_datasets_are_not_one(tmp_path: Path) -> None:
    in_parquet(tmp_path / "x", table_of(pa.array([0, 1]), class_label(["a", "b"])), "0.parquet")
    name = in_parquet(tmp_path / "x", table_of(pa.array([0, 1]), class_label(["c", "b"])), "1.parquet")
    told = refused(name)
    assert "1.parquet: has other columns or class names than" in told
    assert told.endswith("0.parquet; name the folder of one dataset")


def test_settings_beside_the_shards_count(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (2, 6, 6, 4), np.uint16)
    members = {}
    for number, scene in enumerate(values):
        stream = io.BytesIO()
        tifffile.imwrite(stream, scene, photometric="minisblack", planarconfig="contig")
        members |= {f"{number}.tif": stream.getvalue(), f"{number}.cls": b"ab"[number : number + 1]}
    name = in_tar(tmp_path / "x", members)
    measured = resolved(name)
    assert (measured.bands, measured.value_range) == (4, (float(values.min()), float(values.max())))
    (tmp_path / "x/dataset.toml").write_text('title = "Mine"\nvalue_range = [0, 5000]\nrgb = [2, 1, 0]\n')
    index = resolved(name)
    assert (index.title, index.value_range, index.rgb) == ("Mine", (0.0, 5000.0), (2, 1, 0))
    expected = np.rint(values[0, ..., [2, 1, 0]].transpose(1, 2, 0) * (255 / 5000))
    assert np.abs(open_pixels(index, Transform(6, "nearest"))[0] - expected).max() <= 1
    assert verify(name, tmp_path).range_origin == "from dataset.toml or --card"


@pytest.mark.parametrize(
    ("form", "setting"),
    [
        ("parquet", 'classes = "outer"'),
        ("parquet", 'labels = "labels.csv"'),
        ("tar", 'image = "image"'),
        ("folder", 'image = "image"'),
        ("folder", 'class_names = ["a", "b"]'),
        ("folder", 'label = "label"'),
    ],
)
def test_settings_that_would_change_nothing_are_refused(form: str, setting: str, own: Path, tmp_path: Path) -> None:
    packed = own if form == "folder" else FORMS[form](own, tmp_path / "packed")
    (packed / "dataset.toml").write_text(setting)
    word = setting.partition(" ")[0]
    assert f"dataset.toml gives {word}, which is not used here; remove it" in refused(f"{form}:{packed}")


def test_links_to_shards_are_followed_as_in_the_cache_of_the_hub(own: Path, tmp_path: Path) -> None:
    packed = to_parquet(own, tmp_path / "blobs")
    (tmp_path / "snapshot/data").mkdir(parents=True)
    for number, path in enumerate(sorted((packed / "data").iterdir())):
        path.rename(packed / str(number))
        (tmp_path / "snapshot/data" / path.name).symlink_to(packed / str(number))
    assert resolved(f"parquet:{tmp_path / 'snapshot'}").fingerprint == resolved(f"folder:{own}").fingerprint


# --- the dataset of a card ---


@pytest.mark.parametrize("form", PACKED)
def test_the_dataset_of_a_card_may_be_in_shards(form: str, tmp_path: Path) -> None:
    card = small_card("aid", scenes=2, classes=4)
    write_dataset(card, tmp_path / "folders")
    folders = index_scenes(card, tmp_path / "folders")
    packed = FORMS[form](tmp_path / "folders/AID", tmp_path / "data/AID")
    index = index_scenes(card, tmp_path / "data")
    assert (index.name, index.card, index.root) == ("aid", card, packed)
    assert (index.classes, index.fingerprint) == (folders.classes, folders.fingerprint)
    np.testing.assert_array_equal(open_pixels(index, SMALL), open_pixels(folders, SMALL))
    report = verify("aid", tmp_path / "data", GivenCards({"aid": card}))
    assert (report.fingerprint, report.unexpected, report.unreadable, report.notes) == (index.fingerprint, (), {}, ())


def test_class_folders_come_before_shards(tmp_path: Path) -> None:
    card = small_card("rsscn7", scenes=2)
    write_dataset(card, tmp_path / "data")
    (tmp_path / "data/RSSCN7/RSSCN7.tar").write_bytes(b"the archive that it came in")
    assert index_scenes(card, tmp_path / "data").paths[0].endswith(".jpg")


def test_shards_that_differ_from_their_card_are_refused(tmp_path: Path) -> None:
    card = small_card("rsscn7", scenes=2)
    write_dataset(card, tmp_path / "folders")
    shutil.rmtree(tmp_path / "folders/RSSCN7/aGrass")
    (tmp_path / "folders/RSSCN7/bField").rename(tmp_path / "folders/RSSCN7/meadow")
    packed = to_parquet(tmp_path / "folders/RSSCN7", tmp_path / "data/RSSCN7")
    told = message(lambda: index_scenes(card, tmp_path / "data"))
    assert "missing: grass, field; unexpected: meadow" in told
    to_tar(tmp_path / "folders/RSSCN7", packed / "more")
    told = message(lambda: index_scenes(card, tmp_path / "data"))
    assert f"{packed} holds .parquet and .tar files; keep one kind" in told


def test_numbers_without_names_are_no_classes_of_a_card(tmp_path: Path) -> None:
    in_parquet(tmp_path / "data/RSSCN7", table_of(pa.array([0, 1])))
    told = message(lambda: index_scenes(small_card("rsscn7"), tmp_path / "data"))
    assert "are numbers without names; give parquet:PATH, and class_names in dataset.toml" in told


def test_the_list_of_datasets_shows_shards_as_present_or_incomplete(tmp_path: Path) -> None:
    in_parquet(tmp_path / "RSSCN7", table_of(pa.array(["grass", "field"])))
    (row,) = (row for row in dataset_list(tmp_path) if row["dataset"] == "rsscn7")
    assert str(row["present"]).startswith("incomplete: rsscn7: ")


# --- shards that change ---


@pytest.mark.parametrize("form", PACKED)
def test_a_shard_replaced_under_the_same_size_and_time_is_seen(form: str, own: Path, tmp_path: Path) -> None:
    for path in own.rglob("s*"):
        path.rename(path.with_suffix(".bmp"))
        write_scene(path.with_suffix(".bmp"), seed=1)
    for number, path in enumerate(sorted(own.rglob("*.bmp"))):
        write_scene(path, seed=number)
    packed = FORMS[form](own, tmp_path / "packed")
    before, listing = resolved(f"{form}:{packed}"), list_dataset(f"{form}:{packed}", tmp_path)
    write_scene(own / "forest/s00.bmp", seed=99)
    again = FORMS[form](own, tmp_path / "again")
    for old in sorted(packed.rglob(f"*.{form}")):
        new = again / old.relative_to(packed)
        if form == "tar":
            assert new.stat().st_size == old.stat().st_size
        os.utime(new, ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
        new.replace(old)
    assert resolved(f"{form}:{packed}").fingerprint != before.fingerprint
    assert "changed since its scenes were listed; run the command again" in message(lambda: index_listing(listing))


@pytest.mark.parametrize("form", PACKED)
def test_other_labels_in_the_same_shard_are_another_fingerprint(form: str, own: Path, tmp_path: Path) -> None:
    first = resolved(f"{form}:{FORMS[form](own, tmp_path / 'packed')}")
    (own / "river").rename(own / "lake_")
    (own / "forest").rename(own / "river")
    shutil.rmtree(tmp_path / "packed")
    assert resolved(f"{form}:{FORMS[form](own, tmp_path / 'packed')}").fingerprint != first.fingerprint


@pytest.mark.parametrize("form", PACKED)
def test_shards_are_hashed_once_and_again_where_they_changed(
    form: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsir_bench.scenes import fingerprint

    packed = FORMS[form](own, tmp_path / "packed")
    resolved(f"{form}:{packed}")
    read = []
    whole = fingerprint.content_digest
    monkeypatch.setattr(fingerprint, "content_digest", lambda content: read.append(content) or whole(content))
    resolved(f"{form}:{packed}")
    assert len(read) == 6  # of 12, evenly spaced
    read.clear()
    shard = sorted(packed.rglob(f"*.{form}"))[0]
    shard.write_bytes(shard.read_bytes())
    resolved(f"{form}:{packed}")
    assert len(read) == 6  # those of one shard of two


def test_a_listing_says_what_is_where(own: Path, tmp_path: Path) -> None:
    listing = list_dataset(f"tar:{to_tar(own, tmp_path / 'packed', shards=1)}", tmp_path)
    assert (listing.short, listing.card, sorted(listing.files)) == ("tar-packed", None, ["beach", "forest", "river"])


def test_another_column_of_scenes_is_another_dataset(tmp_path: Path) -> None:
    """The two columns differ in rows that no spot check of a cached fingerprint looks at."""
    contents = []
    for shift in (0, 100):
        streams = [io.BytesIO() for _ in range(64)]
        for row, stream in enumerate(streams):
            Image.fromarray(np.full((4, 4, 3), row + shift * (0 < row % 8 < 5), np.uint8)).save(stream, "png")
        contents.append([stream.getvalue() for stream in streams])
    table = pa.table({"raw": contents[0], "corrected": contents[1], "label": [f"c{row // 32}" for row in range(64)]})
    name = in_parquet(tmp_path / "x", table)
    found = []
    for column in ("raw", "corrected"):
        (tmp_path / "x" / "dataset.toml").write_text(f'image = "{column}"\n')
        index = resolved(name)
        found.append((index.fingerprint, int(open_pixels(index, Transform(4)).sum())))
    assert found[0][0] != found[1][0]
    assert found[1][1] - found[0][1] == 32 * 100 * 48
