"""A run in a process of its own, which may hang, crash or be killed without costing the campaign more than this run."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.runs.plan import Run, find_run_of_key
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.inside import work_off


def work_off_apart(request: Request, run: Run, minutes: float) -> str | None:
    """Makes the results of one run in another process, for so long at most.

    The limit is wall time, the start of the process and waiting for another one on the same run included. Whatever the
    method does, also in compiled code, it is stopped; what it wrote until then is kept.

    Returns:
        Why it failed in one line, None otherwise.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "rsir_bench.runs.runners.isolated"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        answer, _ = child.communicate(pickle.dumps((request, run.key)), timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        return f"stopped after the limit of {minutes:g} minutes; the same command goes on after its last whole epoch"
    finally:
        child.kill()
        child.wait()
    if child.returncode == 0 and answer:
        failure: str | None = json.loads(answer)
        return failure
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return f"its process was killed by {name}{', perhaps for its memory' if name == 'SIGKILL' else ''}"
    return f"its process ended with exit code {child.returncode} and no answer; the method, or what it calls, ended it"


def _main() -> None:
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a method prints is no answer
    request, key = pickle.load(sys.stdin.buffer)  # from the process above, nobody else
    try:
        failure = work_off(*find_run_of_key(request, key))
    except (RunError, UserError) as error:
        failure = " ".join(str(error).split())
    os.write(answer, json.dumps(failure).encode())


if __name__ == "__main__":
    _main()
