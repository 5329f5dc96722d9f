"""Random tifs: every value is what was written and what rasterio reads, or the refusal is right. Random damage."""

from __future__ import annotations

import io
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_tifs import RandomTif, of_rasterio, random_tif

from rsir_bench.scenes.decode import Resize, decode_scene, why_unreadable
from rsir_bench.scenes.reading.content import SETTING
from rsir_bench.scenes.reading.scene_file import open_scene
from rsir_bench.scenes.reading.tif_codecs import ZSTANDARD, libtiff_undoes
from rsir_bench.scenes.reading.unreadable import RefusedError, UnreadableError
from rsir_bench.scenes.survey import look

NO_RASTERIO = "NO RASTERIO: pip install -e '.[oracles]' to compare tifs with what GDAL reads"
LOSSY = 3
"""Grey values in which decoders of a lossy compression may differ."""

RIGHT_REFUSALS = [
    r"several pages of palettes",
    r"JPEG of bands apart in a tif that Pillow does not open",  # a BigTIFF in big-endian order
]
WITHOUT_CODECS = [r"compression (LERC|JPEG): needs imagecodecs", r"values of 12 bits: needs imagecodecs"]
OLDER_PILLOW = [r"compression ZSTD: needs imagecodecs"]  # its libtiff was built without Zstandard


@pytest.mark.parametrize("count", [150, pytest.param(500, marks=pytest.mark.nightly)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_tifs_are_read_as_they_were_written(count: int, tmp_path: Path) -> None:
    refused: Counter[str] = Counter()
    for number in range(count):
        tif = random_tif(tmp_path, number)
        try:
            check(tif)
        except RefusedError as error:
            refused[str(error)] += 1
        tif.path.unlink()
    print(f"{count - refused.total()} of {count} read", *(f"{times} refused: {why}" for why, times in refused.items()))
    right = list(RIGHT_REFUSALS)
    if not find_spec("imagecodecs"):
        right += [*WITHOUT_CODECS, *([] if libtiff_undoes(ZSTANDARD) else OLDER_PILLOW)]
    assert not [why for why in refused if not any(re.match(pattern, why) for pattern in right)]
    assert refused.total() <= 0.1 * count


def test_rasterio_is_there_to_compare_with() -> None:
    pytest.importorskip("rasterio", reason=NO_RASTERIO)


def check(tif: RandomTif) -> None:
    """Compares a tif with what was written, and with rasterio where that is installed."""
    scene = open_scene(tif.path.read_bytes())
    bands = 3 if scene.facts.layout == "palette" else scene.facts.bands
    values = scene.values(bands)
    assert values.shape == tif.stored.shape, tif.words
    if not tif.lossy:
        assert values.dtype.newbyteorder("=") == tif.stored.dtype, tif.words
        np.testing.assert_array_equal(values, tif.stored, err_msg=tif.words)
    if tif.raw and find_spec("rasterio"):
        found = of_rasterio(tif)
        if tif.lossy:
            assert np.abs(found.astype(int) - values).max() <= LOSSY, tif.words
        else:
            np.testing.assert_array_equal(values, found, err_msg=tif.words)


def seeds(folder: Path) -> list[bytes]:
    """Returns small whole files of every kind that is read."""
    tifs = [random_tif(folder, number).path.read_bytes() for number in range(40)]
    pictures = []
    for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "JPEG2000", "PPM"):
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 31, 3), np.uint8)).save(stream, form)
        pictures.append(stream.getvalue())
    return [*tifs, *pictures * 3]


def damaged(whole: bytes, chance: np.random.Generator) -> bytes:
    """Returns a file cut off, or with a few other bytes, mostly in its head."""
    content = bytearray(whole)
    if chance.random() < 0.25:
        return bytes(content[: chance.integers(len(content))])
    reach = min(len(content), 300) if chance.random() < 0.7 else len(content)
    for _ in range(chance.integers(1, 4)):
        content[chance.integers(reach)] = chance.integers(256)
    return bytes(content)


@pytest.mark.parametrize("count", [600, pytest.param(12_000, marks=pytest.mark.nightly)])
@pytest.mark.filterwarnings("ignore")
def test_whatever_is_done_to_a_file_it_is_read_or_refused(count: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(SETTING, "5000000")  # so that no damaged size takes seconds
    chance, whole = np.random.default_rng(count), seeds(tmp_path)
    ended: Counter[str] = Counter()
    reasons: set[str] = set()
    for _ in range(count):
        content = damaged(whole[chance.integers(len(whole))], chance)
        try:
            scene = open_scene(content)
            bands = scene.facts.natural
            look(scene, bands, scene.values(bands))
            decode_scene(content, Resize(8, Image.Resampling.BILINEAR), bands, range(min(3, bands)), (0, 100))
            ended["read"] += 1
        except UnreadableError as error:
            ended[type(error).__name__] += 1
            reasons.add(why_unreadable(error))
    print(dict(ended))
    assert not [reason for reason in reasons if "\n" in reason]
    assert min(ended["read"], ended["DamagedError"], ended["RefusedError"]) > 0
