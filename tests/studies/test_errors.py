"""What a user of a study can mend is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from by_path import STUDIES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("relative_costs basline", "did you mean 'baseline'?"),
        ("gpu_throughput nope --device cpu", "unknown"),
        ("explained_distortions nope", "unknown"),
        ("held_out_classes nope", "unknown dataset 'nope'"),
        ("paper_line --results nope", "nope: no published records;"),
        ("against_reference demo --results nope", "nope: no published records;"),
        ("by_class demo jsst --results nope", "nope: no published records;"),
        ("scale_simulation --scenes 1", "give at least 2048"),
    ],
)
def test_a_mistake_is_one_line(words: str, message: str, tmp_path: Path) -> None:
    name, *rest = words.split()
    command = [sys.executable, STUDIES / f"{name}.py", *rest]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(f"{name}: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
