"""``rsir-bench score``: from files of descriptors and labels to a table or JSON."""

from __future__ import annotations

import json
from pathlib import Path

from tabulate import tabulate

from rsir_bench.base.errors import UserError
from rsir_bench.ranking import Scores, score
from rsir_bench.ranking.descriptor_files import read_descriptors, read_labels, read_queries
from rsir_bench.ranking.scores import Measure


def run_score_verb(
    descriptors: Path,
    labels: Path | None = None,
    codes: bool = False,
    bits: int | None = None,
    queries: Path | None = None,
    similarity: str = "pearson",
    as_json: bool = False,
    block: int | None = None,
    device: str = "cpu",
    measure: Measure | None = None,
) -> str:
    """Scores descriptors in a file.

    Args:
        descriptors: ``.npy``, ``.npz`` or ``.parquet``, see `rsir_bench.ranking.descriptor_files.read_descriptors`.
        labels: the labels; None takes those in the descriptors' file.
        codes: the descriptors are binary codes.
        bits: number of bits of packed codes.
        queries: indices or a mask of the scenes that are queries; None: every scene.
        similarity: see `rsir_bench.ranking.score`.
        as_json: JSON of `Scores.as_dict` in place of a table.
        block: queries per block; None chooses.
        device: "cpu" or "cuda".
        measure: who ranks and measures; this process where None.

    Returns:
        str: what to print.

    Raises:
        UserError: for files or contents that cannot be scored.
    """
    contents = read_descriptors(descriptors)
    classes = contents.labels if labels is None else read_labels(labels)
    if classes is None:
        raise UserError(f"{descriptors}: holds no labels; name a file of labels with --labels")
    scores = score(
        contents.descriptors,
        classes,
        similarity=similarity,
        codes=codes,
        bits=bits,
        queries=None if queries is None else read_queries(queries),
        block=block,
        device=device,
        measure=measure,
    )
    return json.dumps(scores.as_dict(), allow_nan=False) if as_json else table(scores)


def table(scores: Scores) -> str:
    """The scores overall, what ties could make of them, and the scores of each class, as text."""
    rows = {"all queries": scores.overall}
    if scores.lower != scores.upper:
        rows |= {"least, by ties": scores.lower, "greatest, by ties": scores.upper}
    rows |= scores.per_class
    cells = [[name, *values.values()] for name, values in rows.items()]
    head = tabulate(cells, headers=["", *scores.overall], floatfmt=".4f", disable_numparse=[0])
    return f"{head}\n\n{summary(scores)}"


def summary(scores: Scores) -> str:
    """One line: how many queries, and what was left out or has no direction."""
    parts = [f"{scores.queries} queries"]
    if scores.skipped:
        parts.append(f"{scores.skipped} skipped: no other scene of their class")
    if scores.constant:
        parts.append(f"{scores.constant} constant descriptors: similarity 0 to every scene")
    return "; ".join(parts)
