"""Descriptors of a dataset's scenes with their ids: from a run, or from a user's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsir_bench.base.files import slug
from rsir_bench.publishing.export.selection import Selection
from rsir_bench.ranking.after import PostProcessing
from rsir_bench.ranking.files.descriptors import read_descriptors
from rsir_bench.ranking.files.ids import by_scene
from rsir_bench.ranking.queries import choose_queries
from rsir_bench.ranking.similarity import checked_descriptors
from rsir_bench.ranking.task import checked_rows
from rsir_bench.records.cells import after_of, describe_cell
from rsir_bench.records.commands import record_path
from rsir_bench.records.schema import Record
from rsir_bench.records.store import LEFT_OUT
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.artifacts.code import read_current
from rsir_bench.runs.locate import LocatedResult, locate
from rsir_bench.runs.request import UserFiles
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.labelling.labels_of_scenes import SceneLabels
from rsir_bench.scenes.naming.scene_ids import scene_ids

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Described:
    """The descriptors of the scenes of a dataset that count.

    Attributes:
        stem: The path of its file, without a suffix.
        about: Where it comes from, for formats that can say so.
        dataset: The name of the dataset, and the start of its fingerprint.
        method: The method's label, or the name of the file.
        ids: Of the scenes, in the order of the dataset.
        labels: (N,) int64, positions in ``classes``.
        classes: Class names.
        several: The labels of scenes that have several, which are scored instead of the classes; else None.
        descriptors: (N, D) numbers, or (N, bits) uint8 of 0 and 1.
        code: Whether they are binary codes.
        similarity: As in ``rsir_bench.ranking.score``.
        queries: (Q,) int64 scenes that are queries; None: all.
        after: How rankings are post-processed; None: not at all.
    """

    stem: Path
    about: dict[str, Any]
    dataset: str
    method: str
    ids: tuple[str, ...]
    labels: Array
    classes: tuple[str, ...]
    several: SceneLabels | None
    descriptors: Array
    code: bool
    similarity: str
    queries: Array | None
    after: PostProcessing | None = None


def from_runs(
    folders: Sequence[Path], files: UserFiles, wanted: Selection, leave_out: Callable[[str], object]
) -> Iterator[Described]:
    """Yield the descriptors behind the results of runs.

    Args:
        folders: Folders that ``run`` wrote.
        files: What the runs were made with.
        wanted: Which results.
        leave_out: Takes a line for each result whose descriptors cannot be had.

    Raises:
        UserError: A folder does not exist, no result is wanted, or a method or dataset is not there.
    """
    for folder in folders:
        records = wanted.of(read_current([folder], leave_out, leave_out))
        found = locate(records, folder, files)
        for record in records:
            if record.key not in found:
                leave_out(f"{LEFT_OUT}{describe_cell(record)}: the current code, protocol and scenes differ")
            elif described := _of_result(record, found[record.key], leave_out):
                yield described


def _of_result(record: Record, located: LocatedResult, leave_out: Callable[[str], object]) -> Described | None:
    plan, cell = located.plan, located.cell
    artifacts = RunArtifacts(plan, located.run)
    described = artifacts.descriptors(cell)
    if not described.exists():
        leave_out(f"{LEFT_OUT}{describe_cell(record)}: {described.path} is not there; run `{record.command}`")
        return None
    index, counted, settings = plan.datasets[cell.target], artifacts.counted(cell.target), plan.protocol.score
    rows, code = described.load()[counted], cell.row.kind == "code"
    return Described(
        stem=Path(record_path(record)).with_suffix(""),
        about={
            "board": record.protocol.board,
            "protocol": record.protocol.hash,
            "method": record.method.label,
            "row": record.row.name,
            **({"after": after_of(record)} if record.after else {}),
            "seed": record.seed,
            "key": record.key,
            "target": index.name,
            "fingerprint": index.fingerprint,
        },
        dataset=f"{index.name}-{index.fingerprint[:8]}",
        method=record.method.label,
        ids=tuple(name for name, counts in zip(scene_ids(index), counted, strict=True) if counts),
        labels=index.labels[counted],
        classes=index.classes,
        several=index.several and replace(index.several, members=index.several.members[counted]),
        descriptors=np.unpackbits(rows, axis=1, count=record.row.dimensions) if code else rows,
        code=code,
        similarity="hamming" if code else settings.similarity,
        queries=choose_queries(index.labels[counted], settings.queries, settings.query_seed),
        after=cell.after.processing if cell.after else None,
    )


def from_file(path: Path, index: SceneIndex, similarity: str, *, codes: bool, bits: int | None) -> Described:
    """Return the descriptors in a file that names the scenes of a dataset by id.

    Args:
        path: See ``rsir_bench.ranking.files.descriptors.read_descriptors``.
        index: The dataset.
        similarity: As in ``rsir_bench.ranking.score``.
        codes: Whether the descriptors are binary codes.
        bits: Number of bits of codes, packed with the highest bit of each byte first unless they are columns of 0 and
            1; None: they are such columns.

    Raises:
        UserError: The file cannot be read, does not hold every scene once, or holds other values than codes.
    """
    contents = read_descriptors(path, codes=codes)
    rows = by_scene(checked_descriptors(contents.descriptors, str(path)).numpy(), contents.ids, index, path)
    if codes:
        rows = (checked_rows(rows, str(path), "hamming", bits, "big") > 0).to(torch.uint8).numpy()
    return Described(
        stem=Path(slug(path.stem)),
        about={"file": path.name, "target": index.name, "fingerprint": index.fingerprint},
        dataset=f"{index.name}-{index.fingerprint[:8]}",
        method=path.stem,
        ids=scene_ids(index),
        labels=index.labels,
        classes=index.classes,
        several=index.several,
        descriptors=rows,
        code=codes,
        similarity="hamming" if codes else similarity,
        queries=None,
    )
