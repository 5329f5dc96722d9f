from __future__ import annotations

import sys

import pytest
from by_path import load

from rsir_bench.protocol import load_protocol


@pytest.fixture
def study():
    return load("gpu_throughput")


def test_a_trial_on_the_cpu_prints_rates_ratio_and_projection(study, monkeypatch, capsys):
    words = "baseline dhn --device cpu --scenes 24 --described 8 --size 32 --rounds 1 --set trunk.name=test_resnet"
    more = ["--set", "trunk.frozen=[]", "--set", "train.batch=8", "--set", "head.fc1=16"]
    monkeypatch.setattr(sys, "argv", ["gpu_throughput.py", *words.split(), *more])
    study.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["baseline", "dhn"]
    assert all(0 < float(line.split()[3]) < 20 for line in lines[2:4])
    assert "32 px, 24 scenes" in lines[-1]


def test_the_projection_is_epochs_over_the_source_and_describing_of_all(study):
    protocol = load_protocol("patternnet")
    speeds = study.Speeds(training=1000.0, constant=1000.0, ratio=1.0, describing=2000.0)
    described = 30_400 + 1_005 + 2_100 + 2_800 + 10_000 + 31_500
    expected = (40 * 30_400 / 1000 + described / 2000) / 3600
    assert study.projected_hours(speeds, protocol, 1) == pytest.approx(expected)
