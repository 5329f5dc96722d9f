"""Damaged files of every kind: found out, named, and made again or refused; never a traceback, never a hang."""

from __future__ import annotations

import io
import random
import shutil
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from faults.commands import Commands, Place
from faults.tally import Tally, told
from PIL import Image

from rsir_bench.base.files import seal_of
from rsir_bench.records.store import read_record
from rsir_bench.scenes.index import index_folder
from rsir_bench.scenes.pixel_cache import Transform, open_pixels

SECONDS = 20


def _flip(data: bytearray, chance: random.Random) -> bytes:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _flip_in_head(data: bytearray, chance: random.Random) -> bytes:
    data[chance.randrange(min(len(data), 64))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _zeros(data: bytearray, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    return bytes(data)


def _noise(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(max(1, len(data) // 50)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


MUTATIONS: list[Callable[[bytearray, random.Random], bytes]] = [
    _flip,
    lambda data, chance: bytes(data[: chance.randrange(len(data))]),
    lambda data, chance: b"",
    _flip_in_head,
    _zeros,
    _noise,
    lambda data, chance: chance.randbytes(len(data)),
    lambda data, chance: bytes(data) + chance.randbytes(100),
]


def damage(path: Path, number: int, chance: random.Random) -> None:
    """Changes a file on the disk in the way of the number; at least one byte differs then."""
    before = path.read_bytes()
    after = MUTATIONS[number % len(MUTATIONS)](bytearray(before), chance)
    path.write_bytes(after if after != before else _flip(bytearray(before), chance))


@contextmanager
def _in_time() -> Iterator[None]:
    def hangs(*_: object) -> None:
        pytest.fail("hangs")

    old = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def _pictures() -> dict[str, bytes]:
    """One file of each kind that is read."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    files = {}
    for suffix, kind in (("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"), ("webp", "WEBP"), ("tif", "TIFF")):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind)
        files[suffix] = stream.getvalue()
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.arange(24 * 24 * 5, dtype=np.uint16).reshape(5, 24, 24), photometric="minisblack")
    return {**files, "bands.tif": stream.getvalue()}


def _read_folder(folder: Path) -> str:
    """Indexes and decodes a folder; what was told, one line, or nothing."""
    with _in_time():
        line = told(lambda: open_pixels(index_folder(folder), Transform(16)))
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    "tries", [pytest.param(60, marks=pytest.mark.faults), pytest.param(360, marks=pytest.mark.nightly)]
)
def test_mutated_images(tries: int, tally: Tally, tmp_path: Path) -> None:
    chance = random.Random(tries)
    kinds = _pictures()
    for number in range(tries):
        kind = list(kinds)[number % len(kinds)]
        folder = tmp_path / str(number)
        for name in ("a", "b"):
            (folder / name).mkdir(parents=True)
            (folder / name / f"1.{kind}").write_bytes(kinds[kind])
        whole = index_folder(folder).fingerprint
        damage(folder / "a" / f"1.{kind}", number // len(kinds), chance)

        def check(folder: Path = folder, whole: str = whole, kind: str = kind) -> None:
            line = _read_folder(folder)
            # Not every flipped bit can be seen in a picture; the fingerprint of the scenes is another in any case.
            assert f"a/1.{kind}" in line or index_folder(folder).fingerprint != whole

        tally.attempt("mutated image", f"{kind} {number}", check)
        shutil.rmtree(folder)


def _huge_png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )


def _huge_tif() -> bytes:
    small = bytearray(_pictures()["bands.tif"])
    with tifffile.TiffFile(io.BytesIO(bytes(small))) as tif:
        places = [
            tag.valueoffset for page in tif.pages for tag in page.tags if tag.name in ("ImageWidth", "ImageLength")
        ]
        codes = [tag.dtype for page in tif.pages for tag in page.tags if tag.name in ("ImageWidth", "ImageLength")]
    for place, code in zip(places, codes, strict=True):
        small[place : place + (2 if code == 3 else 4)] = struct.pack("<H" if code == 3 else "<I", 60_000)
    return bytes(small)


@pytest.mark.faults
@pytest.mark.nightly
def test_bombs_and_wrong_names(tally: Tally, tmp_path: Path) -> None:
    good = _pictures()
    cases = {
        "bomb.png": (_huge_png(), "DecompressionBombError"),
        "bomb.tif": (_huge_tif(), "unreadable|cannot read"),
        "text.jpg": (b"not an image\n" * 20, "not an image"),
        "page.png": (b"<html><script>alert(1)</script></html>", "not an image"),
        "empty.webp": (b"", "not an image"),
        "really a tif.png": (good["bands.tif"], ""),
        "really a png.jpg": (good["png"], ""),
    }
    for name, (content, expected) in cases.items():
        folder = tmp_path / name
        for place in ("a", "b"):
            (folder / place).mkdir(parents=True)
            (folder / place / name).write_bytes(content)

        def check(folder: Path = folder, expected: str = expected) -> None:
            line = _read_folder(folder)
            assert any(word in line for word in expected.split("|")), line
            assert bool(line) == bool(expected), line

        tally.attempt("bomb or wrong name", name, check)


@pytest.mark.parametrize(
    "tries", [pytest.param(24, marks=pytest.mark.faults), pytest.param(120, marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("sealed", [True, False])
def test_mutated_records(tries: int, sealed: bool, reference: Place, tally: Tally, tmp_path: Path) -> None:
    """With its checksum any change is found; a published one has none, and then it is a valid record or refused."""
    chance = random.Random(tries)
    original = next(path for path in reference.runs.rglob("results/**/*.json"))
    for number in range(tries):
        path = tmp_path / f"{number}.json"
        shutil.copy(original, path)
        if sealed:
            shutil.copy(seal_of(original), seal_of(path))
        damage(path, number, chance)

        def check(path: Path = path) -> None:
            with _in_time():
                line = told(lambda: read_record(path))
            assert "\n" not in line
            assert str(path) in line or (not line and not sealed)

        tally.attempt(f"mutated record, {'with' if sealed else 'without'} checksum", number, check)


# Files of a run: pattern, what is removed so that the file is read again, and what happens.
PARTS = {
    "descriptors": ("runs/**/*.npy", ["results"], "rebuilt"),
    "components": ("runs/**/*.npz", ["results", "descriptors"], "rebuilt"),
    "note of describing": ("runs/**/described.json", ["results"], "rebuilt"),
    "weights": ("runs/**/weights.safetensors", ["results", "descriptors", "pca"], "refused"),
    "note of training": ("runs/**/trained.json", ["results", "descriptors", "pca"], "refused"),
    "checkpoint": ("runs/**/checkpoint.pt", [], "refused"),
    "record": ("runs/**/results/**/*.json", [], "refused"),
    "pixel cache": ("cache/pixels/*.u8", ["results"], "rebuilt"),
    "hashes of scenes": ("cache/hashes/*.json", ["results"], "rebuilt"),
}


@pytest.fixture(scope="module")
def stopped(commands: Commands, reference: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that was killed between its last checkpoint and its weights."""
    place = reference.copy(tmp_path_factory.mktemp("stopped") / "place", runs=False)
    (ended,) = commands(place.job(points=[{"at": "safetensors.torch:serialize_file", "call": 1, "when": "before"}]))
    assert ended.killed
    return place


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "tries", [pytest.param(2, marks=pytest.mark.faults), pytest.param(8, marks=pytest.mark.nightly)]
)
def test_mutated_files_of_a_run(
    part: str, tries: int, commands: Commands, reference: Place, stopped: Place, tally: Tally, tmp_path: Path
) -> None:
    pattern, removed, outcome = PARTS[part]
    chance = random.Random(f"{part} {tries}")
    for number in range(tries):
        place = (stopped if part == "checkpoint" else reference).copy(tmp_path / str(number))
        for folder in removed:
            shutil.rmtree(next(place.runs.rglob(folder)))
        if part == "hashes of scenes":  # they are kept by the folder of the scenes, which is another now
            shutil.rmtree(place.cache / "hashes")
            commands(place.job("--plan"))
        path = chance.choice(sorted(place.folder.glob(pattern)))
        damage(path, number, chance)
        tally.attempt(
            f"damaged {part}",
            f"{path.name} {number}",
            lambda place=place, path=path: _check(commands, place, reference, path, outcome),
        )


@pytest.mark.faults
@pytest.mark.nightly
def test_files_from_before_there_were_checksums(
    commands: Commands, reference: Place, stopped: Place, tally: Tally, tmp_path: Path
) -> None:
    """Cut off, they are refused all the same."""
    for part, (pattern, removed, _) in PARTS.items():
        if part in ("record", "pixel cache", "hashes of scenes"):
            continue  # tested above, in tests/scenes
        place = (stopped if part == "checkpoint" else reference).copy(tmp_path / part)
        for folder in removed:
            shutil.rmtree(next(place.runs.rglob(folder)))
        path = min(place.folder.glob(pattern))
        path.write_bytes(path.read_bytes()[:-60])
        seal_of(path).unlink(missing_ok=True)
        tally.attempt(
            "damaged, without checksum",
            part,
            lambda place=place, path=path: _check(commands, place, reference, path, "refused"),
        )


def _check(commands: Commands, place: Place, reference: Place, path: Path, outcome: str) -> None:
    damaged = path.read_bytes()
    (ended,) = commands(place.job())
    ended.check_told(*((0,) if outcome == "rebuilt" else (1, 2)))
    if "hashes" not in path.parts:  # this list is made anew without a word
        assert path.name in ended.err, ended.err[-500:]
    if outcome == "rebuilt":
        place.check_files()
        assert place.records() == reference.records()
        return
    assert path.read_bytes() == damaged
    path.unlink()  # as the line says
    (ended,) = commands(place.job())
    if path.suffix == ".safetensors":  # of which the note must go
        ended.check_told(1)
        next(place.runs.rglob("trained.json")).unlink()
        (ended,) = commands(place.job())
    ended.check_told(0)
    assert place.records() == reference.records()
