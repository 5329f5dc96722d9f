"""Mark the rows of a target that are not shown to be worse than the best one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rsir_bench.ranking.names import LOWER_IS_BETTER
from rsir_bench.records.cells import can_compete, machine_of
from rsir_bench.records.schema import Record

SIGN = "≈"
APART = "†"
ELSEWHERE = "‡"
APART_NOTE = (
    f"{APART}: made on another kind of device or in another precision than most lines, or its seeds on several; "
    "not tested."
)
NOTE = (
    f"{SIGN}: not shown to be worse than the best tested line of at least five seeds (Holm's correction, 5 % per "
    "target and metric)."
)


def not_worse(rows: Sequence[Sequence[Record]], metric: str, usual: str | None) -> list[bool | None]:
    """Return marks for the rows of one target, each given by the records of its seeds.

    Args:
        rows: The rows; none of their records if nothing is to be said of one.
        metric: The metric that they are tested by.
        usual: The result of ``usual_machine``.

    Returns:
        For each row True (the best, or not shown to be worse), False (worse), or None: not tested, since it has fewer
        than five seeds, no values per class, nothing to be compared with, was made apart (see ``is_apart``), or was
        made elsewhere and not again here. Where none is shown to be worse, all are None: marks would separate nothing.
    """
    rows = [records if can_compete(records) else () for records in rows]
    classes = classes_of(rows)
    scores = {
        str(position): scores_by_class(records, metric, classes)
        for position, records in enumerate(rows)
        if not is_apart(records, usual)
    }
    scores = {name: values for name, values in scores.items() if len(values) > 1}
    if len(scores) < 2:
        return [None] * len(rows)
    from rsir_bench.leaderboard.statistics import not_worse_than_best  # imports scipy, which most boards do not need

    marks = not_worse_than_best(scores, higher_is_better=metric not in LOWER_IS_BETTER)
    if False not in marks.values():
        return [None] * len(rows)
    return [marks.get(str(position)) for position in range(len(rows))]


def may_be_best(rows: Sequence[Sequence[Record]]) -> list[bool]:
    """Return which rows, each given by the records of its seeds, may be the best: beside five seeds, none of fewer.

    With one seed each, the best of many methods is often just the luckiest.
    """
    if max(map(len, rows), default=0) < 2:
        return [True] * len(rows)
    from rsir_bench.leaderboard.statistics import FEWEST_SEEDS  # imports scipy, as above

    enough = [len(records) >= FEWEST_SEEDS for records in rows]
    return enough if any(enough) else [True] * len(rows)


def usual_machine(rows: Iterable[Sequence[Record]]) -> str | None:
    """Return the kind of device and the precision that most rows of a target were made with; None without any.

    Args:
        rows: The rows that compete on the target, on whatever page they are shown, so that all pages test alike.
    """
    machines = [{machine_of(record) for record in records} for records in rows]
    usual = Counter(machine for found in machines if len(found) == 1 for machine in found)
    return max(sorted(usual), key=usual.__getitem__) if usual else None


def is_apart(records: Sequence[Record], usual: str | None) -> bool:
    """Return whether a row was made on another kind of device or in another precision, or its seeds on several.

    A row that does not compete, as it was made elsewhere and not again here, is not.
    """
    found = {machine_of(record) for record in records} if can_compete(records) else set()
    return len(found) > 1 or (bool(found) and usual is not None and found != {usual})


def classes_of(rows: Sequence[Sequence[Record]]) -> list[str]:
    """Return the classes, sorted, that most records of a target have values of."""
    counts = Counter(tuple(record.per_class) for records in rows for record in records)
    return sorted(counts.most_common(1)[0][0]) if counts else []


def scores_by_class(records: Sequence[Record], metric: str, classes: Sequence[str]) -> list[list[float]]:
    """Return values (seeds, classes); empty if one is missing, a record has other classes, or there is one class."""
    if len(classes) < 2 or any(record.per_class.keys() != {*classes} for record in records):
        return []
    found = [[record.per_class[name].get(metric) for name in classes] for record in records]
    known = [[value for value in values if value is not None] for values in found]
    return known if all(len(values) == len(classes) for values in known) else []
