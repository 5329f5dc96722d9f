"""Records of runs elsewhere: read from a package, and compared with what today's code makes of what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError, map_collecting_errors
from rsir_bench.publishing.submit.card import RecordsCard
from rsir_bench.publishing.submit.expected import Expected
from rsir_bench.publishing.submit.files import plain_files
from rsir_bench.publishing.submit.named import asked_as, named_protocol
from rsir_bench.ranking import METRIC_VERSION
from rsir_bench.ranking.names import DEFAULT
from rsir_bench.ranking.queries import choose_queries
from rsir_bench.records.cells import describe_cell, distortion_of
from rsir_bench.records.commands import request_command, request_of
from rsir_bench.records.schema import OriginPart, Record, RequestFields
from rsir_bench.records.store import read_record
from rsir_bench.runs.artifacts.provenance import (
    after_part,
    method_part,
    protocol_part,
    row_part,
    source_part,
    target_part,
    unlabelled_part,
)
from rsir_bench.runs.locate import LocatedResult

RECORDS, NETWORKS = "records", "networks"
"""The folders of a package: ``records/KEY.json`` and ``networks/SHA256.safetensors``."""
RECORD_FILE = re.compile(r"[0-9a-f]{64}\.json")
LARGEST_RECORD = 2**22
ROUNDING = 1e-6


def read_package(folder: Path, card: RecordsCard) -> list[Record]:
    """Return the records of a package, which say who made them as the card does.

    Raises:
        UserError: There are none, or one cannot be read or says something else; a line for each.
    """
    paths = plain_files(folder / RECORDS, RECORD_FILE, LARGEST_RECORD)
    if not paths:
        raise UserError(f"{folder / RECORDS}: no records; pack some with `rsir-bench submit pack`")
    return map_collecting_errors(paths, lambda path: _read(path, origin_of(card)))


def origin_of(card: RecordsCard) -> OriginPart:
    """Return what the records of a package say of their origin."""
    return OriginPart(kind="record", by=card.by, made_on=card.made_on, url=card.url)


def _read(path: Path, origin: OriginPart) -> Record:
    record = read_record(path)
    if record.key != path.stem:
        raise UserError(f"{path}: is the record of key {record.key[:8]}; it was changed or renamed")
    if record.origin != origin:
        raise UserError(f"{path}: its origin is not that of the card; pack it again")
    if record.accepted:
        raise UserError(f"{path}: names results that it replaces; a submission cannot replace anything")
    return record


def check_package(records: Sequence[Record], expected: Expected) -> list[LocatedResult]:
    """Compare records with what today's code makes of what they say.

    Protocol, method, row, weights, scenes and key must be those of today's code, the scores those of their classes, and
    all results of one training must name one network.

    Returns:
        The result that each record is of.

    Raises:
        UserError: One is another; a line for each.
    """

    def check(record: Record) -> LocatedResult:
        try:
            return _check(record, expected)
        except UserError as error:
            raise UserError("\n".join(f"{describe_cell(record)}: {line}" for line in str(error).splitlines())) from None

    found = map_collecting_errors(records, check)
    _check_networks(records, found)
    return found


def _check(record: Record, expected: Expected) -> LocatedResult:
    protocol = named_protocol(record.protocol.name, expected.files.protocol)
    _same("protocol", record.protocol, protocol_part(protocol, ()))
    _same("metric_version", record.metric_version, METRIC_VERSION)
    method = expected.method(record)
    part = method_part(method, protocol)
    _same("method", record.method.model_copy(update={"source_sha256": part.source_sha256}), part)
    located = expected.result(record)
    plan, run, cell = located.plan, located.run, located.cell
    index = plan.datasets[cell.target]
    _same("row", record.row, row_part(run, cell, record.row.dimensions))
    _same("target", record.target, target_part(index, record.target.scenes))
    _same("source", record.source, source_part(plan.source, run.transform) if run.card.trained else None)
    _same("unlabelled", record.unlabelled, unlabelled_part(plan, run))
    _same("after", record.after, after_part(cell.after))
    request = _request(record, expected, str(cell.after or ""))
    _same("request", record.request, request)
    _same("command", record.command, request_command(request))
    _check_scores(record, located)
    return located


def _request(record: Record, expected: Expected, after: str) -> RequestFields:
    """Return the request that made a record, whose commands tables show: nothing but names that were checked."""
    files = expected.files
    return RequestFields(
        protocol=Path(asked_as(record.protocol.name, files.protocol)).name,
        method=record.method.name,
        seed=record.seed,
        target=request_of(record).target,
        distortion=distortion_of(record),
        plugins=tuple(path.name for path in files.plugins),
        cards=tuple(path.name for path in files.cards),
        after=after,
    )


def _same(what: str, theirs: Any, ours: Any) -> None:
    """Refuse a part of a record that is not as it would be made here; the line names its first field that differs."""
    if theirs == ours:
        return
    if hasattr(theirs, "model_dump") and hasattr(ours, "model_dump"):
        left, right = theirs.model_dump(), ours.model_dump()
        name = next(name for name in left if left[name] != right[name])
        what, theirs, ours = f"{what}.{name}", left[name], right[name]
    raise UserError(f"{what}: {theirs!r:.80}, but here it is {ours!r:.80}")


def _check_scores(record: Record, located: LocatedResult) -> None:
    """Refuse scores that are not the mean of those of the classes, weighted by their queries."""
    index, settings = located.plan.datasets[located.cell.target], located.plan.protocol.score
    if record.target.excluded or index.several is not None:
        return  # which scenes do not count is known where they are; and labels share queries, which classes do not
    chosen = choose_queries(index.labels, settings.queries, settings.query_seed)
    counts = np.bincount(index.labels if chosen is None else index.labels[chosen], minlength=len(index.classes))
    counts[np.bincount(index.labels, minlength=len(index.classes)) < 2] = 0  # without another scene of their class
    of_class = {name: int(count) for name, count in zip(index.classes, counts, strict=True) if count}
    _same("queries.count", record.queries.count, sum(of_class.values()))
    if record.queries.by_class:
        _same("queries.by_class", record.queries.by_class, of_class)
    _same("classes of per_class", sorted(record.per_class), sorted(of_class))
    for name, scores in record.per_class.items():
        _same(f"metrics of per_class.{name}", sorted(scores), sorted(DEFAULT))
    for metric, mean in _means(record, of_class):
        if abs(mean - record.metrics[metric]) > ROUNDING:
            raise UserError(f"metrics.{metric}: {record.metrics[metric]:.6f}, but its classes give {mean:.6f}")


def _means(record: Record, of_class: dict[str, int]) -> Iterator[tuple[str, float]]:
    """Yield the mean over queries of each metric that has values per class."""
    names, weights = list(of_class), list(of_class.values())
    for metric in record.per_class[names[0]]:
        yield metric, float(np.average([record.per_class[name][metric] for name in names], weights=weights))


def _check_networks(records: Sequence[Record], found: Sequence[LocatedResult]) -> None:
    """Refuse trained results without the hash of their network, and one training with several."""
    networks: dict[tuple[str, int, int], str] = {}
    for record, located in zip(records, found, strict=True):
        trained = record.weights.get("trained")
        if not located.run.card.trained:
            _same("weights.trained", trained, None)
            continue
        if not trained or not re.fullmatch(r"sha256:[0-9a-f]{64}", trained):
            raise UserError(f"{describe_cell(record)}: weights.trained: {trained!r:.80} is not the hash of its network")
        one = networks.setdefault((located.run.key, record.seed, located.cell.round), trained)
        if one != trained:
            raise UserError(f"{describe_cell(record)}: another network than other results of the same training")
