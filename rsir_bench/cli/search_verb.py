"""``rsir-bench search``: from an image file to the scenes of a target that a method finds alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.output_folder import refuse_other_page, write_page
from rsir_bench.runs.request import Request
from rsir_bench.search.answer import Answer, as_json, as_page, as_table
from rsir_bench.search.gallery import Gallery, find_run
from rsir_bench.search.index import APPROXIMATE, refuse_approximate_codes
from rsir_bench.search.query import read_query


def run_search_verb(
    image: Path,
    request: Request,
    row: str | None,
    top: int,
    ann: str | None,
    json_wanted: bool,
    panel: Path | None,
    say: Callable[[str], object],
) -> str:
    """Searches a target for an image.

    Args:
        image: The query; an image file from anywhere.
        request: One method, one seed, one target.
        row: Name of the row; None chooses, see :func:`rsir_bench.search.gallery.find_run`.
        top: How many scenes to find, the query itself not counted.
        ann: ``hnsw`` or ``ivf`` for an approximate search; None searches exactly.
        json_wanted: JSON in place of a table.
        panel: Where to write a page with pictures; None: no page.
        say: Told what takes long, what has to be made again, and where the page is.

    Returns:
        str: what to print.

    Raises:
        UserError: The run is not trained, the image cannot be read, or an option does not fit.
    """
    for option, name in (("--method", request.methods[0]), ("--target", request.targets[0])):
        if name == "all" or "," in name:
            raise UserError(f"{option} {name}: a search takes one; name it")
    if ann is not None and ann not in APPROXIMATE:
        raise UserError(f"--ann {ann}: unknown; choose {' or '.join(APPROXIMATE)}, or leave it out for exact search")
    if panel is not None:
        refuse_other_page(panel)
    try:
        answer = _answer(image, request, row, top, ann, say)
    except RunError as error:
        raise UserError(str(error)) from None
    if panel is not None:
        write_page(panel, as_page(answer))
        say(f"written: {panel}")
    return json.dumps(as_json(answer), indent=1) if json_wanted else as_table(answer)


def _answer(
    image: Path, request: Request, row: str | None, top: int, ann: str | None, say: Callable[[str], object]
) -> Answer:
    stages, cell = find_run(request, row)
    if ann and cell.row.kind == "code":
        refuse_approximate_codes(ann)
    # The image is read before anything that takes long.
    query = read_query(image, stages.plan.datasets[cell.target], stages.plan.transform)
    gallery = Gallery(stages, cell, say)
    kind = ann or "flat"
    hits = gallery.find(query, top, kind)
    return Answer(query, gallery, kind, hits, gallery.compare(kind, top) if ann else None)
