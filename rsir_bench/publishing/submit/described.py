"""Score submitted descriptors as a protocol says, into records that are marked as such."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rsir_bench.base.errors import UserError, map_collecting_errors
from rsir_bench.base.files import digest, file_digest
from rsir_bench.method import registry
from rsir_bench.protocol import Protocol
from rsir_bench.publishing.submit.card import DescriptorsCard, DescriptorsEntry
from rsir_bench.publishing.submit.files import check_decoded, plain_file
from rsir_bench.publishing.submit.named import check_target, named_protocol
from rsir_bench.ranking import METRIC_VERSION
from rsir_bench.ranking.files.arrays import FORMATS
from rsir_bench.ranking.files.descriptors import read_descriptors
from rsir_bench.ranking.files.ids import by_scene
from rsir_bench.records.cells import SUBMITTED, describe_cell
from rsir_bench.records.schema import MethodPart, OriginPart, Record, RequestFields, RowPart
from rsir_bench.runs.artifacts.provenance import protocol_part, score_fields, target_part
from rsir_bench.runs.artifacts.scores import protocol_scores
from rsir_bench.runs.request import UserFiles
from rsir_bench.scenes.index import SceneIndex, index_listing, list_dataset
from rsir_bench.scenes.readers.given_cards import GivenCards, read_cards

Array = np.ndarray[Any, Any]

MOST_DIMENSIONS = 2**14
BYTES_PER_SCENE = 2**17
"""16,384 numbers of eight bytes."""


def score_submission(folder: Path, card: DescriptorsCard, files: UserFiles) -> list[Record]:
    """Return a record for each file of descriptors.

    Args:
        folder: The submission.
        card: Its card.
        files: The folder of the datasets, cards of further ones, and the checker's protocol file.

    Raises:
        UserError: Something in the submission is wrong; a line for each problem.
    """
    protocol = named_protocol(card.protocol, files.protocol)
    if protocol.data.leaked == "drop":
        raise UserError(f"protocol {protocol.name}: leaves scenes out (data.leaked=drop); it takes no descriptors")
    _refuse_known(card)
    given = read_cards(files.cards)
    names = dict.fromkeys(entry.target for entry in card.descriptors)
    targets = map_collecting_errors(names, lambda name: _target(name, protocol, files.data_root, given))
    indices = dict(zip(names, targets, strict=True))
    records = map_collecting_errors(
        card.descriptors, lambda entry: _record(folder, card, entry, protocol, indices[entry.target])
    )
    _refuse_copies(records)
    return records


def _refuse_copies(records: Sequence[Record]) -> None:
    """Refuse one training that is called several seeds."""
    seen: dict[tuple[str, str, str], Record] = {}
    for record in records:
        scores = digest([record.per_class, record.metrics])
        other = seen.setdefault((record.row.name, record.target.name, scores), record)
        if other is not record:
            raise UserError(
                f"{describe_cell(record)}: has the scores of seed {other.seed}; a seed is another training, not a copy"
            )


def _refuse_known(card: DescriptorsCard) -> None:
    """Refuse the name or title of a method that is here."""
    known = registry.discover()
    taken = {name.casefold() for name in known} | {entry.title.casefold() for entry in known.values()}
    for field, text in (("name", card.name), ("title", card.title)):
        if text.casefold() in taken:
            raise UserError(f"{field} {text!r}: a method of rsir-bench has this name; choose another")


def _target(name: str, protocol: Protocol, data_root: Path, given: GivenCards) -> SceneIndex:
    """Return the scenes of a target, which has a card and is not what the protocol trains on."""
    check_target(name, protocol, given)
    listing = list_dataset(name, data_root, given)
    if protocol.data.source in (name, listing.card.scenes_of if listing.card else None):
        raise UserError(
            f"target {name}: the protocol {protocol.name} trains on its scenes, so it cannot be a target; remove it"
        )
    return index_listing(listing)


def _record(
    folder: Path, card: DescriptorsCard, entry: DescriptorsEntry, protocol: Protocol, index: SceneIndex
) -> Record:
    path = plain_file(folder, entry.file, BYTES_PER_SCENE * len(index))
    if entry.fingerprint != index.fingerprint:
        theirs, ours = entry.fingerprint[:12], index.fingerprint[:12]
        raise UserError(
            f"{path}: describes scenes of {entry.target} with fingerprint {theirs}, but the scenes here have {ours}; "
            "results are compared only on equal scenes"
        )
    rows = _rows(path, entry, index)
    try:
        scores = protocol_scores(index, np.ones(len(index), np.bool_), protocol.score, rows, _bits(entry, rows))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    content, label = file_digest(path), f"{SUBMITTED}{card.name}"
    identity = ["submitted", label, entry.row, entry.seed, index.fingerprint, protocol.hash, METRIC_VERSION, content]
    request = RequestFields(protocol=protocol.name, method=label, seed=entry.seed, target=entry.target)
    return Record(
        key=digest(identity),
        method=MethodPart(name=label, label=label, title=card.title, version=1, settings={}, source_sha256=""),
        row=RowPart(
            name=entry.row, descriptor=entry.row, kind=entry.kind, dimensions=_bits(entry, rows) or rows.shape[1]
        ),
        protocol=protocol_part(protocol, ()),
        seed=entry.seed,
        source=None,
        target=target_part(index, len(index)),
        **score_fields(scores),
        weights={},
        cost={},
        environment={name: version(name) for name in ("rsir-bench", "torch", "numpy")},
        command=f"rsir-bench submit check {shlex.quote(folder.name)}",
        request=request,
        doubts=tuple(scores.doubts()),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        origin=_origin(card, content),
    )


def _origin(card: DescriptorsCard, content: str) -> OriginPart:
    words = {"by": card.by, "made_on": card.made_on, "url": card.url, "training": card.training}
    return OriginPart(kind="descriptors", sha256=content, **words)


def _rows(path: Path, entry: DescriptorsEntry, index: SceneIndex) -> Array:
    """Return the descriptors in the order of the scenes, (N, D) of the file's dtype."""
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: unknown format; give {', '.join(FORMATS)}")
    check_decoded(path, 2 * BYTES_PER_SCENE * len(index))
    contents = read_descriptors(path, codes=entry.kind == "code")
    rows = by_scene(contents.descriptors, contents.ids, index, path)
    if rows.ndim != 2 or not 1 <= rows.shape[1] <= MOST_DIMENSIONS:
        raise UserError(
            f"{path}: descriptors of shape {rows.shape}; give one row of 1 to {MOST_DIMENSIONS:,} numbers each"
        )
    return rows


def _bits(entry: DescriptorsEntry, rows: Array) -> int | None:
    """Return the length of codes; None for other descriptors."""
    if entry.kind == "real":
        return None
    return entry.bits or int(rows.shape[1])
