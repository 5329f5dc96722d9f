"""What `rsir-bench drift` prints: the comparison in words, in Markdown for a pull request, as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from rsir_bench.base.errors import UserError
from rsir_bench.base.output_folder import refuse_other_page, write_page
from rsir_bench.publishing.accept import accept
from rsir_bench.publishing.drift import Cell, Drift, compare
from rsir_bench.records.store import read_published, read_records
from rsir_bench.records.verdict import Verdict

HEADERS = [
    "verdict",
    "board",
    "method",
    "row",
    "target",
    "seed",
    "metric",
    "before",
    "now",
    "change",
    "OK to",
    "OKish to",
]
STAGE_HEADERS = ["verdict", "step", "what", "deviation", "OK to", "OKish to"]

# What a comparison says: one line, the table, further lines.
Report = tuple[str, list[str], list[list[str]], list[str]]


def run_drift_verb(
    runs: Sequence[Path],
    baseline: Path,
    markdown: Path | None,
    as_json: bool,
    tell: Callable[[str], object],
) -> bool:
    """Compares the results of runs with a baseline.

    Args:
        runs: Folders of records.
        baseline: The folder of the records they are compared with.
        markdown: File for the Markdown; None writes none.
        as_json: Tell JSON in the place of text.
        tell: Shows text to the user.

    Returns:
        Whether something was compared and nothing drifted.

    Raises:
        UserError: Folders or records that cannot be read.
    """
    _refuse_none(runs)
    if markdown is not None:
        refuse_other_page(markdown)
    drift = compare(read_records(runs), read_published(baseline))
    _tell(_report(drift, baseline), _drift_as_json(drift), markdown, as_json, tell)
    return drift.passed


def run_accept_verb(runs: Sequence[Path], baseline: Path, reason: str, tell: Callable[[str], object]) -> bool:
    """Puts the results of runs in the place of the baseline's; see :func:`rsir_bench.publishing.accept.accept`.

    Returns:
        Whether any took the place of another.
    """
    _refuse_none(runs)
    written = accept(read_records(runs), baseline, reason)
    for path in written:
        tell(str(path))
    if not written:
        tell(f"nothing to accept: {baseline} has no result of these runs, or has the same")
    return bool(written)


def run_exact_verb(reason: str | None, markdown: Path | None, as_json: bool, tell: Callable[[str], object]) -> bool:
    """Runs the exact stage and compares; with a reason, makes what came out the expected.

    Returns:
        Whether nothing drifted, or it was accepted.

    Raises:
        UserError: The stage cannot run, or the reason is empty.
    """
    from rsir_bench.runs import golden  # torch, which comparing records needs not

    if markdown is not None:
        refuse_other_page(markdown)
    findings = golden.check() if reason is None else golden.accept(reason)
    start = golden.first_drift(findings)
    head = f"exact stage: drift begins at {start.step}: {start.what}" if start else "exact stage: no drift"
    lines = [] if reason is None else [f"accepted: {reason}"]
    rows = [
        [
            finding.verdict.value,
            finding.step,
            finding.what,
            f"{finding.deviation:.2g}",
            f"{finding.tolerance.ok:g}",
            f"{finding.tolerance.okish:g}",
        ]
        for finding in findings
    ]
    values = {
        "passed": start is None,
        "begins": start.step if start else None,
        "accepted": reason,
        "findings": [
            {
                "step": finding.step,
                "what": finding.what,
                "verdict": finding.verdict.value,
                "deviation": finding.deviation if math.isfinite(finding.deviation) else None,
                "ok": finding.tolerance.ok,
                "okish": finding.tolerance.okish,
            }
            for finding in findings
        ],
    }
    _tell((head, STAGE_HEADERS, rows, lines), values, markdown, as_json, tell)
    return start is None or reason is not None


def _refuse_none(runs: Sequence[Path]) -> None:
    if not runs:
        raise UserError("drift: nothing named; name folders that `rsir-bench run --out` wrote, or take --exact")


def _tell(
    report: Report, values: dict[str, Any], markdown: Path | None, as_json: bool, tell: Callable[[str], object]
) -> None:
    if markdown is not None:
        write_page(markdown, as_markdown(report))
    tell(json.dumps(values, indent=1) if as_json else as_text(report))


def as_text(report: Report) -> str:
    """For a terminal."""
    head, headers, rows, lines = report
    table = tabulate(rows, headers, tablefmt="simple", disable_numparse=True) if rows else ""
    return "\n\n".join(part for part in (table, "\n".join([*lines, head])) if part)


def as_markdown(report: Report) -> str:
    """For a pull request."""
    head, headers, rows, lines = report
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    table = tabulate(escaped, headers, tablefmt="pipe", disable_numparse=True) if rows else ""
    parts = [f"**{head}**", table, "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _report(drift: Drift, baseline: Path) -> Report:
    counts = drift.counts
    listed = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in reversed(Verdict))
    head = f"drift against {baseline}: {listed}, {len(drift.new)} new, {len(drift.gone)} gone"
    if not drift.compared:
        head = f"{head}; NOTHING WAS COMPARED, which is a failure: no result of the runs has a partner there"
    lines = [f"new: {name}" for name in drift.new] + [f"gone: {name}" for name in drift.gone]
    return head, HEADERS, [_row(cell) for cell in drift.cells], lines


def _row(cell: Cell) -> list[str]:
    """The cell with its gravest metric, or with what makes it incomparable."""
    place = cell.place
    target = f"{place.target} {place.distortion}".strip()
    seeds = str(cell.seeds[0]) if len(cell.seeds) == 1 else f"mean of {len(cell.seeds)}"
    start = [cell.verdict.value, place.board, place.method, place.row, target, seeds]
    if not cell.shifts:
        return [*start, "; ".join(cell.differs), "", "", "", "", ""]
    worst = cell.shifts[0]
    numbers = [f"{worst.before:.4f}", f"{worst.now:.4f}", f"{worst.difference:+.5f}"]
    return [*start, worst.metric, *numbers, f"{worst.tolerance.ok:.2g}", f"{worst.tolerance.okish:.2g}"]


def _drift_as_json(drift: Drift) -> dict[str, Any]:
    return {
        "passed": drift.passed,
        "compared": drift.compared,
        "counts": {verdict.value: count for verdict, count in drift.counts.items()},
        "cells": [_cell_as_json(cell) for cell in drift.cells],
        "new": list(drift.new),
        "gone": list(drift.gone),
    }


def _cell_as_json(cell: Cell) -> dict[str, Any]:
    return {
        **vars(cell.place),
        "seeds": list(cell.seeds),
        "verdict": cell.verdict.value,
        "differs": list(cell.differs),
        "metrics": {
            shift.metric: {
                "before": shift.before,
                "now": shift.now,
                "ok": shift.tolerance.ok,
                "okish": shift.tolerance.okish,
                "verdict": shift.verdict.value,
            }
            for shift in cell.shifts
        },
    }
