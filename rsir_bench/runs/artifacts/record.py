"""What a record tells beside its scores: method, row, protocol, scenes, weights, costs, and the machine."""

from __future__ import annotations

import datetime
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rsir_bench.training import distributed
from rsir_bench.base.files import digest, file_digest
from rsir_bench.records.schema import ENVIRONMENT
from rsir_bench.records.paper import paper_row
from rsir_bench.method.spec import NamedMethod
from rsir_bench.runs.plan import Cell, Plan, Request, Run
from rsir_bench.ranking import METRIC_VERSION, Scores
from rsir_bench.method.registry import without_folders
from rsir_bench.records.schema import (
    DistortionPart,
    MethodPart,
    PixelsPart,
    ProtocolPart,
    QueriesPart,
    Record,
    RowPart,
    SourcePart,
    TargetPart,
)
from rsir_bench.scenes.decode import decoder_versions
from rsir_bench.scenes.distortions import DISTORTION_VERSION, Distortion
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.training.loop import effective_precision


@dataclass(frozen=True)
class Left:
    """What the stages before scoring left of a run, as far as a record tells of it.

    Attributes:
        trainings: The note of each training that led to the cell's network, in order; none where nothing was trained.
        described: The note of the last pass of describing.
        dimensions: Columns of the cell's descriptors.
        kept: Scenes of the target that count.
    """

    trainings: list[dict[str, Any]]
    described: dict[str, Any]
    dimensions: int
    kept: int


def make_record(plan: Plan, run: Run, cell: Cell, scores: Scores, left: Left) -> Record:
    """The record of one result."""
    index = plan.datasets[cell.target]
    is_code = cell.row.kind == "code"
    published = cell.row.paper if not run.method.changed else None
    trained = f"sha256:{left.trainings[-1]['weights_sha256']}" if left.trainings else None
    here = environment(plan.request.device, _precision(plan, left))
    request = plan.request.of(run.method)
    return Record(
        key=cell.key,
        method=_method(plan, run.method),
        row=RowPart(
            name=cell.row_name,
            descriptor=cell.row.descriptor,
            kind=cell.row.kind,
            dimensions=left.described["lengths"][cell.row.descriptor] if is_code else left.dimensions,
            fit=cell.fit,
            paper=paper_row(cell.row_name, published) if published else None,
        ),
        protocol=_protocol(plan, request),
        seed=run.seed,
        source=_source(plan) if run.method.kind.card.trained else None,
        target=_target(index, left.kept),
        pixels=_pixels(plan, index, left.described),
        distortion=_distortion(cell.distortion),
        metrics=scores.overall,
        tie_bounds={name: (scores.lower[name], scores.upper[name]) for name in scores.overall},
        metric_version=METRIC_VERSION,
        per_class=scores.per_class,
        queries=QueriesPart(count=scores.queries, skipped=scores.skipped, constant=scores.constant),
        weights={**run.weights, "trained": trained},
        cost=_cost(left, here),
        environment=here,
        command=request.command(run.method.name, run.seed, cell.target, cell.distortion),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _method(plan: Plan, method: NamedMethod) -> MethodPart:
    card, trunk = method.kind.card, plan.protocol.trunk
    named_by_use = method.name.startswith(f"{card.name}:")  # timm:NAME
    return MethodPart(
        name=method.name,
        label=method.label,
        title=method.name if named_by_use else card.title.replace("{trunk}", trunk.title or trunk.name),
        version=card.version,
        settings=without_folders(method.values, method.weights),
        source_sha256=digest([file_digest(path) for path in method.sources]),
    )


def _protocol(plan: Plan, request: Request) -> ProtocolPart:
    protocol = plan.protocol
    modified = plan.board != protocol.name
    return ProtocolPart(
        name=protocol.name,
        hash=protocol.hash,
        board=plan.board,
        modified=modified,
        paper=protocol.paper and not modified,
        overrides=list(request.overrides),
        settings=protocol.settings(),
    )


def _source(plan: Plan) -> SourcePart:
    source = plan.datasets[plan.protocol.data.source]
    return SourcePart(name=source.name, fingerprint=source.fingerprint, scenes=len(source))


def _target(index: SceneIndex, kept: int) -> TargetPart:
    return TargetPart(
        name=index.name,
        title=index.card.title if index.card else index.name,
        paper_name=index.card.paper_name if index.card else None,
        fingerprint=index.fingerprint,
        scenes=kept,
        excluded=len(index) - kept,
        classes=len(index.classes),
    )


def _pixels(plan: Plan, index: SceneIndex, described: dict[str, Any]) -> PixelsPart:
    transform = plan.transform
    return PixelsPart(
        size=transform.size,
        filter=transform.resize,
        antialias=transform.antialias,
        bands=list(transform.kept_bands(index)),
        value_range=index.value_range,
        **described.get("normalisation", {"mean": None, "std": None}),  # an older pass noted none
        decoders=decoder_versions(),
    )


def _distortion(distortion: Distortion | None) -> DistortionPart | None:
    if distortion is None:
        return None
    return DistortionPart(name=distortion.name, severity=distortion.severity, version=DISTORTION_VERSION)


def _precision(plan: Plan, left: Left) -> str:
    """As the method's recipe has it; a training of an older version noted none."""
    protocols: str = plan.protocol.train.precision
    return left.trainings[-1].get("precision", protocols) if left.trainings else protocols


def _cost(left: Left, here: dict[str, str]) -> dict[str, float | None]:
    """What the result cost; what was timed elsewhere is no time of the record's environment."""
    last: dict[str, Any] = left.trainings[-1] if left.trainings else {}
    timed = bool(left.trainings) and all(_alike(note, here) for note in left.trainings)
    described = left.described
    return {
        "parameters": described["parameters"],
        "macs": described.get("macs"),  # a pass of an older version left none
        "train_seconds": sum(note["seconds"] for note in left.trainings) if timed else None,
        "train_images_per_second": last["images_per_second"] if timed else None,
        "train_loss": last.get("loss"),
        "describe_images_per_second": described["images_per_second"] if _alike(described, here) else None,
    }


def _alike(note: dict[str, Any], here: dict[str, str]) -> bool:
    """Whether the times of a note were taken here; one of an older version does not tell, and is taken for it."""
    there = note.get("environment", here)
    return all(there.get(name) == here.get(name) for name in (*ENVIRONMENT, "ranks"))


def environment(device: str, precision: str) -> dict[str, str]:
    """Versions and machine, for the record and for the notes of training and describing."""
    packages = ("rsir-bench", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "scikit-learn", "pillow")
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    ranks = {"ranks": str(distributed.size())} if distributed.size() > 1 else {}
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "device": f"{device} ({name})",
        "precision": effective_precision(precision, device),
        "threads": str(torch.get_num_threads()),
        "platform": platform.system(),
        **ranks,
    }


def processor(told: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model: speeds depend on it, and the last bits of what is computed.

    The same training ends with the same bits on one model, and elsewhere only where it rests on the same kernels.

    Args:
        told: Where Linux tells it; other systems have no such file.
    """
    found = re.search(r"^model name\s*:\s*(.+)$", told.read_text(), re.MULTILINE) if told.is_file() else None
    return found[1].strip() if found else platform.processor() or "unknown model"
