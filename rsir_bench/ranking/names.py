"""The names of metrics, as in ``mAP@100/R``; k is any whole number from 1. Nothing here needs torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

from rsir_bench.base.errors import UserError

METRIC_VERSION = 1
"""Raised whenever a definition changes, so that results of different definitions are never mixed."""

DEFAULT = ("mAP", "AP@10h", "P@5", "P@10", "P@50", "P@100", "mAP@R", "R-precision", "ANMRR")
"""The default metrics of ``score``."""

RECORDED = (
    *DEFAULT,
    *("recall@10", "recall@100", "hit@1", "hit@5", "hit@10", "MRR"),
    *("mAP@100", "mAP@100/R", "mAP@100h", "nDCG@10", "nDCG@100"),
)
"""The metrics in the record of a result; records of codes also have ``P@H2``."""

OF_CODES = ("P@H2",)
"""Metrics that only codes have."""

LOWER_IS_BETTER = ("ANMRR",)

FORMULAS = (
    *("mAP", "mAP@R", "mAP@k", "mAP@k/R", "mAP@kh", "AP@kh", "P@k", "recall@k", "hit@k", "nDCG@k"),
    *("MRR", "R-precision", "ANMRR", "P@H2"),
)
"""Every metric, with k for its cut-off; ``rsir_bench.ranking.metrics.formulas`` measures them."""

KNOWN = f"known: {', '.join(FORMULAS)}; k is a number"

_GRADED = re.compile(r".*\((any|jaccard|equal|g|2\^g-1)\)|ACG@.*|WAP.*")
"""Names of metrics in ``rsir_bench.ranking.graded.names``."""

_MEANT = {"r@k": ["hit@k", "recall@k"], "cmc@k": ["hit@k"], "rank-k": ["hit@k"], "precision@k": ["P@k"], "ap": ["mAP"]}
"""Other common names of the same metrics, in lower case."""


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: As in tables and records, for example ``recall@10``.
        formula: Its name with k for the cut-off.
        cutoff: k, or 0 if there is none.
    """

    name: str
    formula: str
    cutoff: int


def named_metric(name: str) -> Metric:
    """Return the metric of a name.

    Raises:
        UserError: It is not known.

    Examples:
        >>> named_metric("mAP@100/R")
        Metric(name='mAP@100/R', formula='mAP@k/R', cutoff=100)
    """
    formula, cutoff = _split(name)
    if formula in FORMULAS:
        return Metric(name, formula, cutoff)
    if _GRADED.fullmatch(name):
        raise UserError(f"metric {name!r}: only for several labels per scene, here each has one; {KNOWN}")
    raise UserError(f"metric {name!r}: unknown{_meant(formula, cutoff)}; {KNOWN}")


def metric_names(names: Sequence[str], codes: bool) -> list[str]:
    """Return the names of metrics, checked, each once.

    Args:
        names: The names asked for.
        codes: Whether the descriptors are codes.

    Raises:
        UserError: There are no names, a name is unknown, or a metric needs codes.
    """
    if isinstance(names, str):
        raise UserError(f"metrics: {names!r} is one string; give a list of names")
    found = [named_metric(name).name for name in dict.fromkeys(names)]
    if not found:
        raise UserError(f"metrics: none given; {KNOWN}")
    if not codes and (only := [name for name in found if name in OF_CODES]):
        raise UserError(
            f"metric {only[0]}: counts scenes within a Hamming radius, so it needs codes; give bits, or omit it"
        )
    return found


def shown_name(name: str) -> str:
    """Return the heading of a metric: its name, and its name in metric learning if that differs.

    >>> shown_name("hit@1"), shown_name("recall@1")
    ('hit@1 (R@1)', 'recall@1')
    """
    return f"{name} (R@{name.removeprefix('hit@')})" if name.startswith("hit@") else name


def cutoff_names(k: Sequence[int], hits: int) -> list[str]:
    """Return the default metrics with other cut-offs: P@k for each k, and AP@{hits}h.

    Raises:
        UserError: A cut-off is not a whole number of at least 1, or ``k`` is no list of them.
    """
    if not isinstance(k, Iterable):
        raise UserError(f"k {k!r}: give a list of cut-offs, for example [5, 10]")
    for cutoff in (*k, hits):
        if isinstance(cutoff, bool) or not isinstance(cutoff, Integral) or cutoff < 1:
            raise UserError(f"cut-off {cutoff!r}: k of P@k and AP@kh must be whole numbers of at least 1")
    return ["mAP", f"AP@{hits}h", *(f"P@{cutoff}" for cutoff in k), "mAP@R", "R-precision", "ANMRR"]


def _split(name: str) -> tuple[str, int]:
    """Return ``("mAP@k/R", 100)`` for ``"mAP@100/R"``, and a name without a cut-off with 0."""
    found = re.fullmatch(r"(.*[@-])([1-9][0-9]{0,8})(h|/R|)", name, re.IGNORECASE)
    return (f"{found[1]}k{found[3]}", int(found[2])) if found else (name, 0)


def _meant(formula: str, cutoff: int) -> str:
    """Return suggestions for an unknown name, as the middle of a sentence."""
    plain = {known.lower(): known for known in FORMULAS}
    close = _MEANT.get(formula.lower()) or [plain[it] for it in difflib.get_close_matches(formula.lower(), plain, 2)]
    if not close:
        return ""
    return f", did you mean {' or '.join(re.sub('k(?=h|/R|$)', str(cutoff or 10), it) for it in close)}?"
