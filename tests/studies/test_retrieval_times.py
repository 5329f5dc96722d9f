"""What a query costs: the descriptors have the bytes that they should, and the file has a line for each case."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from by_path import load


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load("retrieval_times")


def test_codes_are_packed_and_vectors_take_four_bytes_a_value(study: ModuleType) -> None:
    code, real = study.Descriptor("code", 64).drawn(45), study.Descriptor("real", 12).drawn(45)
    assert (code.shape, code.dtype) == ((45, 8), np.uint8)
    assert (real.shape, real.dtype) == ((45, 12), np.float32)
    assert code.nbytes == 45 * study.Descriptor("code", 64).bytes
    assert real.nbytes == 45 * study.Descriptor("real", 12).bytes


def test_the_least_of_the_rounds_counts_and_the_first_round_does_not(study: ModuleType, monkeypatch) -> None:
    now = [0.0]
    spent = {"score": iter([0.0, 3.0, 2.0]), "search": iter([0.0, 5.0, 7.0])}
    monkeypatch.setattr(study.time, "process_time", lambda: now[0])

    def work(name: str):
        def spend() -> None:
            now[0] += next(spent[name])

        return spend

    assert study.least([work("score"), work("search")], 2) == [2.0, 5.0]


def test_the_file_has_a_line_for_each_descriptor_and_size(study: ModuleType, monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "times.csv"
    monkeypatch.setattr(study, "REAL", (12, 2048))
    monkeypatch.setattr(study, "CODES", (32,))
    monkeypatch.setattr(study, "MOST_BYTES", 240 * 4 * 2048 - 1)  # the largest does not fit
    monkeypatch.setattr(sys, "argv", ["x", str(file), "--scenes", "60", "240", "--rounds", "1"])
    study.main()
    lines = list(csv.DictReader(file.read_text().splitlines()))
    cases = [(line["kind"], line["dimensions"], line["bytes"], line["scenes"]) for line in lines]
    assert cases == [
        ("code", "32", "4", "60"),
        ("real", "12", "48", "60"),
        ("real", "2048", "8192", "60"),
        ("code", "32", "4", "240"),
        ("real", "12", "48", "240"),
    ]
    assert all(float(line["score_ms"]) > 0 and float(line["search_ms"]) > 0 for line in lines)
