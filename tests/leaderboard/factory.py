"""Result records for tests: fields that a test does not name have values that do not matter."""

from __future__ import annotations

import functools
from typing import Any

from rsir_bench.base.files import digest
from rsir_bench.protocol import load_protocol
from rsir_bench.records.commands import request_command
from rsir_bench.records.schema import (
    DistortionPart,
    MethodPart,
    PaperRow,
    ProtocolPart,
    QueriesPart,
    Record,
    RequestFields,
    RowPart,
    SourcePart,
    TargetPart,
)

PAPER_NAMES = {"rs19": "RS19", "ucm": "UCM", "rsscn7": "RSSCN", "aid": "AID", "nwpu": "NWPU"}
JSST = PaperRow(method="JSST", pooling="PCA")
BASELINE = PaperRow(method="ResNet34", variant="baseline", pooling="FC")


@functools.cache
def settings(protocol: str) -> dict[str, Any]:
    return load_protocol(protocol).settings()


def protocol_part(shipped: str = "patternnet", **changes: Any) -> ProtocolPart:
    """A shipped protocol, unmodified; changes are fields of the part."""
    fields = {
        "name": shipped,
        "hash": load_protocol(shipped).hash,
        "board": shipped,
        "modified": False,
        "paper": load_protocol(shipped).paper,
        "overrides": [],
        "settings": settings(shipped),
    }
    return ProtocolPart(**(fields | changes))


def modified(name: str, override: str) -> ProtocolPart:
    """A shipped protocol with one override."""
    changed = load_protocol(name, [override])
    board = f"{name}~{changed.hash[:8]}"
    fields = {"hash": changed.hash, "board": board, "modified": True, "paper": False, "overrides": [override]}
    return protocol_part(name, **fields, settings=changed.settings())


def scores(best: float) -> dict[str, float]:
    """Metrics that fall from P@5 to P@100, and an mAP that is none of them."""
    return {
        "mAP": best - 0.3,
        "AP@10h": best,
        "P@5": best - 0.05,
        "P@10": best - 0.1,
        "P@50": best - 0.2,
        "P@100": best - 0.25,
    }


def record(
    label: str = "jsst",
    *,
    title: str | None = None,
    version: int = 1,
    method_settings: dict[str, Any] | None = None,
    row: str = "PCA",
    kind: str = "pca",
    dimensions: int = 128,
    fit: str | None = "source",
    paper: PaperRow | None = None,
    protocol: ProtocolPart | None = None,
    seed: int = 0,
    target: str = "ucm",
    paper_name: str | None = None,
    fingerprint: str = "f00d",
    source_fingerprint: str = "cafe",
    metrics: dict[str, float] | None = None,
    metric_version: int = 1,
    key: str | None = None,
    created: str = "2026-01-01T00:00:00Z",
    per_class: dict[str, dict[str, float]] | None = None,
    distortion: DistortionPart | None = None,
) -> Record:
    name = label.split(" ")[0]
    protocol = protocol or protocol_part()
    request = RequestFields(
        protocol=protocol.name,
        method=name,
        seed=seed,
        target=target,
        distortion=f"{distortion.name}:{distortion.severity}" if distortion else "",
        overrides=tuple(protocol.overrides),
    )
    return Record(
        key=key or digest([protocol.hash, label, row, dimensions, fit, target, seed]),
        method=MethodPart(
            name=name,
            label=label,
            title=title or name.upper(),
            version=version,
            settings=method_settings or {},
            source_sha256="0" * 64,
        ),
        row=RowPart(name=row, descriptor="FC1", kind=kind, dimensions=dimensions, fit=fit, paper=paper),
        protocol=protocol,
        seed=seed,
        source=SourcePart(name=protocol.settings["data"]["source"], fingerprint=source_fingerprint, scenes=400),
        target=TargetPart(
            name=target,
            title=target.upper(),
            paper_name=paper_name or PAPER_NAMES.get(target),
            fingerprint=fingerprint,
            scenes=2100,
            classes=21,
        ),
        metrics=scores(0.9) if metrics is None else metrics,
        tie_bounds={},
        metric_version=metric_version,
        per_class=per_class or {},
        distortion=distortion,
        queries=QueriesPart(
            count=2100, skipped=0, constant=0, by_class=dict.fromkeys(per_class or {}, 2100 // len(per_class or "1"))
        ),
        weights={},
        cost={},
        environment={},
        command=request_command(request),
        request=request,
        created=created,
    )
