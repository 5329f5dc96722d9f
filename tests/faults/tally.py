"""How often a fault was tried, and how often it was survived."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from rsir_bench.base.errors import UserError


def told(read: Callable[[], object]) -> str:
    """What the user is told by a UserError, the only one that may come; nothing where it was read."""
    try:
        read()
    except UserError as error:
        return str(error) or "nothing"
    return ""


class Tally:
    """Counts tries by fault; one that is lost does not keep the others from being tried."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}
        self.lost: list[str] = []

    def attempt(self, fault: str, label: object, check: Callable[[], object]) -> None:
        """Tries once: survived is what raises nothing."""
        count = self.counts.setdefault(fault, [0, 0])
        count[0] += 1
        try:
            check()
        except pytest.skip.Exception:
            count[0] -= 1
            raise
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, this try is lost
            self.lost.append(f"{fault}: {label}: {type(error).__name__}: {str(error)[:2000]}")
        else:
            count[1] += 1


def table(reports: Iterable[Any]) -> list[str]:
    """Lines "fault, tries, survived, lost" of all tests that were called; none where no fault was tried."""
    totals: dict[str, list[int]] = {}
    for report in reports:
        for name, counts in report.user_properties if getattr(report, "when", None) == "call" else ():
            if name == "faults":
                for fault, (tries, survived) in counts.items():
                    total = totals.setdefault(fault, [0, 0])
                    total[0] += tries
                    total[1] += survived
    if not totals:
        return []
    width = max(map(len, totals))
    rows = [(fault, tries, survived, tries - survived) for fault, (tries, survived) in sorted(totals.items())]
    rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3))))  # type: ignore[arg-type]
    head = f"{'fault':{width}}  tries  survived  lost"
    return [head, *(f"{fault:{width}}  {tries:5}  {survived:8}  {lost:4}" for fault, tries, survived, lost in rows)]
