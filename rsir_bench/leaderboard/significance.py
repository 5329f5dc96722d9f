"""What may be compared: the lines of a target with the best of them, and methods of one board with each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rsir_bench.base.errors import UserError
from rsir_bench.leaderboard.boards import Board, boards
from rsir_bench.records.schema import Record

SIGN = "≈"
NOTE = (
    f"{SIGN}: not shown to be worse than the best of the lines of at least five seeds (t tests whose unit is seed x "
    "class, Holm's correction for all pairs, 5 % per target and metric). Classes count alike in these tests. A "
    "lower mean can carry the sign where a higher one does not: there the classes disagree about the difference. Lines "
    "of fewer seeds are not tested and never carry it."
)


def not_worse(lines: Sequence[Sequence[Record]], metric: str) -> list[bool | None]:
    """Marks for lines of one target, each given by the records of its seeds.

    Returns:
        For each line True (the best, or not shown to be worse), False (worse), or None: not tested, since it has fewer
        than five seeds, no values per class, or nothing to be compared with.
    """
    scores = {str(place): _per_class(records, metric) for place, records in enumerate(lines)}
    scores = {name: values for name, values in scores.items() if len(values) > 1}
    if len(scores) < 2:
        return [None] * len(lines)
    from rsir_bench.leaderboard.statistics import (
        not_worse_than_best,  # scipy takes a second to import, which most boards save
    )

    marks = not_worse_than_best(scores)
    if sum(mark is not None for mark in marks.values()) < 2:
        return [None] * len(lines)
    return [marks.get(str(place)) for place in range(len(lines))]


def board_with(records: Iterable[Record], name: str, methods: Sequence[str], metrics: Sequence[str] = ()) -> Board:
    """The one board of a name, with the methods that are to be compared on it and the metrics for it.

    Args:
        records: Of any boards.
        name: Of the board, as :class:`Board` has it.
        methods: Labels.
        metrics: As records name them.

    Raises:
        UserError: No board has that name or several have, a method is not on it, a record lacks a metric, or records
            that cannot share a board.
    """
    known = boards(records)
    found = [board for board in known if name in (board.name, board.protocol.board)]
    if len(found) != 1:
        names = ", ".join(board.name for board in found or known)
        raise UserError(f"board {name!r}: {'several have' if found else 'none has'} that name; choose one of {names}")
    labels = sorted({record.method.label for record in found[0].records})
    scored = sorted(set.intersection(*(set(record.metrics) for record in found[0].records)))
    for what, asked, there in (("method", methods, labels), ("metric", metrics, scored)):
        for one in asked:
            if one not in there:
                raise UserError(f"{what} {one!r}: not on board {found[0].name}; choose one of {', '.join(there)}")
    return found[0]


def _per_class(records: Sequence[Record], metric: str) -> list[list[float]]:
    """(seeds, classes) values, the classes by name; empty where a record lacks one, or where there is one class."""
    classes = [sorted(record.per_class.items()) for record in records]
    known = [[values[metric] for _, values in found if metric in values] for found in classes]
    complete = all(len(row) == len(found) > 1 for row, found in zip(known, classes, strict=True))
    return known if complete else []
