"""A long campaign in one process: memory and open files stay flat."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import Tiny
from faults.tally import Tally

from rsir_bench.campaign import campaign

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "runs", [pytest.param(20, marks=pytest.mark.faults), pytest.param(200, marks=pytest.mark.faults_long)]
)
def test_memory_and_open_files_stay_flat(runs: int, tiny: Tiny, tally: Tally) -> None:
    measured: list[tuple[int, int]] = []

    def say(line: str) -> None:
        if line.startswith("done"):
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
            measured.append((resident, len(list(Path("/proc/self/fd").iterdir()))))

    request = tiny.request(seeds=range(runs), overrides=["train.epochs=1"])
    assert campaign(request, say).failures == {}
    assert len(measured) == runs
    second_half = np.array(measured[runs // 2 :], float)
    steps = np.arange(len(second_half))
    bytes_per_run, files_per_run = (np.polyfit(steps, second_half[:, column], 1)[0] for column in (0, 1))
    print(f"{runs} runs: {bytes_per_run / 1e3:.1f} kB and {files_per_run:.3f} open files more with each run")

    def flat() -> None:
        # The tiny network has 1 MB with its optimizer: a run that is kept would show ten times over.
        assert bytes_per_run < (1e6 if runs < 100 else 1e5), f"{bytes_per_run / 1e3:.0f} kB more with each run"
        assert files_per_run < 0.05, f"{files_per_run:.2f} open files more with each run"

    tally.attempt(f"soak of {runs} runs", "", flat)
