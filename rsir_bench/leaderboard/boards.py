"""Boards: group the result records that may share a table, and refuse those that must not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rsir_bench.base.errors import UserError
from rsir_bench.protocol import Protocol, load_protocol
from rsir_bench.ranking.names import METRIC_VERSION
from rsir_bench.records.cells import cell_of, distortion_of, is_submitted, maker_of, row_label, short_titles
from rsir_bench.records.editions import with_editions
from rsir_bench.records.paper import PAPER_TABLES
from rsir_bench.records.schema import ProtocolPart, Record
from rsir_bench.records.validity import BOARD

TENSORS = re.compile(" tensors$")
"""The entries of a record's environment that say what timm's own weights were; older records have none."""


@dataclass(frozen=True)
class Board:
    """The records of one protocol, which are comparable.

    Attributes:
        name: The name of its folder: the protocol's board, with the protocol's hash where several share that name.
        protocol: The protocol of all its records.
        metric_version: The definition of all its metrics.
        records: Sorted by target, method, row, distortion and seed, each combination once.
        siblings: Other protocols whose board has the same name; each has a separate board with its hash.
    """

    name: str
    protocol: ProtocolPart
    metric_version: int
    records: tuple[Record, ...]
    siblings: tuple[ProtocolPart, ...] = ()

    def title_of(self, record: Record) -> str:
        """Return the method of a record as the board's tables print it."""
        return self._titles[record.method.label]

    @cached_property
    def _titles(self) -> dict[str, str]:
        return short_titles(self.records)


def boards(records: Iterable[Record]) -> list[Board]:
    """Group records into one board per protocol, sorted by name, whatever the order of the records.

    Editions of a dataset are separate targets; see ``rsir_bench.records.editions``.

    Raises:
        UserError: Records of one protocol differ in the metric version or a method's version, code, initial weights,
            pixels or settings; two records are of the same cell and seed; or the name of a board is not a valid folder
            name.
    """
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in with_editions(records):
        groups[record.protocol.board, record.protocol.hash].append(record)
    names = [board for board, _ in groups]
    result = []
    for (board, protocol_hash), group in sorted(groups.items()):
        if not BOARD.fullmatch(board):
            raise UserError(f"board {board!r} of {group[0].method.label}: not a valid folder name; rename the protocol")
        name = board if names.count(board) == 1 else f"{board}-{protocol_hash}"
        result.append(_board(name, group))
    return [replace(board, siblings=_siblings(board, result)) for board in result]


def paper_boards() -> list[Board]:
    """Return the boards of the protocols of the paper's tables, as they are before a single result exists."""
    names = dict.fromkeys(table.protocol for table in PAPER_TABLES)
    return [Board(name, _unmodified(load_protocol(name)), METRIC_VERSION, ()) for name in names]


def _unmodified(protocol: Protocol) -> ProtocolPart:
    return ProtocolPart(
        name=protocol.name,
        hash=protocol.hash,
        board=protocol.name,
        modified=False,
        paper=protocol.paper,
        overrides=[],
        settings=protocol.settings(),
    )


def find_board(records: Iterable[Record], name: str, methods: Sequence[str], metrics: Sequence[str] = ()) -> Board:
    """Return the board of a name, after checking that it has the methods and metrics to be compared.

    Args:
        records: Records of any boards.
        name: The name of the board, with or without the protocol's hash.
        methods: Labels.
        metrics: As records name them.

    Raises:
        UserError: No board has that name or several have, a method is not on it, a record lacks a metric, or records
            cannot share a board.
    """
    every = boards(records)
    named = [board for board in every if name in (board.name, board.protocol.board)]
    if len(named) != 1:
        names = ", ".join(board.name for board in named or every)
        raise UserError(f"board {name!r}: {'several have' if named else 'none has'} that name; choose one of {names}")
    (board,) = named
    labels = sorted({record.method.label for record in board.records})
    scored = sorted(set.intersection(*(set(record.metrics) for record in board.records)))
    for kind, wanted, present in (("method", methods, labels), ("metric", metrics, scored)):
        for word in wanted:
            if word not in present:
                raise UserError(f"{kind} {word!r}: not on board {board.name}; choose one of {', '.join(present)}")
    return board


def _siblings(board: Board, others: list[Board]) -> tuple[ProtocolPart, ...]:
    return tuple(
        other.protocol for other in others if other is not board and other.protocol.board == board.protocol.board
    )


def _board(name: str, group: list[Record]) -> Board:
    _refuse_mixed(name, group)
    claimed: dict[Hashable, Record] = {}
    for record in sorted(group, key=_identity):
        for identity in (_identity(record), record.key):
            twin = claimed.setdefault(identity, record)
            if twin != record:
                fields = ", ".join(_differences(twin, record))
                where = f"{record.method.label} on {_target(record)}, row {row_label(record)}, seed {record.seed}"
                raise UserError(f"board {name}: two records of {where} differ in {fields}; keep one of them")
    records = tuple(claimed[identity] for identity in sorted({_identity(record) for record in group}))
    overrides = [set(record.protocol.overrides) for record in records]
    shared = [override for override in records[0].protocol.overrides if all(override in each for each in overrides)]
    protocol = records[0].protocol.model_copy(update={"overrides": shared})
    return Board(name, protocol, records[0].metric_version, records)


def _identity(record: Record) -> tuple[str, str, str, str, int]:
    return *cell_of(record), distortion_of(record), record.seed


def _target(record: Record) -> str:
    return f"{record.target.label}{f' under {distortion}' if (distortion := distortion_of(record)) else ''}"


def _refuse_mixed(board: str, group: list[Record]) -> None:
    """Refuse records that were scored differently, and seeds that were trained differently."""
    seen: dict[tuple[str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in group:
        for subject, kind, value in (*_scoring(record), *_training(record)):
            seen[subject, kind][str(value)].append(record)
    several = {key: values for key, values in seen.items() if len(values) > 1}
    differing = {f"{subject} has different {kind}": values for (subject, kind), values in several.items()}
    if differing:
        (first, values), *others = sorted(differing.items())
        listed = "; ".join(f"{value} ({_origin(records)})" for value, records in sorted(values.items()))
        more = f"; also {', '.join(problem for problem, _ in others)}" if others else ""
        raise UserError(f"board {board}: {first}: {listed}{more}; recompute the outdated ones or remove them")


Circumstance = tuple[str, str, object]
"""A subject, what must be the same in all of its records, and its value."""


def _scoring(record: Record) -> Iterator[Circumstance]:
    """Yield how a record was scored."""
    yield "the metrics", "versions", record.metric_version
    if record.distortion is not None:
        yield f"distortion {record.distortion.name}", "versions", record.distortion.version
    if record.after is not None:
        code = record.after.own_code[:8] or "as shipped"
        yield f"post-processing {record.after.label}", "versions", [record.after.version, code]
    if record.pixels is not None:
        read = [record.pixels.size, record.pixels.bands, record.pixels.value_range, record.pixels.filter]
        yield f"method {record.method.label} on {record.target.label}", "pixels", read


def _training(record: Record) -> Iterator[Circumstance]:
    """Yield how the network behind a record was made, and by whom."""
    method = f"method {record.method.label}"
    yield method, "versions", record.method.version
    yield method, "codes", record.method.own_code[:8] or "as shipped"
    initial = sorted((name, value) for name, value in record.weights.items() if name != "trained")
    yield method, "initial weights", initial
    for name in filter(TENSORS.search, record.environment):
        yield method, name, record.environment[name]
    if is_submitted(record):
        yield method, "makers", maker_of(record)
    yield method, "settings", sorted(record.method.settings.items())
    line = f"{record.method.label}, row {row_label(record)}, on {_target(record)}"
    yield line, "makers", maker_of(record) or "made here"
    if record.source is not None:
        yield line, "readings of the source", record.source.reading or "8-bit RGB"
    if (pool := record.unlabelled) is not None:
        yield line, "unlabelled scenes", f"{pool.name} {pool.fingerprint[:8]} {pool.reading}".rstrip()


def _origin(records: list[Record]) -> str:
    """Return the number of records, and the file and date of the first of them."""
    first = min(records, key=lambda record: (*_identity(record), record.key))
    others = f"{len(records)} records, for example " if len(records) > 1 else ""
    return (
        f"{others}{first.method.label}, seed {first.seed}, target {_target(first)}, file *-{first.key[:8]}.json, "
        f"created {first.created}"
    )


def _differences(one: Record, other: Record) -> list[str]:
    """Return the fields in which two records differ, as ``part.field``."""
    left, right = _flat(one.model_dump()), _flat(other.model_dump())
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def _flat(parts: dict[str, Any]) -> dict[str, Any]:
    """Flatten one level of nesting: the parts of a record, not the values of a metric by class."""
    flat: dict[str, Any] = {}
    for name, part in parts.items():
        flat |= {f"{name}.{key}": value for key, value in part.items()} if isinstance(part, dict) else {name: part}
    return flat
