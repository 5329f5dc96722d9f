"""How far a number may move, and how a deliberate change is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rsir_bench.base.errors import UserError

EXACT = 1e-5


class Verdict(Enum):
    """The verdict on one cell, the worst first; ``ANOTHER_EDITION`` neither passes nor fails."""

    NOT_COMPARABLE = "not comparable"
    FAIL = "FAIL"
    ANOTHER_EDITION = "another edition"
    OKISH = "OKish"
    OK = "OK"


@dataclass(frozen=True)
class Tolerance:
    """Limits: differences up to ``ok`` are expected, up to ``okish`` possible; larger ones are a change."""

    ok: float
    okish: float

    def verdict(self, difference: float) -> Verdict:
        """Return OK, OKish or FAIL; NaN fails."""
        if abs(difference) <= self.ok:
            return Verdict.OK
        return Verdict.OKISH if abs(difference) <= self.okish else Verdict.FAIL


def refuse_no_reason(reason: str) -> None:
    """Refuse an empty reason.

    Raises:
        UserError: The reason is empty.
    """
    if not reason.strip():
        raise UserError("--accept: empty reason; say why the results changed")
