"""A run in this process: a failure is one line, and its traceback goes to a file."""

from __future__ import annotations

import traceback
from pathlib import Path

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.files import write_text
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.plan import Plan, Run


def work_off(plan: Plan, run: Run) -> str | None:
    """Makes the results of one run; returns why it failed, None otherwise."""
    try:
        RunArtifacts(plan, run).make()
    except (RunError, UserError) as error:
        return _in_one_line(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a method may raise anything
        return f"{type(error).__name__}: {_in_one_line(error)} ({_report(run.folder / 'error.txt')})"
    return None


def _report(path: Path) -> str:
    try:
        write_text(path, traceback.format_exc())
    except UserError as error:
        return _in_one_line(error)
    return f"traceback in {path}"


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
