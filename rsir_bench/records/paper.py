"""The published values of the JSST paper: its tables, their rows and values, and the slips in them.

To add a table of the paper, add an entry to ``PAPER_TABLES``; ``paper_tables.csv`` already has its values.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass, field
from importlib import resources

from rsir_bench.records.schema import PaperRow

# What the paper prints as "mAP" is AP@10h: it is larger than P@5, which mAP over a whole ranking never is.
PUBLISHED_COLUMNS = {"AP@10h": "map", "P@5": "p5", "P@10": "p10", "P@50": "p50", "P@100": "p100"}
HASHING_SLIP = "the published mAP of the hashing rows does not follow AP@10h: no target"
_NOT_A_SLIP = ("printed as ", "bold: ")


@dataclass(frozen=True)
class PaperTable:
    """The shape of one table of the paper.

    Attributes:
        name: The number in the paper, ``"I"`` to ``"VIII"``.
        caption: What the table shows; its targets are added.
        protocol: The protocol whose unmodified results are compared with the published values.
        targets: Names of the targets in the paper's order (``target.paper_name`` of a record).
        every_row: Whether to show rows that the paper does not list, after the others; False for an ablation table.
        same_variant: Published variants by which the paper means a variant of ours, for example
            ``{"trained on UCM": ""}``.
        note: A remark on the published values.
    """

    name: str
    caption: str
    protocol: str
    targets: tuple[str, ...]
    every_row: bool = True
    same_variant: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Published:
    """One published row on one target.

    Attributes:
        row: The row, with its variant as we name it.
        target: The paper's name of the target.
        values: The values by *our* metric names; the paper's "mAP" is under ``"AP@10h"``.
        slip: What is wrong or unclear in the printed row; empty for most.
    """

    row: PaperRow
    target: str
    values: dict[str, float]
    slip: str


PAPER_TABLES = (
    PaperTable(
        "I",
        "Retrieval results of different methods",
        protocol="patternnet",
        targets=("RS19", "UCM", "RSSCN"),
        note="The paper queries with a fifth of each class, so its values carry a standard error of about "
        "0.014 to 0.018 (RS19), 0.010 to 0.012 (UCM) and 0.009 to 0.011 (RSSCN).",
    ),
    PaperTable(
        "II",
        "Retrieval results of different methods",
        protocol="patternnet",
        targets=("AID", "NWPU"),
    ),
    PaperTable(
        "III",
        "Spatial and spectral conversion alone and together",
        protocol="patternnet",
        targets=("RS19", "UCM", "RSSCN", "AID", "NWPU"),
        every_row=False,
    ),
    PaperTable(
        "IV",
        "Models of the spatial conversion",
        protocol="patternnet",
        targets=("RS19", "UCM", "RSSCN"),
        every_row=False,
        same_variant={"spatial=affine": "spatial only (SpatT)"},
        note="Rows TPS and Affine are read as spatial conversion alone; the paper does not say, and its Affine row is "
        "neither Table III's SpatT nor JSST.",
    ),
    PaperTable(
        "V",
        "Models of the spectral conversion",
        protocol="patternnet",
        targets=("RS19", "UCM", "RSSCN"),
        every_row=False,
        same_variant={"spectral=inter-channel (linear)": "spectral only (SpecT)"},
        note="Rows Intra-C (gamma) and Inter-C (linear) are read as spectral conversion alone; the paper does not say, "
        "and its Inter-C row is neither Table III's SpecT nor JSST.",
    ),
    PaperTable(
        "VI",
        "Orders of the two conversions",
        protocol="patternnet",
        targets=("RS19", "UCM", "RSSCN"),
        every_row=False,
        same_variant={"order=Spat+Spec": ""},
        note="In one pass, inside the scene, the orders give the same. Here Hybrid pads with zeros where Spat+Spec "
        "repeats the edge, and differs by nothing else; Spec+Spat generates the spatial parameters from the converted "
        "scene.",
    ),
    PaperTable(
        "VII",
        "Parameters from one network (PGN-S) or two (PGN-I)",
        protocol="patternnet",
        targets=("RS19", "UCM", "RSSCN"),
        every_row=False,
        same_variant={"PGN-S": ""},
    ),
    PaperTable(
        "VIII",
        "Retrieval results of methods trained on UCM",
        protocol="ucm",
        targets=("RS19", "RSSCN"),
        same_variant={"trained on UCM": ""},
    ),
)


def published(table: PaperTable) -> list[Published]:
    """Return the published rows of a table in the paper's order; none for a table that the paper does not have."""
    return [_published(entry, table) for entry in _entries() if entry["table"] == table.name]


def own_rows(table: PaperTable) -> set[PaperRow]:
    """Return the rows that are specific to an ablation table: those that no table of all methods has."""
    elsewhere = {entry.row for other in PAPER_TABLES if other.every_row for entry in published(other)}
    return {entry.row for entry in published(table)} - elsewhere


def paper_row(name: str, paper: tuple[str, str]) -> PaperRow:
    """Return the published row of a card's row; ``"PCA, iteration 2"`` is pooled as ``"PCA"``.

    Args:
        name: The row's name on the card; what follows a comma distinguishes rows of the same pooling.
        paper: Published method and variant.
    """
    return PaperRow(method=paper[0], variant=paper[1], pooling=name.split(",")[0])


def published_rows() -> set[PaperRow]:
    """Return every row of every table of the paper, with its variant as printed and as we name it."""
    printed = {PaperRow(method=row["method"], variant=row["variant"], pooling=row["pooling"]) for row in _entries()}
    return printed | {entry.row for table in PAPER_TABLES for entry in published(table)}


@functools.cache
def _entries() -> tuple[dict[str, str], ...]:
    text = resources.files("rsir_bench.paper").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _published(entry: dict[str, str], table: PaperTable) -> Published:
    variant = table.same_variant.get(entry["variant"], entry["variant"])
    slips = [part for part in entry["note"].split("; ") if part and not part.startswith(_NOT_A_SLIP)]
    if entry["pooling"] == "Hashing":
        slips.append(HASHING_SLIP)
    return Published(
        row=PaperRow(method=entry["method"], variant=variant, pooling=entry["pooling"]),
        target=entry["dataset"],
        values={metric: float(entry[column]) for metric, column in PUBLISHED_COLUMNS.items()},
        slip="; ".join(slips),
    )
