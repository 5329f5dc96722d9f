"""``rsir-bench score``: score descriptors from files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import track
from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of
from rsir_bench.base.terminal.tables import Column, text_table
from rsir_bench.cli import options
from rsir_bench.cli.options import cluster_of
from rsir_bench.cli.shared.lists import metric_list
from rsir_bench.runs.request import Request

if TYPE_CHECKING:
    from rsir_bench.ranking import GradedScores, Scores

    Row = tuple[str, dict[str, float]]


def score(
    descriptors: Annotated[Path, typer.Option(help="N descriptors or codes: .npy, .npz, .parquet, .csv or .h5.")],
    labels: Annotated[Path | None, typer.Option(help="N labels; omit it if the descriptors' file has them.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="The dataset of the scenes, if the file has ids; or folder:, parquet:, tar:PATH."),
    ] = None,
    data_root: options.DataRoot = Request.data_root,
    codes: Annotated[bool, typer.Option("--codes", help="Binary codes: 0/1 of shape (N, bits), or packed.")] = False,
    bits: Annotated[int | None, typer.Option(help="Bits of packed codes.")] = None,
    bit_order: Annotated[
        str, typer.Option(help="Bit order of packed codes: big (as in numpy) or little (as in faiss).")
    ] = "big",
    queries: Annotated[
        Path | None, typer.Option(help="The queries: indices or a mask, or ids with --dataset; all scenes by default.")
    ] = None,
    gallery: Annotated[Path | None, typer.Option(help="A separate gallery; by default the descriptors.")] = None,
    gallery_labels: Annotated[Path | None, typer.Option(help="Its labels; omit it if its file has them.")] = None,
    own: Annotated[Path | None, typer.Option(help="The gallery row of each query, to exclude; -1: none.")] = None,
    ignore: Annotated[
        Path | None, typer.Option(help="Gallery rows to ignore, neither hits nor misses; one line per query.")
    ] = None,
    similarity: Annotated[str, typer.Option(help="pearson, cosine, 'inner product' or euclidean.")] = "pearson",
    metrics: options.Metrics = None,
    block: Annotated[int | None, typer.Option(help="Queries per block; fewer take less memory.")] = None,
    after: options.After = None,
    plugin: Annotated[list[Path] | None, typer.Option(help="A .py file with post-processing. May be repeated.")] = None,
    device: options.Device = "cpu",
    launcher: options.Launcher = "local",
    address: options.Address = None,
    allow_no_token: options.NoToken = False,
    as_json: options.AsJson = False,
) -> None:
    """Score descriptors from any program.

    \b
    rsir-bench score --descriptors X.npy --labels y.npy
    rsir-bench score --descriptors X.parquet --dataset ucm --data-root data
    rsir-bench score --descriptors Q.npy --labels yq.npy --gallery G.npy --gallery-labels yg.npy --own own.npy
    rsir-bench score --descriptors X.npy --labels y.npy --after aqe:10,3 --after kreciprocal:20,6,0.3
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.method.postprocessing import named_after, own_kinds
    from rsir_bench.ranking.descriptor_files import GalleryFiles, score_files
    from rsir_bench.ranking.scores import measure_queries
    from rsir_bench.scenes.index import resolve_dataset
    from rsir_bench.training.device import find_device

    if launcher == "ray" and device != "cpu":
        raise UserError(f"--device {device}: a cluster scores on CPUs; omit --device or --launcher")
    if launcher == "ray" and after:
        raise UserError(f"--after {after[0]}: post-processing does not run on a cluster; omit --launcher or --after")
    wanted = named_after(after or [], own_kinds(plugin or []))
    device, files = find_device(device), (gallery, gallery_labels, own, ignore)
    with cluster_of(launcher, address, allow_no_token=allow_no_token) as cluster:
        scored = partial(
            score_files,
            descriptors,
            labels,
            dataset=None if dataset is None else resolve_dataset(dataset, data_root),
            queries=queries,
            apart=GalleryFiles(*files) if any(files) else None,
            similarity=similarity,
            codes=codes,
            bits=bits,
            bit_order=bit_order,
            metrics=metric_list(metrics),
            block=block,
            device=device,
            measure=cluster.measure if cluster else partial(measure_queries, show=track),
        )
        plain, processed = scored(), {one.processing: scored(after=one.processing) for one in wanted}
    if as_json:
        more = {"after": {str(one): scores.as_dict() for one, scores in processed.items()}} if processed else {}
        print(json.dumps(plain.as_dict() | more, allow_nan=False))
        return
    print(as_table(plain, screen_of(sys.stdout)))
    if processed:
        labelled = {one.label: scores for one, scores in processed.items()}
        print(f"\n{before_and_after(plain, labelled, screen_of(sys.stdout))}")


def before_and_after(
    plain: Scores | GradedScores, processed: Mapping[str, Scores | GradedScores], screen: Screen = PLAIN
) -> str:
    """Return the overall scores without and with each post-processing, by its label, and its processor time as text."""
    from rsir_bench.ranking.names import shown_name

    columns = [Column("post-processing"), *(Column(shown_name(name), "number") for name in plain.overall)]
    rows = [
        [label, *(f"{scores.overall[name]:.4f}" for name in plain.overall), _seconds(scores)]
        for label, scores in {"none": plain, **processed}.items()
    ]
    return text_table([*columns, Column("CPU s", "number")], rows, screen)


def _seconds(scores: Scores | GradedScores) -> str:
    return "" if scores.after_seconds is None else f"{scores.after_seconds:.2f}"


def as_table(scores: Scores | GradedScores, screen: Screen = PLAIN) -> str:
    """Return the scores overall, the bounds that ties leave, and the scores of each class or label, as text."""
    from rsir_bench.ranking import GradedScores
    from rsir_bench.ranking.names import shown_name

    rows = _with_references(scores) if isinstance(scores, GradedScores) else _with_classes(scores)
    headings = [shown_name(metric) for metric in scores.overall]
    cells = [
        [name, *(f"{values[metric]:.4f}" if metric in values else "" for metric in scores.overall)]
        for name, values in rows
    ]
    table = text_table([Column(""), *(Column(heading, "number") for heading in headings)], cells, screen)
    lines = [_summary(scores), *(f"no retrieval: {doubt}" for doubt in scores.doubts())]
    return "\n\n".join([table, *map(screen.folded, lines)])


def _with_classes(scores: Scores) -> list[Row]:
    return [("all queries", scores.overall), *_bounds(scores), *scores.per_class.items()]


def _with_references(scores: GradedScores) -> list[Row]:
    """Return the rows of all queries and of each label, with chance and oracle below each."""
    rows = [("all queries", scores.overall), ("chance", scores.chance), ("oracle", scores.oracle), *_bounds(scores)]
    for name, values in scores.per_label.items():
        chance, oracle = scores.label_chance[name], scores.label_oracle[name]
        rows += [(name, values), (f"{name}, chance", chance), (f"{name}, oracle", oracle)]
    return rows


def _bounds(scores: Scores | GradedScores) -> list[Row]:
    if scores.lower == scores.upper:
        return []
    return [("least, by ties", scores.lower), ("greatest, by ties", scores.upper)]


def _summary(scores: Scores | GradedScores) -> str:
    """Return one line: the number of queries, those left out, and descriptors without a direction."""
    from rsir_bench.ranking import GradedScores

    parts = [f"{scores.queries} queries"]
    if isinstance(scores, GradedScores):
        if scores.skipped:
            parts.append(f"{scores.skipped} skipped: no other scene shares a label")
        missing = {name: count for name, count in scores.without.items() if count}
        parts += [f"{name} over {scores.queries - count} that have such a scene" for name, count in missing.items()]
    elif scores.skipped:
        parts.append(f"{scores.skipped} skipped: no other scene of their class")
    if scores.constant:
        parts.append(f"{scores.constant} constant descriptors: similarity 0 to every scene")
    return "; ".join(parts)
