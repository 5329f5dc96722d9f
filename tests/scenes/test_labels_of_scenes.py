"""Scenes with several labels: files of labels, cards that say where they are, and folders of the user's own."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import InProcess
from conftest import write_scenes
from fake_data import small_card, write_dataset
from packing import add_member, class_label, hugging_face, image_type

from rsir_bench.base.errors import UserError
from rsir_bench.cli.groups.datasets import verification_in_words
from rsir_bench.scenes.card import CardLabels, DatasetCard, load_cards, parse_card
from rsir_bench.scenes.index import SceneIndex, index_listing, list_dataset, resolve_dataset
from rsir_bench.scenes.inspect.listing import dataset_card, dataset_list
from rsir_bench.scenes.inspect.verify import Verdict, verify
from rsir_bench.scenes.labelling.label_file import holds_several_labels, read_label_table
from rsir_bench.scenes.pixel_cache import Transform, open_pixels
from rsir_bench.scenes.readers.given_cards import GivenCards

UCM = ("airplane", "bare-soil", "buildings")
HEADER = "IMAGE\\LABEL\tairplane\tbare-soil\tbuildings\t\r\n"


def message(work: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        work()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "a\t1\t0\t1\t\r\nb\t0\t1\t0\t\r\n",
        "\ufeffIMAGE\\LABEL,airplane,bare-soil,buildings\na,1,0,1\nb,0,1,0\n",
        "scene;airplane;bare-soil;buildings\na;1.0;0.0;1.0\n\nb;0;1;0\n",
        "filename,labels\na,airplane;buildings\nb,bare-soil\n",
        "a,airplane; buildings\nb,bare-soil\n",
        "a\tbuildings;airplane;\nb\tbare-soil\n",
        'id,split,tags\na,test,"airplane;buildings"\nb,train,bare-soil\n',
    ],
)
def test_every_kind_of_file_is_the_same_table(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(text, newline="")
    table = read_label_table(tmp_path / "labels.txt")
    assert (table.ids, table.names) == (("a", "b"), UCM)
    assert table.lists() == [["airplane", "buildings"], ["bare-soil"]]
    assert holds_several_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("several", "text"),
    [
        (True, "scene,beach,sea\na,1,0\nb,0,1\n"),
        (True, "filename,beach,sea\na,1,0\nb,0,1\n"),
        (True, "filename,labels,split\na,beach;sea,train\nb,beach,test\n"),
        (True, "filename,labels,split\na,beach,train\nb,beach;sea,test\n"),
        (False, "filename,label,note\na,beach,old;grey\nb,sea,new\n"),
        (False, "filename,label,split\na,1,0\nb,7,1\n"),
        (False, "filename,label,split\na,1,0\nb,0,1\n"),
        (False, "filename,class,split\na,1,0\nb,0,1\n"),
        (False, "image_id,Label,used\n3,0,1\n4,1,1\n"),
        (False, "image_id,kind,used\n3,0,1\n4,5,1\n"),
        (False, "image_id,kind,used\n3,0,1\n4,1\n"),
        (False, "filename,label\na,beach\nb,sea\n"),
        (False, "beach\nsea\n"),
        (False, "filename,labels\n"),
    ],
)
def test_a_matrix_has_bits_in_all_lines_and_no_column_of_labels(several: bool, text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text)
    assert holds_several_labels(tmp_path / "labels.csv") is several


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (HEADER + "a\t1\t2\t1\t\r\n", "line 2: '2' for label 'bare-soil'; give 0 or 1"),
        (HEADER + "a\t1\tnan\t1\t\r\n", "line 2: 'nan' for label 'bare-soil'"),
        (HEADER + "a\t1\t0\t\r\n", "line 2: 2 values for 3 labels"),
        (HEADER + "a\t0\t0\t0\t\r\nb\t1\t0\t0\r\n", "1 of 2 scenes have no label, first 'a'"),
        (HEADER + "a\t1\t0\t0\t\r\na\t0\t1\t0\t\r\n", "1 scenes are named more than once, first 'a'"),
        ("scene,sea,sea,sand\na,1,0,0\n", "labels sea, sea, sand; name two labels or more, each once"),
        ("filename,labels\na,sea;sand\nb,\n", "1 of 2 scenes have no label, first 'b'"),
        ("filename,labels\na,sea;sand;sea\n", "line 2: a label is named twice"),
        ("filename,labels\na,sea;sand\na,sea\n", "named more than once"),
        ("filename,labels\n,sea;sand\n", "a line without the name of a scene"),
        ("a,sea\nb,sand,trees\n", "labels sea; name two labels or more, each once"),
    ],
)
def test_bad_files_are_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text, newline="")
    text = message(lambda: read_label_table(tmp_path / "labels.csv"))
    assert words in text
    assert text.startswith(str(tmp_path / "labels.csv"))


def test_a_missing_file_and_other_bytes_are_named(tmp_path: Path) -> None:
    assert "no such file" in message(lambda: read_label_table(tmp_path / "none.csv"))
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    assert "cannot be read" in message(lambda: read_label_table(tmp_path / "picture.csv"))


def test_the_cards_with_labels_take_the_rest_from_the_dataset_of_their_scenes() -> None:
    cards = load_cards()
    for name, base in (("ucm-multilabel", "ucm"), ("dlrsd", "ucm"), ("aid-multilabel", "aid")):
        card = cards[name]
        assert card.scenes_of == base
        assert (card.classes, card.folders, card.download) == tuple(
            getattr(cards[base], field) for field in ("classes", "folders", "download")
        )
        assert card.paper_name is None
        assert card.labels is not None
        assert len(card.labels.names) == 17
    assert (cards["ucm-multilabel"].scenes, cards["aid-multilabel"].scenes) == (2100, 3000)
    mlrsnet = cards["mlrsnet"]
    assert mlrsnet.labels is not None
    assert (mlrsnet.scenes, len(mlrsnet.labels.names), mlrsnet.classes) == (109_161, 60, ())


def test_a_card_must_have_classes_or_labels_and_known_scenes() -> None:
    text = 'name = "x"\ntitle = "X"\ndescription = ""\ncitation = ""\nlicence = ""\n'
    assert "scenes_of: no installed dataset" in message(lambda: parse_card(f'{text}scenes_of = "nowhere"\n', "x.toml"))
    rest = 'source = ""\nground_resolution = ""\npixels = 8\nfolders = ["x"]\n[download]\nby_hand = ""\n'
    assert "two classes or more" in message(lambda: parse_card(text + rest, "x.toml"))
    labels = '[labels]\nfiles = ["x.csv"]\nby_hand = ""\nnames = ["bare soil", "bare-soil"]\n'
    assert "two labels have the same name" in message(lambda: parse_card(text + rest + labels, "x.toml"))


def labelled(tmp_path: Path, text: str, name: str = "labels.txt") -> tuple[GivenCards, Path]:
    """Cards of a small AID, two scenes of each of three classes, with labels beside it."""
    small = small_card("aid", scenes=2, classes=3)
    root = write_dataset(small, tmp_path / "data")
    labels = CardLabels(
        files=("labels.txt", "labels.csv"), by_hand="by letter", names=("airplane", "bare soil", "buildings")
    )
    card = load_cards()["aid-multilabel"].model_copy(update={"classes": small.classes, "labels": labels})
    (root / name).write_text(text, newline="")
    return GivenCards({"aid-multilabel": card, "aid": small}), root


WHOLE = HEADER + "".join(
    f"{scene}\t{bits}\t\r\n"
    for scene, bits in {
        "airport_2": "1\t0\t1",
        "airport_1": "1\t0\t0",
        "bareland_1": "0\t1\t0",
        "bareland_2": "0\t1\t1",
        "baseballfield_1": "0\t1\t1",
        "baseballfield_2": "1\t1\t1",
    }.items()
)


def index_of(given: GivenCards, root: Path, name: str = "aid-multilabel") -> SceneIndex:
    return index_listing(list_dataset(name, root, given))


def test_labels_are_joined_to_scenes_by_name_and_to_the_card_by_spelling(tmp_path: Path) -> None:
    given, root = labelled(tmp_path, WHOLE)
    index, plain = index_of(given, root), index_of(given, root, "aid")
    assert index.several is not None
    assert plain.several is None
    assert index.several.names == ("airplane", "bare soil", "buildings")
    assert [path.rpartition("/")[2] for path in index.paths] == [
        *("airport_1.jpg", "airport_2.jpg", "bareland_1.jpg", "bareland_2.jpg"),
        *("baseballfield_1.jpg", "baseballfield_2.jpg"),
    ]
    assert index.several.lists() == [
        ["airplane"],
        ["airplane", "buildings"],
        ["bare soil"],
        ["bare soil", "buildings"],
        ["bare soil", "buildings"],
        ["airplane", "bare soil", "buildings"],
    ]
    assert index.content_fingerprint == plain.fingerprint == plain.content_fingerprint != index.fingerprint
    assert open_pixels(index, Transform(16)).filename == open_pixels(plain, Transform(16)).filename  # decoded once


def test_other_labels_have_another_fingerprint_and_other_spellings_the_same(tmp_path: Path) -> None:
    given, root = labelled(tmp_path, WHOLE)
    first = index_of(given, root).fingerprint
    (root / "labels.txt").write_text(WHOLE.replace("airport_1\t1\t0\t0", "airport_1\t1\t0\t1"))
    assert index_of(given, root).fingerprint != first
    (root / "labels.txt").unlink()
    lines = [line.split("\t") for line in WHOLE.splitlines()[1:]]
    names = ("Airplane", "BARE_SOIL", "buildings")
    lists = [f"{cells[0]}.jpg,{';'.join(np.array(names)[np.array(cells[1:4]) == '1'])}" for cells in lines]
    (root / "labels.csv").write_text("\n".join(["filename,labels", *lists]))
    assert index_of(given, root).fingerprint == first


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "airport_2\t1\t0\t1\t\r\n",
            "",
            "labels of 5 scenes of aid-multilabel, not of 6: it lacks 1 (airport/airport_2)",
        ),
        ("airport_2", "airport_99", "1 (airport_99) of its ids are not scenes of aid-multilabel"),
        ("\tbare-soil", "\tbare-rock", "label 'bare-rock': unknown; did you mean 'bare soil'?"),
        ("airplane\tbare-soil\tbuildings", "airplane\tbare-soil\tbuildings\tsea", "3 values for 4 labels"),
    ],
)
def test_labels_of_other_scenes_are_named(old: str, new: str, words: str, tmp_path: Path) -> None:
    given, root = labelled(tmp_path, WHOLE.replace(old, new))
    with pytest.raises(UserError) as caught:
        index_of(given, root)
    assert words in str(caught.value)
    if "values" not in words:
        report = verify("aid-multilabel", root, given)
        assert report.verdict is Verdict.INCOMPLETE
        assert report.fingerprint is None
        assert words in verification_in_words(report)


def test_without_the_file_it_says_where_it_looked_and_how_to_get_it(tmp_path: Path) -> None:
    given, root = labelled(tmp_path, WHOLE, name="other.txt")
    text = message(lambda: index_of(given, root))
    assert "no file of labels (looked for labels.txt, labels.csv in" in text
    assert "get it by hand: by letter" in text


def test_verification_finds_the_fingerprint_of_the_index(tmp_path: Path) -> None:
    given, root = labelled(tmp_path, WHOLE)
    report = verify("aid-multilabel", root, given)
    assert report.fingerprint == index_of(given, root).fingerprint
    assert report.verdict is Verdict.COMPLETE
    assert "labels: 1 to 3 of 3 labels for each of 6 scenes" in verification_in_words(report)


def test_a_card_may_label_a_part_of_the_scenes(tmp_path: Path) -> None:
    part = "".join(WHOLE.splitlines(keepends=True)[:5])
    given, root = labelled(tmp_path, part)
    card = given.cards["aid-multilabel"]
    labels = card.labels.model_copy(update={"scenes": 4})
    given = GivenCards({"aid-multilabel": card.model_copy(update={"labels": labels})})
    index = index_of(given, root)
    assert len(index) == len(index.labels) == len(index.several.members) == 4
    assert len(open_pixels(index, Transform(16))) == 4
    assert verify("aid-multilabel", root, given).fingerprint == index.fingerprint
    more = card.labels.model_copy(update={"scenes": 5})
    given = GivenCards({"aid-multilabel": card.model_copy(update={"labels": more})})
    assert "labels of 4 scenes of aid-multilabel, not of 5; get the whole file" in message(
        lambda: index_of(given, root)
    )


def flat_card() -> DatasetCard:
    labels = {"files": ["Labels/*.csv"], "by_hand": "the folder Labels", "names": ["sea", "sand", "trees"]}
    return DatasetCard.model_validate(
        {
            **{"name": "flat", "title": "Flat", "description": "", "citation": "", "licence": "", "source": ""},
            **{"ground_resolution": "", "pixels": 32, "folders": ["Flat/Images"], "labels": labels},
            "download": {"by_hand": "from nowhere"},
        }
    )


def test_a_card_without_classes_and_a_file_for_each_folder(tmp_path: Path) -> None:
    write_scenes(tmp_path / "Flat" / "Images", classes=2, scenes=2, seed=0)
    for number in range(2):
        for scene in range(2):
            path = tmp_path / "Flat" / "Images" / f"class{number}" / f"scene{scene:02}.png"
            path.rename(path.with_name(f"class{number}_{scene}.png"))
    (tmp_path / "Flat" / "Labels").mkdir()
    (tmp_path / "Flat" / "Labels" / "class0.csv").write_text(
        "image,sea,sand,trees\nclass0_0.png,1,0,0\nclass0_1.png,1,1,0\n"
    )
    (tmp_path / "Flat" / "Labels" / "class1.csv").write_text(
        "image,sea,sand,trees\nclass1_0.png,0,1,1\nclass1_1.png,1,0,1\n"
    )
    given = GivenCards({"flat": flat_card()})
    index = index_of(given, tmp_path, "flat")
    assert index.several.lists() == [["sea"], ["sea", "sand"], ["sand", "trees"], ["sea", "trees"]]
    assert verify("flat", tmp_path, given).verdict is Verdict.COMPLETE


NAMES = ("sand", "sea", "trees")
Lists = dict[str, list[str]]
LISTS: Lists = {
    "scene00.png": ["sea"],
    "scene01.png": ["sand", "sea"],
    "scene02.png": ["trees"],
    "scene03.png": ["sea", "trees"],
}


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, bytes]:
    """Four scenes by file name."""
    folder = write_scenes(tmp_path / "pictures", classes=1, scenes=4, seed=0) / "class0"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def with_csv(pictures: dict[str, bytes], folder: Path, lists: Lists = LISTS) -> str:
    folder.mkdir()
    for name, content in pictures.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    lines = [f"{name},{';'.join(labels)}" for name, labels in lists.items()]
    (folder / "labels.csv").write_text("\n".join(["filename,labels", *lines]))
    return f"folder:{folder}"


def with_parquet(pictures: dict[str, bytes], folder: Path, lists: Lists = LISTS) -> str:
    folder.mkdir()
    names = NAMES[::-1]  # class numbers follow no alphabet
    images = [{"bytes": content, "path": name} for name, content in pictures.items()]
    labels = [[names.index(label) for label in lists[name]] for name in pictures]
    table = pa.table({"image": pa.array(images, image_type()), "label": pa.array(labels, pa.list_(pa.int64()))})
    features = {"image": {"_type": "Image"}, "label": {"feature": class_label(names), "_type": "List"}}
    pq.write_table(table.replace_schema_metadata(hugging_face(features)), folder / "train-00000-of-00001.parquet")
    return f"parquet:{folder}"


def with_words(pictures: dict[str, bytes], folder: Path, lists: Lists = LISTS) -> str:
    folder.mkdir()
    images = [{"bytes": content, "path": name} for name, content in pictures.items()]
    table = pa.table({"image": pa.array(images, image_type()), "labels": pa.array([lists[name] for name in pictures])})
    pq.write_table(table, folder / "train.parquet")
    return f"parquet:{folder}"


def with_tar(pictures: dict[str, bytes], folder: Path, lists: Lists = LISTS) -> str:
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for name, content in pictures.items():
            add_member(tar, name, content)
            add_member(tar, name.replace(".png", ".json"), json.dumps({"labels": lists[name]}).encode())
    return f"tar:{folder}"


def test_lists_of_labels_in_a_csv_in_parquet_and_in_tar_are_one_dataset(
    pictures: dict[str, bytes], tmp_path: Path
) -> None:
    fingerprints = set()
    for number, pack in enumerate((with_csv, with_parquet, with_words, with_tar)):
        name = pack(pictures, tmp_path / f"packed{number}")
        index = resolve_dataset(name, tmp_path)
        assert index.classes == ("scenes",)
        assert index.several.names == NAMES
        assert index.several.lists() == list(LISTS.values())
        fingerprints.add(index.fingerprint)
        assert verify(name, tmp_path).fingerprint == index.fingerprint
    assert len(fingerprints) == 1


def test_lists_in_shards_are_the_labels_of_a_card(pictures: dict[str, bytes], tmp_path: Path) -> None:
    with_parquet(pictures, tmp_path / "Flat")
    card = flat_card().model_copy(update={"folders": ("Flat",)})
    given = GivenCards({"flat": card})
    index = index_of(given, tmp_path, "flat")
    assert index.several.names == ("sea", "sand", "trees")  # the card's order
    assert index.several.lists() == [["sea"], ["sea", "sand"], ["trees"], ["sea", "trees"]]
    assert verify("flat", tmp_path, given).fingerprint == index.fingerprint
    plain = small_card("aid", scenes=2, classes=2).model_copy(update={"folders": ("Flat",)})
    text = message(lambda: index_of(GivenCards({"aid": plain}), tmp_path, "aid"))
    assert "have lists of labels, and its card says one class" in text


@pytest.mark.parametrize("labels", [[[0], []], [[0], None], [[0], [5]], [[0], [None]], [[0], [0]], [[1, 1], [0]]])
def test_bad_lists_in_parquet_are_named(
    labels: list[list[int] | None], pictures: dict[str, bytes], tmp_path: Path
) -> None:
    images = [{"bytes": content, "path": name} for name, content in list(pictures.items())[:2]]
    table = pa.table({"image": pa.array(images, image_type()), "label": pa.array(labels, pa.list_(pa.int64()))})
    features = {"image": {"_type": "Image"}, "label": {"feature": class_label(NAMES[:2]), "_type": "Sequence"}}
    (tmp_path / "x").mkdir()
    pq.write_table(table.replace_schema_metadata(hugging_face(features)), tmp_path / "x/train.parquet")
    text = message(lambda: resolve_dataset(f"parquet:{tmp_path / 'x'}", tmp_path))
    words = {
        "[[0], [0]]": "needs scenes of at least two classes",
        "[[0], [5]]": "labels without a name: 5",
        "[[1, 1], [0]]": "has the label 'sea' twice",
    }
    assert words.get(str(labels), "of 2 scenes have no label") in text


def test_the_list_and_the_card_say_what_labels_there_are(tmp_path: Path) -> None:
    rows = {row["dataset"]: row for row in dataset_list(tmp_path)}
    assert (rows["ucm-multilabel"]["labels"], rows["ucm-multilabel"]["scenes"]) == (17, 2100)
    assert (rows["ucm"]["labels"], rows["mlrsnet"]["present"]) == (0, "no")
    text = " ".join(dataset_card("ucm-multilabel").split())
    assert "labels: 17 (airplane, bare-soil," in text
    assert "file of labels: ucm_multilabel.txt or" in text


@pytest.mark.real
def test_the_real_multi_labels_of_ucm(shared: Path) -> None:
    index = resolve_dataset("ucm-multilabel", shared / "data")
    counts = index.several.members.sum(axis=1)
    assert (len(index), counts.min(), counts.max()) == (2100, 1, 7)
    assert counts.mean() == pytest.approx(3.33, abs=0.005)
    assert len(np.unique(index.several.members, axis=0)) == 202


def test_a_download_says_where_labels_are_to_come_from(tmp_path: Path, cli: InProcess) -> None:
    folder = tmp_path / "UCMerced_LandUse" / "Images"
    for scene_class in load_cards()["ucm"].classes:
        (folder / scene_class.name).mkdir(parents=True)
        for number in range(scene_class.scenes):
            (folder / scene_class.name / f"{scene_class.name}{number:02}.tif").touch()
    words = ["datasets", "download", "ucm-multilabel", "--data-root", str(tmp_path)]
    there = cli(*words)
    assert (there.code, there.out.strip()) == (0, str(folder))
    assert "get it by hand: the multi-labels of Chaudhuri et al. 2018" in there.err


@pytest.mark.parametrize("pack", [with_csv, with_parquet, with_words, with_tar])
def test_interchanged_labels_of_scenes_of_one_file_name_are_other_labels(
    pack: Callable[..., str], pictures: dict[str, bytes], tmp_path: Path
) -> None:
    parts = dict(zip(("train/x.png", "test/x.png", "train/y.png", "test/y.png"), pictures.values(), strict=True))
    right = dict(zip(parts, LISTS.values(), strict=True))
    wrong = right | {"train/x.png": right["test/x.png"], "test/x.png": right["train/x.png"]}
    fingerprints = []
    for number, lists in enumerate((right, wrong, right)):
        name = pack(parts, tmp_path / f"packed{number}", lists)
        fingerprints.append(resolve_dataset(name, tmp_path).fingerprint)
        assert verify(name, tmp_path).fingerprint == fingerprints[-1]
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]
