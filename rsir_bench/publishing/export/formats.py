"""Write results in the formats of other programs, into a folder that holds nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rsir_bench.base.errors import UserError
from rsir_bench.base.output_folder import replaced_folder
from rsir_bench.publishing.export.described import Described
from rsir_bench.publishing.export.hub import write_hub
from rsir_bench.publishing.export.mteb import write_mteb
from rsir_bench.publishing.export.parquet import write_parquet
from rsir_bench.publishing.export.trec import write_trec
from rsir_bench.records.cells import is_plain
from rsir_bench.records.schema import Record

VERB = "export"
OF_DESCRIPTORS, OF_RECORDS = ("trec", "parquet"), ("mteb", "hf")
FORMATS = (*OF_DESCRIPTORS, *OF_RECORDS)


def export_descriptors(
    described: Iterable[Described], form: str, folder: Path, log: Callable[[str], object], depth: int | None = None
) -> list[Path]:
    """Write descriptors as ``trec`` or ``parquet``, in the place of what was exported into the folder before.

    Args:
        described: The descriptors.
        form: The format.
        folder: A new or empty folder, or one of an earlier export.
        log: Takes a line about rankings with ties, which TREC's files cannot express.
        depth: Scenes per query in ``trec``; None: all.

    Returns:
        The files, sorted.

    Raises:
        UserError: There are none, two would have one name, or files cannot be written.
    """
    written: dict[Path, str] = {}
    with replaced_folder(folder, VERB) as staging:
        for one in described:
            if form == "parquet" and one.after is not None:  # it has the descriptors of the plain rankings
                continue
            name = one.about.get("file", str(one.stem))
            if one.stem in written:
                raise UserError(
                    f"export: {written[one.stem]} and {name} would both be written as {one.stem}; rename one of them, "
                    "or export them into two folders"
                )
            written[one.stem] = name
            if form == "parquet":
                write_parquet(one, staging)
            elif tied := write_trec(one, staging, depth):
                log(
                    f"{one.stem}: {tied:,} rankings contain ties, written in the order of the scenes' ids; TREC "
                    "tools see that order alone, `score` takes the mean over all"
                )
        return _written(staging, folder)


def export_records(
    records: Sequence[Record], form: str, folder: Path, metric: str = "mAP", ids: Mapping[str, str] | None = None
) -> list[Path]:
    """Write records as ``mteb`` or ``hf``, in the place of what was exported into the folder before.

    Args:
        records: The records.
        form: The format.
        folder: A new or empty folder, or one of an earlier export.
        metric: The metric of ``hf``.
        ids: The hub's id of each target, for ``hf``.

    Returns:
        The files, sorted.

    Raises:
        UserError: There are none, a target has no id, or files cannot be written.
    """
    with replaced_folder(folder, VERB) as staging:
        if form == "mteb":
            for record in records:
                write_mteb(record, staging)
        else:
            write_hub([record for record in records if is_plain(record)], staging, metric, ids or {})
        return _written(staging, folder)


def _written(staging: Path, folder: Path) -> list[Path]:
    files = sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
    if not files:
        raise UserError("export: nothing to write; everything that was left out is named above")
    return [folder / name for name in files]
