"""Boards: which result records may stand in one table, and which must not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from rsir_bench.base.errors import UserError
from rsir_bench.records.cells import cell_of, distortion_of, row_label
from rsir_bench.records.schema import ProtocolPart, Record


@dataclass(frozen=True)
class Board:
    """The records of one protocol, which may be compared with each other.

    Attributes:
        name: Also the name of its folder: the protocol's board, with the protocol's hash where two share that name.
        protocol: The protocol of all its records.
        metric_version: The definition of all its metrics.
        records: Sorted by target, method, row, distortion and seed; no two of the same target, method, row, distortion
            and seed.
        siblings: Other protocols whose board has that name; each stands apart, under its hash.
    """

    name: str
    protocol: ProtocolPart
    metric_version: int
    records: tuple[Record, ...]
    siblings: tuple[ProtocolPart, ...] = ()


def boards(records: Iterable[Record]) -> list[Board]:
    """Sorts records into one board per protocol, by name; the order of the records does not matter.

    Raises:
        UserError: Records of one protocol differ in a dataset's fingerprint, the metric version or a method's version
            or settings; two records claim the same cell; or the name of a board is no name of a folder.
    """
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.protocol.board, record.protocol.hash].append(record)
    names = [board for board, _ in groups]
    result = []
    for (board, protocol_hash), group in sorted(groups.items()):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~-]*", board):
            raise UserError(
                f"board {board!r} of {group[0].method.label}: not the name of a folder; rename the protocol"
            )
        name = board if names.count(board) == 1 else f"{board}-{protocol_hash}"
        result.append(_board(name, group))
    return [replace(board, siblings=_siblings(board, result)) for board in result]


def _siblings(board: Board, others: list[Board]) -> tuple[ProtocolPart, ...]:
    return tuple(
        other.protocol for other in others if other is not board and other.protocol.board == board.protocol.board
    )


def _board(name: str, group: list[Record]) -> Board:
    _refuse_mixed(name, group)
    claimed: dict[Hashable, Record] = {}
    for record in sorted(group, key=_place):
        for identity in (_place(record), record.key):
            twin = claimed.setdefault(identity, record)
            if twin != record:
                fields = ", ".join(_differences(twin, record))
                where = f"{record.method.label} on {_target(record)}, row {row_label(record)}, seed {record.seed}"
                raise UserError(f"board {name}: two records of {where} differ in {fields}; keep one of them")
    records = tuple(claimed[place] for place in sorted({_place(record) for record in group}))
    return Board(name, records[0].protocol, records[0].metric_version, records)


def _place(record: Record) -> tuple[str, str, str, str, int]:
    return *cell_of(record), distortion_of(record), record.seed


def _target(record: Record) -> str:
    return f"{record.target.name}{f' under {distortion}' if (distortion := distortion_of(record)) else ''}"


def _refuse_mixed(board: str, group: list[Record]) -> None:
    """Refuses records that were not scored alike, or seeds that were not trained alike."""
    seen: dict[tuple[str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))

    def note(subject: str, what: str, value: object, record: Record) -> None:
        seen[subject, what][str(value)].append(record)

    for record in group:
        note("the metrics", "versions", record.metric_version, record)
        note(f"target {record.target.name}", "fingerprints", record.target.fingerprint, record)
        if record.source is not None:
            note(f"source {record.source.name}", "fingerprints", record.source.fingerprint, record)
        if record.distortion is not None:
            note(f"distortion {record.distortion.name}", "versions", record.distortion.version, record)
        note(f"method {record.method.label}", "versions", record.method.version, record)
        note(f"method {record.method.label}", "settings", sorted(record.method.settings.items()), record)
    differing = {f"{subject} has different {what}": found for (subject, what), found in seen.items() if len(found) > 1}
    if differing:
        (first, values), *others = sorted(differing.items())
        found = "; ".join(f"{value} ({_origin(records)})" for value, records in sorted(values.items()))
        more = f"; and so: {', '.join(words for words, _ in others)}" if others else ""
        raise UserError(f"board {board}: {first}: {found}{more}; run the outdated ones again or remove them")


def _origin(records: list[Record]) -> str:
    """How many records, and the first of them by name, so that its file can be found and its age be seen."""
    first = min(records, key=lambda record: (*_place(record), record.key))
    others = f"{len(records)} records, as " if len(records) > 1 else ""
    return (
        f"{others}{first.method.label}, seed {first.seed}, target {_target(first)}, file *-{first.key[:8]}.json, "
        f"made {first.created}"
    )


def _differences(one: Record, other: Record) -> list[str]:
    """The fields in which two records differ, as ``part.field``."""
    left, right = _flat(one.model_dump()), _flat(other.model_dump())
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def _flat(parts: dict[str, Any]) -> dict[str, Any]:
    """One level of nesting, flattened: the parts of a record, not the values of a metric for every class."""
    flat: dict[str, Any] = {}
    for name, part in parts.items():
        flat |= {f"{name}.{key}": value for key, value in part.items()} if isinstance(part, dict) else {name: part}
    return flat
