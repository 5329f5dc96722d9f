"""``rsir-bench export``: results in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.cli import options
from rsir_bench.cli.options import LeftOut
from rsir_bench.cli.shared.lists import comma_list
from rsir_bench.runs.request import Request, UserFiles

ONLY_WITH = {
    "--depth": ("trec",),
    "--metric": ("hf",),
    "--dataset-id": ("hf",),
    "--dataset": ("trec", "parquet"),
    "--plugin": ("trec", "parquet"),
    "--card": ("trec", "parquet"),
    "--protocol": ("trec", "parquet"),
}
"""The formats that an option belongs to."""
OF_A_FILE = ("--codes", "--bits", "--similarity")
"""Options of a file of descriptors, which ``--dataset`` goes with."""
OF_RUNS = ("--boards", "--methods", "--plugin", "--protocol", "--rows", "--targets")
"""Options of results, which no file of descriptors has."""

Names = Annotated[str, typer.Option(help="Comma-separated; all by default.")]


def export(
    sources: Annotated[
        list[Path], typer.Argument(help="Folders of runs or records; for trec and parquet also a file of descriptors.")
    ],
    to: Annotated[str, typer.Option(help="trec, parquet (from descriptors), mteb or hf (from records).")],
    out: Annotated[Path, typer.Option(help="A new folder, or one of an earlier export.")],
    boards: Names = "",
    methods: Names = "",
    targets: Names = "",
    rows: Names = "",
    data_root: options.DataRoot = Request.data_root,
    plugin: options.Plugins = None,
    card: options.Cards = None,
    protocol: Annotated[
        str | None, typer.Option(help="Your own protocol's .toml file, if the results used one.")
    ] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="With trec: scenes per query; all by default.")] = None,
    metric: Annotated[str | None, typer.Option(help="With hf: the metric; mAP by default.")] = None,
    dataset_id: Annotated[
        list[str] | None, typer.Option(help="With hf: TARGET=OWNER/NAME, a target's id on the hub. May be repeated.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The dataset of the scenes, for a file of descriptors with ids.")
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="The similarity, for a file of descriptors; pearson by default.")
    ] = None,
    codes: Annotated[bool, typer.Option("--codes", help="The file holds binary codes.")] = False,
    bits: Annotated[
        int | None, typer.Option(min=1, help="Bits of packed codes; the first bit is the highest (big, as in numpy).")
    ] = None,
) -> None:
    """Write results in the formats of other programs (docs/export.md).

    \b
    rsir-bench export runs --to trec --methods baseline --targets ucm --data-root data --out trec
    rsir-bench export X.parquet --to trec --dataset ucm --data-root data --out trec
    rsir-bench export runs --to parquet --data-root data --out descriptors
    rsir-bench export leaderboards/results --to mteb --boards aid --out mteb
    rsir-bench export leaderboards/results --to hf --methods jsst --targets ucm --dataset-id ucm=me/ucm --out hf
    """  # noqa: D301 - keeps the lines of the examples apart
    given = {
        **{"--boards": boards, "--methods": methods, "--targets": targets, "--rows": rows},
        **{"--plugin": plugin, "--card": card, "--protocol": protocol, "--dataset": dataset},
        **{"--similarity": similarity, "--codes": codes, "--bits": bits},
        **{"--depth": depth, "--metric": metric, "--dataset-id": dataset_id},
    }
    _check(to, {name for name, value in given.items() if value})
    words = {"boards": boards, "methods": methods, "targets": targets, "rows": rows}
    chosen = {name: comma_list(f"--{name}", text) if text else [] for name, text in words.items()}
    from rsir_bench.publishing.export.described import from_file, from_runs
    from rsir_bench.publishing.export.formats import OF_DESCRIPTORS, export_descriptors, export_records
    from rsir_bench.publishing.export.hub import dataset_ids
    from rsir_bench.publishing.export.selection import Selection
    from rsir_bench.runs.artifacts.code import read_current
    from rsir_bench.scenes.index import index_listing, list_dataset
    from rsir_bench.scenes.readers.given_cards import read_cards

    left_out, wanted = LeftOut(), Selection(**chosen)
    if dataset is None and (file := next((path for path in sources if path.is_file()), None)):
        raise UserError(f"{file}: is a file; name a folder of runs or records, or add --dataset for its scenes")
    if to in OF_DESCRIPTORS:
        if dataset is None:
            files = UserFiles(data_root, plugin or [], card or [], protocol)
            described = from_runs(sources, files, wanted, left_out)
        else:
            index = index_listing(list_dataset(dataset, data_root, read_cards(card or [])))
            measure = similarity or "pearson"
            described = (from_file(path, index, measure, codes=codes, bits=bits) for path in sources)
        written = export_descriptors(described, to, out, log, depth)
    else:
        records = wanted.of(read_current(sources, log, left_out))
        written = export_records(records, to, out, metric or "mAP", dataset_ids(dataset_id or []))
    for path in written:
        print(path)
    left_out.exit_if_any()


def _check(to: str, given: set[str]) -> None:
    """Refuse an unknown format, and options that would change nothing.

    Raises:
        UserError: One line for the first of them.
    """
    known = sorted({form for forms in ONLY_WITH.values() for form in forms} | {"mteb"})
    if to not in known:
        raise UserError(f"--to {to}: unknown; choose from {', '.join(known)}")
    for option in sorted(given):
        if to not in ONLY_WITH.get(option, known):
            raise UserError(f"{option}: has no effect with --to {to}; omit it")
        if option in OF_A_FILE and "--dataset" not in given:
            raise UserError(f"{option}: applies only to a file of descriptors; name its dataset with --dataset")
        if option in OF_RUNS and "--dataset" in given:
            raise UserError(f"{option}: cannot be combined with --dataset; omit one of the two")
