"""Which cell of which board a record fills, and how cells are named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from rsir_bench.base.errors import UserError
from rsir_bench.records.schema import Record


def row_label(record: Record) -> str:
    """The name of a record's row, with what a PCA has that is not the protocol's: ``"PCA (target fit)"``."""
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
    """Target, method and row: the cell that the seeds of a result are averaged into, among equally distorted ones."""
    return record.target.name, record.method.label, row_label(record)


def printed_title(record: Record) -> str:
    """The method as tables print it: its title, with the settings that its label tells."""
    method = record.method
    settings = method.label.removeprefix(method.name) if method.label.startswith(method.name) else ""
    return method.title + settings


def distortion_of(record: Record) -> str:
    """``"haze:3"``; empty where the target's scenes are as they are."""
    return f"{record.distortion.name}:{record.distortion.severity}" if record.distortion else ""


@dataclass(frozen=True)
class Place:
    """What is compared with what, whatever the key: a changed version changes that."""

    board: str
    method: str
    row: str
    target: str
    distortion: str

    @classmethod
    def of(cls, record: Record) -> Place:
        """The place of a record; its seed is not in it."""
        return cls(
            record.protocol.board, record.method.label, row_label(record), record.target.name, distortion_of(record)
        )


def name_of(record: Record) -> str:
    """A result in words."""
    return describe_place(Place.of(record), record.seed)


def beside(records: Iterable[Record], baseline: Iterable[Record]) -> list[Record]:
    """The records of the baseline that stand on the boards of ``records``.

    Where several protocols have one board's name, each has a board of its own: only those of the records' then.
    """
    hashes: dict[str, set[str]] = defaultdict(set)
    for record in records:
        hashes[record.protocol.board].add(record.protocol.hash)
    found = [record for record in baseline if record.protocol.board in hashes]
    known = {(record.protocol.board, record.protocol.hash) for record in found}
    shared = Counter(board for board, _ in known)
    return [
        record
        for record in found
        if shared[record.protocol.board] == 1 or record.protocol.hash in hashes[record.protocol.board]
    ]


def by_place(records: Iterable[Record], where: str) -> dict[tuple[Place, int], Record]:
    """Records by place and seed; the same record twice counts once.

    Args:
        records: Of any boards.
        where: For the error: ``"the runs"``.

    Raises:
        UserError: Two different results claim the same place and seed.
    """
    found: dict[tuple[Place, int], Record] = {}
    for record in records:
        twin = found.setdefault((Place.of(record), record.seed), record)
        if twin.metrics != record.metrics or twin.key != record.key:
            raise UserError(
                f"{where} hold two results of {name_of(record)} (keys {twin.key[:8]}, {record.key[:8]}); "
                "name the folder of one of them"
            )
    return found


def describe_place(place: Place, seed: int) -> str:
    """Return a result in words."""
    target = f"{place.target} under {place.distortion}" if place.distortion else place.target
    return f"{place.board}: {place.method}, row {place.row}, on {target}, seed {seed}"
