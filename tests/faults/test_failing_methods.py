"""A method that raises, hangs, crashes, returns NaN or takes all memory costs its own run and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.commands import Commands, Place
from faults.tally import Tally

PLUGIN = """
import itertools, os, signal, sys, time
import torch
from rsir_bench.methods.baseline import Baseline

class {kind}(Baseline):
    card = Baseline.card.model_copy(update={{"name": "bad"}})

    def {hook}(self, given):
        {body}
"""
IN_PROCESS = {
    "raises": ("loss", "raise ValueError('one\\n  two')", "ValueError: one two (bad.py:"),
    "exits": ("loss", "sys.exit(3)", "SystemExit: 3 (bad.py:"),
    "raises MemoryError": ("loss", "raise MemoryError()", "MemoryError (bad.py:"),
    "NaN loss": ("loss", "return super().loss(given) * float('nan')", "loss is nan at rate"),
    "NaN descriptors": (
        "describe",
        "return {k: v * float('nan') for k, v in super().describe(given).items()}",
        "are not finite, before any training",
    ),
    "no descriptors": ("describe", "return {}", "but no "),
    "allocates 64 GB": ("loss", "torch.zeros(2**34); raise AssertionError", "allocate"),
}
LITTLE = "0.3"  # minutes: a process is well past its imports
APART = {
    "hangs in Python": ("loss", "time.sleep(10_000)", f"stopped after the limit of {LITTLE} minutes"),
    "hangs in C": ("loss", "return sum(itertools.repeat(0))", f"stopped after the limit of {LITTLE} minutes"),
    "is killed": (
        "loss",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "killed by SIGKILL, perhaps because of its memory use",
    ),
    "crashes": ("loss", "os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
    "exits hard": ("loss", "os._exit(5)", "ended with exit code 5"),
    "exits hard as if all were well": ("loss", "os._exit(0)", "ended with exit code 0 and no answer"),
}


@pytest.mark.faults
@pytest.mark.nightly
def test_a_failing_method_in_the_process(commands: Commands, reference: Place, tally: Tally, tmp_path: Path) -> None:
    for fault in IN_PROCESS:
        place = reference.copy(tmp_path / fault, runs=False)
        tally.attempt(
            f"method {fault}",
            "in process",
            lambda fault=fault, place=place: _check(commands, place, reference, IN_PROCESS[fault]),
        )


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(["hangs in C", "is killed"], marks=pytest.mark.faults),
        pytest.param(list(APART), marks=pytest.mark.nightly),
    ],
)
def test_a_failing_method_in_a_process_of_its_own(
    faults: list[str], commands: Commands, reference: Place, tally: Tally, tmp_path: Path
) -> None:
    """Without ``--time-limit`` these would cost the campaign."""
    for fault in faults:
        place = reference.copy(tmp_path / fault, runs=False)
        words = ["--time-limit", LITTLE if "hangs" in fault else "5"]
        tally.attempt(
            f"method {fault}",
            "apart",
            lambda fault=fault, place=place, words=words: _check(commands, place, reference, APART[fault], *words),
        )


def _check(commands: Commands, place: Place, reference: Place, fault: tuple[str, str, str], *words: str) -> None:
    hook, body, expected = fault
    (place.folder / "bad.py").write_text(PLUGIN.format(kind="Bad", hook=hook, body=body))
    limits = {"AS": 32 * 2**30} if "zeros" in body else {}
    alone = LITTLE in words  # that is little for an honest method on a busy machine
    methods = "bad" if alone else "bad,baseline"
    (ended,) = commands(place.job("--plugin", "bad.py", *words, methods=methods, limits=limits, limit=400))
    assert not ended.hung
    assert ended.code == 1, ended.err[-1500:]
    lines = [line for line in ended.err.splitlines() if line.startswith("failed: bad seed 0: ")]
    assert len(lines) == 1, ended.err[-1500:]
    assert expected in lines[0], lines[0]
    assert "Traceback" not in ended.err
    if not alone:
        assert place.records() == reference.records()
