"""Records for the reports of tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "leaderboard"))
from factory import protocol_part, record, scores

from rsir_bench.base.files import digest
from rsir_bench.records.schema import DistortionPart, Record

ENVIRONMENT = {"device": "cpu", "threads": "2", "precision": "32"}
CLASSES = ("beach", "forest", "<b>harbour</b> & $x$")


def result(
    label: str,
    best: float,
    *,
    slope: float = 0.0,
    cost: dict[str, float | None] | None = None,
    distorted: tuple[str, int] | None = None,
    **fields: Any,
) -> Record:
    """A record whose classes lie ``slope`` apart around its mAP, which is ``best - 0.3``."""
    metrics = scores(best)
    by_class = {name: {"mAP": metrics["mAP"] + slope * place} for name, place in zip(CLASSES, (1, 0, -1), strict=True)}
    part = DistortionPart(name=distorted[0], severity=distorted[1], version=1) if distorted else None
    made = record(
        label,
        metrics=metrics,
        per_class=by_class,
        distortion=part,
        key=digest([label, sorted(map(str, fields.items())), distorted]),
        **({"protocol": protocol_part("ucm-mobile")} | fields),
    )
    return made.model_copy(update={"cost": cost or {}, "environment": ENVIRONMENT})


def costs(parameters: float, macs: float, speed: float) -> dict[str, float | None]:
    """A record's costs."""
    return {"parameters": parameters, "macs": macs, "describe_images_per_second": speed}


def small() -> list[Record]:
    """Two methods on two targets of one board, two seeds, costs, and one kind of distortion."""
    records = []
    for target in ("rsscn7", "aid"):
        for seed in (0, 1):
            records += [
                result("baseline", 0.80 + 0.02 * seed, cost=costs(2e6, 1e9, 100.0), target=target, seed=seed),
                result("jsst", 0.70, slope=0.1, cost=costs(3e6, 2e9, 50.0), target=target, seed=seed),
                result(
                    "jsst", 0.90, row="FC", kind="real", fit=None, cost=costs(3e6, 2e9, 50.0), target=target, seed=seed
                ),
            ]
    for severity, lost in ((1, 0.1), (3, 0.25)):
        records.append(result("baseline", 0.80 - lost, distorted=("haze", severity), target="rsscn7"))
        records.append(result("jsst", 0.70 - lost / 2, distorted=("haze", severity), target="rsscn7"))
    return records
