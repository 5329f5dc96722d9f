"""What a campaign prints at its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rsir_bench.base.progress import duration
from rsir_bench.base.terminal.screen import screen_of

if TYPE_CHECKING:
    from rsir_bench.runs.runners.campaign import CampaignResult


def print_table(outcome: CampaignResult, columns: Sequence[str] | None) -> None:
    """Print the leaderboard of a campaign to standard output; nothing where it has no records.

    Args:
        outcome: The records and failures.
        columns: The metrics to show; None: the usual ones.
    """
    from rsir_bench.leaderboard import terminal_table
    from rsir_bench.leaderboard.tables.parts import METRICS

    if outcome.records:
        failed = {} if outcome.plan.protocol.trains else outcome.failures
        shown = METRICS if columns is None else columns
        print(terminal_table(outcome.records, shown, screen_of(sys.stdout), failed))


def summary(outcome: CampaignResult, seconds: float) -> list[str]:
    """Return the last lines of a campaign: who leads on each target, the time, where the records are, what failed."""
    from rsir_bench.leaderboard.terminal import leaders

    lines = [f"ahead     {line}" for line in leaders(outcome.records)]
    made = f"{len(outcome.records)} records, those of this run in {outcome.plan.request.out}"
    lines.append(f"took      {duration(seconds)}; {made}")
    if outcome.failures:
        asked = len(outcome.plan.runs) + len(outcome.plan.failed)
        lines.append(f"failed    {len(outcome.failures)} of {asked} runs; each reason is above")
    return lines
