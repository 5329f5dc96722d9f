"""Rows of a few scenes, each one small file: a strip for each dataset, and a query with what methods find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from rsir_bench.base.files import page_name, write_atomically
from rsir_bench.leaderboard.costs import REFERENCE
from rsir_bench.report.scenes.panels import choose_queries
from rsir_bench.report.scenes.targets import RetrievalRun, Target
from rsir_bench.report.scenes.thumbnails import QUALITY, Sheets, small_picture
from rsir_bench.report.tiles import Found, Showcase, Strip, Tile
from rsir_bench.scenes.decode import UNREADABLE, Pixels
from rsir_bench.scenes.index import SceneIndex

SIDE = 128
MOST = 48  # scenes of a strip
METHODS, SHOWN = 3, 6


def write_strip(out: Path, target: Target, sheets: Sheets) -> Strip:
    """Write one scene of each class of a dataset, at most ``MOST``: the first, by file name.

    Where scenes have several labels, it is for each label the first scene that has it and shows no other one yet.

    Raises:
        UserError: The file cannot be written.
    """
    names, scenes = _of_each(target.index)
    row = f"{sheets.folder}/strip.jpg"
    places = _write(out / row, target.index, sheets, scenes)
    tiles = [
        Tile(row, place, _words(target, scene), target.index.paths[scene], _href(target, scene))
        for place, scene in zip(places, scenes, strict=True)
    ]
    return Strip(tiles, names, target.kinds)


def _of_each(index: SceneIndex) -> tuple[list[str], list[int]]:
    """Return the names of classes or labels, and a scene of each."""
    if index.several is None:
        pairs = zip(index.classes, np.searchsorted(index.labels, np.arange(len(index.classes))).tolist(), strict=True)
        return _unzipped(list(pairs))
    found: dict[str, int] = {}
    for name, having in zip(index.several.names, index.several.members.T, strict=True):
        scenes = [scene for scene in np.flatnonzero(having).tolist() if scene not in found.values()]
        if scenes:
            found[name] = scenes[0]
    return _unzipped(list(found.items()))


def _unzipped(pairs: list[tuple[str, int]]) -> tuple[list[str], list[int]]:
    """Return names and scenes, at even steps where there are more than ``MOST``."""
    chosen = np.linspace(0, len(pairs) - 1, min(MOST, len(pairs))).round().astype(int).tolist()
    return [pairs[place][0] for place in chosen], [pairs[place][1] for place in chosen]


def write_showcase(out: Path, targets: Sequence[tuple[Target, Sheets]]) -> Showcase:
    """Write one query of one target, and the first scenes that a few methods find for it.

    Raises:
        UserError: The file cannot be written.
    """
    target, sheets = min(targets, key=lambda pair: (_is_generated(pair[0]), -len(pair[0].methods)))
    queries = choose_queries(target)
    query = queries[(len(queries) - 1) // 2]
    methods = _methods(target)
    ranked = [method.found.indices[query][:SHOWN].tolist() for method in methods]
    scenes = [query, *dict.fromkeys(scene for found in ranked for scene in found if scene != query)]
    row = f"{sheets.folder}/query-{page_name(target.board)}.jpg"
    places = _write(out / row, target.index, sheets, [int(target.kept[scene]) for scene in scenes])
    place_of = dict(zip(scenes, places, strict=True))

    def tile(scene: int, right: bool = True) -> Tile:
        number = int(target.kept[scene])
        return Tile(row, place_of[scene], target.words(scene), target.index.paths[number], _href(target, number), right)

    shown = []
    for method, found in zip(methods, ranked, strict=True):
        tiles = [tile(scene, target.is_right(query, scene)) for scene in found]
        words = "right" if target.several is None else "share a label"
        verdict = f"{sum(one.right for one in tiles)} of {len(tiles)} {words}"
        shown.append(Found(method.title, target.short[method.title], method.row, verdict, tiles))
    rule = (
        f"The query is chosen by a rule, as all panels are: of the {target.kinds}, one of middle difficulty, and of "
        "its scenes the median. Shown are the best methods and the baseline."
    )
    return Showcase(target.title, target.board, tile(query), shown, f"scenes/{target.name}.html", rule)


def _methods(target: Target) -> list[RetrievalRun]:
    """Return the best methods, and the baseline in any case."""
    wanted = [method for method in target.methods if method.record.method.label == REFERENCE]
    chosen = [*wanted, *(method for method in target.methods if method not in wanted)][:METHODS]
    return [method for method in target.methods if method in chosen]


def _is_generated(target: Target) -> bool:
    return target.index.card is not None and target.index.card.generator is not None


def _words(target: Target, scene: int) -> str:
    """Return the class of a scene of the index, or its labels."""
    if target.index.several is not None:
        return ", ".join(target.index.several.of(scene))
    return target.index.classes[int(target.index.labels[scene])]


def _href(target: Target, scene: int) -> str:
    words = {"board": target.board, "target": target.label, "scene": target.index.paths[scene]}
    return f"explorer.html#{urlencode(words, errors='replace')}"  # a name that is no text leads to the page alone


def _write(path: Path, index: SceneIndex, sheets: Sheets, scenes: Sequence[int]) -> list[float]:
    """Write scenes of an index next to each other; return the position of each in %."""
    row = Image.new("RGB", (len(scenes) * SIDE, SIDE), (128, 128, 128))
    for place, scene in enumerate(scenes):
        picture = _read(index, index.paths[scene], sheets)
        if picture is not None:
            row.paste(Image.fromarray(picture), (place * SIDE, 0))
    write_atomically(path, lambda path: row.save(path, "JPEG", quality=QUALITY))
    return [round(100 * place / max(1, len(scenes) - 1), 4) for place in range(len(scenes))]


def _read(index: SceneIndex, path: str, sheets: Sheets) -> Pixels | None:
    """Return a scene; None for one that the sheets have named as unreadable."""
    try:
        return small_picture(index, path, sheets.colours, SIDE)
    except UNREADABLE:
        return None
