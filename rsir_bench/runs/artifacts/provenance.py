"""Build result records: scores plus method, protocol, data, weights, cost and environment."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rsir_bench.method.code.source_digest import source_digest
from rsir_bench.method.postprocessing import NamedAfter
from rsir_bench.method.registry import without_folders
from rsir_bench.method.spec import MethodSpec
from rsir_bench.protocol import Protocol, board_name
from rsir_bench.ranking import METRIC_VERSION, GradedScores, Scores
from rsir_bench.ranking.names import DEFAULT
from rsir_bench.records.commands import request_command
from rsir_bench.records.paper import paper_row
from rsir_bench.records.schema import (
    ENVIRONMENT,
    AfterPart,
    DistortionPart,
    EffectPart,
    EncoderPart,
    GradedPart,
    MethodPart,
    PixelsPart,
    ProtocolPart,
    QueriesPart,
    Record,
    RequestFields,
    RowPart,
    SourcePart,
    TargetPart,
)
from rsir_bench.runs.artifacts.effect import doubts_of
from rsir_bench.runs.artifacts.environment import environment
from rsir_bench.runs.keys import scenes_as_read
from rsir_bench.runs.own_weights import noted_weights
from rsir_bench.runs.plan import Plan, ResultSpec, Run
from rsir_bench.runs.request import Request
from rsir_bench.scenes.decode import decoder_versions
from rsir_bench.scenes.distortions import DISTORTION_VERSION, Distortion
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.pixel_cache import Transform


@dataclass(frozen=True)
class Circumstances:
    """The parts of a record about the steps before scoring.

    Attributes:
        trainings: The note of each training that led to the cell's network, in order; none where nothing was trained.
        described: The note of the last pass of describing.
        dimensions: Columns of the cell's descriptors.
        kept: Scenes of the target that count.
        effect: What the front end does to the target; None without one, and on distorted scenes.
    """

    trainings: list[dict[str, Any]]
    described: dict[str, Any]
    dimensions: int
    kept: int
    effect: EffectPart | None = None


def make_record(plan: Plan, run: Run, cell: ResultSpec, scores: Scores | GradedScores, left: Circumstances) -> Record:
    """Return the record of one result."""
    index = plan.datasets[cell.target]
    is_code = cell.row.kind == "code"
    trained = f"sha256:{left.trainings[-1]['weights_sha256']}" if left.trainings else None
    here = environment(plan.request.device, _precision(plan, left))
    tensors = {f"{name} tensors": known for name, known in noted_weights(run.folder).items()}
    request = plan.request.restricted_to(run.method.requested_as, run.method.parts)
    asked = _request(request, run, cell)
    return Record(
        key=cell.key,
        method=method_part(run.method, plan.protocol),
        row=row_part(run, cell, left.described["lengths"][cell.row.descriptor] if is_code else left.dimensions),
        protocol=protocol_part(plan.protocol, request.overrides),
        seed=run.seed,
        source=source_part(plan.source, run.transform) if run.card.trained else None,
        unlabelled=unlabelled_part(plan, run),
        target=target_part(index, left.kept),
        pixels=_pixels(run, index, left.described),
        distortion=_distortion(cell.distortion),
        **score_fields(scores),
        weights={**run.weights, "trained": trained},
        cost=_cost(left, here, plan.protocol.describe.precision)
        | ({"after_seconds": scores.after_seconds} if cell.after else {}),
        environment=here | _trained_in(plan, left) | tensors,
        command=request_command(asked),
        request=asked,
        doubts=tuple(_doubts(cell, scores, left)),
        effect=left.effect,
        encoder=_encoder(run),
        after=after_part(cell.after),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def score_fields(scores: Scores | GradedScores) -> dict[str, Any]:
    """Return the fields of a record that hold scores."""
    scored = {
        "metrics": scores.overall,
        "tie_bounds": {name: (scores.lower[name], scores.upper[name]) for name in scores.overall},
        "metric_version": METRIC_VERSION,
    }
    queries = QueriesPart(count=scores.queries, skipped=scores.skipped, constant=scores.constant)
    if isinstance(scores, GradedScores):
        return {**scored, "per_class": {}, "queries": queries, "graded": _graded(scores)}
    queries = queries.model_copy(update={"by_class": scores.class_queries})
    return {**scored, "per_class": _by_class(scores), "queries": queries}


def _by_class(scores: Scores) -> dict[str, dict[str, float]]:
    return {name: {metric: values[metric] for metric in DEFAULT} for name, values in scores.per_class.items()}


def _graded(scores: GradedScores) -> GradedPart:
    return GradedPart(
        labels=scores.label_names,
        chance=scores.chance,
        oracle=scores.oracle,
        without=scores.without,
        per_label=scores.per_label,
        label_chance=scores.label_chance,
        label_oracle=scores.label_oracle,
    )


def _doubts(cell: ResultSpec, scores: Scores | GradedScores, left: Circumstances) -> Iterator[str]:
    """Yield why the scores are none of the method's retrieval."""
    if left.trainings and left.trainings[-1].get("collapsed"):
        yield "the front end has collapsed in training (log.csv)"
    if left.effect is not None:
        yield from doubts_of(left.effect, left.kept)
    if cell.descriptors.stem in left.described.get("flat", []):
        yield "the network describes all scenes alike, up to rounding"
    yield from scores.doubts()


def _request(request: Request, run: Run, cell: ResultSpec) -> RequestFields:
    """Return the request behind one result, without the folders of this machine."""
    return RequestFields(
        protocol=Path(request.protocol).name if request.protocol.endswith(".toml") else request.protocol,
        method=run.method.asked_as or run.method.name,
        seed=run.seed,
        target=cell.target,
        distortion=str(cell.distortion or ""),
        overrides=tuple(request.overrides),
        plugins=tuple(plugin.name for plugin in request.plugins),
        cards=tuple(card.name for card in request.cards),
        after=str(cell.after or ""),
    )


def after_part(after: NamedAfter | None) -> AfterPart | None:
    """Return a record's part on post-processing; None: its rankings are plain."""
    if after is None:
        return None
    processing = after.processing
    return AfterPart(
        name=str(processing),
        values={entry.name: value for entry, value in zip(fields(processing), processing.values, strict=True)},
        label=processing.label,
        version=processing.version,
        transductive=processing.transductive,
        own_code=after.own_code,
    )


def row_part(run: Run, cell: ResultSpec, dimensions: int) -> RowPart:
    """Return a record's part on the row, given the length of its descriptors or codes."""
    published = cell.row.paper if not run.method.overridden and cell.after is None else None
    return RowPart(
        name=cell.row_name,
        descriptor=cell.row.descriptor,
        kind=cell.row.kind,
        dimensions=dimensions,
        fit=cell.fit,
        paper=paper_row(cell.row_name, published) if published else None,
    )


def method_part(method: MethodSpec, protocol: Protocol) -> MethodPart:
    """Return a record's part on the method."""
    return MethodPart(
        name=method.name,
        label=method.label,
        title=_title(method, protocol),
        version=method.card.version,
        settings=without_folders(method.settings_dict, method.weights),
        source_sha256=source_digest(*dict.fromkeys(method.sources.values())),
        own_code=method.own_code,
    )


def _title(method: MethodSpec, protocol: Protocol) -> str:
    card, trunk = method.card, protocol.trunk
    if not protocol.trains or method.name.startswith(f"{card.name}:"):  # timm:NAME
        return method.name
    return card.title.replace("{trunk}", trunk.title or trunk.name)


def _encoder(run: Run) -> EncoderPart | None:
    if run.encoder is None:
        return None
    known, read = run.encoder, run.encoder.input
    return EncoderPart(
        library=known.library,
        model=known.model,
        weights=known.weights,
        pooling=known.pooling,
        fit=read.fit,
        crop=read.crop,
        changed=sorted(known.changes),
    )


def protocol_part(protocol: Protocol, overrides: Sequence[str]) -> ProtocolPart:
    """Return a record's part on the protocol, given the values of ``--set``."""
    board = board_name(protocol)
    modified = board != protocol.name
    return ProtocolPart(
        name=protocol.name,
        hash=protocol.hash,
        board=board,
        modified=modified,
        paper=protocol.paper and not modified,
        overrides=list(overrides),
        settings=protocol.settings(),
    )


def source_part(source: SceneIndex, transform: Transform) -> SourcePart:
    """Return a record's part on a training dataset."""
    _, *reading = [read] if isinstance(read := scenes_as_read(source, transform), str) else read
    return SourcePart(
        name=source.name,
        fingerprint=source.fingerprint,
        scenes=len(source),
        reading=json.dumps(reading) if reading else "",
    )


def unlabelled_part(plan: Plan, run: Run) -> SourcePart | None:
    """Return a record's part on the pool of unlabelled scenes; None if the method uses none."""
    pool = plan.protocol.data.unlabelled
    return source_part(plan.datasets[pool], run.transform) if run.card.needs_unlabelled and pool else None


def target_part(index: SceneIndex, kept: int) -> TargetPart:
    """Return a record's part on the target, of which ``kept`` scenes are scored."""
    return TargetPart(
        name=index.name,
        title=index.card.title if index.card else index.title or index.name,
        paper_name=index.card.paper_name if index.card else None,
        fingerprint=index.fingerprint,
        scenes=kept,
        excluded=len(index) - kept,
        classes=len(index.classes),
    )


def _pixels(run: Run, index: SceneIndex, described: dict[str, Any]) -> PixelsPart:
    transform = run.transform
    return PixelsPart(
        size=transform.size,
        filter=transform.resize,
        antialias=transform.antialias,
        bands=list(transform.kept_bands(index)),
        value_range=index.value_range,
        **described.get("normalisation", {"mean": None, "std": None}),  # older passes did not note it
        decoders=decoder_versions(),
    )


def _distortion(distortion: Distortion | None) -> DistortionPart | None:
    if distortion is None:
        return None
    return DistortionPart(name=distortion.name, severity=distortion.severity, version=DISTORTION_VERSION)


def _precision(plan: Plan, left: Circumstances) -> str:
    """Return the precision of the training, or the protocol's where an older version did not note it."""
    protocols = plan.protocol.precision
    return left.trainings[-1].get("precision", protocols) if left.trainings else protocols


def _sessions(left: Circumstances) -> list[dict[str, str]]:
    """Return where and how the epochs of all trainings were made, in order; empty if an older version noted none."""
    return [
        session
        for note in left.trainings
        for session in (*note.get("earlier_environments", ()), note.get("environment", {}))
    ]


def _trained_in(plan: Plan, left: Circumstances) -> dict[str, str]:
    """Return the precisions and devices of the trainings, and whether any was compiled.

    A network may have been trained in several: by rounds, or after it was interrupted. Devices are left out where all
    are of the kind that scores.
    """
    sessions = _sessions(left)
    precisions = sorted({session["precision"] for session in sessions if "precision" in session})
    devices = dict.fromkeys(session["device"] for session in sessions if "device" in session)
    other = {_kind(device) for device in devices} - {_kind(plan.request.device)}
    compiled = any("compiled" in session for session in sessions)
    return {
        **({"precision": " and ".join(precisions)} if precisions else {}),
        **({"trained on": "; ".join(devices)} if other else {}),
        **({"compiled": "training"} if compiled else {}),
    }


def _kind(device: str) -> str:
    """Return ``"cuda"`` for ``"cuda:1 (NVIDIA H200)"``."""
    return device.partition(" ")[0].partition(":")[0]


def _cost(left: Circumstances, here: dict[str, str], precision: str) -> dict[str, float | None]:
    """Return the costs of the result; times from other machines, or measured in several ways, are left out."""
    last: dict[str, Any] = left.trainings[-1] if left.trainings else {}
    sessions = _sessions(left)
    ways = {session.get("compiled", "") for session in sessions}
    timed = len(ways) == 1 and all(_alike(session, here) for session in sessions)
    described = left.described
    speed = described["images_per_second"] if _alike(described.get("environment", {}), here) else None
    return {
        "parameters": described["parameters"],
        "macs": described.get("macs"),  # older passes did not note them
        "train_seconds": sum(note["seconds"] for note in left.trainings) if timed else None,
        "train_images_per_second": last["images_per_second"] if timed else None,
        "train_loss": last.get("loss"),
        "describe_images_per_second": speed if described.get("precision", "32") == precision else None,
    }


def _alike(there: dict[str, str], here: dict[str, str]) -> bool:
    """Return whether times of an environment were taken here; assumed where an older version did not note it."""
    return not there or all(there.get(name) == here.get(name) for name in (*ENVIRONMENT, "ranks"))
