"""Memory that training and describing free and need again at once."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
import torch

from rsir_bench.base.compute.memory import freed_memory_kept

CPU = torch.device("cpu")
GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


COUNTING = """
import resource, torch
from rsir_bench.base.compute.memory import freed_memory_kept

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20

print(page_faults())
with freed_memory_kept(torch.device("cpu")):
    page_faults()
    print(page_faults(), resident())
print(resident())
"""
"""Print the page faults of ten tensors of 64 MiB, each freed before the next, and the resident memory in MiB.

It runs in a new process, because an earlier test may have moved this one to a heap that holds no large blocks.
"""


@pytest.mark.skipif(not GLIBC, reason="only glibc returns large blocks at once")
def test_large_blocks_are_taken_from_the_system_once_within_the_block_and_given_back_after_it() -> None:
    counted = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, check=True)
    before, within, held, after = map(int, counted.stdout.split())
    assert within < before / 10
    assert after < held - 50


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_needed(_: None) -> None:
        raise AssertionError("the C library was asked")

    monkeypatch.setattr(ctypes, "CDLL", none_needed)
    with freed_memory_kept(torch.device("cuda")):
        pass
    monkeypatch.setattr(sys, "platform", "darwin")
    with freed_memory_kept(CPU):
        pass
