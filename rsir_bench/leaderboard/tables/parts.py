"""What a table is made of: blocks, one per target, of rows, of cells. Which rows compete, and who made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsir_bench.leaderboard.boards import Board
from rsir_bench.leaderboard.graded.references import Reference
from rsir_bench.leaderboard.grids import Mark, printed_difference
from rsir_bench.records.cells import can_compete
from rsir_bench.records.paper import PaperTable
from rsir_bench.records.schema import PaperRow, Record

METRICS = ("mAP", "AP@10h", "P@5", "P@10", "P@50", "P@100")
"""The columns of a table unless others are asked for."""

DOUBT = "!"
"""Stands beside values that do not measure retrieval."""

OTHER_TARGETS = PaperTable("targets", "Retrieval results of different methods", protocol="", targets=())
ENCODERS = PaperTable("encoders", "Retrieval results of encoders as they come", protocol="", targets=())
GRADED_TARGETS = PaperTable("labels", "Retrieval results on scenes with several labels", protocol="", targets=())


@dataclass(frozen=True)
class MetricCell:
    """One metric of one row; every value is None if there is none.

    Attributes:
        mean: Over the seeds.
        sd: Sample standard deviation over the seeds; None for a single seed.
        paper: The published value of the same quantity.
        mark: Whether the mean is the best or second best of its block.
        not_worse: Whether it is not shown to be worse than the best tested value of its block; None: not tested.
        doubtful: Whether it is no value of a retrieval, see ``MethodRow.doubts``; it is neither marked nor tested.
    """

    mean: float | None = None
    sd: float | None = None
    paper: float | None = None
    mark: Mark = ""
    not_worse: bool | None = None
    doubtful: bool = False

    @property
    def difference(self) -> float | None:
        """Our printed value minus the paper's printed value, so that a reader who subtracts gets the same."""
        return printed_difference(self.mean, self.paper)


@dataclass(frozen=True)
class RowName:
    """The name of a row.

    Attributes:
        label: The method as ``--methods`` takes it; empty if only the paper has the row.
        title: The method as it is printed.
        row: The row, with the particulars of its PCA.
        target_fit: Whether its PCA was fitted on the target.
        paper: The published row that it is compared with.
    """

    label: str
    title: str
    row: str
    target_fit: bool
    paper: PaperRow | None


@dataclass(frozen=True)
class MethodRow:
    """One method and row on one target; no ``records`` where only the paper has it or where it was not run.

    ``apart`` says that it was not made as most rows of the target were, see ``significance.is_apart``.
    """

    name: RowName
    records: tuple[Record, ...]
    cells: dict[str, MetricCell]
    footnote: int | None = None
    apart: bool = False

    @property
    def seeds(self) -> int:
        """The number of seeds that the values are means over."""
        return len(self.records)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the values do not measure retrieval, by seed; empty if nothing is known against them."""
        return tuple(f"seed {one.seed}: {'; '.join(one.doubts)}" for one in self.records if one.doubts)

    @property
    def competes(self) -> bool:
        """Whether the row may be marked and tested, see the function of this name."""
        return competes(self.records)

    @property
    def origin(self) -> str:
        """Who made the row elsewhere, in words; empty for what was made here."""
        return origin_in_words(self.records)


@dataclass(frozen=True)
class Block:
    """All rows of one target.

    Attributes:
        target: Its label, or its name in the paper where nothing of ours was run on it.
        title: Its title, with its edition if the board has several.
        extent: Its scenes and classes, in words; empty if nothing of ours was run on it.
        rows: The rows.
        references: The chance and the oracle of a target whose scenes have several labels.
        dataset: The name of its dataset; empty if nothing of ours was run on it.
        edition: Its edition, in words; empty if the board has only one.
        suite: The number of its suite.
    """

    target: str
    title: str
    extent: str
    rows: tuple[MethodRow, ...]
    references: tuple[Reference, ...] = ()
    dataset: str = ""
    edition: str = ""
    suite: int = 0


@dataclass(frozen=True)
class Table:
    """One table of one board.

    Attributes:
        name: ``"I"``, ``"II"``, ... of the paper, ``"targets"``, ``"encoders"`` or ``"labels"``.
        caption: What it shows.
        board: The board that its values come from.
        shows_paper: Whether the published values are shown next to ours.
        blocks: One per target.
        notes: Whole sentences below the table.
        footnotes: The slips of the paper; ``MethodRow.footnote`` counts them from 1.
        metrics: Its columns.
        ablation: Whether its rows are those of a question about one method, which other tables have too.
    """

    name: str
    caption: str
    board: Board
    shows_paper: bool
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...]
    metrics: tuple[str, ...] = METRICS
    ablation: bool = False


def competes(records: Sequence[Record]) -> bool:
    """Return whether a row competes with others.

    It is not fitted on the target, nothing speaks against its values, and it was made here, or again here.
    """
    return can_compete(records) and not any(record.row.fit == "target" or record.doubts for record in records)


def origin_in_words(records: Sequence[Record]) -> str:
    """Return who made a line elsewhere and whether it was recomputed; empty for a line that was made here."""
    origin = next((record.origin for record in records if record.origin), None)
    if origin is None:
        return ""
    where = ", ".join(word for word in (origin.made_on, origin.url) if word)
    who = f"{origin.by} ({where})" if where else origin.by
    if origin.kind == "descriptors":
        return f"descriptors submitted by {who}, scored here" + (f"; {origin.training}" if origin.training else "")
    again = [f"seed {one.seed}: {one.origin.remade}" for one in records if one.origin and one.origin.remade]
    return f"made by {who}; " + (f"recomputed here, {'; '.join(again)}" if again else "not recomputed here")


def is_the_papers(board: Board, protocol: str) -> bool:
    """Return whether a board is that of an unmodified protocol of the paper."""
    return board.protocol.paper and not board.protocol.modified and board.protocol.name == protocol
