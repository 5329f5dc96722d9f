"""What a user of a study can mend is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from by_path import STUDIES, load

from rsir_bench.base.errors import run_and_exit


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
def test_a_mistake_is_one_line(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = words.split()
    study = load(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *rest])
    with pytest.raises(SystemExit) as ended:
        run_and_exit(study.main, name)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{name}: ")
    assert message in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*.py")), ids=lambda path: path.stem)
def test_every_study_ends_so(study: Path) -> None:
    assert study.read_text().endswith(f'if __name__ == "__main__":\n    run_and_exit(main, "{study.stem}")\n')


def test_a_process_ends_with_the_status_and_the_line_of_its_error(tmp_path: Path) -> None:
    command = [sys.executable, STUDIES / "against_reference.py", "demo", "--results", "nope"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr.startswith("against_reference: nope: no published records;")
