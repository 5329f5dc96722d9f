"""The costs of a board's methods: parameters, multiply-accumulates, images per second, and ratios to one of them."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from rsir_bench.leaderboard import page
from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.markup import EMPTY, ORIGIN, Style
from rsir_bench.leaderboard.render import LATEX, MARKDOWN, TRACED, again, latex_frame, pipes, traced
from rsir_bench.records.cells import printed_title
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
class Line:
    """One method in one environment.

    Attributes:
        label: The method as ``--methods`` takes it.
        title: The method as it is printed.
        environment: The values of :data:`ENVIRONMENT`; empty where a record lacks one.
        values: By key of :data:`COSTS`; None where no record tells it.
        ratios: Value divided by the reference's; None where it was not measured in the same environment.
        records: That tell them.
    """

    label: str
    title: str
    environment: tuple[str, ...]
    values: dict[str, float | None]
    ratios: dict[str, float | None]
    records: tuple[Record, ...]


def lines(board: Board) -> list[Line]:
    """The lines of a board, the reference first; none where its records tell no cost."""
    # A record on distorted scenes repeats the speed of an earlier pass, which another machine may have made.
    clean = [record for record in board.records if record.distortion is None]
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in clean:
        place = tuple(record.environment.get(name, "") for name in ENVIRONMENT)
        groups.setdefault((record.method.label, place), []).append(record)
    everywhere = _values(record for record in clean if record.method.label == REFERENCE)
    result = []
    for (label, place), records in sorted(groups.items(), key=lambda group: (group[0][0] != REFERENCE, group[0])):
        values = _values(records)
        here = _values(groups.get((REFERENCE, place), ())) if all(place) else {}
        ratios = {
            cost.key: _ratio(values[cost.key], (here if cost.speed else everywhere).get(cost.key)) for cost in COSTS
        }
        result.append(Line(label, printed_title(records[0]), place, values, ratios, tuple(records)))
    known = any(value is not None for line in result for value in line.values.values())
    return result if known else []


def _values(records: Iterable[Record]) -> dict[str, float | None]:
    """The mean over seeds of what was measured; of a seed, whose rows repeat figures, the mean over different ones."""
    records = list(records)
    values: dict[str, float | None] = {}
    for cost in COSTS:
        of_seed: dict[int, set[float]] = {}
        for record in records:
            if (figure := record.cost.get(cost.key)) is not None:
                of_seed.setdefault(record.seed, set()).add(figure)
        values[cost.key] = statistics.fmean(map(statistics.fmean, of_seed.values())) if of_seed else None
    return values


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def markdown(board: Board) -> str:
    """The costs in Markdown."""
    escape = MARKDOWN.escape
    found = lines(board)
    rows = [_row(line, MARKDOWN) for line in found]
    grid = pipes([escape(header) for header in _headers()], rows, words=4)
    parts = [f"<!-- {ORIGIN} -->", f"# {escape(_heading(board))}", grid, *map(escape, _notes(board))]
    records = (record for line in found for record in line.records)
    return "\n\n".join([*parts, *again(records, "table_costs")]) + "\n"


def html(board: Board) -> str:
    """The costs in HTML."""
    found = [page.Line(partial(_row, line), line.records) for line in lines(board)]
    return page.page(_heading(board), [page.Grid(f"Board {board.name}", _headers(), 4, found)], _notes(board))


def comma_separated(board: Board) -> str:
    """The costs in CSV: plain numbers, an empty field where there is none."""
    columns = ["board", "protocol_hash", "method", *ENVIRONMENT]
    columns += [name for cost in COSTS for name in (cost.key, f"{cost.key} ratio")]
    columns += TRACED
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for line in lines(board):
        fields = [board.name, board.protocol.hash, line.label, *line.environment]
        for cost in COSTS:
            fields += [_plain(line.values[cost.key], ".6g" if cost.speed else ".0f"), _plain(line.ratios[cost.key])]
        writer.writerow([*fields, *traced(line.records).values()])
    return stream.getvalue()


def latex(board: Board) -> str:
    """The costs in LaTeX (packages booktabs and graphicx)."""
    escape = LATEX.escape
    headers = _headers()
    body = [r"\midrule", *(" & ".join(_row(line, LATEX)) + r" \\" for line in lines(board))]
    columns = "llll" + "r" * (len(headers) - 4)
    return latex_frame(_heading(board), f"{board.name}-costs", columns, headers, body, list(map(escape, _notes(board))))


def _heading(board: Board) -> str:
    return f"Costs of the methods, board {board.name}"


def _headers() -> list[str]:
    return ["Method", *(name.capitalize() for name in ENVIRONMENT)] + [
        header for cost in COSTS for header in (cost.header, "ratio")
    ]


def _row(line: Line, style: Style) -> list[str]:
    row = [style.escape(word or EMPTY) for word in (line.title, *line.environment)]
    for cost in COSTS:
        value = line.values[cost.key]
        row += [style.ours(EMPTY if value is None else cost.show(value))]
        row += [style.ours(_plain(line.ratios[cost.key]) or EMPTY)]
    return row


def _plain(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else format(value, form)


def _notes(board: Board) -> list[str]:
    size = board.protocol.settings["data"]["size"]
    return [
        f"Protocol {board.name} (hash {board.protocol.hash}). Parameters of the network that is described with; "
        f"MACs are multiply-accumulates of describing one scene of {size} px; images per second are means over seeds.",
        f"A ratio divides by the value of {REFERENCE}, for images per second only where that was measured on the same "
        "device, with the same number of threads and the same precision. Speeds were taken as the runs went and show "
        "what else the machine did; a dash marks what was not measured.",
    ]
