"""Searches on tiny scenes: the neighbours of the records, the query itself, files of any kind, and what is printed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import Tiny
from PIL import Image

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import write_sealed
from rsir_bench.cli.app import app
from rsir_bench.cli.search import answer_as_json, as_table
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.index import index_folder
from rsir_bench.scenes.pixel_cache import Transform, open_pixels
from rsir_bench.search.answer import Answer, as_page, search_scenes
from rsir_bench.search.gallery import Gallery, find_run
from rsir_bench.search.query import read_query

UNTRAINED = "timm:test_resnet@none"


COUNTED = """
from rsir_bench.method import Card, Method, Row

class Counted(Method):
    card = Card(
        name="counted", title="Counted", paper="none", year=2026, trained=False,
        rows={{"Pooled": Row(descriptor="pooled")}},
    )

    def __init__(self, setup, settings):
        super().__init__(setup, settings)
        self.trunk = setup.trunk()

    def loss(self, batch):
        raise NotImplementedError

    def describe(self, scenes):
        with open({count!r}, "a") as file:
            print(len(scenes), file=file)
        return {{"pooled": self.trunk(scenes)}}
"""


def _quiet(line: str) -> None:
    """Takes what would go to standard error."""


def _request(tiny: Tiny, method: str = UNTRAINED, **changes: Any) -> Request:
    return tiny.request(method, **{"targets": [tiny.target], **changes})


def _gallery(request: Request, row: str | None = None) -> Gallery:
    return Gallery(*find_run(request, row), _quiet)


def _scene(tiny: Tiny, path: str) -> Path:
    return Path(tiny.target.removeprefix("folder:")) / path


def _answer(request: Request, image: Path, *, top: int = 5, **options: Any) -> Answer:
    return search_scenes(image, request, top=top, log=_quiet, **options)


def _search(request: Request, image: Path, **options: Any) -> str:
    return as_table(_answer(request, image, **options))


def _hits(request: Request, image: Path, **options: Any) -> list[dict[str, Any]]:
    return answer_as_json(_answer(request, image, **options))["hits"]


def _saved_otherwise(scene: Path, path: Path) -> Path:
    """The same pixels in another file."""
    Image.open(scene).save(path, "bmp")
    return path


def test_neighbours_and_precision_are_those_of_the_record(tiny: Tiny) -> None:
    request = _request(tiny, "baseline", overrides=["describe.pca=12"])
    _, record = campaign(request, _quiet).records
    gallery = _gallery(request)
    scenes, transform = gallery.scenes, gallery.artifacts.run.transform
    similarities = np.corrcoef(gallery.descriptors.astype(np.float64))
    np.fill_diagonal(similarities, -2)
    assert np.diff(np.sort(similarities, axis=1)).min() > 1e-6  # no ties
    precision = []
    for scene, path in enumerate(scenes.paths):
        itself, *others = gallery.find(read_query(scenes.root / path, scenes, transform), 10)
        assert (itself.scene, itself.itself) == (scene, True)
        assert [hit.scene for hit in others] == np.argsort(-similarities[scene])[:10].tolist()
        assert [hit.value for hit in others] == pytest.approx(np.sort(similarities[scene])[::-1][:10], abs=1e-5)
        precision.append(np.mean([scenes.labels[hit.scene] == scenes.labels[scene] for hit in others]))
    assert record.row.name == "PCA"
    assert np.mean(precision) == pytest.approx(record.metrics["P@10"])


@pytest.mark.parametrize("overrides", [[], ['describe.pca_fit=["target"]']])
def test_an_image_from_elsewhere_is_described_as_scenes_are(tiny: Tiny, overrides: list[str]) -> None:
    request = _request(tiny, "baseline", overrides=overrides)
    campaign(request, _quiet)
    image = _saved_otherwise(_scene(tiny, "class1/scene03.png"), tiny.folder / "elsewhere.bmp")
    first, *others = _hits(request, image, row="PCA")
    assert (first["scene"], first["itself"], first["same_class"]) == ("class1/scene03.png", False, None)
    assert first["value"] == pytest.approx(1, abs=1e-5)
    own = _hits(request, _scene(tiny, "class1/scene03.png"), row="PCA")
    assert [hit["scene"] for hit in others] == [hit["scene"] for hit in own[1:5]]


def test_a_scene_of_the_target_stands_first_and_others_follow(tiny: Tiny) -> None:
    plugin, count = tiny.folder / "counted.py", tiny.folder / "count"
    plugin.write_text(COUNTED.format(count=str(count)))
    request, scene = _request(tiny, "counted", plugins=[plugin]), _scene(tiny, "class2/scene01.png")
    _search(request, scene)
    described = count.read_text()
    copied = Path(shutil.copy(scene, tiny.folder / "copied.png"))
    for image in (scene, copied):
        for ann in (None, "hnsw", "ivf"):
            hits = _hits(request, image, top=4, ann=ann)
            assert [hit["itself"] for hit in hits] == [True, False, False, False, False]
            assert hits[0]["scene"] == "class2/scene01.png"
            assert [hit["same_class"] for hit in hits] == [hit["class"] == "class2" for hit in hits]
    assert len(_hits(request, scene, top=100)) == 18
    assert count.read_text() == described
    _search(request, _saved_otherwise(scene, tiny.folder / "elsewhere.bmp"))
    assert count.read_text() == f"{described}1\n"


def test_of_two_scenes_with_the_same_bytes_the_query_is_the_one_that_is_named(tiny: Tiny) -> None:
    first, second = _scene(tiny, "class0/scene00.png"), _scene(tiny, "class0/twin.png")
    shutil.copy(first, second)
    for one, other in ((first, second), (second, first)):
        itself, twin = _hits(_request(tiny), one, top=1)
        assert (Path(itself["scene"]).name, itself["itself"]) == (one.name, True)
        assert (Path(twin["scene"]).name, twin["itself"]) == (other.name, False)
        assert twin["value"] == pytest.approx(1)


def test_scenes_that_do_not_count_are_not_found(tiny: Tiny) -> None:
    source = Path(tiny.source.removeprefix("folder:"))
    chance = np.random.default_rng(0)
    for number in range(18):  # noise, which is a duplicate of nothing
        path = _scene(tiny, f"class{number % 3}/scene{number // 3:02}.png")
        Image.fromarray(chance.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    shutil.copy(source / "class0" / "scene00.png", _scene(tiny, "class0/leaked.png"))
    request = _request(tiny, overrides=["data.leaked=drop"])
    hits = _hits(request, _scene(tiny, "class0/leaked.png"), top=100)
    assert len(hits) == 18
    assert not any(hit["itself"] or hit["scene"].endswith("leaked.png") for hit in hits)
    assert hits[0]["same_class"] is not None


def test_codes_are_found_by_their_bits(tiny: Tiny) -> None:
    request = _request(tiny, "dhn", overrides=["train.epochs=1"])
    campaign(request, _quiet)
    gallery, scene = _gallery(request), _scene(tiny, "class0/scene02.png")
    assert gallery.cell.row.kind == "code"
    hits = _hits(request, scene, top=17)
    distances = np.unpackbits(gallery.descriptors ^ gallery.descriptors[2], axis=1).sum(axis=1)
    assert [hit["value"] for hit in hits] == sorted(distances.tolist())
    assert "Hamming distance" in _search(request, scene)
    with pytest.raises(UserError, match="--ann ivf: codes are searched exactly"):
        _search(request, scene, ann="ivf")


def test_nothing_is_trained_and_the_command_that_does_is_given(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request, scene = _request(tiny, "baseline", overrides=["train.epochs=1"]), _scene(tiny, "class0/scene00.png")
    with pytest.raises(UserError, match=r"none\.png: no such file"):  # before anything about the training
        _search(request, tiny.folder / "none.png")
    with pytest.raises(UserError, match="baseline seed 0: not trained in") as raised:
        _search(request, scene)
    assert "\n" not in str(raised.value)
    assert not request.out.exists()
    (command,) = re.findall(r"run `(rsir-bench run .*)`", str(raised.value))
    app([*shlex.split(command)[1:], "--device", "cpu"], standalone_mode=False)
    assert "mAP" in capsys.readouterr().out
    assert "class0/scene00.png" in _search(request, scene)
    next(request.out.rglob("trained.json")).unlink()
    with pytest.raises(UserError, match="not trained"):
        _search(request, scene)


def test_an_index_is_built_once_for_each_content(tiny: Tiny) -> None:
    request, scene = _request(tiny), _scene(tiny, "class0/scene00.png")

    def built() -> list[str]:
        """The kinds of the indices, in the order in which they were written."""
        written = sorted((path.stat().st_mtime_ns, path.name) for path in request.out.rglob("*.faiss"))
        return [name.split("-")[0] for _, name in written]

    first = _search(request, scene)
    (flat,) = request.out.rglob("*.faiss")
    state = flat.stat()
    assert _search(request, scene) == first
    assert built() == ["flat"]
    _search(request, scene, ann="hnsw")
    (hnsw,) = request.out.rglob("hnsw-*.faiss")
    second = hnsw.stat()
    _search(request, scene, ann="hnsw")
    assert built() == ["flat", "hnsw"]
    descriptors = next(request.out.rglob("descriptors/**/*.npy"))
    turned = np.load(descriptors)[::-1]
    write_sealed(descriptors, lambda path: np.save(path, turned))
    assert _search(request, scene) != first
    assert built() == ["flat", "hnsw", "flat"]
    descriptors.write_bytes(b"damaged")
    assert _search(request, scene) == first  # described again
    assert built() == ["flat", "hnsw", "flat"]
    assert (flat.stat().st_ino, flat.stat().st_mtime_ns) == (state.st_ino, state.st_mtime_ns)
    assert (hnsw.stat().st_ino, hnsw.stat().st_mtime_ns) == (second.st_ino, second.st_mtime_ns)


def _text(path: Path) -> None:
    path.write_text("no picture")


def _cut(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path, "jpeg")
    path.write_bytes(path.read_bytes()[:1000])


def _sixteen_bits(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((8, 8, 3), np.uint16), photometric="rgb")


def _five_bands(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((8, 8, 5), np.uint16), photometric="minisblack", planarconfig="contig")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("none.png", lambda path: None, "no such file; name an image file"),
        ("folder", Path.mkdir, "is a folder; name an image file"),
        ("text.png", _text, "cannot be read .not an image."),
        ("cut.jpg", _cut, "cannot be read .*truncated"),
        ("bands.tif", _five_bands, "holds 5 bands, not 3 as the scenes of folder-target do"),
        ("deep.tif", _sixteen_bits, "holds uint16 values, and all scenes of folder-target are 8-bit; convert it"),
    ],
)
def test_an_image_that_cannot_be_searched_is_one_line_at_once(
    name: str, make: Callable[[Path], object], message: str, tiny: Tiny
) -> None:
    make(tiny.folder / name)
    request = _request(tiny)
    with pytest.raises(UserError, match=message) as raised:
        _search(request, tiny.folder / name)
    assert not request.out.exists()  # the target was not described first
    assert str(raised.value).startswith(f"{tiny.folder / name}: ")
    assert "\n" not in str(raised.value)


def test_pixels_of_16_bits_and_many_bands_are_read_as_those_of_scenes(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    for name in ("a/0.tif", "a/1.tif", "b/0.tif"):
        path = tmp_path / "bands" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = chance.integers(0, 65536, (20, 30, 5), dtype=np.uint16)
        tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
    index, transform = index_folder(tmp_path / "bands"), Transform(16, bands="all")
    pixels = open_pixels(index, transform)
    for number, scene in enumerate(index.paths):
        query = read_query(index.root / scene, index, transform)
        assert query.scene == number
        assert query.pixels.shape == (1, 16, 16, 5)
        assert (query.pixels[0] == pixels[number]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row": "FC1"}, "--row FC1: timm:test_resnet@none has no such row; choose from Pooled"),
        ({"ann": "tree"}, "--ann tree: unknown; choose hnsw or ivf"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options: dict[str, str], message: str, tiny: Tiny) -> None:
    with pytest.raises(UserError, match=message):
        _search(_request(tiny), _scene(tiny, "class0/scene00.png"), **options)


@pytest.mark.parametrize("changes", [{"methods": "all"}, {"methods": f"baseline,{UNTRAINED}"}, {"targets": ["all"]}])
def test_a_search_takes_one_method_and_one_target(changes: dict[str, Any], tiny: Tiny) -> None:
    request = Request(
        methods=[changes.get("methods", UNTRAINED)],
        targets=changes.get("targets", [tiny.target]),
        protocol=str(tiny.protocol),
    )
    with pytest.raises(UserError, match="search takes exactly one; name it"):
        _search(request, _scene(tiny, "class0/scene00.png"))


def test_the_components_are_the_usual_row(tiny: Tiny) -> None:
    request = _request(tiny, "baseline")
    campaign(request, _quiet)
    assert "row PCA" in _search(request, _scene(tiny, "class0/scene00.png"))
    assert "row FC" in _search(request, _scene(tiny, "class0/scene00.png"), row="FC")


TWO_ROUNDS = """
from rsir_bench.method import Row
from rsir_bench.methods.baseline import Baseline

class TwoRounds(Baseline):
    card = Baseline.card.model_copy(update={
        "name": "two-rounds",
        "rows": {
            "PCA, iteration 1": Row(descriptor="FC1", kind="pca", round=1),
            "PCA": Row(descriptor="FC1", kind="pca"),
        },
    })
    rounds = 2
"""


def test_the_usual_row_is_that_of_the_last_round(tiny: Tiny) -> None:
    plugin = tiny.folder / "two_rounds.py"
    plugin.write_text(TWO_ROUNDS)
    request = _request(tiny, "two-rounds", plugins=[plugin], overrides=["train.epochs=1"])
    campaign(request, _quiet)
    assert find_run(request, None)[1].row_name == "PCA"


def test_the_page_holds_its_pictures_and_escapes_names(tiny: Tiny) -> None:
    image = _saved_otherwise(_scene(tiny, "class0/scene00.png"), tiny.folder / "<script>&.bmp")
    page = as_page(_answer(_request(tiny), image))
    assert "<script" not in page
    assert "&lt;script&gt;&amp;.bmp in folder-target" in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 1 + 5
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "same class" not in page  # the query's class is not known
    page = as_page(_answer(_request(tiny), _scene(tiny, "class0/scene00.png")))
    assert page.count("(the query itself)") == 1
    assert page.count("same class") + page.count("other class") == 5


def test_the_command_prints_a_table_or_json(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    scene = str(_scene(tiny, "class0/scene00.png"))
    words = ["search", scene, "--target", tiny.target, "--method", UNTRAINED, "--protocol", str(tiny.protocol)]
    words += ["--out", str(tiny.folder / "runs"), "--device", "cpu", "--top", "3"]
    app([*words, "--ann", "hnsw"], standalone_mode=False)
    printed = capsys.readouterr()
    assert re.search(r"^hnsw: recall@3 1\.000 against exact search, on 18 scenes; .* ms per query", printed.out, re.M)
    assert re.search(r"^ +1 +1\.0000 +class0 +class0/scene00\.png +the query itself$", printed.out, re.M)
    assert len(re.findall(r"^ +[234] .* (?:yes|no)$", printed.out, re.M)) == 3
    assert "is described first; this happens only once" in printed.err
    panel = tiny.folder / "panel.html"
    app([*words, "--json", "--panel", str(panel)], standalone_mode=False)
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert printed.err == f"written: {panel}\n"
    assert panel.read_text().count("<img") == 1 + 4
    assert (answer["index"], answer["comparison"], answer["measure"]) == ("flat", None, "Pearson")
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4]
