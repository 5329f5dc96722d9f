"""Random valid tifs: every value is the one that was written and that rasterio reads, or the refusal is right."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from random_tifs import RandomTif, of_rasterio, random_tif

from rsir_bench.scenes.reading.scene_file import open_scene_at
from rsir_bench.scenes.reading.unreadable import RefusedError

NO_RASTERIO = "NO RASTERIO: pip install -e '.[oracles]' to compare tifs with what GDAL reads"
LOSSY = 3
"""Grey values in which decoders of a lossy compression may differ."""

RIGHT_REFUSALS = [
    r"several pages of palettes",
    r"JPEG of bands apart in a tif that Pillow does not open",  # a BigTIFF in big-endian order
]
WITHOUT_CODECS = [r"compression (LERC|JPEG): needs imagecodecs", r"values of 12 bits: needs imagecodecs"]


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
    right = RIGHT_REFUSALS if find_spec("imagecodecs") else [*RIGHT_REFUSALS, *WITHOUT_CODECS]
    assert not [why for why in refused if not any(re.match(pattern, why) for pattern in right)]
    assert refused.total() <= 0.1 * count


@pytest.mark.nightly
def test_rasterio_is_there_to_compare_with() -> None:
    pytest.importorskip("rasterio", reason=NO_RASTERIO)


def check(tif: RandomTif) -> None:
    """Compares a tif with what was written, and with rasterio where that is installed."""
    scene = open_scene_at(tif.path)
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
