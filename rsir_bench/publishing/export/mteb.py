"""Results as mteb's ``TaskResult`` files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rsir_bench.base.files import slug, write_text
from rsir_bench.records.cells import distortion_of, row_label
from rsir_bench.records.schema import Record

NAMES = (
    (re.compile(r"P@(\d+)"), "precision_at_{}"),
    (re.compile(r"recall@(\d+)"), "recall_at_{}"),
    (re.compile(r"hit@(\d+)"), "hit_rate_at_{}"),
    (re.compile(r"nDCG@(\d+)(?:\(g\))?"), "ndcg_at_{}"),
    (re.compile(r"mAP@(\d+)/R"), "map_at_{}"),
)
"""Metrics that mteb defines as we do, and its names of them."""

MAIN = ("mAP", "mAP(any)")
"""The main score: of scenes with one label, and with several."""


def write_mteb(record: Record, folder: Path) -> None:
    """Write ``rsir-bench__METHOD-ROW/seedN-KEY/RSIRBench-BOARD-TARGET.json``, as mteb's cache is laid out.

    Raises:
        UserError: It cannot be written.
    """
    model = f"rsir-bench__{slug(f'{record.method.label}-{row_label(record)}')}"
    path = folder / model / f"seed{record.seed}-{record.key[:8]}" / f"{task_name(record)}.json"
    write_text(path, json.dumps(task_result(record), indent=1, allow_nan=False) + "\n")


def task_name(record: Record) -> str:
    """Return what mteb calls the task: board, target and distortion."""
    words = ("RSIRBench", record.protocol.board, record.target.label, distortion_of(record))
    return "-".join(slug(word) for word in words if word)


def task_result(record: Record) -> dict[str, Any]:
    """Return the fields of a ``TaskResult``: scores in mteb's names where it defines them as we do, and in ours."""
    mine = dict(record.metrics)
    theirs = {
        form.format(found[1]): value
        for name, value in mine.items()
        for pattern, form in NAMES
        if (found := pattern.fullmatch(name))
    }
    main = next(name for name in MAIN if name in mine)
    scores = {"main_score": mine[main], "hf_subset": "default", "languages": ["zxx-Zxxx"], **theirs, **mine}
    return {
        "dataset_revision": record.target.fingerprint,
        "task_name": task_name(record),
        "mteb_version": None,  # mteb had no part in it
        "scores": {"test": [scores]},
        "evaluation_time": None,
        "date": record.created,
    }
