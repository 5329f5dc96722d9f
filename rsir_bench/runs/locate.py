"""Find the run, network, descriptors and scenes behind a record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsir_bench.protocol import load_protocol, shipped
from rsir_bench.records.cells import after_of, distortion_of, is_submitted
from rsir_bench.records.commands import request_of
from rsir_bench.records.schema import Record
from rsir_bench.runs.plan import Plan, ResultSpec, Run, make_plan
from rsir_bench.runs.request import Request, UserFiles


@dataclass(frozen=True)
class LocatedResult:
    """The plan, run and result behind a record.

    Attributes:
        plan: The plan that makes it, with the scenes of source and target.
        run: The run, whose folder holds the network and the descriptors.
        cell: The result; ``cell.descriptors`` is the file of its descriptors.
    """

    plan: Plan
    run: Run
    cell: ResultSpec


def locate(records: Iterable[Record], out: Path, files: UserFiles) -> dict[str, LocatedResult]:
    """Return the run, result and plan of each record, by key.

    Args:
        records: Of any boards; the method's code and the datasets must be there.
        out: The folder of the runs.
        files: What the runs were made with.

    Returns:
        Only records that today's code, protocols and scenes would give again. All others are left out, and so are
        records of protocols that are neither shipped nor ``files.protocol``.

    Raises:
        UserError: A method or dataset of the records is not there.
    """
    known = {name: [name] for name in shipped()}
    if files.protocol:  # a changed copy of a shipped protocol may have kept its name
        known.setdefault(load_protocol(files.protocol).name, []).append(files.protocol)
    found: dict[str, LocatedResult] = {}
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = defaultdict(list)
    for record in records:
        if is_submitted(record):  # no run has made it
            continue
        for place in known.get(record.protocol.name, []):
            groups[place, tuple(record.protocol.overrides)].append(record)
    for (place, overrides), group in groups.items():
        request = Request(
            methods=_unique(request_of(record).method for record in group),
            targets=_unique(request_of(record).target for record in group),
            protocol=place,
            seeds=sorted({record.seed for record in group}),
            data_root=files.data_root,
            out=out,
            overrides=overrides,
            plugins=files.plugins,
            cards=files.cards,
            distortions=_distortions(group),
            after=_unique(after_of(record) for record in group if record.after),
        )
        plan = make_plan(request)
        wanted = {record.key for record in group}
        for run in plan.runs:
            found |= {cell.key: LocatedResult(plan, run, cell) for cell in run.cells if cell.key in wanted}
    return found


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _distortions(records: list[Record]) -> list[str]:
    return sorted({distortion_of(record) for record in records if record.distortion})
