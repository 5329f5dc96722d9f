"""Which metrics records hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rsir_bench.base.errors import UserError
from rsir_bench.ranking.names import named_metric
from rsir_bench.records.schema import Record


def held_metrics(names: Sequence[str], records: Iterable[Record]) -> tuple[str, ...]:
    """Return the metrics asked for, each once, if records hold them.

    Raises:
        UserError: One is not known, or no record holds it.
    """
    held = {name: None for record in records for name in record.metrics}
    for name in names:
        if name not in held:
            known = named_metric(name).name
            raise UserError(f"metric {known}: no record holds it; they hold {', '.join(held)}")
    return tuple(dict.fromkeys(names))
