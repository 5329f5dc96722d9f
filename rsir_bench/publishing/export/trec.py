"""Rankings and judgements as TREC's tools read them.

A run is ``query Q0 scene rank score tag`` line by line, judgements (qrels) are ``query 0 scene 1`` for every positive;
where scenes have several labels, the number that both have takes the place of the 1.
TREC's tools sort by score, break ties by name, and may hold scores in 32 bits: a score here is the number of scenes
from its rank to the end of the list, so scores are whole and no two are equal. Scenes of equal similarity are in the
order of their ids, where ``rsir_bench.ranking.score`` takes the mean over all their orders.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import numpy as np
import torch

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import slug, write_atomically
from rsir_bench.base.progress import track
from rsir_bench.publishing.export.described import Described
from rsir_bench.ranking.blocks import block_queries, fill_distances
from rsir_bench.ranking.graded.task import graded_task
from rsir_bench.ranking.task import Task, scoring_task
from rsir_bench.ranking.threads import workers

Array = np.ndarray[Any, Any]


def word(text: str) -> str:
    """Return text as one word: white space, control characters and ``%`` are written as in URLs.

    >>> word("dense residential/dense00")
    'dense%20residential/dense00'
    """
    return re.sub(r"[\s%\x00-\x1f\x7f]", lambda found: quote(found[0]), text)


def write_trec(described: Described, folder: Path, depth: int | None = None) -> int:
    """Write ``STEM.run`` and, with a dataset's queries and judgements, ``DATASET.qrels`` in the board's folder.

    Args:
        described: The descriptors.
        folder: Where to write.
        depth: Scenes per query; None: all.

    Returns:
        The number of queries whose ranking holds ties.

    Raises:
        UserError: The descriptors cannot be ranked, or the disk has too little space.
    """
    task = _task(described)
    names = [word(name) for name in described.ids]
    path, judged = folder / f"{described.stem}.run", folder / described.stem.parts[0] / f"{described.dataset}.qrels"
    if len(described.stem.parts) == 1:
        judged = folder / f"{described.dataset}.qrels"
    depth = min(depth or len(names), len(names) - 1)
    _check_space(folder, len(task.queries) * depth * (2 * len(max(names, key=len)) + len(described.method) + 24), path)
    tag, tied = slug(f"{described.method}-{described.after}" if described.after else described.method), 0

    def write(unfinished: Path) -> None:
        nonlocal tied
        with unfinished.open("w", encoding="utf-8") as stream:
            for query, ranked, ties in track(_rankings(task, described, depth), path.name, len(task.queries)):
                tied += ties
                _write_ranking(stream, names[query], [names[scene] for scene in ranked], tag)

    write_atomically(path, write)
    if not judged.exists():
        write_atomically(judged, lambda unfinished: _write_judgements(unfinished, task, described, names))
    return tied


def _task(described: Described) -> Task:
    """Return the task of the scorer: distances here are its own, to the last bit."""
    several = described.several
    with workers("cpu") as pool:
        arguments: dict[str, Any] = {
            "similarity": described.similarity,
            "codes": described.code,
            "bits": None,
            "bit_order": "big",
            "queries": described.queries,
            "gallery": None,
            "gallery_labels": None,
            "class_names": list(described.classes if several is None else several.names),
            "device": "cpu",
            "workers": pool,
            "after": described.after,
        }
        if several is None:
            return scoring_task(described.descriptors, described.labels, **arguments)
        return graded_task(described.descriptors, several.members, **arguments)


def _check_space(folder: Path, needed: int, path: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{path}: about {needed / 1e9:,.1f} GB are needed and {free / 1e9:,.1f} GB are free; "
            "write the first scenes of each ranking with --depth 1000, or choose another --out"
        )


def _rankings(task: Task, described: Described, depth: int) -> Iterator[tuple[int, Array, bool]]:
    """Yield each query, the scenes nearest to it, (depth,) int64, nearest first, and whether any are tied."""
    groups = described.labels  # by which the gallery of a task is sorted
    if described.several is not None:
        groups = np.unique(described.several.members, axis=0, return_inverse=True)[1].reshape(-1)
    columns = np.argsort(groups, kind="stable")
    by_id = np.argsort(np.argsort(np.array(described.ids)))[columns]
    step = block_queries(task, None, 1)
    buffer = torch.empty(step, task.gallery_size + 1, dtype=task.gallery.rows.dtype)
    for start in range(0, len(task.queries), step):
        queries = slice(start, min(start + step, len(task.queries)))
        distances = buffer[: queries.stop - queries.start]
        fill_distances(task, queries, distances)
        for query, row in zip(task.queries[queries].tolist(), distances.numpy(), strict=True):
            order = np.lexsort((by_id, row[:-1]))[:depth]  # the query itself is infinitely far: last
            yield query, columns[order], bool((np.diff(row[order]) == 0).any())


def _write_ranking(stream: TextIO, query: str, scenes: list[str], tag: str) -> None:
    last = len(scenes)
    stream.writelines(f"{query} Q0 {scene} {rank} {last - rank + 1} {tag}\n" for rank, scene in enumerate(scenes, 1))


def _write_judgements(path: Path, task: Task, described: Described, names: list[str]) -> None:
    labels = None if described.several is None else described.several.members.astype(np.int64)
    with path.open("w", encoding="utf-8") as stream:
        for query in sorted(task.queries.tolist()):
            gains = described.labels == described.labels[query] if labels is None else labels @ labels[query]
            found = np.flatnonzero(gains).tolist()
            stream.writelines(
                f"{names[query]} 0 {names[scene]} {int(gains[scene])}\n" for scene in found if scene != query
            )
