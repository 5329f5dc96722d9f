"""Commands that write a folder for people: killed anywhere and started again, and several at once."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.commands import Commands, Job, Place
from faults.tally import Tally

from rsir_bench.records.store import read_record, write_record

VERBS: dict[str, list[str]] = {
    "publish": ["publish", "runs", "--results", "results"],
    "drift --accept": ["drift", "newer", "--baseline", "results", "--accept", "a better loss"],
    "leaderboard": ["leaderboard", "results", "--out", "tables", "--format", "md,csv,tex,html"],
    "report": ["report", "results", "--out", "report"],
}
FOREIGN = ("results/notes.txt", "results/.partial-mine.json", "tables/mine/notes.md", "report/mine/page.txt")


@pytest.fixture(scope="module")
def published(commands: Commands, reference: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with results of four seeds, published and not, tables, a report, and files of others."""
    place = reference.copy(tmp_path_factory.mktemp("published") / "place")
    (ended,) = commands(place.job("--seeds", "0,1,2,3"))
    ended.check_told(0)
    for verb in ("publish", "leaderboard", "report"):
        (ended,) = commands(place.verb(*VERBS[verb]))
        ended.check_told(0)
    for path in list(place.runs.rglob("results/**/*.json")):
        old = read_record(path)
        moved = {name: value * 0.9 for name, value in old.metrics.items()}
        changed = old.model_copy(update={"metrics": moved, "key": f"{old.seed}{old.key[:-1]}"})
        newer = place.folder / "newer" / "results" / f"{changed.key[:12]}.json"
        newer.parent.mkdir(parents=True, exist_ok=True)
        write_record(newer, changed)
    for name in FOREIGN:
        (place.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (place.folder / name).write_text("mine")
    return place


def before(verb: str, published: Place, folder: Path) -> Place:
    """What there is before the verb has something to do."""
    place = published.copy(folder, cache=False)
    if verb == "publish":
        for path in list((place.folder / "results").rglob("*-????????.json"))[::2]:
            path.unlink()
    elif verb in ("leaderboard", "report"):
        path = next((place.folder / "results").rglob("*-????????.json"))
        path.unlink()
    return place


def contents(place: Place) -> dict[str, Any]:
    """Every file that a verb may have written, with its bytes; locks are empty and may stay."""
    files = [path for name in ("results", "tables", "report") for path in (place.folder / name).rglob("*")]
    return {
        str(path.relative_to(place.folder)): path.read_bytes()
        for path in files
        if path.is_file() and path.name != "lock"
    }


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "tries", [pytest.param(4, marks=pytest.mark.faults), pytest.param(25, marks=pytest.mark.nightly)]
)
def test_the_same_command_finishes_what_a_kill_has_cut_off(
    verb: str, tries: int, commands: Commands, published: Place, tally: Tally, tmp_path: Path
) -> None:
    whole = before(verb, published, tmp_path / "whole")
    (ended,) = commands(whole.verb(*VERBS[verb]))
    ended.check_told(0)
    right, chance = contents(whole), random.Random(verb)

    def survives(number: int) -> None:
        place = before(verb, published, tmp_path / str(number))
        (killed,) = commands(place.verb(*VERBS[verb], kill_after=chance.uniform(0.05, 1.1 * ended.seconds)))
        for name in FOREIGN:
            assert (place.folder / name).read_text() == "mine"
        (again,) = commands(place.verb(*VERBS[verb]))
        again.check_told(0)
        found = contents(place)
        assert found.keys() == right.keys(), (killed.code, found.keys() ^ right.keys())
        assert found == right
        shutil.rmtree(place.folder)

    for number in range(tries):
        tally.attempt(f"SIGKILL of {verb}", number, lambda number=number: survives(number))


def _together(commands: Commands, jobs: list[Job]) -> list[int]:
    ended = commands(*jobs)
    for end in ended:
        end.check_told(0, 2)
    return [end.code for end in ended]


@pytest.mark.parametrize(
    "tries", [pytest.param(2, marks=pytest.mark.faults), pytest.param(12, marks=pytest.mark.nightly)]
)
def test_several_at_once_are_as_one_after_the_other(
    tries: int, commands: Commands, published: Place, tally: Tally, tmp_path: Path
) -> None:
    check = ["leaderboard", "results", "--out", "checked"]

    def board_stands(place: Place) -> None:
        (ended,) = commands(place.verb(*check))
        ended.check_told(0)

    def two_versions(place: Place) -> None:
        shutil.rmtree(place.folder / "results")
        newer = ["publish", "newer", "--results", "results"]
        assert sorted(_together(commands, [place.verb(*VERBS["publish"]), place.verb(*newer)])) == [0, 2]
        board_stands(place)

    def two_acceptances(place: Place) -> None:
        job = place.verb(*VERBS["drift --accept"])
        assert _together(commands, [job, job]) == [0, 0]
        files = (place.folder / "results").rglob("[!.]*.json")
        accepted = [json.loads(path.read_text())["accepted"] for path in files]
        assert [len(parts) for parts in accepted] == [1] * len(accepted)
        board_stands(place)

    def three_reports(place: Place) -> None:
        shutil.rmtree(place.folder / "report")
        job = place.verb(*VERBS["report"])
        assert _together(commands, [job, job, job]) == [0, 0, 0]

    def readers_and_a_writer(place: Place) -> None:
        jobs = [place.verb(*VERBS["drift --accept"]), place.verb(*check), place.verb(*VERBS["report"])]
        assert _together(commands, jobs) == [0, 0, 0]

    cases: list[Callable[[Place], None]] = [two_versions, two_acceptances, three_reports, readers_and_a_writer]
    for number in range(tries):
        for case in cases:
            place = before("", published, tmp_path / f"{number}{case.__name__}")
            tally.attempt(case.__name__.replace("_", " "), number, lambda case=case, place=place: case(place))
            shutil.rmtree(place.folder)
