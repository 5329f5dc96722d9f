"""Run one training in a subprocess with a time limit, so that a hang or crash fails only that run."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import redirect_stdout
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.runs.plan import Run, find_planned_run
from rsir_bench.runs.request import Request
from rsir_bench.runs.runners.inside import attempt, work_off
from rsir_bench.runs.trial import is_tried, try_method
from rsir_bench.training.distributed import end_with_parent

PATIENCE = 10
"""Seconds that a subprocess has to end once it has answered."""


def work_off_apart(request: Request, run: Run, minutes: float) -> str | None:
    """Make the results of one run in a subprocess, within a time limit.

    The limit is wall time and includes the start of the subprocess. Results written before it are kept. The subprocess
    imports the file of the main program, as ``multiprocessing`` does: a script guards its calls with
    ``if __name__ == "__main__":``.

    Args:
        request: The request that the run belongs to; the subprocess plans it again.
        run: The run.
        minutes: The time limit.

    Returns:
        Why the run failed, in one line; None if it did not.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(sender, request, run.key))
    _start(child)
    sender.close()
    try:
        if not receiver.poll(60 * minutes):
            return f"stopped after the limit of {minutes:g} minutes; run the same command to resume"
        failure: str | None = receiver.recv()
        child.join(PATIENCE)
        return failure
    except EOFError:
        child.join(PATIENCE)
        return _describe_exit(child.exitcode or 0)
    finally:
        child.kill()
        child.join()
        receiver.close()


def _start(child: BaseProcess) -> None:
    """Start a subprocess whose interpreter does not look for modules in the working folder."""
    variable = "PYTHONSAFEPATH"
    is_set = variable in os.environ
    os.environ.setdefault(variable, "1")
    try:
        child.start()
    finally:
        if not is_set:
            del os.environ[variable]


def _describe_exit(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by {name}{', perhaps because of its memory use' if name == 'SIGKILL' else ''}"
    return f"its process ended with exit code {code} and no answer; the method, or what it calls, ended it"


def _answer(sender: Connection, request: Request, key: str) -> None:
    """Make a run in the subprocess and send why it failed; what it prints goes to standard error."""
    threading.Thread(target=_end_after_parent, daemon=True).start()
    end_with_parent()  # a method too that keeps the thread from running
    with redirect_stdout(sys.stderr):
        try:
            plan, run = find_planned_run(request, key)
            failure = None if is_tried(plan, run) else attempt(run, partial(try_method, plan, run))
            failure = failure or work_off(plan, run)
        except (RunError, UserError) as error:
            failure = one_line(error)
    sender.send(failure)


def _end_after_parent() -> None:
    """Wait for the end of the parent, however it ends, and end this process."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
