"""What retrieval costs by descriptor: bytes of a scene, and measured times of a query in galleries of several sizes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.grids import EMPTY, Grid, GridCell, GridRow, word_cells
from rsir_bench.records.cells import is_plain
from rsir_bench.records.schema import Record

MILLION = 1_000_000
FLOATS = 128
"""Values of the descriptor that others are divided by: what a PCA leaves."""


@dataclass(frozen=True)
class Times:
    """Processor time of one query in milliseconds: to rank and score a gallery, and to search it with faiss."""

    score: float
    search: float


@dataclass(frozen=True)
class Measured:
    """The file of times, which ``studies/retrieval_times.py`` writes.

    Attributes:
        times: By kind (``"code"`` or ``"real"``), values or bits, and scenes of the gallery.
        made: The processor, the versions and the date of the measurement.
    """

    times: dict[tuple[str, int, int], Times]
    made: str

    def size_near(self, scenes: int) -> int:
        """Return the measured size of a gallery that is nearest to another, as a ratio."""
        return min({size for _, _, size in self.times}, key=lambda size: abs(math.log(size / scenes)))


@cache
def measured() -> Measured:
    """Return the times that come with the package."""
    text = resources.files("rsir_bench.leaderboard.pages").joinpath("retrieval_times.csv").read_text(encoding="utf-8")
    lines = list(csv.DictReader(text.splitlines()))
    times = {
        (line["kind"], int(line["dimensions"]), int(line["scenes"])): Times(
            float(line["score_ms"]), float(line["search_ms"])
        )
        for line in lines
    }
    first = lines[0]
    made = f"{first['processor']}, one thread, faiss {first['faiss']}, torch {first['torch']}, {first['date']}"
    return Measured(times, made)


@dataclass(frozen=True)
class Descriptor:
    """A kind of descriptor on a board: ``"code"`` or ``"real"``, its bits or values, and the rows that have it."""

    kind: str
    dimensions: int
    rows: tuple[str, ...]
    records: tuple[Record, ...]

    @property
    def bytes(self) -> int:
        """What a scene takes in an index: four bytes for each value, one for eight bits."""
        return -(-self.dimensions // 8) if self.kind == "code" else 4 * self.dimensions

    @property
    def title(self) -> str:
        """``"64 bits"`` or ``"128 values"``."""
        return f"{self.dimensions:,} {'bits' if self.kind == 'code' else 'values'}"

    def times(self, scenes: int) -> Times | None:
        """Return the times of a query in a gallery of that size; None if they were not measured."""
        return measured().times.get((self.kind, self.dimensions, scenes))


def descriptors(records: Iterable[Record]) -> list[Descriptor]:
    """Return the kinds of descriptors of some records, the smallest first."""
    found: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        kind = "code" if record.row.kind == "code" else "real"
        found.setdefault((kind, record.row.dimensions), []).append(record)
    every = [
        Descriptor(kind, dimensions, tuple(sorted({one.row.name.split(",")[0] for one in of})), tuple(of))
        for (kind, dimensions), of in found.items()
    ]
    return sorted(every, key=lambda one: (one.bytes, one.kind))


def grid(board: Board) -> Grid:
    """Return what a query costs in the board's largest target and in a million scenes."""
    found, near = _found(board)
    headers = ["Descriptor", "Rows", "Bytes per scene"]
    headers += [f"{what}, {_size(scenes)} (ms)" for scenes in (near, MILLION) for what in ("Score", "Search")]
    rows = (GridRow((*_cells(one, near),), ()) for one in found)
    return Grid("Retrieval", (*headers, f"Search ratio, {_size(MILLION)}"), 2, tuple(rows))


def fields(board: Board) -> Iterator[dict[str, str | int]]:
    """Yield the rows of the CSV file."""
    found, near = _found(board)
    for one in found:
        for scenes in (near, MILLION):
            times = one.times(scenes)
            yield {
                "descriptor": one.title,
                "row": "; ".join(one.rows),
                "bytes per scene": one.bytes,
                "gallery": scenes,
                "score ms": "" if times is None else f"{times.score:g}",
                "search ms": "" if times is None else f"{times.search:g}",
            }


def _found(board: Board) -> tuple[list[Descriptor], int]:
    records = [record for record in board.records if is_plain(record)]
    return descriptors(records), measured().size_near(max(record.target.scenes for record in records))


def _size(scenes: int) -> str:
    return "a million" if scenes == MILLION else f"{scenes:,}"


def _cells(one: Descriptor, near: int) -> Iterator[GridCell]:
    yield from word_cells(one.title, ", ".join(one.rows))
    yield GridCell(f"{one.bytes:,}")
    for scenes in (near, MILLION):
        times = one.times(scenes)
        yield GridCell(EMPTY if times is None else _milliseconds(times.score))
        yield GridCell(EMPTY if times is None else _milliseconds(times.search))
    yield GridCell(_ratio(one))


def _milliseconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _ratio(one: Descriptor) -> str:
    ours, floats = one.times(MILLION), measured().times.get(("real", FLOATS, MILLION))
    return EMPTY if ours is None or floats is None else f"{ours.search / floats.search:.3f}"
