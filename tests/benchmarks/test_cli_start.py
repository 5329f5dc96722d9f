"""The command line's start against the bare interpreter's, in one run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from pytest_benchmark.fixture import BenchmarkFixture

MOST = 10


def _seconds(*words: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - started


def test_help_starts_within_ten_bare_interpreters(benchmark: BenchmarkFixture) -> None:
    ratios = [_seconds("-m", "rsir_bench", "--help") / _seconds("-c", "pass") for _ in range(15)]
    benchmark.extra_info["times the bare interpreter"] = statistics.median(ratios)
    benchmark.pedantic(_seconds, args=("-m", "rsir_bench", "--help"), rounds=3)
    assert statistics.median(ratios) <= MOST
