"""The costs of a board's methods: parameters, multiply-accumulates, images per second, and ratios to a reference."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.grids import EMPTY, Document, Grid, GridCell, GridRow, provenance, word_cells
from rsir_bench.records.cells import is_plain, is_submitted, printed_title
from rsir_bench.records.schema import ENVIRONMENT, Record

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
    """One method in one environment.

    Attributes:
        label: The method as ``--methods`` takes it.
        title: The method as it is printed.
        environment: The values of ``ENVIRONMENT``; empty where a record lacks one.
        values: By key of ``COSTS``; None where no record has it.
        ratios: Value divided by the reference's; None where it was not measured in the same environment.
        records: The records that have these costs.
    """

    label: str
    title: str
    environment: tuple[str, ...]
    values: dict[str, float | None]
    ratios: dict[str, float | None]
    records: tuple[Record, ...]


def cost_rows(board: Board) -> list[CostRow]:
    """Return the rows of a board, the reference first; none where its records have no costs."""
    # A record on distorted scenes repeats the speed of an earlier pass, which another machine may have made.
    clean = [record for record in board.records if is_plain(record) and not is_submitted(record)]
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in clean:
        environment = tuple(record.environment.get(name, "") for name in ENVIRONMENT)
        groups.setdefault((record.method.label, environment), []).append(record)
    anywhere = _values(record for record in clean if record.method.label == REFERENCE)
    rows = []
    for (label, environment), records in sorted(groups.items(), key=lambda group: (group[0][0] != REFERENCE, group[0])):
        values = _values(records)
        here = _values(groups.get((REFERENCE, environment), ())) if all(environment) else {}
        ratios = {
            cost.key: _ratio(values[cost.key], (here if cost.speed else anywhere).get(cost.key)) for cost in COSTS
        }
        rows.append(CostRow(label, printed_title(records[0]), environment, values, ratios, tuple(records)))
    measured = any(value is not None for row in rows for value in row.values.values())
    return rows if measured else []


def _values(records: Iterable[Record]) -> dict[str, float | None]:
    """Return means over seeds; within a seed, whose rows repeat values, the mean over different ones."""
    records = list(records)
    values: dict[str, float | None] = {}
    for cost in COSTS:
        by_seed: dict[int, set[float]] = {}
        for record in records:
            if (value := record.cost.get(cost.key)) is not None:
                by_seed.setdefault(record.seed, set()).add(value)
        values[cost.key] = statistics.fmean(map(statistics.fmean, by_seed.values())) if by_seed else None
    return values


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def document(board: Board) -> Document | None:
    """Return the costs of a board; None where its records have none."""
    rows = cost_rows(board)
    if not rows:
        return None
    headers = ["Method", *(name.capitalize() for name in ENVIRONMENT)]
    headers += [header for cost in COSTS for header in (cost.header, "ratio")]
    grid_rows = tuple(GridRow(tuple(_cells(row)), row.records) for row in rows)
    return Document(
        board=board.name,
        name="costs",
        heading=f"Costs of the methods, board {board.name}",
        grids=(Grid(f"Board {board.name}", tuple(headers), 1 + len(ENVIRONMENT), grid_rows),),
        data=tuple(_fields(board, row) for row in rows),
        notes=_notes(board),
    )


def _cells(row: CostRow) -> list[GridCell]:
    cells = list(word_cells(row.title, *row.environment))
    for cost in COSTS:
        value = row.values[cost.key]
        texts = (EMPTY if value is None else cost.show(value), _plain(row.ratios[cost.key]) or EMPTY)
        cells += [GridCell(text, measured=True) for text in texts]
    return cells


def _fields(board: Board, row: CostRow) -> dict[str, str | int]:
    """Return one row of the CSV file."""
    fields: dict[str, str | int] = {"board": board.name, "protocol_hash": board.protocol.hash, "method": row.label}
    fields |= dict(zip(ENVIRONMENT, row.environment, strict=True))
    for cost in COSTS:
        fields[cost.key] = _plain(row.values[cost.key], ".6g" if cost.speed else ".0f")
        fields[f"{cost.key} ratio"] = _plain(row.ratios[cost.key])
    return fields | provenance(row.records)


def _plain(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else format(value, form)


def _notes(board: Board) -> tuple[str, ...]:
    size = board.protocol.settings["data"]["size"]
    scene = "one scene at the size of the row's input" if size is None else f"one scene of {size} px"
    return (
        f"Protocol {board.name} (hash {board.protocol.hash}). Parameters are those of the network that describes "
        f"scenes; MACs are multiply-accumulates for describing {scene}; images per second are means "
        "over seeds.",
        f"A ratio divides by the value of {REFERENCE}; for images per second only where that was measured on the same "
        "device, with the same number of threads and the same precision. Speeds were measured during the runs and "
        "depend on what else the machine was doing. A dash marks what was not measured.",
    )
