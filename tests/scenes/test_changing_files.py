"""Scenes that change under one's hands, and caches that are cut short or belong to somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from fake_data import write_scene
from PIL import Image

from rsir_bench.base.errors import SceneError, UserError
from rsir_bench.scenes.index import index_folder
from rsir_bench.scenes.pixel_cache import Transform, open_pixels
from rsir_bench.scenes.reading.store import FolderStore


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSIR_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Twenty scenes that have the same size in bytes."""
    for number in range(20):
        write_scene(tmp_path / f"own/{'ab'[number % 2]}/{number:02}.bmp", seed=number)
    return tmp_path / "own"


def inverted(path: Path) -> bytes:
    """Replaces the pixels, keeps size and time; returns the bytes that were there."""
    state, before = path.stat(), path.read_bytes()
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    return before


def test_pixels_of_other_bytes_than_were_hashed_are_never_kept(own: Path, cache: Path) -> None:
    index = index_folder(own)
    before = inverted(own / "a/04.bmp")  # a sync is under way
    with pytest.raises(SceneError, match=r"scenes in .* changed while they were read; run the command again"):
        open_pixels(index, Transform(20))
    assert not list((cache / "pixels").glob("*.u8"))
    (own / "a/04.bmp").write_bytes(before)  # and then the original comes back
    pixels = open_pixels(index, Transform(20))
    expected = np.asarray(Image.open(own / "a/04.bmp"))
    np.testing.assert_array_equal(pixels[index.paths.index("a/04.bmp")], expected)


def test_two_scenes_swapped_between_hashing_and_decoding_are_seen(tmp_path: Path) -> None:
    for number, path in enumerate(["x/a/1.png", "y/a/1.png", "x/b/1.png"]):  # of one class and one name
        write_scene(tmp_path / "own" / path, seed=number)
    index = index_folder(tmp_path / "own")
    (tmp_path / "own/x/a").rename(tmp_path / "own/z")
    (tmp_path / "own/y/a").rename(tmp_path / "own/x/a")
    (tmp_path / "own/z").rename(tmp_path / "own/y/a")
    with pytest.raises(SceneError, match="changed while they were read"):
        open_pixels(index, Transform(20))


def test_a_scene_replaced_under_the_same_size_and_time_is_seen(own: Path) -> None:
    before = index_folder(own).fingerprint
    inverted(own / "b/05.bmp")
    assert index_folder(own).fingerprint != before


def test_class_folders_swapped_by_their_names_are_seen(own: Path) -> None:
    for path in own.rglob("*.bmp"):  # the same file names and times in both
        os.utime(path, ns=(1, 1))
        path.rename(path.with_name(f"{int(path.stem) // 2}.bmp"))
    before = index_folder(own).fingerprint
    (own / "a").rename(own / "c")
    (own / "b").rename(own / "a")
    (own / "c").rename(own / "b")
    assert index_folder(own).fingerprint != before


def test_where_states_tell_nothing_a_few_files_are_compared(own: Path, monkeypatch, caplog) -> None:
    same = os.stat_result((0o100644, 1, 1, 1, 0, 0, 1254, 1, 1, 1))
    before = index_folder(own).fingerprint
    states = dict.fromkeys(sorted(index_folder(own).paths), (same.st_size, 1, 1, 1))
    monkeypatch.setattr(FolderStore, "states", lambda store, paths: {path: states[path] for path in paths})
    assert index_folder(own).fingerprint == before
    for path in list(own.rglob("*.bmp")):  # a copy of the whole folder with its times
        inverted(path)
    assert index_folder(own).fingerprint != before
    assert "other bytes under the same size and time; all scenes of the dataset are read again" in caplog.text


def test_a_pixel_cache_cut_short_while_in_use_is_told_and_built_again(own: Path) -> None:
    index = index_folder(own)
    pixels = open_pixels(index, Transform(20))
    expected = np.array(pixels)
    os.truncate(pixels.filename, 100)
    for rows in (np.array([3, 17]), slice(4, 9), 19):
        with pytest.raises(UserError, match="cut short while in use; run the same command again"):
            pixels[rows]
    np.testing.assert_array_equal(open_pixels(index, Transform(20)), expected)


def test_rows_of_the_cache_are_plain_arrays(own: Path) -> None:
    pixels = open_pixels(index_folder(own), Transform(20))
    assert type(pixels[np.array([0, 1])]) is np.ndarray
    assert pixels[2:4].shape == (2, 20, 20, 3)
    assert len(list(pixels)) == 20


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="NOT ROOT: no second user to try")
@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: nobody else's cache can be tried")
def test_a_cache_of_another_user_is_used_and_what_is_missing_goes_beside_it(own: Path, cache: Path) -> None:
    open_pixels(index_folder(own), Transform(20))
    kept = sorted(path for path in cache.rglob("*") if path.is_file())
    times = [path.stat().st_mtime_ns for path in kept]
    home = own.parent / "home"
    home.mkdir()
    home.chmod(0o777)
    for folder in own.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(folder.stat().st_mode | 0o055)
    script = f"""
        import os
        from pathlib import Path
        from rsir_bench.scenes.index import index_folder
        from rsir_bench.scenes.pixel_cache import Transform, open_pixels
        shared = os.environ["RSIR_BENCH_CACHE"]
        os.environ["RSIR_BENCH_CACHE"] = {str(own.parent / "first")!r}
        open_pixels(index_folder(Path({str(own)!r})), Transform(8))  # imports what the other user may not read
        os.environ["RSIR_BENCH_CACHE"] = shared
        os.setgid(65534)
        os.setuid(65534)
        os.environ["XDG_CACHE_HOME"] = {str(home)!r}
        index = index_folder(Path({str(own)!r}))
        print(open_pixels(index, Transform(20)).filename)
        print(open_pixels(index, Transform(8)).filename)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert Path(first).is_relative_to(cache)
    assert Path(second).is_relative_to(home)
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == kept
    assert [path.stat().st_mtime_ns for path in kept] == times
