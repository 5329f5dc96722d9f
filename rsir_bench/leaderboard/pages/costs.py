"""The costs of a board: training, describing, and retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.costs import COSTS, REFERENCE, CostRow, cost_rows
from rsir_bench.leaderboard.grids import EMPTY, Document, Grid, GridCell, GridRow, provenance, word_cells
from rsir_bench.leaderboard.pages import retrieval
from rsir_bench.records.schema import ENVIRONMENT

PARAMETERS, MACS, TRAINING, DESCRIBING = COSTS


def document(board: Board) -> Document | None:
    """Return the costs of a board; None if its records have none."""
    rows = cost_rows(board)
    if not rows:
        return None
    data = [*(_fields(row) for row in rows), *retrieval.fields(board)]
    columns = dict.fromkeys(name for fields in data for name in fields)
    start = {"board": board.name, "protocol_hash": board.protocol.hash}
    return Document(
        board=board.name,
        name="costs",
        heading=f"Costs on {board.name}",
        grids=(*_grids(rows), retrieval.grid(board)),
        data=tuple({**start, **{name: fields.get(name, "") for name in columns}} for fields in data),
        notes=_notes(board),
    )


def _grids(rows: Sequence[CostRow]) -> Iterator[Grid]:
    """Yield a grid for each machine; with its methods in the order of ``cost_rows``."""
    machines: dict[tuple[str, ...], list[CostRow]] = {}
    for row in _informative(rows):
        machines.setdefault(row.environment, []).append(row)
    for environment, of in machines.items():
        compared = any(row.ratios[DESCRIBING.key] is not None for row in of)
        ratio = ["ratio"] if compared else []
        headers = ("Method", PARAMETERS.header, MACS.header, "Training (h)", *ratio, "Describing (ms)", *ratio)
        grid_rows = tuple(GridRow(tuple(_cells(row, compared=compared)), row.records) for row in of)
        yield Grid(_caption(environment), headers, 1, grid_rows)


def _informative(rows: Sequence[CostRow]) -> list[CostRow]:
    """Return the rows without those that repeat a method's size, and have no speed of their machine."""
    timed = {(row.label, row.suite) for row in rows if _is_timed(row)}
    first = {(row.label, row.suite): row for row in reversed(rows)}
    return [
        row
        for row in rows
        if _is_timed(row) or ((row.label, row.suite) not in timed and first[row.label, row.suite] is row)
    ]


def _is_timed(row: CostRow) -> bool:
    return row.hours is not None or row.values[DESCRIBING.key] is not None


def _caption(environment: tuple[str, ...]) -> str:
    """Return for example ``"Training and describing: cpu (AMD EPYC), 1 thread, precision 32"``."""
    known = dict(zip(ENVIRONMENT, environment, strict=True))
    threads = known["threads"] and f"{known['threads']} thread{'s' if known['threads'] != '1' else ''}"
    precision = known["precision"] and f"precision {known['precision']}"
    words = ", ".join(word for word in (known["device"], threads, precision) if word)
    return f"Training and describing: {words or 'on an unknown machine'}"


def _cells(row: CostRow, *, compared: bool) -> Iterator[GridCell]:
    yield from word_cells(row.title)
    for cost in (PARAMETERS, MACS):
        value = row.values[cost.key]
        yield _measured("" if value is None else cost.show(value))
    yield _measured(_plain(row.hours))
    if compared:
        yield _measured(_plain(row.hours_ratio, ".2f"))
    speed = row.values[DESCRIBING.key]
    yield _measured("" if speed is None else f"{1000 / speed:.2f}")
    if compared:
        yield _measured(_times(row.ratios[DESCRIBING.key]))


def _measured(text: str) -> GridCell:
    return GridCell(text or EMPTY, measured=True)


def _times(speed: float | None) -> str:
    """Return how much longer something takes, from a ratio of speeds."""
    return f"{1 / speed:.2f}" if speed else ""


def _fields(row: CostRow) -> dict[str, str | int]:
    """Return one row of the CSV file."""
    fields: dict[str, str | int] = {"method": row.label, **({"editions": row.editions} if row.editions else {})}
    fields |= dict(zip(ENVIRONMENT, row.environment, strict=True))
    for cost in COSTS:
        fields[cost.key] = _plain(row.values[cost.key], ".6g" if cost.speed else ".0f")
        fields[f"{cost.key} ratio"] = _plain(row.ratios[cost.key])
    fields["train_hours"] = _plain(row.hours, ".6g")
    fields["train_hours ratio"] = _plain(row.hours_ratio)
    return fields | provenance(row.records)


def _plain(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else format(value, form)


def _notes(board: Board) -> tuple[str, ...]:
    size = board.protocol.settings["data"]["size"]
    scene = "one scene at the size of the row's input" if size is None else f"one scene of {size} px"
    return (
        f"Protocol {board.name} (hash {board.protocol.hash}). Training and describing: means over seeds, measured "
        f"during the runs, so that they depend on what else the machine did; MACs are for {scene}; a ratio is the time "
        f"divided by that of {REFERENCE} on the same machine.",
        "Retrieval: bytes of a scene in an index, and processor time of one query on one machine "
        f"({retrieval.measured().made}), measured apart from the runs. Score: rank the whole gallery exactly and "
        "measure the ranking; search: the first hundred from faiss's exact index. Ratios, here to "
        f"{retrieval.FLOATS} values in float32, hold elsewhere far better than times.",
    )
