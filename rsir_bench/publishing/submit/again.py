"""Recompute the descriptors of one seed from the network that came with its records, and score them."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Context
from pathlib import Path

from rsir_bench.base.errors import RunError, UserError
from rsir_bench.base.files import file_digest
from rsir_bench.publishing.submit.expected import Expected
from rsir_bench.publishing.submit.files import plain_file
from rsir_bench.publishing.submit.package import NETWORKS
from rsir_bench.records.cells import describe_cell
from rsir_bench.records.schema import Record
from rsir_bench.records.verdict import EXACT, Tolerance, Verdict
from rsir_bench.runs.artifacts.chain import RunArtifacts
from rsir_bench.runs.artifacts.environment import environment
from rsir_bench.runs.locate import LocatedResult
from rsir_bench.runs.notes import write_note
from rsir_bench.runs.plan import round_folder

LARGEST_NETWORK = 2**33
TOLERANCE = Tolerance(EXACT, 2e-3)
"""Of scores: the same machine gives the same, another kind may swap a few neighbours of a few queries."""

Log = Callable[[str], object]


def make_again(
    folder: Path, records: Sequence[Record], found: Sequence[LocatedResult], expected: Expected, log: Log
) -> dict[str, str]:
    """Describe the targets again with the network of one seed of each method, and compare the scores.

    Args:
        folder: The package.
        records: Its records.
        found: The results that they are of, as ``expected`` has planned them.
        expected: Its folder of runs is where networks and descriptors go.
        log: Takes a line for each result that cannot be made again here.

    Returns:
        For each record that was made again, by key: when and on what, and how far its scores were off.

    Raises:
        UserError: Scores are others, or a network is not the one that the records name.
    """
    located = {record.key: one for record, one in zip(records, found, strict=True)}
    artifacts: dict[int, RunArtifacts] = {}  # results on one target share a pass over its scenes
    remade = {}
    for record in _of_one_seed(folder, records, log):
        one = located[record.key]
        if why := _missing(record, one, expected):
            log(f"not again   {describe_cell(record)}: {why}")
            continue
        _place_network(folder, record, one)
        run = artifacts.setdefault(id(one.plan), RunArtifacts(one.plan, one.run))
        remade[record.key] = _compared(record, one, run, expected.device)
    return remade


def _of_one_seed(folder: Path, records: Sequence[Record], log: Log) -> Iterator[Record]:
    """Yield the undistorted results of the first seed of each method whose networks are in the package."""
    clean = [record for record in records if record.distortion is None]
    for label in dict.fromkeys(record.method.label for record in clean):
        of_method = [record for record in clean if record.method.label == label]
        for seed in sorted({record.seed for record in of_method}):
            chosen = [record for record in of_method if record.seed == seed]
            networks = {_network(folder, record) for record in chosen}
            if all(path is None or path.is_file() for path in networks):
                yield from chosen
                break
        else:
            log(f"not again   {label}: {folder / NETWORKS} holds the networks of no seed")


def _network(folder: Path, record: Record) -> Path | None:
    """Return where the network of a result is in a package; None if nothing was trained."""
    trained = record.weights.get("trained")
    return folder / NETWORKS / f"{trained.removeprefix('sha256:')}.safetensors" if trained else None


def _missing(record: Record, located: LocatedResult, expected: Expected) -> str:
    """Return why a result cannot be made again here; empty if it can."""
    plan, cell = located.plan, located.cell
    if not expected.is_here(plan.datasets[cell.target]):
        return f"the scenes of {cell.target} are not here"
    if (cell.components or record.target.excluded) and not expected.is_here(plan.source):
        return f"it needs the scenes of the source, {plan.protocol.data.source}, which are not here"
    return ""


def _place_network(folder: Path, record: Record, located: LocatedResult) -> None:
    """Put the network of a result where its run has it, after checking that it is the one that the record names."""
    path = _network(folder, record)
    if path is None or located.run.is_trained(located.cell.round):
        return
    source = plain_file(path.parent, path.name, LARGEST_NETWORK)
    target = round_folder(located.run.folder, located.cell.round) / "weights.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if (digest := file_digest(target)) != path.stem:
        raise UserError(f"{source}: has sha256 {digest[:12]}, not that of its name; it was changed")
    write_note(located.run.note(located.cell.round), {"weights_sha256": digest})


def _compared(record: Record, located: LocatedResult, run: RunArtifacts, device: str) -> str:
    """Return when and on what a result was made again, and how far its scores are off."""
    try:
        scores = run.scores(located.cell).make().overall
    except RunError as error:
        raise UserError(f"{describe_cell(record)}: cannot be recomputed: {error}") from None
    metric, off = worst_difference(record.metrics, scores)
    if TOLERANCE.verdict(off) is Verdict.FAIL:
        raise UserError(
            f"{describe_cell(record)}: recomputed, {metric} is {scores[metric]:.4f}, and the record has "
            f"{record.metrics[metric]:.4f}; it is not the result of its network"
        )
    here = environment(device, located.plan.protocol.train.precision)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    bound = Context(prec=1, rounding=ROUND_CEILING).create_decimal(repr(max(off, EXACT)))
    return f"{today}, {here['device']}, scores within {float(bound):.0e}"


def worst_difference(one: Mapping[str, float], other: Mapping[str, float]) -> tuple[str, float]:
    """Return the metric of both that differs most, and by how much."""
    return max(((name, abs(one[name] - other[name])) for name in one.keys() & other.keys()), key=lambda pair: pair[1])
