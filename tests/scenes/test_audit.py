"""Planted duplicates are found, each as what it is, and nothing else is."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import imagehash
import numpy as np
import pytest
import tifffile
from command import InProcess
from PIL import Image
from scipy.ndimage import gaussian_filter

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.cli.groups.datasets import duplicates_in_words
from rsir_bench.scenes.index import SceneIndex, index_folder, resolve_dataset
from rsir_bench.scenes.inspect import duplicates
from rsir_bench.scenes.inspect.duplicate_report import DuplicateReport, audit, reports_as_json, reports_as_page
from rsir_bench.scenes.inspect.duplicates import (
    MIN_CORRELATION,
    DuplicateKind,
    close_pairs,
    correlation,
    duplicates_of_source,
    find_pairs,
)

SIDE = 128


def scene(seed: int, side: int = SIDE) -> Image.Image:
    """Fields, paths and roofs, as far as noise on two scales can be these."""
    chance = np.random.default_rng(seed)
    noise = chance.normal(size=(2, side, side, 3))
    both = [
        gaussian_filter(layer, (sigma, sigma, 0.3), mode="wrap") for layer, sigma in zip(noise, (12, 2), strict=True)
    ]
    values = sum(layer / layer.std() for layer in both)
    return Image.fromarray((values * 30 + 120).clip(0, 255).astype(np.uint8))


def texture(seed: int) -> Image.Image:
    """A shore as every shore: light and dark lie alike in all of them, only the fine grain is a scene's own."""
    broad = gaussian_filter(np.random.default_rng(1000).normal(size=(SIDE, SIDE, 1)), (8, 8, 0))
    grain = np.random.default_rng(seed).normal(0, 30, (SIDE, SIDE, 1))
    return Image.fromarray((broad / broad.std() * 20 + grain + [80, 110, 130]).clip(0, 255).astype(np.uint8))


def brighter(image: Image.Image) -> Image.Image:
    return image.point(lambda value: min(255, int(value * 1.1 + 8)))


def shifted(image: Image.Image, pixels: int) -> Image.Image:
    """The same ground, cut out that many pixels further right; what comes in new is other ground."""
    moved = scene(9999)
    moved.paste(image, (-pixels, 0))
    return moved


def save(image: Image.Image, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four different scenes in each of two classes; no duplicates."""
    for number in range(8):
        save(scene(number), tmp_path / "source" / ("field" if number < 4 else "roofs") / f"s{number}.png")
    return tmp_path / "source"


def target_of(folder: Path, scenes: dict[str, Image.Image]) -> SceneIndex:
    """A dataset of these scenes and two that are in no other."""
    others = {"field/other.png": scene(500), "roofs/other.png": scene(501)}
    for name, image in {**others, **scenes}.items():
        save(image, folder / name)
    return index_folder(folder)


def named(first: SceneIndex, second: SceneIndex | None = None) -> set[tuple[str, str, str]]:
    other = second or first
    return {(first.paths[p.first], other.paths[p.second], p.kind.value) for p in find_pairs(first, second)}


def test_nothing_is_found_where_nothing_is(source: Path, tmp_path: Path) -> None:
    target = target_of(tmp_path / "target", {})
    assert find_pairs(index_folder(source)) == []
    assert find_pairs(index_folder(source), target) == []
    assert not duplicates_of_source(index_folder(source), target).any()


def test_same_bytes_under_another_name_and_in_another_class(source: Path, tmp_path: Path) -> None:
    target_of(tmp_path / "target", {})
    shutil.copy(source / "field/s1.png", tmp_path / "target/roofs/again.png")
    target = index_folder(tmp_path / "target")
    pairs = find_pairs(index_folder(source), target)
    assert named(index_folder(source), target) == {("field/s1.png", "roofs/again.png", "same bytes")}
    assert (pairs[0].distance, pairs[0].correlation) == (0, 1.0)
    assert duplicates_of_source(index_folder(source), target).tolist() == [
        path == "roofs/again.png" for path in target.paths
    ]


def test_same_pixels_in_other_files(source: Path, tmp_path: Path) -> None:
    target = target_of(tmp_path / "target", {"field/bmp.bmp": scene(0), "roofs/tif.tif": scene(5)})
    assert named(index_folder(source), target) == {
        ("field/s0.png", "field/bmp.bmp", "same pixels"),
        ("roofs/s5.png", "roofs/tif.tif", "same pixels"),
    }


def test_one_other_pixel_is_not_the_same(source: Path, tmp_path: Path) -> None:
    changed = scene(0)
    changed.putpixel((5, 5), tuple(value ^ 1 for value in changed.getpixel((5, 5))))
    assert named(index_folder(source), target_of(tmp_path / "target", {"field/c.png": changed})) == {
        ("field/s0.png", "field/c.png", "near")
    }


NEAR = {
    "jpeg.jpg": lambda image: image,
    "smaller.png": lambda image: image.resize((80, 80), Image.Resampling.BICUBIC),
    "larger.png": lambda image: image.resize((200, 200), Image.Resampling.BICUBIC),
    "brighter.png": brighter,
    "grey.png": lambda image: image.convert("L"),
    "shifted.png": lambda image: shifted(image, 4),
}
OTHER = {
    "cropped.png": lambda image: image.crop((32, 32, 96, 96)).resize((SIDE, SIDE)),
    "mirrored.png": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned.png": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "far.png": lambda image: shifted(image, 40),
}


@pytest.mark.parametrize("name", NEAR)
def test_near_duplicates(name: str, source: Path, tmp_path: Path) -> None:
    changed = {f"field/{number}{name}": NEAR[name](scene(number)) for number in range(4)}
    found = named(index_folder(source), target_of(tmp_path / "target", changed))
    assert found == {(f"field/s{number}.png", f"field/{number}{name}", "near") for number in range(4)}


@pytest.mark.parametrize("name", OTHER)
def test_strong_crops_and_turned_copies_are_not_claimed(name: str, source: Path, tmp_path: Path) -> None:
    changed = {f"field/{number}{name}": OTHER[name](scene(number)) for number in range(4)}
    assert find_pairs(index_folder(source), target_of(tmp_path / "target", changed)) == []


def test_textures_are_proposed_by_the_hash_and_refused_by_the_pixels(tmp_path: Path) -> None:
    water = target_of(tmp_path / "a", {f"field/w{seed}.png": texture(seed) for seed in range(6)})
    sea = target_of(tmp_path / "b", {f"roofs/w{seed}.png": texture(10 + seed) for seed in range(6)})
    hashes = np.array([duplicates.imagehash.phash(texture(seed)).hash.ravel() for seed in range(16)])
    assert len(close_pairs(hashes, hashes, duplicates.MAX_DISTANCE)) > 16  # more than each with itself
    assert find_pairs(water) == find_pairs(sea) == []
    assert [pair.kind for pair in find_pairs(water, sea)] == [
        DuplicateKind.SAME_BYTES
    ] * 2  # what target_of adds to both


def test_scenes_of_one_colour_are_no_near_duplicates(tmp_path: Path) -> None:
    colours = {f"field/{value}.png": Image.new("RGB", (SIDE, SIDE), (value, 90, 20)) for value in (20, 90, 200)}
    target = target_of(tmp_path / "flat", {**colours, "roofs/90.bmp": Image.new("RGB", (SIDE, SIDE), (90, 90, 20))})
    assert named(target) == {("field/90.png", "roofs/90.bmp", "same pixels")}


def test_within_a_dataset_each_pair_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    target_of(folder, {"field/a.png": scene(1), "roofs/b.png": brighter(scene(1)), "field/d.png": scene(2)})
    shutil.copy(folder / "field/a.png", folder / "field/c.png")
    index = index_folder(folder)
    assert named(index) == {
        ("field/a.png", "field/c.png", "same bytes"),
        ("field/a.png", "roofs/b.png", "near"),
        ("field/c.png", "roofs/b.png", "near"),
    }
    report = DuplicateReport(index, index, find_pairs(index))
    assert (report.count(DuplicateKind.SAME_BYTES), report.count(DuplicateKind.NEAR)) == (1, 2)
    assert (report.twins, report.conflicts, report.share) == (3, 2, 0.5)
    assert report.pairs[0].kind is DuplicateKind.SAME_BYTES
    text = duplicates_in_words([report], examples=2)
    assert "3 of 6" in text
    assert text.count(" = ") == 2
    assert "LABEL CONFLICT (field / roofs)" in text


def test_bytes_and_pixels_agree_in_both_directions(source: Path, tmp_path: Path) -> None:
    target = target_of(tmp_path / "target", {"field/x.png": shifted(scene(3), 4), "field/y.jpg": scene(2)})
    there, back = find_pairs(index_folder(source), target), find_pairs(target, index_folder(source))
    assert len(there) == 2
    assert {(p.first, p.second, p.distance) for p in there} == {(p.second, p.first, p.distance) for p in back}
    assert [p.correlation for p in there] == pytest.approx([p.correlation for p in back], abs=1e-5)


def test_blockwise_distances_equal_a_slow_loop() -> None:
    chance = np.random.default_rng(3)
    first, second = chance.integers(0, 2, (37, 64)).astype(bool), chance.integers(0, 2, (23, 64)).astype(bool)
    second[4] = first[11]
    for most in (0, 26, 30, 64):
        slow = [(a, b) for a in range(37) for b in range(23) if sum(first[a] != second[b]) <= most]
        assert close_pairs(first, second, most, block=10) == slow == close_pairs(first, second, most, block=100)


def test_correlation_by_hand() -> None:
    chance = np.random.default_rng(4)
    ground = chance.normal(size=(20, 20)).astype(np.float32)
    one, other = ground[2:18, 2:18], ground[4:20, 1:17]
    assert correlation(one, other, max_shift=2) == pytest.approx(1, abs=1e-5)
    assert correlation(one, other, max_shift=1) < MIN_CORRELATION
    assert correlation(one, 3 * one + 7, max_shift=0) == pytest.approx(1, abs=1e-5)
    assert correlation(one, -one, max_shift=0) == pytest.approx(-1, abs=1e-5)
    assert correlation(one, one, max_shift=0) == pytest.approx(1, abs=1e-5)
    assert correlation(one, np.full((16, 16), 5, np.float32), max_shift=2) == pytest.approx(0, abs=1e-6)


def test_the_second_call_reads_no_scene(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = tmp_path / "cache/pixels"
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(pixels.parent))
    target = target_of(tmp_path / "target", {"field/x.jpg": scene(600)})
    first = duplicates_of_source(index_folder(source), target)
    shutil.rmtree(pixels)
    np.testing.assert_array_equal(duplicates_of_source(index_folder(source), target), first)
    assert not pixels.exists()
    monkeypatch.setattr(duplicates, "AUDIT_VERSION", duplicates.AUDIT_VERSION + 1)
    np.testing.assert_array_equal(duplicates_of_source(index_folder(source), target), first)
    assert pixels.exists()


def test_pairs_are_looked_for_again_after_any_change_of_versions(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    index = index_folder(source)

    def kept() -> set[Path]:
        """What was found, and the hashes that it was found by."""
        find_pairs(index)
        return set((tmp_path / "cache/audit").glob("*.npy"))

    before = kept()
    assert len(before) == 2
    for module, name in ((imagehash, "__version__"), (tifffile, "__version__"), (duplicates, "DECODING_VERSION")):
        assert kept() == before
        monkeypatch.setattr(module, name, "0.0")
        after = kept()
        assert len(after - before) == 2, module
        before = after


def test_a_damaged_cache_file_is_made_anew(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    target = target_of(tmp_path / "target", {"field/x.jpg": scene(2)})
    pairs = find_pairs(index_folder(source), target)
    kept = list((tmp_path / "cache/audit").glob("*.npy"))
    assert len(kept) == 3
    for number, path in enumerate(kept):
        path.write_bytes(path.read_bytes()[: 50 * number])
    assert find_pairs(index_folder(source), target) == pairs
    assert len(pairs) == 1


def test_other_content_under_the_same_names_is_looked_at_again(source: Path, tmp_path: Path) -> None:
    target = target_of(tmp_path / "target", {"field/x.png": scene(700)})
    assert not duplicates_of_source(index_folder(source), target).any()
    target = target_of(tmp_path / "target", {"field/x.png": scene(3)})
    assert duplicates_of_source(index_folder(source), target).sum() == 1


def test_an_unreadable_scene_is_named(source: Path) -> None:
    (source / "field/s1.png").write_bytes(b"no picture")
    with pytest.raises(SceneError, match=r"1 unreadable: .*s1\.png"):
        find_pairs(index_folder(source))


def test_the_page_escapes_names(source: Path, tmp_path: Path) -> None:
    index = index_folder(source)
    shutil.copy(source / "field/s1.png", tmp_path / "copy.png")
    target = target_of(tmp_path / "t", {"<b>&amp/x.png": scene(1), "field/<i>.bmp": scene(2)})
    marked = replace(target, classes=tuple(f"<script>{name}" for name in target.classes))
    pairs = find_pairs(index, target)
    page = reports_as_page([DuplicateReport(index, marked, pairs)])
    assert len(pairs) == 2
    assert page.count("<figure>") == 2
    assert page.count('src="data:image/jpeg;base64,') == 4
    assert "field / &lt;script&gt;&lt;b&gt;&amp;amp" in page
    assert "&lt;i&gt;.bmp" in page
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_the_page_shows_a_part_of_many(source: Path, tmp_path: Path) -> None:
    target = target_of(tmp_path / "target", {f"field/{number}.jpg": scene(number) for number in range(4)})
    first = index_folder(source)
    pairs = find_pairs(first, target)
    assert len(pairs) == 4
    page = reports_as_page([DuplicateReport(first, target, pairs * 51)])
    assert page.count("<figure>") == 200
    assert "0 exact and 204 near pairs" in page
    assert "the first 200 pairs are shown" in page


def test_everything_in_json(source: Path, tmp_path: Path) -> None:
    target = target_of(tmp_path / "target", {"roofs/x.png": scene(1), "field/y.jpg": scene(2)})
    shutil.copy(source / "field/s0.png", target.root / "field/again.png")
    reports = audit([f"folder:{source}", f"folder:{target.root}"], tmp_path, tmp_path / "out")
    report = json.loads((tmp_path / "out/audit.json").read_text())
    assert report == reports_as_json(reports)
    assert "<figure>" in (tmp_path / "out/audit.html").read_text()
    within_source, within_target, between = report["comparisons"]
    assert within_source["pairs"] == within_target["pairs"] == []
    # PNG files that one program wrote of the same pixels have the same bytes.
    assert between["pairs_by_kind"] == {"same bytes": 2, "same pixels": 0, "near": 1}
    assert (between["scenes_with_twin"], between["scenes"], between["share"]) == (3, 5, 0.6)
    assert between["pairs_of_other_classes"] == 1
    assert between["pairs"][1] == {
        "kind": "same bytes",
        "distance": 0,
        "correlation": 1.0,
        "files": ["field/s1.png", "roofs/x.png"],
        "classes": ["field", "roofs"],
        "classes_agree": False,
    }


def test_a_dataset_named_twice_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="named twice"):
        audit([f"folder:{source}"] * 2, tmp_path)


def test_exit_codes(source: Path, tmp_path: Path, cli: InProcess) -> None:
    verb = ("datasets", "audit")
    target_of(tmp_path / "clean", {})
    target_of(tmp_path / "leak", {"field/x.jpg": scene(3)})
    first, clean, leak = f"folder:{source}", f"folder:{tmp_path}/clean", f"folder:{tmp_path}/leak"
    told = cli(*verb, first, leak)
    assert (told.code, told.err) == (0, "")
    assert "field/s3.png = field/x.jpg: near, distance" in told.out
    assert "1 of 3" in told.out
    told = cli(*verb, first, leak, "--json", "--out", tmp_path / "out")
    assert told.code == 0
    assert json.loads(told.out) == json.loads((tmp_path / "out/audit.json").read_text())
    assert cli(*verb, first, leak, "--strict").code == 1
    assert cli(*verb, leak, "--strict").code == 0  # no twins of its own
    assert cli(*verb, first, clean, "--strict").code == 0
    told = cli(*verb, first, "nowhere", "--strict")
    assert told.code == 2
    assert told.err.startswith("rsir-bench: unknown dataset 'nowhere'")
    assert told.err.count("\n") == 1


@pytest.mark.real
@pytest.mark.slow
def test_known_twins_in_real_scenes(shared: Path) -> None:
    index = resolve_dataset("ucm", shared / "data")
    files = [{Path(index.paths[row]).stem for row in (p.first, p.second)} for p in find_pairs(index)]
    assert {"airplane01", "airplane02"} in files
    assert not any("runway" in name for pair in files for name in pair)  # alike, but other ground
