"""Which cell of which board a record belongs to, and how cells are named."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import slug
from rsir_bench.records.schema import Record


def row_label(record: Record) -> str:
    """Return the name of a record's row: ``"PCA (target fit), aQE 10,3 (transductive)"``.

    It holds how a PCA differs from the protocol's, and how rankings are post-processed.
    """
    name = descriptor_label(record)
    return f"{name}, {record.after.label}" if record.after else name


def descriptor_label(record: Record) -> str:
    """Return the name of a record's row without post-processing, with how its PCA differs from the protocol's."""
    row = record.row
    if row.kind != "pca":
        return row.name
    particulars = []
    if row.dimensions != record.protocol.settings["describe"]["pca"]:
        particulars.append(f"{row.dimensions} dimensions")
    if row.fit == "target":
        particulars.append("target fit")
    return f"{row.name} ({', '.join(particulars)})" if particulars else row.name


def cell_of(record: Record) -> tuple[str, str, str]:
    """Return target, method and row: the cell whose seeds are averaged, among results of the same distortion."""
    return record.target.label, record.method.label, row_label(record)


def printed_title(record: Record) -> str:
    """Return the method as tables print it: its title, with the settings that are in its label."""
    method = record.method
    settings = method.label.removeprefix(method.name) if method.label.startswith(method.name) else ""
    return method.title + settings


def short_titles(records: Iterable[Record]) -> dict[str, str]:
    """Return each method as tables print it, by label: ``printed_title``, but a short name for an encoder.

    The name of an encoder's own file of weights and its settings are left out where the encoder is known without.
    """
    first = {record.method.label: record for record in records}
    short = {label: _short_title(record) for label, record in first.items()}
    shared = Counter(short.values())
    return {label: title if shared[title] == 1 else printed_title(first[label]) for label, title in short.items()}


def _short_title(record: Record) -> str:
    """Return ``"timm:resnet34, own weights"`` for ``"timm:resnet34@a.safetensors (timm.mean=[0.5, 0.5, 0.5])"``."""
    if ":" not in record.method.name:
        return printed_title(record)
    encoder, _, weights = record.method.title.partition("@")
    return f"{encoder}, own weights" if "." in weights else record.method.title


def machine_of(record: Record) -> str:
    """Return the kind of device and the precision that a result was made with: ``"cpu, 32"``, ``"cuda, bf16"``.

    Where a network was trained on several kinds or in both precisions, all are named: ``"cpu and cuda, 32 and bf16"``.
    Results of different kinds differ by more than seeds explain; within a kind, processors differ too, and by less.
    """
    made = record.environment.get("trained on", record.environment.get("device", "unknown"))
    kinds = {re.split(r"[:\s]", device, maxsplit=1)[0] for device in made.split("; ")}
    return f"{' and '.join(sorted(kinds))}, {record.environment.get('precision', 'unknown')}"


SUBMITTED = "submitted:"
"""What the labels of methods begin with whose descriptors were submitted; no method of ours can be called so."""


def is_submitted(record: Record) -> bool:
    """Return whether a result was scored from descriptors that somebody submitted, and no run made it."""
    return record.method.label.startswith(SUBMITTED)


def maker_of(record: Record) -> str:
    """Return who made a result, and what was submitted; empty for what was made here."""
    return f"{record.origin.kind} by {record.origin.by}" if record.origin else ""


def can_compete(records: Iterable[Record]) -> bool:
    """Return whether a line, given by the records of its seeds, is marked and tested.

    It was made here, or at least one of its seeds was made again here.
    """
    found = list(records)
    return any(record.origin is None or record.origin.remade for record in found) or not found


def is_plain(record: Record) -> bool:
    """Return whether scenes are not distorted, and rankings not post-processed."""
    return record.distortion is None and record.after is None


def after_of(record: Record) -> str:
    """Return for example ``"aqe:10,3"``; empty for rankings that are not post-processed."""
    return record.after.name if record.after else ""


def after_slug(name: str) -> str:
    """Return the name of a post-processing as part of a file name: ``"aqe-10-3"`` for ``"aqe:10,3"``."""
    return slug(name.replace(",", "-"))


def distortion_of(record: Record) -> str:
    """Return for example ``"haze:3"``; empty for undistorted scenes."""
    return f"{record.distortion.name}:{record.distortion.severity}" if record.distortion else ""


@dataclass(frozen=True)
class CellId:
    """Identify a cell across versions: unlike a record's key, it survives a change of version.

    ``scenes`` holds the fingerprints of the target and of the source: a result on another edition is another cell.
    """

    board: str
    method: str
    row: str
    target: str
    distortion: str
    scenes: tuple[str, str]

    @classmethod
    def of(cls, record: Record) -> CellId:
        """Return the cell of a record; its seed is not part of it."""
        return cls(
            board=record.protocol.board,
            method=record.method.label,
            row=row_label(record),
            target=record.target.name,
            distortion=distortion_of(record),
            scenes=(record.target.fingerprint, record.source.fingerprint if record.source else ""),
        )

    def describe(self, seed: int) -> str:
        """Return the result of a seed in words."""
        target = f"{self.target} under {self.distortion}" if self.distortion else self.target
        return f"{self.board}: {self.method}, row {self.row}, on {target}, seed {seed}"


def describe_cell(record: Record) -> str:
    """Return a result in words."""
    return CellId.of(record).describe(record.seed)


def matching_baseline(records: Iterable[Record], baseline: Iterable[Record]) -> list[Record]:
    """Return the records of the baseline that belong to the boards of ``records``.

    Where several protocols share a board's name, only those with the hash of the records' protocol match.
    """
    hashes: dict[str, set[str]] = defaultdict(set)
    for record in records:
        hashes[record.protocol.board].add(record.protocol.hash)
    candidates = [record for record in baseline if record.protocol.board in hashes]
    protocols = {(record.protocol.board, record.protocol.hash) for record in candidates}
    shared = Counter(board for board, _ in protocols)
    return [
        record
        for record in candidates
        if shared[record.protocol.board] == 1 or record.protocol.hash in hashes[record.protocol.board]
    ]


def index_by_cell(records: Iterable[Record], where: str) -> dict[tuple[CellId, int], Record]:
    """Return records by cell and seed; the same record twice counts once.

    Args:
        records: Records of any boards.
        where: Where they are, for the error: ``"the runs"``.

    Raises:
        UserError: Two different results have the same cell and seed.
    """
    index: dict[tuple[CellId, int], Record] = {}
    for record in records:
        twin = index.setdefault((CellId.of(record), record.seed), record)
        if twin.metrics != record.metrics or twin.key != record.key:
            raise UserError(
                f"{where} hold two results of {describe_cell(record)} (keys {twin.key[:8]}, {record.key[:8]}); "
                "name the folder of one of them"
            )
    return index


def result_of(record: Record) -> tuple[CellId, int, str]:
    """Return the identity of a result, independent of the code that made it: cell, seed, and hash of the protocol."""
    return CellId.of(record), record.seed, record.protocol.hash
