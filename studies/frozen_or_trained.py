"""Is fine-tuning worth it, and does post-processing keep the order of encoders? Tables of docs/frozen_or_trained.md.

    python studies/frozen_or_trained.py

reads the published records. The first table compares one encoder, at one size and on the same scenes, without
training and trained on the source of ``ucm-mobile``; the others compare plain and post-processed rankings on the board
``frozen``.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from tabulate import tabulate

from rsir_bench.base.errors import run_and_exit
from rsir_bench.records.cells import is_plain
from rsir_bench.records.editions import of_usual_editions
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_published

TARGETS = ("ucm", "rsscn7", "aid")
METRICS = ("mAP", "P@5")
TRAINED = "baseline"
AFTER = ("none", "aqe:10,3", "dba:10,3", "kreciprocal:20,6,0.3", "diffusion:50,3,0.99", "whiten:128")


def comparison(records: Iterable[Record]) -> list[list[str]]:
    """Return a line for each target and metric: the encoder frozen, trained, and frozen at its own size."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for record in records:
        board, label = record.protocol.board, record.method.label
        if not is_plain(record) or "none" in record.weights.values():
            continue
        if board == "ucm-mobile" and (label == TRAINED or label.startswith("timm:")):
            row = record.row.name if label == TRAINED else "frozen"
        elif board == "frozen" and record.encoder and record.encoder.model.startswith("mobilenetv2_100"):
            row = "native"
        else:
            continue
        for metric in METRICS:
            found[record.target.name, metric, row].append(record.metrics[metric])
    return [
        [target, metric, *(_spread(found[target, metric, row]) for row in ("frozen", "PCA", "FC", "native"))]
        for target in TARGETS[1:]
        for metric in METRICS
    ]


def _spread(values: Sequence[float]) -> str:
    middle = f"{mean(values):.3f}"
    return f"{middle} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else middle


def processed(records: Iterable[Record], metric: str) -> list[list[str]]:
    """Return a line for each target and encoder, plain and under each post-processing; the best plain one first."""
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for record in records:
        if record.protocol.board == "frozen" and record.encoder is not None:
            after = record.after.name if record.after else "none"
            values[record.target.name, _encoder(record)][after] = record.metrics[metric]
    lines = sorted(values.items(), key=lambda item: (TARGETS.index(item[0][0]), -item[1]["none"]))
    return [[target, encoder, *(f"{of[after]:.3f}" for after in AFTER)] for (target, encoder), of in lines]


def _encoder(record: Record) -> str:
    assert record.encoder is not None
    model = record.encoder.model.partition(".")[0]
    return f"{model}, untrained" if record.encoder.weights == "none" else model


def orders(records: Iterable[Record]) -> list[list[str]]:
    """Return a line for each target: which post-processing keeps the order of the pretrained encoders by mAP."""
    lines = []
    rows = [row for row in processed(records, "mAP") if not row[1].endswith("untrained")]
    for target in TARGETS:
        of_target = [row for row in rows if row[0] == target]
        plain = [row[1] for row in of_target]
        cells = []
        for column in range(3, 2 + len(AFTER)):
            order = [row[1] for row in sorted(of_target, key=lambda row: -float(row[column]))]
            cells.append("kept" if order == plain else " > ".join(order))
        lines.append([target, " > ".join(plain), *cells])
    return lines


def costs(records: Iterable[Record]) -> list[list[str]]:
    """Return a line for each post-processing: its processor time on the largest target relative to aQE, the mean."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.protocol.board == "frozen" and record.after is not None and record.target.name == TARGETS[-1]:
            seconds[record.after.name].append(float(record.cost["after_seconds"] or 0))
    least = mean(seconds[AFTER[1]])
    return [[name, f"{mean(seconds[name]):.1f}", f"{mean(seconds[name]) / least:.1f}"] for name in AFTER[1:]]


def tables(records: Sequence[Record]) -> dict[str, str]:
    """Return the tables as Markdown, by the heading of the page that they stand under."""
    changes = list(AFTER)
    return {
        "Frozen or trained": _markdown(
            comparison(records), ["target", "", "frozen, 128 px", "trained, PCA", "trained, FC", "frozen, 224 px"]
        ),
        "Before and after": "\n\n".join(
            _markdown(processed(records, metric), ["target", metric, *changes]) for metric in METRICS
        ),
        "Order": _markdown(orders(records), ["target", "none", *changes[1:]]),
        "Cost": _markdown(costs(records), ["", "CPU seconds on AID", "relative to aQE"]),
    }


def _markdown(rows: list[list[str]], headers: list[str]) -> str:
    return tabulate(rows, headers, "github", disable_numparse=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("leaderboards/results"))
    for heading, table in tables(of_usual_editions(read_published(parser.parse_args().results))).items():
        print(f"## {heading}\n\n{table}\n")


if __name__ == "__main__":
    run_and_exit(main, "frozen_or_trained")
