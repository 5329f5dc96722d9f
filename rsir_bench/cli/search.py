"""``rsir-bench search``: find the scenes of a target that are most like an image."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsir_bench.base.output_folder import refuse_other_page, write_page
from rsir_bench.base.progress import log
from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of
from rsir_bench.base.terminal.tables import Cell, Column, text_table
from rsir_bench.cli import options
from rsir_bench.cli.options import check_protocol
from rsir_bench.runs.request import Request

if TYPE_CHECKING:
    from rsir_bench.search.after import AfterHits
    from rsir_bench.search.answer import Answer
    from rsir_bench.search.gallery import Hit


def search(
    image: Annotated[Path, typer.Argument(help="The query: any image file.")],
    target: Annotated[str, typer.Option(help="The dataset to search, or folder:, parquet: or tar:PATH.")],
    method: Annotated[str, typer.Option(help="A trained method, or timm:NAME@WEIGHTS.")],
    top: Annotated[int, typer.Option(min=1, help="Number of scenes to find.")] = 10,
    ann: Annotated[str | None, typer.Option(help="Search approximately with hnsw or ivf; print the recall.")] = None,
    after: options.After = None,
    row: Annotated[str | None, typer.Option(help="A row of the method; its PCA or code row by default.")] = None,
    protocol: options.Protocol = Request.protocol,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 0,
    data_root: options.DataRoot = Request.data_root,
    device: options.Device = "auto",
    out: options.Runs = Request.out,
    override: options.Overrides = None,
    plugin: options.Plugins = None,
    card: options.Cards = None,
    panel: Annotated[Path | None, typer.Option(help="Write an HTML page with the images to this file.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Find the scenes of a target that are most similar to an image, with a trained method.

    \b
    rsir-bench search photo.jpg --target demo-view --method baseline --protocol demo
    rsir-bench search photo.jpg --target ucm --method jsst --data-root data --panel hits.html
    rsir-bench search photo.jpg --target ucm --method jsst --data-root data --after kreciprocal
    """  # noqa: D301 - keeps the lines of the examples apart
    check_protocol(protocol, override or [])
    from rsir_bench.method.postprocessing import named_after, own_kinds
    from rsir_bench.search.answer import as_page, search_scenes
    from rsir_bench.training.device import find_device

    request = Request(
        methods=[method],
        targets=[target],
        protocol=protocol,
        seeds=[seed],
        data_root=data_root,
        device=find_device(device),
        out=out,
        overrides=override or [],
        plugins=plugin or [],
        cards=card or [],
    )
    if panel is not None:
        refuse_other_page(panel)
    processing = [one.processing for one in named_after(after or [], own_kinds(plugin or []))]
    answer = search_scenes(image, request, row=row, top=top, ann=ann, after=processing, log=log)
    if panel is not None:
        write_page(panel, as_page(answer))
        log(f"written: {panel}")
    print(json.dumps(answer_as_json(answer), indent=1) if as_json else as_table(answer, screen_of(sys.stdout)))


def as_table(answer: Answer, screen: Screen = PLAIN) -> str:
    """Return the scenes found as plain text, below the query and what was searched."""
    several, known = answer.scenes.several is not None, answer.query.scene is not None
    columns = [
        *(Column("rank", "number"), Column(answer.gallery.space.unit, "number")),
        *(Column("labels" if several else "class"), Column("scene", "path")),
        *([Column("shared labels" if several else "same class")] if known else []),
    ]
    rows: list[list[str | Cell]] = []
    for rank, hit in enumerate(answer.hits, start=1):
        row = [str(rank), answer.value(hit), answer.words(hit.scene), answer.scenes.paths[hit.scene]]
        rows.append([*row, *([_verdict(answer, hit)] if known else [])])
    parts = ["\n".join([f"{answer.query.path}", *map(screen.folded, answer.lines)]), text_table(columns, rows, screen)]
    for found in answer.after:
        title = screen.folded(f"after {found.processing.label}")
        parts.append(f"{title}\n{_after_table(answer, found, screen)}")
    return "\n\n".join(parts)


def _after_table(answer: Answer, found: AfterHits, screen: Screen) -> str:
    """Return the scenes found after post-processing as plain text, with the rank that each had before."""
    several, known = answer.scenes.several is not None, answer.query.scene is not None
    columns = [
        *(Column(title, "number") for title in ("rank", "before", "score")),
        *(Column("labels" if several else "class"), Column("scene", "path")),
        *([Column("shared labels" if several else "same class")] if known else []),
    ]
    rows: list[list[str | Cell]] = []
    for rank, (hit, before) in enumerate(zip(found.hits, found.before, strict=True), start=1):
        row = [str(rank), str(before or ""), f"{hit.value:.4f}", answer.words(hit.scene)]
        rows.append([*row, answer.scenes.paths[hit.scene], *([_verdict(answer, hit)] if known else [])])
    return text_table(columns, rows, screen)


def _verdict(answer: Answer, hit: Hit) -> Cell:
    """Return whether a scene has the query's class, or the labels that both have."""
    if hit.itself:
        return Cell("the query itself", "faint")
    shared = answer.shared(hit)
    if shared is not None:
        return Cell(", ".join(shared), "good") if shared else Cell("none", "bad")
    return Cell("yes", "good") if answer.same_class(hit) else Cell("no", "bad")


def answer_as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer for programs: the query, what was searched and how, and every hit."""
    gallery, run = answer.gallery, answer.gallery.artifacts.run
    scene = answer.query.scene
    return {
        "query": {
            "file": str(answer.query.path),
            "scene": None if scene is None else answer.scenes.paths[scene],
            "class": answer.query_class,
            **({} if answer.scenes.several is None else {"labels": answer.query_labels}),
        },
        "method": run.method.label,
        "seed": run.seed,
        "row": gallery.cell.row_name,
        "fit": gallery.cell.fit,
        "board": gallery.artifacts.plan.board,
        "target": answer.scenes.name,
        "fingerprint": answer.scenes.fingerprint,
        "scenes": len(gallery),
        "measure": gallery.space.unit,
        "index": answer.kind,
        "comparison": asdict(answer.comparison) if answer.comparison else None,
        "hits": [_hit(answer, rank, hit) for rank, hit in enumerate(answer.hits, start=1)],
        "after": {
            str(found.processing): [
                {**_hit(answer, rank, hit), "before": before}
                for rank, (hit, before) in enumerate(zip(found.hits, found.before, strict=True), start=1)
            ]
            for found in answer.after
        },
    }


def _hit(answer: Answer, rank: int, hit: Hit) -> dict[str, Any]:
    return {
        "rank": rank,
        "value": hit.value,
        "class": answer.class_of(hit.scene),
        "scene": answer.scenes.paths[hit.scene],
        "itself": hit.itself,
        "same_class": answer.same_class(hit),
        **_labels(answer, hit),
    }


def _labels(answer: Answer, hit: Hit) -> dict[str, Any]:
    """Return the labels of a hit, and those that it shares with the query; nothing where scenes have a class."""
    if answer.scenes.several is None:
        return {}
    return {"labels": answer.labels_of(hit.scene), "shared_labels": answer.shared(hit)}
