"""``rsir-bench drift``: compare results with a baseline, and print it for a terminal, a pull request or a program."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsir_bench.base.errors import UserError
from rsir_bench.base.output_folder import refuse_other_page, write_page
from rsir_bench.base.progress import log
from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of
from rsir_bench.base.terminal.tables import Column, markdown_table, text_table
from rsir_bench.cli import options
from rsir_bench.cli.options import RESULTS
from rsir_bench.records.cells import CellId
from rsir_bench.records.verdict import Verdict

if TYPE_CHECKING:
    from rsir_bench.publishing.drift import CellDrift, Drift
    from rsir_bench.runs.golden import Finding

HEADERS = ["verdict", "board", "method", "row", "target", "seed", "worst metric", "before", "now", "change"]
STAGE_HEADERS = ["verdict", "step", "what", "deviation"]
MOST_ROWS, MOST_LINES = 40, 3
"""Rows, and lines of new or gone results, that are printed without ``--all``."""

TOLERANCES = ["OK to", "OKish to"]
NUMBERS = {"deviation", "before", "now", "change", *TOLERANCES}
"""Columns of numbers."""
KEYS = 2
"""Columns that each part of a table has that is too wide."""


def drift(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of records.")] = None,
    baseline: Annotated[Path | None, typer.Option(help=f"The records to compare with; {RESULTS} by default.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare each step on bundled scenes.")] = False,
    accept: Annotated[
        str | None, typer.Option(metavar="REASON", help="Replace the baseline's results with these; REASON is stored.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="File for a Markdown report.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Print every result, not only what differs.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare results with a baseline; exit with 1 if one differs by more than seeds do, or nothing was compared.

    Results on another edition do not fail: the last line counts those within and outside the interval.

    \b
    rsir-bench drift --exact
    rsir-bench drift runs --markdown drift.md
    rsir-bench drift runs --accept "bicubic resize"
    """  # noqa: D301 - keeps the lines of the examples apart
    if exact and (runs or baseline):
        raise UserError("drift: --exact uses the bundled results and baseline; omit folders and --baseline")
    if not exact and accept is not None and (markdown or as_json):
        raise UserError("drift: --accept of results writes no report; omit --markdown and --json")
    if not exact and not runs:
        raise UserError("drift: no folder; name folders that `rsir-bench run --out` wrote, or use --exact")
    if accept is not None and not exact:
        passed = _accept(runs or [], baseline or RESULTS, accept)
    else:
        if markdown is not None:
            refuse_other_page(markdown)
        report = _exact(accept) if exact else _compare(runs or [], baseline or RESULTS)
        report = report if every else report.folded()
        if markdown is not None:
            write_page(markdown, report.as_markdown())
        print(json.dumps(report.values, indent=1) if as_json else report.as_text(screen_of(sys.stdout)))
        if as_json:
            log(report.summary)
        passed = report.passed
    if not passed:
        raise typer.Exit(1)


def _accept(runs: Sequence[Path], baseline: Path, reason: str) -> bool:
    """Replace results of the baseline; return whether any was replaced."""
    from rsir_bench.publishing.accept import accept
    from rsir_bench.runs.artifacts.code import read_current

    left_out = options.LeftOut()
    written = accept(read_current(runs, log), baseline, reason, left_out)
    for path in written:
        print(path)
    log(
        f"{len(written):,} records of {baseline} replaced: {reason}; render the tables with `rsir-bench leaderboard`"
        if written
        else f"nothing to accept: {baseline} has the same results, or no results of these runs"
    )
    return bool(written) and not left_out.count


def _compare(runs: Sequence[Path], baseline: Path) -> Report:
    from rsir_bench.publishing.drift import compare
    from rsir_bench.records.store import read_published
    from rsir_bench.runs.artifacts.code import read_current

    left_out = options.LeftOut()
    drift = compare(read_current(runs, log, left_out), read_published(baseline, left_out))
    report = drift_report(drift, baseline)
    return replace(report, passed=report.passed and not left_out.count)


def _exact(reason: str | None) -> Report:
    from rsir_bench.runs import golden

    return exact_report(golden.check() if reason is None else golden.accept(reason), reason)


@dataclass(frozen=True)
class Report:
    """A comparison, independent of its format.

    Attributes:
        passed: Whether nothing drifted, or the drift was accepted.
        summary: The outcome in one line.
        headers: The table's headers.
        rows: The table's rows.
        lines: Everything that is not in the table.
        values: Everything, for JSON.
        gone: What the results that were not made here are, in a few words.
    """

    passed: bool
    summary: str
    headers: list[str]
    rows: list[list[str]]
    lines: list[str]
    values: dict[str, Any]
    gone: str = ""

    def folded(self) -> Report:
        """Return a report without the rows that are OK if they are many, and with a line for all that is gone."""
        rows, lines = self.rows, []
        if len(rows) > MOST_ROWS:
            rows = [row for row in rows if row[0] != Verdict.OK.value][:MOST_ROWS]
            lines.append(f"rows: {len(self.rows) - len(rows):,} more, none worse; --all prints them")
        new, gone = ([line for line in self.lines if line.startswith(kind)] for kind in ("new: ", "gone: "))
        lines += new[:MOST_LINES]
        if len(new) > MOST_LINES:
            lines.append(f"new: {len(new) - MOST_LINES:,} more; --all prints them")
        lines += gone if len(gone) < 2 else [f"gone: {len(gone):,} not made here ({self.gone}); --all lists them"]
        others = [line for line in self.lines if not line.startswith(("new: ", "gone: "))]
        return replace(self, rows=rows, lines=[*others, *lines])

    def as_text(self, screen: Screen = PLAIN) -> str:
        """Return the report for a terminal; the outcome is last, where it stays visible."""
        columns = [Column(header, "number" if header in NUMBERS else "words") for header in self.headers]
        columns = [replace(column, optional=column.title in TOLERANCES) for column in columns]
        last = screen.styled(screen.folded(self.summary), "good" if self.passed else "bad")
        parts = [text_table(columns, self.rows, screen, KEYS), "\n".join([*map(screen.folded, self.lines), last])]
        return "\n\n".join(part for part in parts if part)

    def as_markdown(self) -> str:
        """Return the report for a pull request."""
        escaped = [[cell.replace("|", r"\|") for cell in row] for row in self.rows]
        table = markdown_table(self.headers, escaped) if escaped else ""
        parts = [f"**{self.summary}**", table, "\n".join(f"- {line}" for line in self.lines)]
        return "\n\n".join(part for part in parts if part) + "\n"


def exact_report(findings: list[Finding], reason: str | None = None) -> Report:
    """Return the report on the exact comparison of each step.

    Args:
        findings: What was compared.
        reason: Why the results were accepted; None if they were not.
    """
    from rsir_bench.runs import golden

    start = golden.first_drift(findings)
    return Report(
        passed=start is None or reason is not None,
        summary=f"exact stage: drift begins at {start.step}: {start.what}" if start else "exact stage: no drift",
        headers=[*STAGE_HEADERS, *TOLERANCES],
        rows=[_finding_as_row(finding) for finding in findings],
        lines=[] if reason is None else [f"accepted: {reason}"],
        values={
            "passed": start is None,
            "begins": start.step if start else None,
            "accepted": reason,
            "findings": [_finding_as_json(finding) for finding in findings],
        },
    )


def _finding_as_row(finding: Finding) -> list[str]:
    tolerance = finding.tolerance
    deviations = [f"{finding.deviation:.2g}", f"{tolerance.ok:g}", f"{tolerance.okish:g}"]
    return [finding.verdict.value, finding.step, finding.what, *deviations]


def _finding_as_json(finding: Finding) -> dict[str, Any]:
    return {
        "step": finding.step,
        "what": finding.what,
        "verdict": finding.verdict.value,
        "deviation": finding.deviation if math.isfinite(finding.deviation) else None,
        "ok": finding.tolerance.ok,
        "okish": finding.tolerance.okish,
    }


def drift_report(drift: Drift, baseline: Path) -> Report:
    """Return the report on results compared with a baseline."""
    counts = {verdict: count for verdict, count in drift.counts.items() if verdict is not Verdict.ANOTHER_EDITION}
    listed = ", ".join(f"{count} {verdict.value}" for verdict, count in reversed(counts.items()))
    summary = f"drift against {baseline}: {listed}, {len(drift.new)} new, {len(drift.gone)} gone"
    within, outside = drift.of_another_edition
    if within or outside:
        summary = f"{summary}; another edition: {within} within, {outside} outside the interval"
    if not drift.compared:
        summary = f"{summary}; NOTHING WAS COMPARED, which is a failure: the baseline has no result of these runs"
    return Report(
        passed=drift.passed,
        summary=summary,
        headers=[*HEADERS, *TOLERANCES],
        rows=[_cell_as_row(cell) for cell in drift.cells],
        lines=[f"new: {name}" for name in drift.new] + [f"gone: {name}" for name in drift.gone],
        values={
            "passed": drift.passed,
            "compared": drift.compared,
            "counts": {verdict.value: count for verdict, count in drift.counts.items()},
            "another edition": {"within": within, "outside": outside},
            "cells": [_cell_as_json(cell) for cell in drift.cells],
            "new": list(drift.new),
            "gone": list(drift.gone),
        },
        gone=_kinds([cell for cell, _ in drift.gone_cells]),
    )


def _kinds(cells: Sequence[CellId]) -> str:
    """Return how many distortions, methods, rows and targets some cells have: ``"70 distortions x 2 rows"``."""
    counts = {
        "distortions": len({cell.distortion for cell in cells}),
        "methods": len({cell.method for cell in cells}),
        "rows": len({cell.row for cell in cells}),
        "targets": len({cell.target for cell in cells}),
    }
    several = {name: count for name, count in counts.items() if count > 1}
    exact = math.prod(several.values()) == len(cells)
    return (" x " if exact else ", ").join(f"{count} {name}" for name, count in several.items()) or "of other seeds"


def _cell_as_row(cell: CellDrift) -> list[str]:
    """Return the cell with its worst metric, or with why it is not comparable."""
    which = cell.cell
    target = f"{which.target} {which.distortion}".strip()
    seeds = str(cell.seeds[0]) if len(cell.seeds) == 1 else f"mean of {len(cell.seeds)}"
    start = [cell.verdict.value, which.board, which.method, which.row, target, seeds]
    if not cell.shifts:
        return [*start, "; ".join(cell.differs), "", "", "", "", ""]
    if cell.editions:
        start[0] = f"{start[0]}: {'within' if cell.within else 'outside'}"
        start[4] = f"{target} ({'; '.join(cell.editions)})"
    worst = cell.shifts[0]
    numbers = [f"{worst.before:.4f}", f"{worst.now:.4f}", f"{worst.difference:+.5f}"]
    return [*start, worst.metric, *numbers, f"{worst.tolerance.ok:.2g}", f"{worst.tolerance.okish:.2g}"]


def _cell_as_json(cell: CellDrift) -> dict[str, Any]:
    return {
        **{name: value for name, value in vars(cell.cell).items() if name != "scenes"},
        "editions": list(cell.editions),
        "within": cell.within if cell.editions else None,
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
