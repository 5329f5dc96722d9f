"""Make the results of a run in this process; report a failure in one line, with its traceback in a file."""

from __future__ import annotations

import traceback
from pathlib import Path

from rsir_bench.base.errors import RunError, UserError, one_line
from rsir_bench.base.files import write_text
from rsir_bench.runs.artifacts.chain import ERROR, RunArtifacts
from rsir_bench.runs.plan import Plan, Run


def work_off(plan: Plan, run: Run) -> str | None:
    """Make the results of one run; return why it failed, or None."""
    try:
        RunArtifacts(plan, run).make()
    except (RunError, UserError) as error:
        return one_line(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a method may raise anything
        return f"{one_line(error)} ({_report(run.folder / ERROR)})"
    return None


def _report(path: Path) -> str:
    try:
        write_text(path, traceback.format_exc())
    except UserError as error:
        return one_line(error)
    return f"traceback in {path}"
