"""Which metrics records hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.graded.names import GRADED_METRICS, HEADLINE
from rsir_bench.ranking.names import OF_CODES, RECORDED, metric_names, named_metric
from rsir_bench.records.schema import Record

HELD = dict.fromkeys((*RECORDED, *OF_CODES, *GRADED_METRICS))
"""What new records may hold, by kind of descriptor and of labels."""


def recorded_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics asked for, each once, if new records may hold them.

    Raises:
        UserError: There are none, one is not known, or records do not hold it.
    """
    return _held(names, HELD, "records do not hold it")


def main_metric(record: Record) -> str:
    """Return the metric that methods are ranked by: mAP, or that of scenes with several labels."""
    return "mAP" if record.graded is None else HEADLINE


def held_metrics(names: Sequence[str], records: Iterable[Record]) -> tuple[str, ...]:
    """Return the metrics asked for, each once, if one of some records holds them.

    Raises:
        UserError: There are none, one is not known, or no record holds it.
    """
    return _held(names, {name: None for record in records for name in record.metrics}, "no record holds it")


def _held(names: Sequence[str], held: dict[str, None], otherwise: str) -> tuple[str, ...]:
    if not names:
        metric_names(names, codes=True)  # says what is known
    for name in names:
        if name not in held:
            known = name if name in HELD else named_metric(name).name
            raise UserError(f"metric {known}: {otherwise}; they hold {', '.join(held)}")
    return tuple(dict.fromkeys(names))


def compared_metrics(record: Record) -> tuple[str, str]:
    """Return the two metrics by which tables compare a result with another of the same network."""
    return ("mAP", "P@5") if record.graded is None else (HEADLINE, "mAP(any)")
