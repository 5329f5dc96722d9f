"""How scores and records look in Python and in notebooks: a short ``repr``, and a table."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 4
"""Metrics that a ``repr`` shows."""


class Tabular:
    """What has a name and rows of metrics."""

    def _title(self) -> str:
        """Return what it is, in one line."""
        raise NotImplementedError

    def _rows(self) -> Mapping[str, Mapping[str, float]]:
        """Return the metrics of each row by name; the first row stands for the whole."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return one line: what it is, mAP, and the metrics after it."""
        whole = next(iter(self._rows().values()))
        first = sorted(whole, key=lambda name: name not in ("mAP", "mAP(any)"))
        shown = [f"{name} {whole[name]:.4f}" for name in first[:MOST]]
        more = [f"{len(whole) - MOST} more"] if len(whole) > MOST else []
        return f"<{type(self).__name__}: {self._title()}: {', '.join([*shown, *more])}>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        table = self.to_frame().to_html(float_format=lambda value: f"{value:.4f}", border=0)
        return f"<p><b>{escape(self._title())}</b></p>{table}"

    def to_frame(self) -> DataFrame:
        """Return a pandas frame: a row for each name, a column for each metric."""
        from pandas import DataFrame

        return DataFrame.from_dict({name: dict(row) for name, row in self._rows().items()}, orient="index")
