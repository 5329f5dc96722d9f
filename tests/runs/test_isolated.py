"""A run in a subprocess: its limit, its answer, its end, and what it imports and prints."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Tiny

from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.isolated import work_off_apart

PLUGIN = """import itertools, os, time
from pathlib import Path
from rsir_bench.methods.baseline import Baseline
class Odd(Baseline):
    card = Baseline.card.model_copy(update={{"name": "odd"}})
    def loss(self, *arguments):
        {body}
        return super().loss(*arguments)
"""

SCRIPT = """import pickle
from pathlib import Path
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.isolated import work_off_apart
if __name__ == "__main__":
    request = pickle.loads(Path({request!r}).read_bytes())
    (run,) = make_plan(request).runs
    print("answer:", work_off_apart(request, run, 5))
"""

pytestmark = pytest.mark.slow


def start(tiny: Tiny, body: str, cwd: Path) -> subprocess.Popen[str]:
    """Start a program that works off a run of an odd method in a subprocess."""
    plugin = tiny.folder / "odd.py"
    plugin.write_text(PLUGIN.format(body=body))
    request = tiny.folder / "request.pickle"
    request.write_bytes(pickle.dumps(tiny.request("odd", plugins=[plugin])))
    script = tiny.folder / "script" / "script.py"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(request=str(request)))
    return subprocess.Popen(
        [sys.executable, script], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_subprocess_that_ends_without_an_answer_is_one_line(tiny: Tiny) -> None:
    request = tiny.request()
    (run,) = make_plan(request).runs
    reason = "its process ended with exit code 0 and no answer; the method, or what it calls, ended it"
    multiprocessing.set_executable("/bin/true")
    try:
        assert work_off_apart(request, run, 1) == reason
    finally:
        multiprocessing.set_executable(sys.executable)


def test_a_subprocess_that_finds_another_plan_reports_it(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    request = tiny.request()
    (run,) = make_plan(request).runs
    assert "code, weights or scenes here differ" in str(work_off_apart(request, replace(run, key="another"), 10))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.faults
def test_prints_go_to_standard_error_and_the_working_folder_shadows_nothing(tiny: Tiny) -> None:
    cwd = tiny.folder / "cwd"
    cwd.mkdir()
    for name in ("multiprocessing", "pickle", "socket", "numpy", "torch", "rsir_bench"):
        (cwd / f"{name}.py").write_text("raise SystemExit('shadowed')")
    program = start(tiny, "print('from the method')", cwd)
    out, err = program.communicate(timeout=300)
    assert out == "answer: None\n", err
    assert "from the method" in err
    assert "shadowed" not in err


@pytest.mark.faults
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("hang", ["time.sleep(10_000)", "sum(itertools.repeat(0))"])
def test_a_subprocess_ends_with_its_parent(tiny: Tiny, sent: signal.Signals, hang: str) -> None:
    note = tiny.folder / "pid"
    program = start(tiny, f"Path({str(note)!r}).write_text(str(os.getpid())); {hang}", tiny.folder)
    try:
        _wait_for(lambda: note.is_file() and note.read_text(), 180)
        child = int(note.read_text())
        assert child != program.pid
        assert _is_alive(child)
        program.send_signal(sent)
        program.wait(timeout=60)
        _wait_for(lambda: not _is_alive(child), 60)
    finally:
        program.kill()
        program.communicate()


def _wait_for(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False
