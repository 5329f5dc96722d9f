"""A full or read-only disk at each write, and scenes that are gone in the middle: told in a line, and gone on from."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.commands import Commands, Job, Place
from faults.tally import Tally

# Every function that writes, and its call that is refused.
WRITES = {
    "hashes of scenes": ("pathlib:Path.write_text", 1),
    "pixel cache": ("os:fsync", 5),
    "pixel cache moved": ("pathlib:Path.replace", 6),
    "lock": ("filelock:FileLock.acquire", 4),
    "checkpoint": ("torch:save", 1),
    "second checkpoint": ("torch:save", 2),
    "weights": ("safetensors.torch:serialize_file", 1),
    "components": ("numpy:savez", 1),
    "descriptors": ("numpy:save", 2),
    "record": ("pathlib:Path.write_bytes", 11),
    "a file moved": ("pathlib:Path.replace", 12),
}
REFUSALS = {"full disk": errno.ENOSPC, "read-only folder": errno.EROFS, "quota": errno.EDQUOT, "broken disk": errno.EIO}


@pytest.mark.parametrize(
    "refusals",
    [
        pytest.param(["full disk"], marks=pytest.mark.faults),
        pytest.param(list(REFUSALS), marks=pytest.mark.nightly),
    ],
)
def test_a_write_that_the_system_refuses(
    refusals: list[str], commands: Commands, reference: Place, tally: Tally, tmp_path: Path
) -> None:
    """The system's error is raised in the place of the call: root would ignore permissions."""
    for refusal in refusals:
        for what, (at, call) in WRITES.items():
            place = reference.copy(tmp_path / refusal / what, runs=False, cache=False)
            point = {"at": at, "call": call, "when": "raise", "errno": REFUSALS[refusal]}
            tally.attempt(
                f"{refusal}, refused call",
                what,
                lambda place=place, point=point: _refused(commands, place, reference, point),
            )


def _refused(commands: Commands, place: Place, reference: Place, point: dict[str, Any]) -> None:
    (ended,) = commands(place.job(points=[point]))
    ended.check_told(1, 2)
    assert os.strerror(point["errno"]) in ended.err, ended.err[-500:]
    _goes_on(commands, place, reference)


def _goes_on(commands: Commands, place: Place, reference: Place) -> None:
    place.check_files()
    (ended,) = commands(place.job())
    ended.check_told(0)
    place.check_tidy()
    assert place.records() == reference.records()


@pytest.mark.faults
@pytest.mark.nightly
def test_a_limit_on_the_size_of_files(commands: Commands, reference: Place, tally: Tally, tmp_path: Path) -> None:
    """RLIMIT_FSIZE, which nobody is above."""
    record = max(path.stat().st_size for path in reference.runs.rglob("results/**/*.json"))
    weights = next(reference.runs.rglob("weights.safetensors")).stat().st_size
    for what, cache, limit in (
        ("cache", False, 50_000),
        ("checkpoint", True, weights // 2),
        ("weights", True, weights - 1),
    ):
        place = reference.copy(tmp_path / what, runs=False, cache=cache)
        if what == "weights":  # the checkpoint is larger, and there before
            commands(place.job(points=[{"at": "safetensors.torch:serialize_file", "call": 1, "when": "before"}]))
        tally.attempt(
            "limit on file size",
            what,
            lambda p=place, n=limit: _limited(commands, p.job(limits={"FSIZE": n}), p, reference),
        )
    place = reference.copy(tmp_path / "record")
    for path in place.runs.rglob("results/**/*.json"):
        path.unlink()
    job = place.job(limits={"FSIZE": record // 2})
    tally.attempt("limit on file size", "record", lambda: _limited(commands, job, place, reference))
    for words in (["publish", "runs", "--results", "results"], ["leaderboard", "runs", "--out", "tables"]):
        tally.attempt("limit on file size", words[0], lambda words=words: _limited_verb(commands, place, words))


def _limited(commands: Commands, job: Job, place: Place, reference: Place) -> None:
    (ended,) = commands(job)
    ended.check_told(1, 2)
    assert "File too large" in ended.err or "cannot be written" in ended.err, ended.err[-500:]
    _goes_on(commands, place, reference)


def _limited_verb(commands: Commands, place: Place, words: list[str]) -> None:
    (ended,) = commands(place.verb(*words, limits={"FSIZE": 300}))
    ended.check_told(2)
    assert "cannot be written (File too large)" in ended.err
    written = place.folder / words[-1]
    assert not [path for path in written.rglob("*") if path.is_file() and path.stat().st_size == 300]
    (ended,) = commands(place.verb(*words))
    ended.check_told(0)


@pytest.mark.faults
@pytest.mark.nightly
@pytest.mark.parametrize("part", ["runs", "cache"])
def test_a_small_or_read_only_disk(
    part: str, commands: Commands, reference: Place, tally: Tally, tmp_path: Path
) -> None:
    """A tmpfs that is full, then read-only."""
    for options in ("size=16k", "size=64k", "size=256k,ro"):
        place = reference.copy(tmp_path / options, runs=False, cache=False)
        fault = "read-only disk" if options.endswith("ro") else "full disk"
        tally.attempt(
            f"{fault}, real",
            f"{part} {options}",
            lambda place=place, options=options: _on_disk(commands, place, reference, part, options),
        )


def _on_disk(commands: Commands, place: Place, reference: Place, part: str, options: str) -> None:
    with _mounted(place.folder / part, options) as remount:
        (ended,) = commands(place.job())
        if part == "cache" and options.endswith("ro"):  # what is missing there goes to the user's own
            ended.check_told(0)
            assert place.records() == reference.records()
            assert list((place.folder / "own").rglob("*.u8"))
        else:
            ended.check_told(1, 2)
            expected = "Read-only file system" if options.endswith("ro") else "No space left"
            assert expected in ended.err or "cannot be written" in ended.err, ended.err[-500:]
        remount("size=64m,rw")
        _goes_on(commands, place, reference)


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Any]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("NO SMALL DISK: a tmpfs can only be mounted by root, outside a container or with its leave")
    try:
        yield lambda new: subprocess.run(["mount", "-o", f"remount,{new}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.faults
@pytest.mark.nightly
def test_scenes_that_are_gone_in_the_middle(commands: Commands, reference: Place, tally: Tally, tmp_path: Path) -> None:
    moments = {
        "before caching": (f"pathlib:Path.replace {'?' * 24}.json", 2, 2),  # the second list of hashes
        "before training": ("pathlib:Path.replace *.u8", 2, 0),
        "before describing": ("pathlib:Path.replace weights.safetensors", 1, 0),
        "before scoring": ("pathlib:Path.replace PCA-*.npy", 1, 0),
    }
    for moment, (at, call, code) in moments.items():
        place = reference.copy(tmp_path / moment, runs=False, cache=False)
        point = {"at": at, "call": call, "when": "remove", "folders": ["source", "target"]}
        tally.attempt(
            "lost scenes",
            moment,
            lambda place=place, point=point, code=code: _lost(commands, place, reference, point, code),
        )


def _lost(commands: Commands, place: Place, reference: Place, point: dict[str, Any], code: int) -> None:
    """Once the scenes are in the cache, a run needs their files no more."""
    (ended,) = commands(place.job(points=[point]))
    ended.check_told(code)
    if code:
        assert "unreadable" in ended.err
        assert "scene00.png" in ended.err
    else:
        assert place.records() == reference.records()
    (ended,) = commands(place.job())
    ended.check_told(2)
    assert "folder:source: no such folder" in ended.err
