"""Pack the records of runs with the hashes of their networks, for a board that somebody else keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rsir_bench.base.errors import Problems, UserError
from rsir_bench.base.files import file_digest, write_text
from rsir_bench.base.output_folder import replaced_folder
from rsir_bench.publishing.export.selection import Selection
from rsir_bench.publishing.submit.card import CARD, RecordsCard
from rsir_bench.publishing.submit.package import NETWORKS, RECORDS, origin_of
from rsir_bench.records.cells import describe_cell
from rsir_bench.records.schema import Record
from rsir_bench.records.store import read_record, result_files, write_record
from rsir_bench.runs.artifacts.code import read_current, run_folder_of

VERB = "pack"


def pack(
    runs: Sequence[Path],
    card: RecordsCard,
    out: Path,
    wanted: Selection,
    seed: int | None,
    log: Callable[[str], object],
) -> list[Path]:
    """Write a package: ``submission.toml``, ``records/KEY.json``, and ``networks/SHA256.safetensors`` of one seed.

    Args:
        runs: Folders that ``run`` wrote.
        card: Who submits, and where the runs were made.
        out: A new folder, or one of an earlier package.
        wanted: Which results.
        seed: The seed whose networks come along, so that its descriptors can be made again; None: no network does.
        log: Takes a line about results that are left out.

    Returns:
        The files, sorted.

    Raises:
        UserError: A result cannot be submitted, or its network is not the one that its record names; a line for each.
    """
    records = wanted.of(read_current(runs, log))
    paths = {record.key: path for path in result_files(runs) if (record := read_record(path))}
    networks: dict[str, Path] = {}
    problems = Problems()
    for record in records:
        with problems.collecting():
            _check(record)
            networks |= _network(record, paths[record.key], networks)
    problems.raise_any()
    chosen = {str(record.weights["trained"]) for record in records if record.seed == seed and record.weights["trained"]}
    if seed is not None and not any(record.seed == seed for record in records):
        raise UserError(f"--networks {seed}: no result of that seed; the seeds are {_seeds(records)}")
    with replaced_folder(out, VERB) as staging:
        write_text(staging / CARD, _toml(card))
        for record in records:
            marked = record.model_copy(update={"origin": origin_of(card)})
            write_record(staging / RECORDS / f"{record.key}.json", marked)
        for trained in sorted(chosen):
            target = staging / NETWORKS / f"{trained.removeprefix('sha256:')}.safetensors"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(networks[trained], target)
        names = sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
    return [out / name for name in names]


def _check(record: Record) -> None:
    """Refuse what no board takes."""
    why = ""
    if record.protocol.overrides:
        why = f"its protocol was changed by --set {record.protocol.overrides[0]}"
    elif record.method.own_code:
        why = "its method is not as shipped, and a board's records can be made again from the repository alone"
    elif record.origin is not None or record.accepted:
        why = "it is a published record"
    if why:
        raise UserError(f"{describe_cell(record)}: {why}; omit it with --boards, --methods, --targets or --rows")


def _network(record: Record, path: Path, known: Mapping[str, Path]) -> dict[str, Path]:
    """Return the file of the network of a result by its hash; none where nothing was trained."""
    trained = record.weights["trained"]
    if trained is None or trained in known:
        return {}
    run = run_folder_of(path)
    for network in sorted(run.glob("round*/weights.safetensors")):
        if f"sha256:{file_digest(network)}" == trained:
            return {trained: network}
    raise UserError(f"{describe_cell(record)}: its network ({trained[:19]}) is not in {run}; run it again")


def _seeds(records: Sequence[Record]) -> str:
    return ", ".join(map(str, sorted({record.seed for record in records})))


def _toml(card: RecordsCard) -> str:
    """Return a card as TOML; a JSON string is a TOML string too."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in card.model_dump().items() if value)
