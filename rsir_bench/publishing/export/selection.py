"""Which results are exported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rsir_bench.base.errors import UserError, suggest
from rsir_bench.records.editions import with_editions
from rsir_bench.records.schema import Record


@dataclass(frozen=True)
class Selection:
    """What is wanted of the results; what is left open is not restricted.

    Attributes:
        boards: Names of boards.
        methods: Labels.
        targets: Names of datasets, or labels of editions such as ``rsscn7 (original)``.
        rows: Names of rows.
    """

    boards: Sequence[str] = ()
    methods: Sequence[str] = ()
    targets: Sequence[str] = ()
    rows: Sequence[str] = ()

    def of(self, records: Iterable[Record]) -> list[Record]:
        """Return the wanted records, with labels of their editions if a board has several.

        Raises:
            UserError: A word is in no record, or no record has all of what is wanted.
        """
        found = with_editions(records)
        for option, wanted, known in (
            ("--boards", self.boards, {record.protocol.board for record in found}),
            ("--methods", self.methods, {record.method.label for record in found}),
            ("--targets", self.targets, {name for record in found for name in _names(record)}),
            ("--rows", self.rows, {record.row.name for record in found}),
        ):
            for word in wanted:
                if word not in known:
                    raise UserError(f"{option} {word}: {suggest(word, sorted(known))}")
        chosen = [record for record in found if self._has(record)]
        if not chosen:
            raise UserError(
                "export: no result matches all of the selections; name fewer boards, methods, targets or rows"
            )
        return chosen

    def _has(self, record: Record) -> bool:
        return (
            (not self.boards or record.protocol.board in self.boards)
            and (not self.methods or record.method.label in self.methods)
            and (not self.targets or not _names(record).isdisjoint(self.targets))
            and (not self.rows or record.row.name in self.rows)
        )


def _names(record: Record) -> set[str]:
    """Return the names that select a target: its dataset, for all editions, and its label."""
    return {record.target.name, record.target.label}
