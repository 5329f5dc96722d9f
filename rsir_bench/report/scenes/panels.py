"""Retrieval panels (the paper's Fig. 3): a few queries and the scenes that each method retrieves for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsir_bench.report.scenes.targets import RetrievalRun, Target
from rsir_bench.report.scenes.thumbnails import Sheets

CLASSES = 6


def rule(target: Target) -> str:
    """Return how the queries of a target's panels are chosen, in words."""
    kind, kinds, metric = ("class", "Classes", "AP") if target.several is None else ("label", "Labels", target.metric)
    return (
        f"{kinds} are put in order by the mean {metric} of their queries over all methods shown; of these, {CLASSES} "
        "at even steps are taken, from the easiest to the hardest, or all where there are fewer. The query of a "
        f"{kind} is the scene whose {metric}, averaged over the methods, is the {kind}'s median (the lower of two). "
        "Nothing is picked by hand."
    )


@dataclass(frozen=True)
class Picture:
    """A scene on the page: its thumbnail and its caption.

    Attributes:
        sheet: File of the sheet, relative to the report's folder.
        left: The left edge of the thumbnail on the sheet, in pixels.
        top: The top edge, in pixels.
        path: The scene's file in its dataset.
        words: Its class, or its labels.
        right: Whether that is the query's class, or a label is shared.
        caption: What is printed below: the class where it is another one, or the shared labels.
        similarity: To the query, as printed; empty for the query.
        shared: Number of labels that the query has, too; 0 where scenes have classes.
    """

    sheet: str
    left: int
    top: int
    path: str
    words: str
    right: bool = True
    caption: str = ""
    similarity: str = ""
    shared: int = 0


@dataclass(frozen=True)
class Ranking:
    """The scenes that one method retrieves, nearest first."""

    method: RetrievalRun
    pictures: list[Picture]

    @property
    def right(self) -> int:
        """The number of scenes of the query's class, or with one of its labels."""
        return sum(picture.right for picture in self.pictures)

    @property
    def verdict(self) -> str:
        """How many scenes are right, or how many labels they share with the query, in words."""
        if shared := sum(picture.shared for picture in self.pictures):
            return f"{shared / len(self.pictures):.1f} shared labels on average"
        return f"{self.right} of {len(self.pictures)} right"


@dataclass(frozen=True)
class Panel:
    """A query with the rankings of all methods."""

    query: Picture
    rankings: list[Ranking]


def choose_queries(target: Target) -> list[int]:
    """Choose the queries of the panels by ``rule``: positions in ``target.kept``, the easiest class or label first."""
    average = np.mean([shown.found.measured for shown in target.methods], axis=0)
    middle: list[tuple[float, int]] = []
    for group in _groups(target):
        members = np.flatnonzero(group & ~np.isnan(average))
        if len(members):
            ordered = members[average[members].argsort(kind="stable")]
            middle.append((float(average[members].mean()), int(ordered[(len(ordered) - 1) // 2])))
    middle.sort(key=lambda pair: (-pair[0], pair[1]))
    places = np.linspace(0, len(middle) - 1, min(CLASSES, len(middle))).round().astype(int)
    return list(dict.fromkeys(middle[place][1] for place in places))  # a scene may be the median of two labels


def _groups(target: Target) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield which scored scenes are of each class, or have each label, (M,) bool."""
    if target.several is not None:
        yield from target.several.members.T
    else:
        yield from (target.labels == label for label in np.unique(target.labels))


def make_panels(target: Target, sheets: Sheets) -> list[Panel]:
    """Return the panels of a target."""
    return [_panel(target, sheets, query) for query in choose_queries(target)]


def _panel(target: Target, sheets: Sheets, query: int) -> Panel:
    rankings = []
    for shown in target.methods:
        digits = 0 if shown.record.row.kind == "code" else 3
        pairs = zip(shown.found.indices[query].tolist(), shown.found.similarities[query].tolist(), strict=True)
        pictures = [_picture(target, sheets, query, scene, f"{similarity:.{digits}f}") for scene, similarity in pairs]
        rankings.append(Ranking(shown, pictures))
    number = int(target.kept[query])
    return Panel(Picture(*sheets.place(number), target.index.paths[number], target.words(query)), rankings)


def _picture(target: Target, sheets: Sheets, query: int, scene: int, similarity: str) -> Picture:
    number, words, several = int(target.kept[scene]), target.words(scene), target.several
    if several is None:
        right, shared = bool(target.labels[scene] == target.labels[query]), 0
        caption = "" if right else words
    else:
        both = [name for name in several.of(scene) if name in several.of(query)]
        right, shared, caption = bool(both), len(both), ", ".join(both) or f"none of: {words}"
    return Picture(*sheets.place(number), target.index.paths[number], words, right, caption, similarity, shared)
