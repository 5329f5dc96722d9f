"""Retrieval panels (the paper's Fig. 3): a few queries and the scenes that each method retrieves for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsir_bench.report.scenes.targets import RetrievalRun, Target
from rsir_bench.report.scenes.thumbnails import Sheets

CLASSES = 6
RULE = (
    f"Classes are put in order by the mean AP of their queries over all methods shown; of these, {CLASSES} at even "
    "steps are taken, from the easiest to the hardest, or all where there are fewer. The query of a class is the scene "
    "whose AP, averaged over the methods, is the class's median (the lower of two). Nothing is picked by hand."
)


@dataclass(frozen=True)
class Picture:
    """A scene on the page: its thumbnail and its caption.

    Attributes:
        sheet: File of the sheet, relative to the report's folder.
        left: The left edge of the thumbnail on the sheet, in pixels.
        top: The top edge, in pixels.
        path: The scene's file in its dataset.
        class_name: Its class.
        right: Whether that is the query's class.
        similarity: To the query, as printed; empty for the query.
    """

    sheet: str
    left: int
    top: int
    path: str
    class_name: str
    right: bool = True
    similarity: str = ""


@dataclass(frozen=True)
class Ranking:
    """The scenes that one method retrieves, nearest first."""

    method: RetrievalRun
    pictures: list[Picture]

    @property
    def right(self) -> int:
        """The number of scenes of the query's class."""
        return sum(picture.right for picture in self.pictures)


@dataclass(frozen=True)
class Panel:
    """A query with the rankings of all methods."""

    query: Picture
    rankings: list[Ranking]


def choose_queries(target: Target) -> list[int]:
    """Choose the queries of the panels by ``RULE``: positions in ``target.kept``, the easiest class first."""
    average = np.mean([shown.found.average_precision for shown in target.methods], axis=0)
    labels = target.labels
    middle: list[tuple[float, int]] = []
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label) & ~np.isnan(average))
        if len(members):
            ordered = members[average[members].argsort(kind="stable")]
            middle.append((float(average[members].mean()), int(ordered[(len(ordered) - 1) // 2])))
    middle.sort(key=lambda pair: (-pair[0], pair[1]))
    places = np.linspace(0, len(middle) - 1, min(CLASSES, len(middle))).round().astype(int)
    return [middle[place][1] for place in places]


def make_panels(target: Target, sheets: Sheets) -> list[Panel]:
    """Return the panels of a target."""
    return [_panel(target, sheets, query) for query in choose_queries(target)]


def _panel(target: Target, sheets: Sheets, query: int) -> Panel:
    labels = target.labels

    def picture(scene: int, similarity: str = "") -> Picture:
        number = int(target.kept[scene])
        label = int(labels[scene])
        right = label == labels[query]
        place = sheets.place(number)
        return Picture(*place, target.index.paths[number], target.index.classes[label], right, similarity)

    rankings = []
    for shown in target.methods:
        digits = 0 if shown.record.row.kind == "code" else 3
        pairs = zip(shown.found.indices[query].tolist(), shown.found.similarities[query].tolist(), strict=True)
        rankings.append(Ranking(shown, [picture(scene, f"{similarity:.{digits}f}") for scene, similarity in pairs]))
    return Panel(picture(query), rankings)
