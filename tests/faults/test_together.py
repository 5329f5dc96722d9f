"""Several processes on one folder of runs and one empty cache: each thing is made once, and right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from faults.commands import Commands, Place
from faults.tally import Tally

# Weights of trainings, caches of pixels, and records that are moved into place.
ONCE = ("pathlib:Path.replace weights.safetensors", "pathlib:Path.replace *.u8", "pathlib:Path.replace *-????????.json")


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize(
    "tries", [pytest.param(1, marks=pytest.mark.faults), pytest.param(3, marks=pytest.mark.nightly)]
)
def test_nothing_is_made_twice(
    processes: int, tries: int, commands: Commands, reference: Place, tally: Tally, tmp_path: Path
) -> None:
    for number in range(tries):
        place = reference.copy(tmp_path / str(number), runs=False, cache=False)
        tally.attempt(
            f"{processes} processes on one folder",
            number,
            lambda place=place: _check(commands, place, reference, processes),
        )


def _check(commands: Commands, place: Place, reference: Place, processes: int) -> None:
    jobs = [
        place.job(points=[{"at": at} for at in ONCE], counts=place.folder / f"counts{number}.json")
        for number in range(processes)
    ]
    for ended in commands(*jobs):
        ended.check_told(0)
    counts = [json.loads(job.counts.read_text()) for job in jobs if job.counts]
    made = [sum(count.get(at, 0) for count in counts) for at in ONCE]
    assert made == [1, 2, 2], f"trainings, caches, records: {made}"
    place.check_files()
    place.check_tidy()
    assert place.records() == reference.records()
