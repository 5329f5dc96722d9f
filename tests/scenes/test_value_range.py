"""The value range of a user's folder: what it is measured from, what it scales, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from rsir_bench.base.errors import SceneError
from rsir_bench.runs.keys import scenes_as_read
from rsir_bench.scenes import index as index_module
from rsir_bench.scenes.decode import Resize, decode_scene, missing_values
from rsir_bench.scenes.index import index_folder
from rsir_bench.scenes.inspect.verify import verify
from rsir_bench.scenes.pixel_cache import Transform, open_pixels
from rsir_bench.scenes.reading.content import SETTING
from rsir_bench.scenes.reading.scene_file import open_scene

SIDE = 8
AS_IS = Transform(SIDE, "nearest", bands="all")
NODATA_TAG = 42113


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def own(tmp_path: Path, *scenes: np.ndarray, **options: object) -> Path:
    """A folder of two classes; the scenes go to them by turns, and their order in the index is ``order``."""
    for number, values in enumerate(scenes):
        path = tmp_path / "own" / "ab"[number % 2] / f"{number:02}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        layout = {"photometric": "minisblack"} | ({"planarconfig": "contig"} if values.ndim == 3 else {})
        tifffile.imwrite(path, values, **{**layout, **options})
    return tmp_path / "own"


def pixels_of(folder: Path) -> list[np.ndarray]:
    """The pixels of each scene by the number in its name."""
    index = index_folder(folder)
    found = dict(zip(index.paths, np.array(open_pixels(index, AS_IS)), strict=True))
    return [found[path] for path in sorted(found, key=lambda path: Path(path).stem)]


def warnings_of(folder: Path) -> list[str]:
    """What plan and verify warn of alike, without the remedy."""
    told = [note.removeprefix("WARNING: ") for note in index_folder(folder).notes if note.startswith("WARNING: ")]
    report = verify(f"folder:{folder}", folder)
    assert list(report.warnings) == [f"{line}, or by --card" for line in told]
    assert all("\n" not in line and line.endswith("; set value_range in dataset.toml") for line in told)
    return [line.removesuffix("; set value_range in dataset.toml") for line in told]


def ramp(low: float, high: float, kind: str, *shape: int) -> np.ndarray:
    shape = shape or (SIDE, SIDE)
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape).astype(kind)


# --- what is kept ---


def test_a_range_measured_without_a_refused_scene_is_not_kept(tmp_path: Path, cache: Path, monkeypatch) -> None:
    low = [ramp(0, 1000, "uint16")] * 3
    folder = own(tmp_path, *low, ramp(0, 60_000, "uint16", 20, 20), compression="zlib")
    monkeypatch.setenv(SETTING, "500")
    refused = index_folder(folder)
    assert refused.value_range == (0, 1000)
    with pytest.raises(SceneError, match=r"1 unreadable: .*03\.tif"):
        open_pixels(refused, AS_IS)
    assert not list((cache / "values").glob("*.json"))
    monkeypatch.delenv(SETTING)
    assert index_folder(folder).value_range == (0, 60_000)
    assert len(list((cache / "values").glob("*.json"))) == 1


def test_a_range_measured_from_other_bytes_than_were_hashed_is_told_and_not_kept(
    tmp_path: Path, cache: Path, monkeypatch
) -> None:
    folder = own(tmp_path, *[ramp(0, 1000, "uint16")] * 4)
    before = {path: path.read_bytes() for path in folder.rglob("*.tif")}
    measure = index_module.kept_survey

    def while_files_are_copied(*arguments: object) -> object:
        for path in before:
            tifffile.imwrite(path, tifffile.imread(path) * 2)
        return measure(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(index_module, "kept_survey", while_files_are_copied)
        with pytest.raises(SceneError, match=r"scenes in .*own changed while they were read; run the command again"):
            index_folder(folder)
    assert not list((cache / "values").glob("*.json"))
    for path, content in before.items():
        path.write_bytes(content)
    assert index_folder(folder).value_range == (0, 1000)


@pytest.mark.skipif(os.name == "nt", reason="permissions are of another kind here")
def test_a_scene_that_is_gone_keeps_no_range(tmp_path: Path, cache: Path, monkeypatch) -> None:
    folder = own(tmp_path, *[ramp(0, 1000, "uint16")] * 3, ramp(0, 5000, "uint16"))
    measure = index_module.kept_survey

    def without_the_last(*arguments: object) -> object:
        (folder / "b/03.tif").unlink()
        return measure(*arguments)

    monkeypatch.setattr(index_module, "kept_survey", without_the_last)
    index = index_folder(folder)
    assert not list((cache / "values").glob("*.json"))
    with pytest.raises(SceneError, match=r"1 unreadable: .*03\.tif \(.*No such file"):
        open_pixels(index, AS_IS)


# --- 8-bit scenes beside others ---


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
def test_8_bit_scenes_are_never_rescaled_whatever_their_bands(bands: int, tmp_path: Path) -> None:
    small = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, bands), np.uint8)
    deep = ramp(0, 50_000, "uint16", SIDE, SIDE, bands)
    folder = own(tmp_path, *(values[..., 0] if bands == 1 else values for values in (small, deep)))
    note = "1 scene: 8-bit, so taken as stored; the value range is for the others"
    assert note in index_folder(folder).notes
    assert note in verify(f"folder:{folder}", folder).notes
    first, second = pixels_of(folder)
    np.testing.assert_array_equal(first, np.broadcast_to(small, first.shape))
    np.testing.assert_array_equal(second, np.broadcast_to(np.rint(deep / 50_000 * 255), second.shape))


def test_a_value_range_for_8_bit_scenes_of_four_bands_is_not_used(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    folder = own(tmp_path, values, values[::-1])
    (folder / "dataset.toml").write_text("value_range = [0, 4000]\n")
    index = index_folder(folder)
    assert (index.value_range, index.notes) == (None, ("value_range is not used: all scenes are 8-bit",))
    np.testing.assert_array_equal(pixels_of(folder)[0], values)


# --- warnings ---


def test_types_that_share_a_measured_range_are_named_with_their_values(tmp_path: Path) -> None:
    folder = own(tmp_path, *[ramp(0, 1, "float32"), ramp(0, 9000, "uint16")] * 2)
    assert warnings_of(folder) == [
        "scenes of different types are scaled by one measured range: float32 0..1, uint16 0..9000",
        "2 of 4 scenes look flat: they use less than 10% of the range 0..9000",
    ]
    (folder / "dataset.toml").write_text("value_range = [0, 1]\n")
    assert warnings_of(folder) == ["2 of 4 scenes look flat: they use less than 10% of the range 0..1"]
    np.testing.assert_array_equal(pixels_of(folder)[0][..., 0], np.rint(ramp(0, 1, "float32") * 255))


def test_8_bit_scenes_are_no_further_type(tmp_path: Path) -> None:
    assert warnings_of(own(tmp_path, ramp(0, 255, "uint8"), ramp(0, 9000, "uint16"))) == []


def test_scenes_made_flat_by_missing_values_without_a_tag_are_counted(tmp_path: Path) -> None:
    scenes = [ramp(0, 1, "float32") for _ in range(6)]
    scenes[0][0, :6] = -9999  # 9 %
    folder = own(tmp_path, *scenes)
    assert warnings_of(folder) == ["5 of 6 scenes look flat: they use less than 10% of the range -9999..1"]
    (folder / "dataset.toml").write_text("value_range = [0, 1]\n")
    assert warnings_of(folder) == []


def test_a_few_flat_scenes_among_many_are_not_warned_of(tmp_path: Path) -> None:
    water = ramp(0, 50, "uint16")
    folder = own(tmp_path, water, *[ramp(0, 9000, "uint16")] * 10)
    assert warnings_of(folder) == []
    (folder / "a/10.tif").unlink()
    assert warnings_of(folder) == ["1 of 10 scenes looks flat: they use less than 10% of the range 0..9000"]


def test_floats_that_are_all_missing_name_the_file_that_gives_a_range(tmp_path: Path) -> None:
    folder = own(tmp_path, *[np.full((SIDE, SIDE), np.nan, np.float32)] * 2)
    assert warnings_of(folder) == ["no range can be measured: all values are missing (NaN, infinite or nodata)"]
    with pytest.raises(SceneError, match=r"float32 need a value_range\); set value_range in dataset\.toml$"):
        open_pixels(index_folder(folder), AS_IS)
    (folder / "dataset.toml").write_text("value_range = [0, 1]\n")
    assert [int(pixels.max()) for pixels in pixels_of(folder)] == [0, 0]


# --- missing values ---


@pytest.mark.parametrize(
    ("kind", "text", "values", "missing"),
    [
        ("float32", "-3.40282e+38", [np.finfo("f4").min, -3.4e38, -1, 0, 3.4e38], [True, True, False, False, False]),
        ("float32", "-3.4028235e+38", [np.finfo("f4").min, 0], [True, False]),
        ("float32", "-9999", [-9999, -9999.001, -9999.1, 9999], [True, True, False, False]),
        ("float64", "-9999", [-9999, -9999.001, -9999.1], [True, True, False]),
        ("float64", "-1.79769313486e+308", [np.finfo("f8").min, 0], [True, False]),
        ("float32", "0", [0, 1e-30, -1e-30], [True, False, False]),
        ("int32", "-9999", [-9999, -9998], [True, False]),
    ],
)
def test_missing_floats_are_nearly_equal_to_their_text_as_in_gdal(
    kind: str, text: str, values: list[float], missing: list[bool], tmp_path: Path
) -> None:
    """The expected ones are those that GDAL 3.10 masks."""
    stored = np.array([values], kind)
    tifffile.imwrite(tmp_path / "1.tif", stored, extratags=[(NODATA_TAG, "s", 0, text, True)])
    scene = open_scene((tmp_path / "1.tif").read_bytes())
    found = missing_values(scene.values(3), scene.facts.nodata)
    assert found is not None
    assert found[0, :, 0].tolist() == missing


# --- values of any size ---


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float32", np.finfo("f4").min),
        ("float32", 1e30),
        ("float64", np.finfo("f8").max),
        ("float64", np.finfo("f8").min),
        ("float64", 5e-324),
        ("uint64", 2**63),
        ("int64", 2**53 + 2),
        ("uint16", 7),
    ],
)
def test_scenes_of_one_value_are_told_to_be_flat(kind: str, value: float, tmp_path: Path) -> None:
    folder = own(tmp_path, *[np.full((SIDE, SIDE), value, kind)] * 2)
    low, high = index_folder(folder).value_range
    assert low < high < np.inf
    (warning,) = warnings_of(folder)
    assert warning.startswith("2 of 2 scenes look flat")
    assert len({int(pixel) for pixels in pixels_of(folder) for pixel in np.unique(pixels)}) == 1


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("float64", -1.7e308, 1.7e308),
        ("float64", 0, 1e-318),
        ("float64", 0, 1e-300),
        ("float32", -3.2e38, 3.2e38),
        ("float32", 0, 3e38),
        ("float32", 0, 1e-38),
        ("float32", -0.5, 0.5),
        ("uint64", 0, 2**63),
    ],
)
def test_values_of_any_size_fill_0_to_255(kind: str, low: float, high: float, tmp_path: Path) -> None:
    places = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)
    values = (low / 2 * (1 - places) + high / 2 * places).astype(kind) * np.array(2, kind)
    folder = own(tmp_path, values, values)
    assert warnings_of(folder) == []
    assert np.abs(pixels_of(folder)[1][..., 0] - places * 255).max() <= 0.6
    whole = decode_scene(
        (folder / "a/00.tif").read_bytes(), Resize(SIDE, Image.Resampling.BILINEAR), 3, (0,), (low, high)
    )
    assert np.abs(whole[..., 0] - places * 255).max() <= 0.6


# --- bands ---


def test_bands_that_change_what_the_first_three_are_are_known_to_the_index(tmp_path: Path) -> None:
    inks = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    folder = own(tmp_path, inks, inks[::-1], photometric="separated")
    shown = Transform(SIDE)
    plain = index_folder(folder)
    (folder / "dataset.toml").write_text("bands = 3\n")
    assert (plain.given_bands, index_folder(folder).given_bands) == (None, None)
    (folder / "dataset.toml").write_text("bands = 4\n")
    four = index_folder(folder)
    assert (four.given_bands, four.fingerprint) == (4, plain.fingerprint)
    assert shown.kept_bands(four) == shown.kept_bands(plain)
    assert (open_pixels(four, shown) != open_pixels(plain, shown)).any()
    assert scenes_as_read(plain, shown) == plain.fingerprint
    assert scenes_as_read(four, shown) == [four.fingerprint, (0, 1, 2), None, 4]


def test_bands_that_all_scenes_have_are_nothing_given(tmp_path: Path) -> None:
    folder = own(tmp_path, *[ramp(0, 255, "uint8", SIDE, SIDE, 5)] * 2)
    (folder / "dataset.toml").write_text("bands = 5\n")
    assert index_folder(folder).given_bands is None
