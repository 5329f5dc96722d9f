"""The names of the graded metrics, as in ``nDCG@100(g)``; k is any whole number from 1. Nothing here needs torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rsir_bench.base.errors import UserError

RELEVANCES = ("any", "jaccard", "equal")
"""Relevant scenes share a label; or half of the labels that either has; or have the same labels."""

HEADLINE = "nDCG@100(g)"
"""The metric that figures show and rankings of methods follow; mAP(any) hardly tells methods apart."""

GRADED_COLUMNS = (
    HEADLINE,
    "nDCG@100(2^g-1)",
    "mAP(jaccard)",
    "mAP(equal)",
    "mAP(any)",
    "ACG@100",
    "WAP",
)
"""The columns of a table unless others are asked for."""

GRADED_METRICS = (*GRADED_COLUMNS, "mAP@100(any)", "ACG@10")
"""What is measured unless others are named, and what the record of a result holds."""

KNOWN = "known: mAP(any), mAP@k(any), nDCG@k(g), nDCG@k(2^g-1), ACG@k, WAP, WAP@kh; also with jaccard or equal for any"

_FORMULAS = {
    "mAP": re.compile(rf"mAP(?:@(?P<k>[1-9]\d{{0,8}}))?\((?P<argument>{'|'.join(RELEVANCES)})\)"),
    "nDCG@k": re.compile(r"nDCG@(?P<k>[1-9]\d{0,8})\((?P<argument>g|2\^g-1)\)"),
    "ACG@k": re.compile(r"ACG@(?P<k>[1-9]\d{0,8})(?P<argument>)"),
    "WAP": re.compile(r"WAP(?:@(?P<k>[1-9]\d{0,8})h)?(?P<argument>)"),
}


@dataclass(frozen=True)
class GradedName:
    """The parts of a name.

    Attributes:
        name: As in tables and records.
        formula: mAP, nDCG@k, ACG@k or WAP.
        cutoff: k, or 0 where it has none; of WAP over the hits.
        argument: The relevance of mAP, the gain of nDCG, else empty.
    """

    name: str
    formula: str
    cutoff: int
    argument: str


def graded_name(name: str) -> GradedName:
    """Return the parts of a name.

    Raises:
        UserError: It is not known.

    Examples:
        >>> graded_name("nDCG@100(g)")
        GradedName(name='nDCG@100(g)', formula='nDCG@k', cutoff=100, argument='g')
    """
    for formula, pattern in _FORMULAS.items():
        if found := pattern.fullmatch(name):
            return GradedName(name, formula, int(found["k"] or 0), found["argument"])
    raise UserError(f"metric {name!r}: not one for several labels per scene; {KNOWN}")


def graded_names(metrics: Sequence[str] | None, k: Sequence[int] | None, hits: int | None) -> list[str]:
    """Return the names of metrics, checked, each once; ``GRADED_METRICS`` where none are given.

    Raises:
        UserError: One is not known, there are none, or there are cut-offs without names.
    """
    if k is not None or hits is not None:
        raise UserError("k and hits: cut-offs for one label per scene; with several name the metrics, as nDCG@10(g)")
    if isinstance(metrics, str):
        raise UserError(f"metrics: {metrics!r} is one string; give a list of names")
    found = [graded_name(name).name for name in dict.fromkeys(GRADED_METRICS if metrics is None else metrics)]
    if not found:
        raise UserError(f"metrics: none given; {KNOWN}")
    return found
