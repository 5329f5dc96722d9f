"""The tables of docs/frozen_or_trained.md are those of the published records."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from by_path import load
from conftest import REPOSITORY

from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published

study = load("frozen_or_trained")


@pytest.fixture(scope="module")
def records() -> Sequence[Record]:
    return read_published(REPOSITORY / "leaderboards" / "results")


def test_the_page_shows_the_tables_of_the_records(records: Sequence[Record]) -> None:
    page = (REPOSITORY / "docs" / "frozen_or_trained.md").read_text(encoding="utf-8")
    for heading, table in study.tables(records).items():
        section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
        for part in table.split("\n\n"):
            assert part in section


def test_the_sentences_below_the_first_table_hold(records: Sequence[Record]) -> None:
    def of(board: str, label: str, row: str, target: str, metric: str) -> list[float]:
        return [
            record.metrics[metric]
            for record in records
            if (record.protocol.board, record.row.name, record.target.name) == (board, row, target)
            and record.method.label.partition(":")[0] == label
            and record.distortion is None
        ]

    for target in ("rsscn7", "aid"):
        frozen = {metric: of("ucm-mobile", "timm", "Pooled", target, metric)[0] for metric in ("mAP", "P@5")}
        trained = {metric: of("ucm-mobile", "baseline", "PCA", target, metric) for metric in ("mAP", "P@5")}
        assert min(trained["mAP"]) > frozen["mAP"]
        assert max(trained["P@5"]) < frozen["P@5"]


def test_every_encoder_has_every_post_processing_on_every_target(records: Sequence[Record]) -> None:
    lines = study.processed(records, "mAP")
    assert len(lines) == len(study.TARGETS) * 6
    for line in lines:
        values = dict(zip(study.AFTER, map(float, line[2:]), strict=True))
        if not line[1].endswith("untrained"):
            assert values["whiten:128"] < values["none"] < values["aqe:10,3"] < values["kreciprocal:20,6,0.3"]
