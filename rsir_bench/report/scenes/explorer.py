"""The query explorer: one page, and its data as small scripts that are loaded on demand.

A page opened from disk may not fetch files, but it may add scripts: each calls ``explorer.receive``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsir_bench.base.files import page_name, write_text
from rsir_bench.report.renderer import Link
from rsir_bench.report.scenes.targets import RetrievalRun, Target
from rsir_bench.report.scenes.thumbnails import ACROSS, SHEET, SIDE, Sheets

DATA = "explorer"
CATALOGUE = f"{DATA}/catalogue.js"
NOTHING = 2**16 - 1
STEPS = 30_000  # of a similarity that has no natural unit: fits 16 bits


def write_explorer(
    out: Path, targets: Sequence[tuple[Target, Sheets]], missing: Sequence[str], render: Callable[..., Path]
) -> Link:
    """Write the page and its data.

    Args:
        out: The report's folder.
        targets: The targets to choose from, with their thumbnails.
        missing: What is not shown, in words.
        render: ``Frame.render`` of the report's frame.

    Raises:
        UserError: A file cannot be written.
    """
    catalogue = []
    for target, sheets in targets:
        scenes = f"{DATA}/{target.name}/scenes.js"
        _write(out, scenes, {"paths": target.index.paths, "absent": _absent(target), "labels": _labels(target)})
        methods = [_write_method(out, target, shown) for shown in target.methods]
        catalogue.append(_entry(target, sheets) | {"scenes": scenes, "methods": methods})
    _write(out, CATALOGUE, {"targets": catalogue, "across": ACROSS, "sheet": SHEET, "side": SIDE})
    render("explorer.html", "explorer.html", missing=missing, catalogue=CATALOGUE)
    names = ", ".join(dict.fromkeys(target.title for target, _ in targets))
    return Link("Query explorer", "explorer.html", f"Any scene as a query, and what each method retrieves: {names}.")


def _entry(target: Target, sheets: Sheets) -> dict[str, Any]:
    index = target.index
    starts = np.searchsorted(index.labels, np.arange(len(index.classes) + 1)).tolist()
    return {
        "board": target.board,
        "target": target.label,
        "title": f"{target.title} ({target.board_title})",
        "page": f"scenes/{target.name}.html",
        "classes": index.classes,
        "starts": starts,
        "sheets": sheets.folder,
        "colours": sheets.colours.text,
        "excluded": len(index) - len(target.kept),
    }


def _labels(target: Target) -> list[list[str]] | None:
    """Return the labels of each scene of the index; None if each has one, its class."""
    return None if target.index.several is None else target.index.several.lists()


def _absent(target: Target) -> list[int]:
    """Return the indices of the scenes that are not scored."""
    return np.setdiff1d(np.arange(len(target.index)), target.kept).tolist()  # type: ignore[no-any-return]


def _write_method(out: Path, target: Target, shown: RetrievalRun) -> dict[str, Any]:
    name = f"{DATA}/{target.name}/{page_name(shown.record.method.label)}.js"
    _write(out, name, ranking(target, shown))
    return {
        "label": shown.record.method.label,
        "title": shown.title,
        "short": target.short[shown.title],
        "row": shown.row,
        "seed": shown.record.seed,
        "measure": shown.measure,
        "metrics": [[name, shown.record.metrics[name]] for name in shown_metrics(target)],
        "data": name,
    }


def shown_metrics(target: Target) -> tuple[str, ...]:
    """Return the metrics that pages of scenes show of each method."""
    return ("P@10", target.metric) if target.several is None else ("ACG@10", target.metric)


def ranking(target: Target, shown: RetrievalRun) -> dict[str, Any]:
    """Return the nearest scenes of every scene of the index, as the page reads them.

    Returns:
        ``shown``: K, scenes of a ranking; ``scenes``: base64 of (N, K) little-endian integers of ``bytes`` bytes,
        numbers of scenes in the index, the largest such integer where there is no ranking; ``similarities``: base64 of
        (N, K) int16 in units of ``step``; ``digits`` to print.
    """
    kept, found = target.kept, shown.found
    width = np.uint16 if len(target.index) < NOTHING else np.uint32
    scenes = np.full((len(target.index), found.indices.shape[1]), np.iinfo(width).max, width)
    scenes[kept] = np.where(found.indices < 0, np.iinfo(width).max, kept[found.indices])
    step, digits = _step(shown, found.similarities)
    similarities = np.zeros(scenes.shape, np.int16)
    similarities[kept] = np.rint(found.similarities / step)
    return {
        "shown": scenes.shape[1],
        "bytes": scenes.itemsize,
        "scenes": _base64(scenes),
        "similarities": _base64(similarities),
        "step": step,
        "digits": digits,
    }


def _step(shown: RetrievalRun, similarities: npt.NDArray[np.float64]) -> tuple[float, int]:
    """Return the unit of similarities and the digits to print: whole bits for codes, else as fine as 16 bits allow."""
    if shown.record.row.kind == "code":
        return 1.0, 0
    return max(1.0, float(np.abs(similarities).max())) / STEPS, 3


def _base64(values: npt.NDArray[np.generic]) -> str:
    little = values.astype(values.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def _write(out: Path, name: str, value: dict[str, Any]) -> None:
    # ASCII only, so that no character of a name can end a line of the script.
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    write_text(out / name, f"explorer.receive({json.dumps(name)}, {data});\n")
