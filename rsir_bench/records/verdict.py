"""How far a number may move, and how a deliberate change is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rsir_bench.base.errors import UserError

EXACT = 1e-5


class Verdict(Enum):
    """Of one cell, the gravest first."""

    NOT_COMPARABLE = "not comparable"
    FAIL = "FAIL"
    OKISH = "OKish"
    OK = "OK"


@dataclass(frozen=True)
class Tolerance:
    """Differences up to ``ok`` are expected, up to ``okish`` possible; larger ones are a change."""

    ok: float
    okish: float

    def verdict(self, difference: float) -> Verdict:
        """OK, OKish or FAIL; what is no number fails."""
        if abs(difference) <= self.ok:
            return Verdict.OK
        return Verdict.OKISH if abs(difference) <= self.okish else Verdict.FAIL


def refuse_no_reason(reason: str) -> None:
    """Refuses a reason without a word.

    Raises:
        UserError: It is one.
    """
    if not reason.strip():
        raise UserError("--accept: no reason; say why the results changed")
