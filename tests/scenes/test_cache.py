"""The pixel cache: torchvision's pixels, built once, whole or not at all."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
import tifffile
import torch
from fake_data import small_card, write_dataset, write_scene
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, InterpolationMode, PILToTensor, Resize

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.scenes import pixel_cache
from rsir_bench.scenes.index import SceneIndex, index_folder, index_scenes
from rsir_bench.scenes.pixel_cache import Transform, estimated_bytes, is_cached, open_pixels


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def rsscn7(tmp_path: Path) -> SceneIndex:
    card = small_card("rsscn7")
    return index_scenes(card, write_dataset(card, tmp_path / "data"))


@pytest.fixture
def eurosat(tmp_path: Path) -> SceneIndex:
    card = small_card("eurosat", classes=2)
    return index_scenes(card, write_dataset(card, tmp_path / "data"))


def picture_of(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), np.uint8)
    if mode in {"RGBA", "CMYK"}:
        return Image.fromarray(noise, mode)
    rgb = Image.fromarray(noise[..., :3])
    return rgb.quantize(17) if mode == "P" else rgb.convert(mode)


@pytest.fixture
def wild(tmp_path: Path) -> SceneIndex:
    """Files of every mode and format that copies in the wild have, of odd sizes."""
    kinds = [
        ("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("L", "png"),
        ("LA", "png"), ("1", "png"), ("RGB", "tif"), ("L", "tif"), ("RGBA", "tif"), ("CMYK", "tif"), ("P", "tif"),
        ("RGB", "bmp"), ("RGB", "webp"), ("RGB", "tiff"), ("RGB", "JPEG"),
    ]  # fmt: skip
    for number, (mode, suffix) in enumerate(kinds):
        path = tmp_path / "wild" / f"class{number % 2}" / f"{number:02d}_{mode}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture_of(mode, (31 + number, 40 - number), number).save(path)
    write_scene(tmp_path / "wild/class0/exact.png", size=16)  # already of the wanted size
    return index_folder(tmp_path / "wild")


@pytest.mark.parametrize("resize", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_pixels_are_those_of_torchvision(resize: str, wild: SceneIndex) -> None:
    expected = ImageFolder(str(wild.root), Compose([Resize((16, 16), InterpolationMode(resize)), PILToTensor()]))
    row = {str(wild.root / path): position for position, path in enumerate(wild.paths)}
    pixels = open_pixels(wild, Transform(16, resize))
    assert len(expected) == len(wild) == 19
    for (path, label), (tensor, _) in zip(expected.samples, expected, strict=True):
        np.testing.assert_array_equal(pixels[row[path]], tensor.permute(1, 2, 0).numpy(), err_msg=path)
        assert wild.labels[row[path]] == label


@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_without_antialias_pixels_are_read_off_at_their_place(resize: str, wild: SceneIndex) -> None:
    """Torch's interpolation without antialias is written by others; it rounds at other moments."""
    pixels = open_pixels(wild, Transform(16, resize, antialias=False))
    for row, path in enumerate(wild.paths):
        picture = torch.from_numpy(np.array(Image.open(wild.root / path).convert("RGB"))).permute(2, 0, 1)
        # Pillow's cubic is steeper than torch's: only the linear filters are the same.
        tolerance = 1.01 if resize == "bilinear" else 60
        expected = interpolate(picture[None].float(), (16, 16), mode=resize)[0].permute(1, 2, 0).clamp(0, 255)
        np.testing.assert_allclose(pixels[row], expected.numpy(), atol=tolerance, err_msg=path)
    assert not np.array_equal(pixels, open_pixels(wild, Transform(16, resize)))


def test_shape_type_and_size(rsscn7: SceneIndex) -> None:
    transform = Transform(12)
    assert not is_cached(rsscn7, transform)
    pixels = open_pixels(rsscn7, transform)
    assert is_cached(rsscn7, transform)
    assert isinstance(pixels, np.memmap)
    assert (pixels.shape, pixels.dtype) == ((14, 12, 12, 3), np.uint8)
    assert estimated_bytes(rsscn7, transform) == pixels.nbytes == Path(pixels.filename).stat().st_size
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0


def test_rows_follow_the_index(rsscn7: SceneIndex) -> None:
    pixels = open_pixels(rsscn7, Transform(20))
    for row, path in enumerate(rsscn7.paths):
        np.testing.assert_array_equal(pixels[row], np.asarray(Image.open(rsscn7.root / path)))


def test_all_bands_in_their_order_scaled_by_the_range_of_the_card(eurosat: SceneIndex) -> None:
    pixels = open_pixels(eurosat, Transform(20, bands="all"))
    scene = tifffile.imread(eurosat.root / eurosat.paths[3]).astype(np.float64)
    assert pixels.shape == (4, 20, 20, 13)
    np.testing.assert_array_equal(pixels[3], np.rint(scene * 255 / 4000))


def test_red_green_blue_of_a_multi_band_dataset(eurosat: SceneIndex) -> None:
    every, rgb = open_pixels(eurosat, Transform(9, bands="all")), open_pixels(eurosat, Transform(9))
    np.testing.assert_array_equal(rgb, every[..., [3, 2, 1]])


def test_bands_are_resized_as_floats_by_pillow(eurosat: SceneIndex) -> None:
    pixels = open_pixels(eurosat, Transform(8, "bicubic", "all"))
    band = tifffile.imread(eurosat.root / eurosat.paths[0])[..., 7].astype(np.float32)
    resized = np.asarray(Image.fromarray(band).resize((8, 8), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(pixels[0, ..., 7], np.rint(np.clip(resized * 255 / 4000, 0, 255)).astype(np.uint8))


def test_values_beyond_the_range_are_clipped(tmp_path: Path) -> None:
    card = small_card("eurosat", scenes=1, classes=2).model_copy(update={"value_range": (1000, 2000)})
    index = index_scenes(card, write_dataset(card, tmp_path))
    scene = tifffile.imread(index.root / index.paths[0]).astype(np.float64)
    expected = np.rint((np.clip(scene, 1000, 2000) - 1000) * 0.255)
    np.testing.assert_array_equal(open_pixels(index, Transform(20, bands="all"))[0], expected)


@pytest.mark.parametrize("layout", ["contig", "separate", "pages", "zlib"])
def test_every_layout_of_a_multi_band_tif(layout: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65_536, (10, 12, 5), np.uint16)
    values[0, 0, :2] = (0, 65_535)  # the range that is measured
    for name in ("field", "river"):
        path = tmp_path / "own" / name / "1.tif"
        path.parent.mkdir(parents=True)
        if layout in {"contig", "zlib"}:
            compression = "zlib" if layout == "zlib" else None
            tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig", compression=compression)
        elif layout == "separate":
            planes = np.moveaxis(values, 2, 0)
            tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate")
        else:
            tifffile.imwrite(path, np.moveaxis(values, 2, 0), photometric="minisblack")
    index = index_folder(tmp_path / "own")
    assert index.bands == 5
    pixels = open_pixels(index, Transform(12, "nearest", "all"))
    rows = ((np.arange(12) + 0.5) * 10 / 12).astype(int)  # the nearest of 10 rows for each of 12
    expected = np.rint(values.astype(np.float64) * 255 / 65_535)
    np.testing.assert_array_equal(pixels[0], expected[rows])


def tif_of_pages(folder: Path, *pages: np.ndarray) -> SceneIndex:
    for name in ("field", "river"):
        (folder / name).mkdir(parents=True)
        with tifffile.TiffWriter(folder / name / "1.tif") as tif:
            for page in pages:
                tif.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)
    return index_folder(folder)


def test_8_bit_bands_on_pages_of_their_own(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    pixels = open_pixels(tif_of_pages(tmp_path / "own", *values), Transform(8))
    np.testing.assert_array_equal(pixels[0], np.moveaxis(values, 0, 2))


def test_a_thumbnail_behind_a_colour_picture_is_left_out(tmp_path: Path) -> None:
    scene, thumbnail = (np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8) for side in (20, 5))
    pixels = open_pixels(tif_of_pages(tmp_path / "own", scene, thumbnail), Transform(8))
    alone = np.asarray(Image.fromarray(scene).resize((8, 8), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pixels[0], alone)


def test_a_tif_under_another_name_is_read_by_its_content(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    index = tif_of_pages(tmp_path / "own", *values)
    for path in index.paths:
        (index.root / path).rename((index.root / path).with_suffix(".png"))
    pixels = open_pixels(index_folder(tmp_path / "own"), Transform(8))
    np.testing.assert_array_equal(pixels[0], np.moveaxis(values, 0, 2))


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_16_bit_grey_fills_the_range_and_three_bands(suffix: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    for name in ("field", "river"):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.fromarray(ramp).save(tmp_path / "own" / name / f"1.{suffix}")
    pixels = open_pixels(index_folder(tmp_path / "own"), Transform(8))
    expected = np.rint(ramp / 65_535 * 255)
    np.testing.assert_array_equal(pixels[0], np.repeat(expected[..., None], 3, axis=2))


def test_16_bit_colour_tif(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65_536, (8, 8, 3), np.uint16)
    values[0, 0, :2] = (0, 65_535)  # the range that is measured
    for name in ("field", "river"):
        (tmp_path / "own" / name).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "own" / name / "1.tif", values, photometric="rgb")
    pixels = open_pixels(index_folder(tmp_path / "own"), Transform(8))
    np.testing.assert_array_equal(pixels[1], np.rint(values / 65_535 * 255))


def test_floats_of_a_card_need_a_value_range(tmp_path: Path) -> None:
    card = small_card("ucm", scenes=1, classes=2)
    data_root = write_dataset(card, tmp_path / "data")
    for path in data_root.rglob("*.tif"):
        tifffile.imwrite(path, np.zeros((8, 8, 3), np.float32), photometric="rgb")
    with pytest.raises(SceneError, match=r"float32 need a value_range.*; set value_range in the dataset card$"):
        open_pixels(index_scenes(card, data_root), Transform(8))


def damage(index: SceneIndex, rows: list[int]) -> list[Path]:
    paths = [index.root / index.paths[row] for row in rows]
    for number, path in enumerate(paths):
        content = path.read_bytes()
        path.write_bytes([b"", b"no picture at all", content[: len(content) // 2]][number % 3])
    return paths


def test_all_unreadable_scenes_are_counted_and_five_named(tmp_path: Path, cache_root: Path) -> None:
    card = small_card("ucm")
    data_root = write_dataset(card, tmp_path / "data")
    broken = damage(index_scenes(card, data_root), [0, 3, 7, 8, 20, 41])
    index = index_scenes(card, data_root)
    with pytest.raises(SceneError) as caught:
        open_pixels(index, Transform(8))
    message = str(caught.value)
    assert message.startswith("ucm: 6 unreadable: ")
    assert all(str(path) in message for path in broken[:5])
    assert str(broken[5]) not in message
    assert "and 1 more" in message
    assert "\n" not in message
    assert not is_cached(index, Transform(8))
    assert [path.suffix for path in (cache_root / "pixels").iterdir()] == [".lock"]


def test_one_unreadable_jpg_is_named(rsscn7: SceneIndex) -> None:
    (path,) = damage(rsscn7, [5])
    with pytest.raises(SceneError, match=f"rsscn7: 1 unreadable: {path} "):
        open_pixels(rsscn7, Transform(8))


def test_a_second_call_decodes_nothing(rsscn7: SceneIndex) -> None:
    first = np.array(open_pixels(rsscn7, Transform(8)))
    shutil.rmtree(rsscn7.root)
    np.testing.assert_array_equal(open_pixels(rsscn7, Transform(8)), first)


def test_a_cut_off_cache_file_is_built_again(rsscn7: SceneIndex) -> None:
    pixels = open_pixels(rsscn7, Transform(8))
    path, expected = Path(pixels.filename), np.array(pixels)
    del pixels
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_cached(rsscn7, Transform(8))
    np.testing.assert_array_equal(open_pixels(rsscn7, Transform(8)), expected)


def test_everything_that_changes_pixels_is_in_the_key(
    eurosat: SceneIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = eurosat.card
    copy = shutil.copytree(tmp_path / "data", tmp_path / "copy")
    first, second = sorted(copy.rglob("*.tif"))[:2]
    shutil.copy(second, first)
    other = index_scenes(card, copy)
    turned = index_scenes(card.model_copy(update={"classes": card.classes[::-1]}), tmp_path / "data")
    assert turned.fingerprint == eurosat.fingerprint

    def files() -> set[str]:
        variants = [
            (eurosat, Transform(8)),
            (eurosat, Transform(9)),
            (eurosat, Transform(8, "bicubic")),
            (eurosat, Transform(8, antialias=False)),
            (eurosat, Transform(8, bands="all")),
            (other, Transform(8)),
            (replace(eurosat, value_range=(0, 3000)), Transform(8)),
            (replace(eurosat, rgb=(7, 3, 2)), Transform(8)),
            (turned, Transform(8)),
        ]
        return {Path(open_pixels(index, transform).filename).name for index, transform in variants}

    known = files()
    assert len(known) == 9
    for module, name in ((PIL, "__version__"), (tifffile, "__version__"), (pixel_cache, "DECODING_VERSION")):
        monkeypatch.setattr(module, name, "0.0")
        now = files()
        assert not known & now
        known |= now


def test_the_key_does_not_depend_on_the_place(rsscn7: SceneIndex, tmp_path: Path) -> None:
    copy = index_scenes(rsscn7.card, shutil.copytree(tmp_path / "data", tmp_path / "copy"))
    open_pixels(rsscn7, Transform(8))
    assert is_cached(copy, Transform(8))


def test_unknown_filter(rsscn7: SceneIndex) -> None:
    with pytest.raises(UserError, match=r"unknown resize filter 'cubic'; known: nearest, .*bicubic"):
        Transform(8, "cubic")


def test_a_full_disk_is_told_and_leaves_nothing(rsscn7, cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"pixels of rsscn7.*No space left.*RSIR_BENCH_CACHE"):
        open_pixels(rsscn7, Transform(8))
    assert [path.suffix for path in (cache_root / "pixels").iterdir()] == [".lock"]


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path, monkeypatch, rsscn7: SceneIndex) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(UserError, match="RSIR_BENCH_CACHE"):
        open_pixels(rsscn7, Transform(8))


def test_two_processes_at_once_build_once(rsscn7: SceneIndex, tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, sys, time
        from pathlib import Path
        from fake_data import small_card
        from rsir_bench.scenes.index import index_scenes
        from rsir_bench.scenes.pixel_cache import Transform, open_pixels

        data_root, log = Path(sys.argv[1]), Path(sys.argv[2])
        index = index_scenes(small_card("rsscn7"), data_root)

        def slow_reading(event, arguments):
            if event == "open" and str(arguments[0]).endswith(".jpg"):
                with log.open("a") as file:
                    file.write(f"{os.getpid()}\\n")
                time.sleep(0.05)

        sys.addaudithook(slow_reading)
        (log.parent / f"ready{sys.argv[3]}").touch()
        while len(list(log.parent.glob("ready*"))) < 2:
            time.sleep(0.01)
        print(int(open_pixels(index, Transform(8)).sum()))
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data"), str(tmp_path / "log"), str(number)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for number in range(2)
    ]
    sums = [process.communicate(timeout=60)[0] for process in processes]
    assert sums[0] == sums[1] == f"{int(open_pixels(rsscn7, Transform(8)).sum())}\n"
    readers = (tmp_path / "log").read_text().splitlines()
    assert len(readers) >= len(rsscn7)
    assert len(set(readers)) == 1
