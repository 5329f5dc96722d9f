"""Memory that training and describing free and need again at once."""

from __future__ import annotations

import ctypes
import sys

import pytest
import torch

from rsir_bench.base.compute.memory import freed_memory_kept

CPU = torch.device("cpu")
GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


def page_faults() -> int:
    """Return how often the system has to hand out pages for ten tensors of 64 MiB, each freed before the next."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not GLIBC, reason="only glibc returns large blocks at once")
def test_large_blocks_are_taken_from_the_system_once_within_the_block_and_given_back_after_it() -> None:
    outside = page_faults()
    with freed_memory_kept(CPU):
        page_faults()
        within = page_faults()
    assert within < outside / 10
    assert page_faults() > outside / 2


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_needed(_: None) -> None:
        raise AssertionError("the C library was asked")

    monkeypatch.setattr(ctypes, "CDLL", none_needed)
    with freed_memory_kept(torch.device("cuda")):
        pass
    monkeypatch.setattr(sys, "platform", "darwin")
    with freed_memory_kept(CPU):
        pass
