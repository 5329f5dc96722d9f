"""A long campaign in one process: memory and open files stay flat."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from conftest import Tiny
from faults.tally import Tally

from rsir_bench.runs.runners.campaign import campaign

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes in use: pages that the allocator keeps free would hide a leak that fills them, so they go first."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def growth(tiny: Tiny, runs: int, after_each: Callable[[], object] = lambda: None) -> tuple[float, float]:
    """Bytes and open files more with each run, over the second half of a campaign in this process."""
    measured: list[tuple[int, int]] = []

    def say(line: str) -> None:
        if line.startswith("done"):
            after_each()
            measured.append((resident(), len(list(Path("/proc/self/fd").iterdir()))))

    request = tiny.request(seeds=range(runs), overrides=["train.epochs=1"])
    assert campaign(request, say).failures == {}
    assert len(measured) == runs
    second_half = np.array(measured[runs // 2 :], float)
    steps = np.arange(len(second_half))
    bytes_per_run, files_per_run = (float(np.polyfit(steps, second_half[:, column], 1)[0]) for column in (0, 1))
    print(f"{runs} runs: {bytes_per_run / 1e3:.1f} kB and {files_per_run:.3f} open files more with each run")
    return bytes_per_run, files_per_run


def flat_memory(bytes_per_run: float, runs: int) -> None:
    # The tiny network has 1 MB with its optimizer: a run that is kept would show ten times over.
    assert bytes_per_run < (1e6 if runs < 100 else 1e5), f"{bytes_per_run / 1e3:.0f} kB more with each run"


def flat_files(files_per_run: float) -> None:
    assert files_per_run < 0.05, f"{files_per_run:.2f} open files more with each run"


@pytest.mark.parametrize(
    "runs", [pytest.param(20, marks=pytest.mark.faults), pytest.param(200, marks=pytest.mark.nightly)]
)
def test_memory_and_open_files_stay_flat(runs: int, tiny: Tiny, tally: Tally) -> None:
    more_bytes, more_files = growth(tiny, runs)
    tally.attempt(f"soak of {runs} runs", "memory", lambda: flat_memory(more_bytes, runs))
    tally.attempt(f"soak of {runs} runs", "open files", lambda: flat_files(more_files))


@pytest.mark.parametrize(
    ("runs", "leaked"),
    [
        pytest.param(20, 2_000_000, marks=pytest.mark.faults),
        pytest.param(200, 200_000, marks=pytest.mark.nightly),
    ],
)
def test_a_leak_is_seen(runs: int, leaked: int, tiny: Tiny) -> None:
    """Twice what is let pass, and one file for each run: the soak would find them."""
    kept: list[bytes] = []
    with ExitStack() as opened:

        def leak() -> None:
            kept.append(b"x" * leaked)
            opened.enter_context(Path(os.devnull).open())

        more_bytes, more_files = growth(tiny, runs, leak)
    with pytest.raises(AssertionError, match="kB more with each run"):
        flat_memory(more_bytes, runs)
    with pytest.raises(AssertionError, match="open files more"):
        flat_files(more_files)
