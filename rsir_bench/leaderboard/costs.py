"""The costs of a board's methods: parameters, multiply-accumulates, speeds, hours, and ratios to a reference."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rsir_bench.leaderboard.boards import Board
from rsir_bench.records.cells import is_plain, is_submitted
from rsir_bench.records.editions import suite_names
from rsir_bench.records.schema import ENVIRONMENT, Record, in_edition

REFERENCE = "baseline"  # its label: a run with other settings is no reference


@dataclass(frozen=True)
class Cost:
    """One kind of cost.

    Attributes:
        key: In ``cost`` of a record.
        header: As tables print it.
        speed: Whether it depends on the machine.
        show: The value as tables print it.
    """

    key: str
    header: str
    speed: bool
    show: Callable[[float], str]


COSTS = (
    Cost("parameters", "Parameters (M)", False, lambda value: f"{value / 1e6:.2f}"),
    Cost("macs", "MACs (G)", False, lambda value: f"{value / 1e9:.3f}"),
    Cost("train_images_per_second", "Train images/s", True, lambda value: f"{value:.1f}"),
    Cost("describe_images_per_second", "Describe images/s", True, lambda value: f"{value:.1f}"),
)


@dataclass(frozen=True)
class CostRow:
    """One method in one environment, on one suite of targets.

    Attributes:
        label: The method as ``--methods`` takes it.
        title: The method as it is printed.
        environment: The values of ``ENVIRONMENT``, with ``, compiled`` after the precision of compiled trainings; empty
            where a record lacks one.
        values: By key of ``COSTS``; None if no record has it.
        ratios: Value divided by the reference's; None if it was not measured in the same environment.
        records: The records that have these costs.
        hours: Hours of training, of all rounds, mean over seeds; None if nothing is trained, or it is not known.
        hours_ratio: Divided by the reference's in the same environment; None if either is not known.
        suite: The number of the suite.
        editions: The name of the suite; empty if there is only one.
    """

    label: str
    title: str
    environment: tuple[str, ...]
    values: dict[str, float | None]
    ratios: dict[str, float | None]
    records: tuple[Record, ...]
    hours: float | None = None
    hours_ratio: float | None = None
    suite: int = 0
    editions: str = ""


def _in_environment(record: Record, name: str) -> str:
    """Return a value of ``ENVIRONMENT``; compiled trainings have another precision, so that no ratio mixes speeds."""
    value = record.environment.get(name, "")
    return f"{value}, compiled" if value and name == "precision" and "compiled" in record.environment else value


def cost_rows(board: Board) -> list[CostRow]:
    """Return the rows of a board, the reference first; none where its records have no costs."""
    # A record on distorted scenes repeats the speed of an earlier pass, which another machine may have made.
    clean = [record for record in board.records if is_plain(record) and not is_submitted(record)]
    groups: dict[tuple[str, tuple[str, ...], int], list[Record]] = {}
    for record in clean:
        environment = tuple(_in_environment(record, name) for name in ENVIRONMENT)
        groups.setdefault((record.method.label, environment, record.target.suite), []).append(record)
    editions = suite_names(record.target for record in board.records)
    rows = []
    for key, records in sorted(groups.items(), key=lambda group: (group[0][0] != REFERENCE, group[0])):
        label, environment, suite = key
        values = _values(records)
        alike = [record for record in clean if (record.method.label, record.target.suite) == (REFERENCE, suite)]
        beside = groups.get((REFERENCE, environment, suite), []) if all(environment) else []
        here = _values(beside)
        anywhere = _values(alike)
        ratios = {
            cost.key: _ratio(values[cost.key], (here if cost.speed else anywhere).get(cost.key)) for cost in COSTS
        }
        seconds = _training_seconds(records)
        rows.append(
            CostRow(
                label=label,
                title=in_edition(board.title_of(records[0]), editions[suite]),
                environment=environment,
                values=values,
                ratios=ratios,
                records=tuple(records),
                hours=None if seconds is None else seconds / 3600,
                hours_ratio=_ratio(seconds, _training_seconds(beside)),
                suite=suite,
                editions=editions[suite],
            )
        )
    measured = any(value is not None for row in rows for value in row.values.values())
    return rows if measured else []


def _values(records: Iterable[Record]) -> dict[str, float | None]:
    records = list(records)
    return {cost.key: _mean(records, cost.key) for cost in COSTS}


def _mean(records: Iterable[Record], key: str) -> float | None:
    """Return the mean of a cost over seeds; within a seed, whose rows repeat values, the mean over different ones."""
    by_seed: dict[int, set[float]] = {}
    for record in records:
        if (value := record.cost.get(key)) is not None:
            by_seed.setdefault(record.seed, set()).add(value)
    return statistics.fmean(map(statistics.fmean, by_seed.values())) if by_seed else None


def _training_seconds(records: Iterable[Record]) -> float | None:
    """Return the seconds of the whole training, mean over seeds; None if they are not known.

    The row of an iteration has the seconds of the rounds up to its own: the most of a seed are those of all rounds.
    """
    by_seed: dict[int, float] = {}
    for record in records:
        if (seconds := record.cost.get("train_seconds")) is not None:
            by_seed[record.seed] = max(seconds, by_seed.get(record.seed, seconds))
    return statistics.fmean(by_seed.values()) if by_seed else None


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None
