"""Make the results of a run in this process; report a failure in one line, with its traceback in a file."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.base.files import write_text
from rsir_bench.base.traces import with_place
from rsir_bench.runs.artifacts.chain import ERROR, RunArtifacts
from rsir_bench.runs.plan import Plan, Run


def work_off(plan: Plan, run: Run) -> str | None:
    """Make the results of one run; return why it failed, or None."""
    return attempt(run, RunArtifacts(plan, run).make)


def attempt(run: Run, work: Callable[[], object]) -> str | None:
    """Do some work of a run; return why it failed in one line, or None; a traceback goes to the run's folder."""
    try:
        work()
    except (RunError, UserError) as error:
        reason = one_line(error)
        return reason.removeprefix(run.title).lstrip(",: ") if reason.startswith(run.title) else reason
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a method may raise anything
        return f"{with_place(error, run.method.sources.values())} ({_report(run.folder / ERROR)})"
    return None


def _report(path: Path) -> str:
    try:
        write_text(path, traceback.format_exc())
    except UserError as error:
        return one_line(error)
    return f"traceback in {path}"
