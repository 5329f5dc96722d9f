"""SIGKILL anywhere: nothing half-written is left under its name, and going on ends with the same records."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from faults.commands import ONE_THREAD, Commands, Place
from faults.tally import Tally

# Where a process dies, by what it is doing then: a function, for which file, and when in its call ("half": the file is
# cut there).
POINTS = {
    "caching": [
        ("os:open scene*.png", "before"),
        ("os:fsync", "before"),
        ("pathlib:Path.replace", "before"),
        ("pathlib:Path.replace", "after"),
    ],
    "training": [("torch.optim:SGD.step", "before"), ("torch:save", "half"), ("torch:save", "after")],
    "describing": [
        ("pathlib:Path.replace weights.safetensors", "after"),
        ("pathlib:Path.replace *.npz", "after"),
        ("numpy:savez", "half"),
        ("numpy:save", "half"),
        ("numpy:save", "after"),
    ],
    "scoring": [
        ("pathlib:Path.replace *.npy", "after"),
        ("pathlib:Path.replace described.json", "after"),
    ],
    "writing records": [
        ("pathlib:Path.replace *-????????.json", "before"),
        ("pathlib:Path.replace *-????????.json", "after"),
        ("pathlib:Path.write_bytes", "half"),
        ("pathlib:Path.write_bytes", "after"),
        ("pathlib:Path.unlink", "before"),
    ],
}


@pytest.fixture(scope="module")
def passed(
    commands: Commands, reference: Place, tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, dict[str, int]]:
    """How often a run that nothing befalls passes each point, and how long it takes (ms), by whether it has a cache."""
    folder = tmp_path_factory.mktemp("counted")
    places = {cache: reference.copy(folder / str(cache), runs=False, cache=cache) for cache in (False, True)}
    return {cache: _passed(commands, reference, place) for cache, place in places.items()}


def _passed(commands: Commands, reference: Place, place: Place) -> dict[str, int]:
    counts = place.folder / "counts.json"
    points = [{"at": at} for at in {at for points in POINTS.values() for at, _ in points}]
    (ended,) = commands(place.job(points=points, counts=counts))
    ended.check_told(0)
    assert place.records() == reference.records()
    return {**json.loads(counts.read_text()), "ms": int(1000 * ended.seconds)}


@pytest.mark.parametrize("doing", POINTS)
@pytest.mark.parametrize(
    "tries", [pytest.param(2, marks=pytest.mark.faults), pytest.param(7, marks=pytest.mark.nightly)]
)
def test_killed_at_a_named_point(
    doing: str,
    tries: int,
    commands: Commands,
    reference: Place,
    passed: dict[bool, dict[str, int]],
    tally: Tally,
    tmp_path: Path,
) -> None:
    chance = random.Random(f"{doing} {tries}")
    cache = doing != "caching"
    for number in range(tries):
        at, when = POINTS[doing][number % len(POINTS[doing])]
        point = {"at": at, "when": when, "call": chance.randint(1, passed[cache][at])}
        place = reference.copy(tmp_path / str(number), runs=False, cache=cache)
        label = f"{at} {when} call {point['call']}"
        tally.attempt(
            f"SIGKILL while {doing}",
            label,
            lambda place=place, point=point: _survives(commands, place, reference, [point]),
        )


@pytest.mark.parametrize(
    "tries", [pytest.param(4, marks=pytest.mark.faults), pytest.param(15, marks=pytest.mark.nightly)]
)
def test_killed_at_random_times(
    tries: int, commands: Commands, reference: Place, passed: dict[bool, dict[str, int]], tally: Tally, tmp_path: Path
) -> None:
    chance = random.Random(tries)
    for number in range(tries):
        place = reference.copy(tmp_path / str(number), runs=False, cache=False)
        kills = [chance.uniform(0.05, passed[False]["ms"] / 1000) for _ in range(1 + 2 * (number % 4 == 0))]
        tally.attempt(
            "SIGKILL at a random time",
            kills,
            lambda place=place, kills=kills: _survives(commands, place, reference, kills),
        )


def _survives(commands: Commands, place: Place, reference: Place, kills: list[Any]) -> None:
    """Kills the command at each point (a dict) or time (seconds), one after the other, and lets it go on at last."""
    for kill in kills:
        options = {"kill_after": kill} if isinstance(kill, float) else {"points": [kill]}
        (ended,) = commands(place.job(**options))
        assert ended.killed or isinstance(kill, float), f"not killed, exit {ended.code}: {ended.err[-500:]}"
        place.check_files()
    (ended,) = commands(place.job())
    ended.check_told(0)
    place.check_files()
    place.check_tidy()
    assert place.records() == reference.records()


@pytest.mark.parametrize(
    "tries", [pytest.param(1, marks=pytest.mark.faults), pytest.param(5, marks=pytest.mark.nightly)]
)
def test_the_real_command_killed_when_a_file_appears(
    tries: int, reference: Place, tally: Tally, tmp_path: Path
) -> None:
    """``python -m rsir_bench run`` in a process of its own, without any patch."""
    patterns = ["checkpoint.pt", "weights.safetensors", "*.npz", "*.npy", "*.json.sha256"]
    for number, pattern in enumerate(patterns[:tries]):
        place = reference.copy(tmp_path / str(number), runs=False)
        tally.attempt(
            "SIGKILL of the real command",
            pattern,
            lambda place=place, pattern=pattern: _real(place, reference, pattern),
        )


def _real(place: Place, reference: Place, pattern: str) -> None:
    command = [sys.executable, "-m", "rsir_bench", *place.job().words]
    environment = {**os.environ, **ONE_THREAD, **place.job().environment}
    process = subprocess.Popen(command, cwd=place.folder, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(place.runs.rglob(pattern)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    place.check_files()
    subprocess.run(command, cwd=place.folder, env=environment, check=True, timeout=120, capture_output=True)
    place.check_tidy()
    assert place.records() == reference.records()
