"""Scenes on pages that are about records: a strip of a dataset, and one query with what methods find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rsir_bench.report.renderer import Link


@dataclass(frozen=True)
class Tile:
    """One scene of a row of scenes, which is one file.

    Attributes:
        row: The file, relative to the report's folder.
        position: Where it is in the row, in % as ``object-position`` counts.
        words: Its class, or its labels.
        path: Its file in its dataset.
        href: A page about it, relative to the report's folder.
        right: Whether it is one that the query looks for.
    """

    row: str
    position: float
    words: str
    path: str
    href: str
    right: bool = True


@dataclass(frozen=True)
class Strip:
    """One scene of each class, or label, of a dataset; ``kinds`` counts all of them, in words."""

    tiles: Sequence[Tile]
    names: Sequence[str]
    kinds: str


@dataclass(frozen=True)
class Found:
    """What one method finds for a query."""

    title: str
    short: str
    row: str
    verdict: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Showcase:
    """One query, and what some methods find for it.

    Attributes:
        dataset: The title of the dataset.
        board: The board's name.
        query: The query.
        found: The nearest scenes by method.
        href: The page of all panels, relative to the report's folder.
        rule: How the query and the methods were chosen.
    """

    dataset: str
    board: str
    query: Tile
    found: Sequence[Found]
    href: str
    rule: str


@dataclass(frozen=True)
class Scenes:
    """The scenes that other pages show or link to: none where there are no runs."""

    links: Sequence[Link] = ()
    strips: dict[str, Strip] = field(default_factory=dict)
    showcase: Showcase | None = None
