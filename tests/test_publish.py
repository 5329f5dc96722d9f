"""Finished records into the folder that leaderboards are rendered from."""

from __future__ import annotations

import pytest
from conftest import Tiny

from rsir_bench.base.errors import UserError
from rsir_bench.publishing.accept import accept
from rsir_bench.publishing.drift import compare
from rsir_bench.publishing.publish import publish
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published, read_records, write_record
from rsir_bench.runs.runners.campaign import campaign


@pytest.fixture
def records(tiny: Tiny) -> list[Record]:
    """Two finished results below ``runs``."""
    return campaign(tiny.request(), lambda line: None).records


def _change(tiny: Tiny, record: Record, **metrics: float) -> None:
    changed = record.model_copy(update={"metrics": {**record.metrics, **metrics}})
    path = next(path for path in (tiny.folder / "runs").rglob("results/**/*.json") if record.key[:8] in path.name)
    write_record(path, changed, sealed=True)


def test_published_records_are_the_same_and_published_once(tiny: Tiny, records: list[Record]) -> None:
    results = tiny.folder / "leaderboards" / "results"
    written = publish([tiny.folder / "runs"], results)
    assert [path.parent.name for path in written] == ["baseline", "baseline"]
    assert {path.parent.parent.name for path in written} == {records[0].protocol.board}
    assert sorted(read_records([results]), key=lambda r: r.key) == sorted(records, key=lambda r: r.key)
    assert sorted(written) == sorted(results / record_path(record) for record in records)
    assert publish([tiny.folder / "runs"], results) == []


def test_other_scores_under_the_same_key_are_refused(tiny: Tiny, records: list[Record]) -> None:
    results = tiny.folder / "leaderboards" / "results"
    publish([tiny.folder / "runs"], results)
    _change(tiny, records[0], mAP=records[0].metrics["mAP"] - 1e-6)
    assert publish([tiny.folder / "runs"], results) == []
    _change(tiny, records[0], mAP=records[0].metrics["mAP"] - 1e-3)
    with pytest.raises(UserError, match="differs from the scores of"):
        publish([tiny.folder / "runs"], results)


def test_a_second_record_of_a_result_is_refused_before_anything_is_written(tiny: Tiny, records: list[Record]) -> None:
    results, newer = tiny.folder / "leaderboards" / "results", tiny.folder / "newer" / "results"
    for record in records:
        method = record.method.model_copy(update={"version": 2})
        write_record(newer / f"{record.key[:8]}.json", record.model_copy(update={"method": method, "key": "0" * 64}))
    with pytest.raises(UserError, match=r"baseline.*: the runs hold two results of it \(keys .*name the folder of one"):
        publish([tiny.folder / "runs", newer.parent], results)
    assert not results.exists()
    before = publish([tiny.folder / "runs"], results)
    with pytest.raises(UserError, match=r"baseline.*: already published with another key .*drift RUNS --accept"):
        publish([newer.parent], results)
    assert sorted(results.rglob("*.json")) == sorted(before)


@pytest.mark.parametrize("change", [{"device": "cuda (H200)"}, {"precision": "bf16"}, {"trained on": "cuda (H200)"}])
def test_a_line_of_two_kinds_of_machines_is_refused(tiny: Tiny, records: list[Record], change: dict[str, str]) -> None:
    results = tiny.folder / "leaderboards" / "results"
    publish([tiny.folder / "runs"], results)
    other = records[0].model_copy(
        update={"seed": 1, "key": "0" * 64, "environment": {**records[0].environment, **change}}
    )
    write_record(tiny.folder / "more" / "results" / "other.json", other)
    with pytest.raises(UserError, match=r"seed 1: made with .*, but seed 0 with cpu, 32; all seeds of a line"):
        publish([tiny.folder / "more"], results)
    same = other.model_copy(update={"environment": {**records[0].environment, "device": "cpu (another model)"}})
    write_record(tiny.folder / "more" / "results" / "other.json", same)
    assert len(publish([tiny.folder / "more"], results)) == 1


def test_the_folder_may_have_any_name(tiny: Tiny, records: list[Record]) -> None:
    results, newer = tiny.folder / "pub", tiny.folder / "newer" / "results"
    before = publish([tiny.folder / "runs"], results)
    assert read_published(results) == read_records([results])
    assert compare(records, read_published(results)).compared == len(records)
    write_record(newer / "a.json", records[0].model_copy(update={"key": "0" * 64}))
    with pytest.raises(UserError, match="already published with another key"):
        publish([newer.parent], results)
    assert sorted(results.rglob("*.json")) == sorted(before)


def test_what_a_deliberate_change_has_replaced_is_not_published_again(tiny: Tiny, records: list[Record]) -> None:
    results = tiny.folder / "leaderboards" / "results"
    publish([tiny.folder / "runs"], results)
    newer = [record.model_copy(update={"key": f"{number}" * 64}) for number, record in enumerate(records)]
    after = accept(newer, results, "a better loss")
    assert publish([tiny.folder / "runs"], results) == []
    assert sorted(results.rglob("*.json")) == sorted(after)


def test_protocols_that_share_a_name_are_published_side_by_side(tiny: Tiny, records: list[Record]) -> None:
    results, other = tiny.folder / "leaderboards" / "results", tiny.folder / "other" / "results"
    protocol = records[0].protocol.model_copy(update={"hash": "0" * 12})
    write_record(other / "a.json", records[0].model_copy(update={"protocol": protocol, "key": "0" * 64}))
    publish([tiny.folder / "runs"], results)
    assert len(publish([other.parent], results)) == 1


@pytest.mark.parametrize("value", [float("inf"), 1.5, -0.1])
def test_an_impossible_score_is_refused_before_anything_is_written(
    tiny: Tiny, records: list[Record], value: float
) -> None:
    _change(tiny, records[1], **{"P@5": value})
    results = tiny.folder / "leaderboards" / "results"
    with pytest.raises(UserError, match=r"P@5 is .*, outside 0\.\.1"):
        publish([tiny.folder / "runs"], results)
    assert not results.exists()
