"""Files of every kind: exact values by content, not by name, or a refusal with the reason and the right advice."""

from __future__ import annotations

import io
import os
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.scenes.decode import Resize, decode_scene, remedy, scene_bands
from rsir_bench.scenes.reading.content import SETTING, most_bytes, read_content
from rsir_bench.scenes.reading.scene_file import open_scene
from rsir_bench.scenes.reading.store import FolderStore
from rsir_bench.scenes.reading.tif_codecs import ZSTANDARD, libtiff_undoes
from rsir_bench.scenes.reading.unreadable import DamagedError, OtherBandsError, RefusedError

SIDE = 12
AS_IS = Resize(SIDE, Image.Resampling.NEAREST)


def noise(*shape: int, kind: str = "uint8", high: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape, kind)


def stored(path: Path, bands: int) -> np.ndarray:
    return open_scene(path.read_bytes()).values(bands)


def paeth(a: int, b: int, c: int) -> int:
    return min((a, b, c), key=lambda near: abs(a + b - c - near))


def png_of_16_bits(values: np.ndarray) -> bytes:
    height, width, channels = values.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    pixel, above, rows = 2 * channels, bytes(2 * channels * width), b""
    for number, line in enumerate(row.astype(">u2").tobytes() for row in values):
        left, corner = bytes(pixel) + line[:-pixel], bytes(pixel) + above[:-pixel]
        kind, around = number % 5, list(zip(left, above, corner, strict=True))  # each of the five filters in turn
        guess = [(0, a, b, (a + b) // 2, paeth(a, b, c))[kind] for a, b, c in around]
        rows += bytes([kind, *((value - near) % 256 for value, near in zip(line, guess, strict=True))])
        above = line
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("packed", ["tiff_lzw", "zstd", "packbits", "lzma", "tiff_adobe_deflate"])
def test_grey_of_16_bits_is_read_whatever_packs_it(packed: str, tmp_path: Path) -> None:
    if packed == "zstd" and not libtiff_undoes(ZSTANDARD):
        pytest.skip("NO ZSTANDARD: this Pillow was built without it")
    values = noise(SIDE, SIDE, kind="uint16", high=65_536)
    Image.fromarray(values).save(tmp_path / "1.tif", compression=packed)
    np.testing.assert_array_equal(stored(tmp_path / "1.tif", 3)[..., 0], values)


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
def test_three_bands_are_three_bands_by_any_tag(photometric: str, layout: str, tmp_path: Path) -> None:
    values = noise(SIDE, SIDE, 3)
    written = np.moveaxis(values, 2, 0) if layout == "separate" else values
    tifffile.imwrite(tmp_path / "1.tif", written, photometric=photometric, planarconfig=layout)
    np.testing.assert_array_equal(decode_scene((tmp_path / "1.tif").read_bytes(), AS_IS, 3, (0, 1, 2), None), values)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("tag", ["unassalpha", "assocalpha"])
def test_a_fourth_band_tagged_alpha_is_left_out_or_kept_as_the_dataset_says(
    tag: str, kind: str, tmp_path: Path
) -> None:
    values = noise(SIDE, SIDE, 4, kind=kind)
    tifffile.imwrite(tmp_path / "1.tif", values, photometric="rgb", planarconfig="contig", extrasamples=[tag])
    assert (scene_bands(FolderStore(tmp_path), "1.tif"), scene_bands(FolderStore(tmp_path), "1.tif", 4)) == (3, 4)
    np.testing.assert_array_equal(stored(tmp_path / "1.tif", 3), values[..., :3])
    np.testing.assert_array_equal(stored(tmp_path / "1.tif", 4), values)
    assert open_scene((tmp_path / "1.tif").read_bytes()).facts.alpha == 4


def test_a_fourth_band_that_is_not_alpha_is_never_dropped(tmp_path: Path) -> None:
    values = noise(SIDE, SIDE, 4)
    tifffile.imwrite(tmp_path / "1.tif", values, photometric="rgb", planarconfig="contig", extrasamples=["unspecified"])
    assert scene_bands(FolderStore(tmp_path), "1.tif") == 4
    with pytest.raises(OtherBandsError, match="holds 4 bands, not 3"):
        stored(tmp_path / "1.tif", 3)


def test_reduced_pages_and_masks_are_not_the_scene_wherever_they_stand(tmp_path: Path) -> None:
    scene = noise(SIDE, SIDE, 3)
    with tifffile.TiffWriter(tmp_path / "1.tif") as tif:
        tif.write(scene[::4, ::4], photometric="rgb", subfiletype=1)
        tif.write(np.ones((SIDE, SIDE), bool), photometric="mask", subfiletype=4)
        tif.write(scene, photometric="rgb")
        tif.write(scene[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(stored(tmp_path / "1.tif", 3), scene)
    assert open_scene((tmp_path / "1.tif").read_bytes()).facts.notes == ("3 further pages are left out",)


def test_the_old_tag_of_reduced_pages_counts_too(tmp_path: Path) -> None:
    scene = noise(SIDE, SIDE, 3)
    with tifffile.TiffWriter(tmp_path / "1.tif") as tif:
        tif.write(scene[::4, ::4], photometric="rgb", metadata=None, extratags=[(255, "H", 1, 2, True)])
        tif.write(scene, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(stored(tmp_path / "1.tif", 3), scene)


def test_a_larger_page_behind_the_first_is_asked_about(tmp_path: Path) -> None:
    scene = noise(SIDE, SIDE, 3)
    with tifffile.TiffWriter(tmp_path / "1.tif") as tif:
        tif.write(scene[::4, ::4], photometric="rgb")
        tif.write(scene, photometric="rgb")
    with pytest.raises(RefusedError, match="first page is 3 x 3, a later one 12 x 12; mark the smaller as reduced"):
        stored(tmp_path / "1.tif", 3)


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    indices, colours = noise(SIDE, SIDE), noise(3, 256, kind="uint16", high=65_536)
    tifffile.imwrite(tmp_path / "1.tif", indices, photometric="palette", colormap=colours)
    expected = np.moveaxis(colours[:, indices] >> 8, 0, 2)
    np.testing.assert_array_equal(stored(tmp_path / "1.tif", 3), expected)
    np.testing.assert_array_equal(expected, np.asarray(Image.open(tmp_path / "1.tif").convert("RGB")))


def test_an_orientation_tag_turns_nothing(tmp_path: Path) -> None:
    values = noise(SIDE, 7, 3)
    for number, packed in enumerate((None, "tiff_lzw", "jpeg")):
        Image.fromarray(values).save(tmp_path / f"{number}.tif", compression=packed, tiffinfo={274: 6})
        scene = open_scene((tmp_path / f"{number}.tif").read_bytes())
        assert scene.values(3).shape == (SIDE, 7, 3)
        assert scene.facts.notes == ("has a rotation tag, which is not applied (as in torchvision)",)
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(values).save(tmp_path / "1.png", exif=exif)
    scene = open_scene((tmp_path / "1.png").read_bytes())
    np.testing.assert_array_equal(scene.values(3), values)
    assert scene.facts.notes == ("has a rotation tag, which is not applied (as in torchvision)",)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_keeps_all_of_them(channels: int, tmp_path: Path) -> None:
    values = noise(SIDE, SIDE, channels, kind="uint16", high=65_536)
    (tmp_path / "1.png").write_bytes(png_of_16_bits(values))
    scene = open_scene((tmp_path / "1.png").read_bytes())
    assert (scene.facts.type, scene.facts.natural) == ("uint16", 3)
    np.testing.assert_array_equal(scene.values(channels), values)
    np.testing.assert_array_equal(scene.values(3), values[..., : 1 if channels < 3 else 3])


@pytest.mark.parametrize("bits", [16, 8])
def test_jpeg_2000_without_loss_is_exact(bits: int, tmp_path: Path) -> None:
    values = noise(40, 40, kind=f"uint{bits}", high=2**bits)
    Image.fromarray(values).save(tmp_path / "1.jp2", irreversible=False)
    np.testing.assert_array_equal(stored(tmp_path / "1.jp2", 3)[..., 0], values)


def test_pgm_of_16_bits_and_ppm_of_8(tmp_path: Path) -> None:
    grey, colours = noise(SIDE, SIDE, kind="uint16", high=65_536), noise(SIDE, SIDE, 3)
    (tmp_path / "1.pgm").write_bytes(b"P5 12 12 65535\n" + grey.astype(">u2").tobytes())
    (tmp_path / "2.pgm").write_bytes(b"P5 12 12 4095\n" + (grey // 16).astype(">u2").tobytes())
    Image.fromarray(colours).save(tmp_path / "3.ppm")
    np.testing.assert_array_equal(stored(tmp_path / "1.pgm", 3)[..., 0], grey)
    with pytest.raises(RefusedError, match="values up to 4,095, which Pillow scales; save the scene as tif"):
        stored(tmp_path / "2.pgm", 3)
    np.testing.assert_array_equal(stored(tmp_path / "3.ppm", 3), colours)


def test_content_not_the_name_says_how_a_file_is_read(tmp_path: Path) -> None:
    values = noise(SIDE, SIDE, 3)
    for number, (form, suffix) in enumerate([("TIFF", "png"), ("PNG", "tif"), ("BMP", "jpg"), ("GIF", "tif")]):
        path = tmp_path / f"{number}.{suffix}"
        Image.fromarray(values).save(path, form)
        np.testing.assert_array_equal(stored(path, 3), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "uint32", "float16", "float32", "float64", "int64"])
def test_values_of_any_type_are_scaled_by_their_range(kind: str, tmp_path: Path) -> None:
    low, high = (0, 100) if kind.startswith(("f", "u")) else (-100, 100)
    values = np.random.default_rng(1).integers(low, high, (SIDE, SIDE, 4), endpoint=True).astype(kind)
    tifffile.imwrite(tmp_path / "1.tif", values, photometric="minisblack", planarconfig="contig")
    pixels = decode_scene((tmp_path / "1.tif").read_bytes(), AS_IS, 4, range(4), (low, high))
    exact = (values.astype(np.float64) - low) * 255 / (high - low)
    assert np.abs(pixels - exact).max() <= 0.5 + 1e-4


def test_large_integers_keep_their_digits(tmp_path: Path) -> None:
    values = 2**31 + np.arange(SIDE * SIDE, dtype=np.uint32).reshape(SIDE, SIDE)
    tifffile.imwrite(tmp_path / "1.tif", values)
    pixels = decode_scene((tmp_path / "1.tif").read_bytes(), AS_IS, 3, (0, 1, 2), (2**31, 2**31 + 143))
    np.testing.assert_array_equal(pixels[..., 0], np.rint(np.arange(144) * 255 / 143).reshape(SIDE, SIDE))


def test_missing_values_become_the_low_end_and_spoil_no_neighbour(tmp_path: Path) -> None:
    values = np.full((SIDE, SIDE), 50, np.float32)
    values[3, 3], values[5, 5], values[7, 7] = np.nan, np.inf, -9999
    tifffile.imwrite(tmp_path / "1.tif", values, extratags=[(42113, "s", 0, "-9999", True)])
    assert open_scene((tmp_path / "1.tif").read_bytes()).facts.nodata == -9999
    pixels = decode_scene((tmp_path / "1.tif").read_bytes(), AS_IS, 3, (0, 1, 2), (0, 100))[..., 0]
    assert [pixels[at, at] for at in (3, 5, 7)] == [0, 0, 0]
    assert set(np.unique(pixels)) == {0, 128}


def test_a_card_of_three_bands_may_name_their_order(tmp_path: Path) -> None:
    values = noise(SIDE, SIDE, 3)
    Image.fromarray(values).save(tmp_path / "1.png")
    np.testing.assert_array_equal(
        decode_scene((tmp_path / "1.png").read_bytes(), AS_IS, 3, (2, 1, 0), None), values[..., ::-1]
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image, but PostScript; save"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "not an image, but HDF5"),
        (b"%PDF-1.7\n" + bytes(99), "not an image, but PDF"),
        (bytes(4) + b"ftypavif" + bytes(99), "holds 'avif' data, which is not supported; save it as PNG"),
    ],
)
def test_other_kinds_of_files_are_named_and_nothing_else_is_started(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(content)
    with pytest.raises(RefusedError, match=told) as caught:
        stored(tmp_path / "1.jpg", 3)
    assert remedy(caught.value, archived=True) == "convert or remove files of other kinds"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000", "PPM"])
def test_a_cut_file_is_damaged_and_only_such_a_file_is_to_be_restored(form: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(stream, form)
    for share in (0.02, 0.5, 0.9):
        with pytest.raises(DamagedError) as caught:
            open_scene(stream.getvalue()[: int(len(stream.getvalue()) * share)]).values(3)
        assert remedy(caught.value, archived=True) == "restore damaged files from the archive"


@pytest.mark.skipif(bool(find_spec("imagecodecs")), reason="imagecodecs is installed")
def test_what_only_imagecodecs_reads_names_the_command_that_installs_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "1.tif", noise(SIDE, SIDE, 5), photometric="minisblack", planarconfig="contig")
    with tifffile.TiffFile(tmp_path / "1.tif", mode="r+b") as tif:
        tif.pages[0].tags["Compression"].overwrite(34887)
    told = r"compression LERC: needs imagecodecs, install it with `pip install 'rsir-bench\[tif\]'`"
    with pytest.raises(RefusedError, match=told):
        stored(tmp_path / "1.tif", 5)


def test_a_scene_of_too_many_bytes_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch) -> None:
    tifffile.imwrite(tmp_path / "1.tif", noise(SIDE, SIDE, 5), photometric="minisblack", planarconfig="contig")
    with tifffile.TiffFile(tmp_path / "1.tif", mode="r+b") as tif:
        for name in ("ImageWidth", "ImageLength"):
            tif.pages[0].tags[name].overwrite(13_000)
    with pytest.raises(RefusedError, match=f"13,000 x 13,000 pixels of 5 bands .*268,435,456; .* or raise {SETTING}"):
        stored(tmp_path / "1.tif", 5)
    png = bytearray(png_of_16_bits(noise(2, 2, 1, kind="uint16")))
    png[16:24] = struct.pack(">II", 13_000, 13_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    with pytest.raises(RefusedError, match="13,000 x 13,000 pixels of 1 bands are 338,000,000 bytes"):
        open_scene(bytes(png)).values(3)
    monkeypatch.setenv(SETTING, "100")
    (tmp_path / "2.png").write_bytes(png_of_16_bits(noise(3, 3, 3, kind="uint16", high=9)))
    assert open_scene((tmp_path / "2.png").read_bytes()).values(3).nbytes == 54
    with pytest.raises(RefusedError, match="a file of 1,024 bytes; a scene may have 100"):
        read_content(tmp_path / "1.tif")
    monkeypatch.setenv(SETTING, "many")
    with pytest.raises(UserError, match="not a whole number of bytes; set for example"):
        most_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_only_regular_files_are_read_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "y.png")
    (tmp_path / "z.png").symlink_to(tmp_path / "y.png")
    for path in (tmp_path / "x.png", Path("/dev/zero")):
        with pytest.raises(RefusedError, match="is a pipe, a device or a folder, not a regular file; remove it"):
            read_content(path)
    assert read_content(tmp_path / "z.png") == (tmp_path / "y.png").read_bytes()
    with pytest.raises(SceneError, match=r"x\.png \(is a pipe, a device"):
        scene_bands(FolderStore(tmp_path), "x.png")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_no_scene(form: str) -> None:
    stream, frames = io.BytesIO(), [Image.fromarray(noise(9, 9, 3) // step) for step in (1, 2)]
    frames[0].save(stream, form, save_all=True, append_images=frames[1:])
    with pytest.raises(RefusedError, match="contains several images"):
        open_scene(stream.getvalue())


def test_an_error_of_the_program_is_not_taken_for_damage(tmp_path: Path, monkeypatch) -> None:
    tifffile.imwrite(tmp_path / "1.tif", noise(SIDE, SIDE, 5), photometric="minisblack", planarconfig="contig")
    with pytest.raises(AttributeError):
        decode_scene((tmp_path / "1.tif").read_bytes(), None, 5, range(5), None)  # type: ignore[arg-type]
