"""Results as the ``.eval_results`` of a model's repository on the Hugging Face hub."""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import slug, write_text
from rsir_bench.leaderboard.boards import boards
from rsir_bench.records.cells import row_label
from rsir_bench.records.schema import Record

DATASET_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def dataset_ids(words: Sequence[str]) -> dict[str, str]:
    """Return the hub's id of each dataset, from words such as ``"ucm=owner/name"``.

    Raises:
        UserError: A word is not of that form.
    """
    ids: dict[str, str] = {}
    for word in words:
        name, equals, hub = word.partition("=")
        if not (name and equals and DATASET_ID.fullmatch(hub)):
            raise UserError(f"--dataset-id {word}: write TARGET=OWNER/NAME, for example ucm=somebody/ucm")
        ids[name] = hub
    return ids


def write_hub(records: Sequence[Record], folder: Path, metric: str, ids: Mapping[str, str]) -> None:
    """Write ``METHOD-ROW/.eval_results/rsir-bench-BOARD.yaml``: for each target the mean of a metric over seeds.

    Args:
        records: Results on undistorted scenes; others are an error.
        folder: Where to write.
        metric: The metric, as records name it.
        ids: The hub's id of each target.

    Raises:
        UserError: A target has no id, a record lacks the metric, records cannot share a board, or a file cannot be
            written.
    """
    files: dict[tuple[str, str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    # Boards hold each seed once, and never seeds of two protocols or codes.
    for name, record in ((board.name, record) for board in boards(records) for record in board.records):
        if metric not in record.metrics:
            known = ", ".join(record.metrics)
            raise UserError(f"--metric {metric}: {record.method.label} on {record.target.name} has {known}")
        if record.target.name not in ids:
            target = record.target.name
            raise UserError(
                f"{target}: has no id on the hub; give it with --dataset-id {target}=OWNER/NAME, or omit it with "
                "--targets"
            )
        files[record.method.label, row_label(record), name][record.target.label].append(record)
    for (label, row, board), targets in files.items():
        entries = [_entry(of, metric, ids[of[0].target.name]) for _, of in sorted(targets.items())]
        path = folder / slug(f"{label}-{row}") / ".eval_results" / f"rsir-bench-{slug(board)}.yaml"
        if path.exists():
            raise UserError(
                f"export: {label}, row {row}, and another line of {board} would both be written as {path.parts[-3]}; "
                "export them one by one with --methods"
            )
        write_text(path, "".join(map(_yaml, entries)))


def _entry(records: Sequence[Record], metric: str, dataset: str) -> dict[str, Any]:
    values = [record.metrics[metric] for record in records]
    first, seeds = records[0], len(values)
    spread = f", standard deviation {statistics.stdev(values):.4f}" if seeds > 1 else ""
    doubts = "; ".join(f"seed {one.seed}: {doubt}" for one in records for doubt in one.doubts)
    notes = (
        f"rsir-bench: {metric}, row {row_label(first)}, protocol {first.protocol.board} (hash {first.protocol.hash}), "
        f"{'mean of ' if seeds > 1 else ''}{seeds} seed{'s' * (seeds > 1)}{spread}; "
        f"scenes with fingerprint {first.target.fingerprint[:12]}"
        + (f"; no measure of retrieval ({doubts})" if doubts else "")
    )
    return {
        "dataset": {"id": dataset, "task_id": metric},
        "value": statistics.fmean(values),
        "date": max(record.created for record in records)[:10],
        "notes": notes,
    }


def _yaml(entry: dict[str, Any]) -> str:
    """Return one entry of a YAML list; a JSON string is a YAML string too."""
    lines = ["- dataset:"]
    lines += [f"    {name}: {json.dumps(value)}" for name, value in entry["dataset"].items()]
    lines += [f"  {name}: {json.dumps(value)}" for name, value in entry.items() if name != "dataset"]
    return "\n".join(lines) + "\n"
