"""Published records never move: keys and file names are what they were when the records were made."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from listing import listing

from rsir_bench.records.commands import record_path
from rsir_bench.records.store import read_published, read_record, record_files
from rsir_bench.runs.locate import locate
from rsir_bench.runs.request import UserFiles

RESULTS = Path(__file__).resolve().parents[2] / "leaderboards" / "results"


def test_every_key_and_file_name_is_the_frozen_one() -> None:
    frozen = Counter((Path(__file__).parent / "keys.txt").read_text().splitlines())
    found = Counter(listing())
    assert not (lost := list(frozen - found)), f"{len(lost)} lines are lost, as {lost[0]!r}"
    assert not (new := list(found - frozen)), f"add to keys.txt what is new: {len(new)} lines, as {new[0]!r}"
    assert frozen.total() > 2000


def test_every_published_record_has_its_path_and_is_read_without_loss() -> None:
    paths = record_files(RESULTS)
    for path in paths:
        record = read_record(path)
        assert path == RESULTS / record_path(record)
        assert record.model_dump(mode="json", exclude_unset=True) == json.loads(path.read_bytes())
    assert len(paths) >= 1103


@pytest.mark.parametrize(
    "board",
    ["demo", *(pytest.param(name, marks=pytest.mark.real) for name in ("aid", "aid-lite", "ucm-mobile"))],
)
def test_the_code_of_today_finds_what_it_published(board: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The keys of published records, from the scenes and weights themselves."""
    data_root = tmp_path if board == "demo" else request.getfixturevalue("shared") / "data"
    records = read_published(RESULTS / board)
    found = locate(records, tmp_path, UserFiles(data_root))
    lost = [record for record in records if record.key not in found]
    assert not lost, f"{len(lost)} of {len(records)}, as {lost[0].command}"
