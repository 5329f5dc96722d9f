"""``rsir-bench datasets``: list, show, download, verify or audit datasets."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsir_bench.base.errors import UserError
from rsir_bench.base.progress import log
from rsir_bench.base.terminal.screen import PLAIN, Screen, screen_of, short_path
from rsir_bench.base.terminal.tables import Cell, Column, text_table
from rsir_bench.base.text import first_few
from rsir_bench.cli import options
from rsir_bench.cli.options import ListByDefault
from rsir_bench.cli.shared.help import TYPER
from rsir_bench.cli.shared.lists import comma_list
from rsir_bench.runs.request import Request

if TYPE_CHECKING:
    from rsir_bench.scenes.card import DatasetCard
    from rsir_bench.scenes.inspect.duplicate_report import DuplicateReport
    from rsir_bench.scenes.inspect.verify import Verification

app = typer.Typer(cls=ListByDefault, help="List the datasets; show, download, verify or audit them.", **TYPER)


@app.command("list")
def list_datasets(data_root: options.DataRoot = Request.data_root, as_json: options.AsJson = False) -> None:
    """List the datasets, their size and licence, and whether they are present.

    \b
    rsir-bench datasets --data-root data
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.scenes.inspect.listing import dataset_list

    datasets = dataset_list(data_root)
    print(json.dumps(datasets, indent=1) if as_json else list_as_table(datasets, screen_of(sys.stdout)))


def list_as_table(datasets: Sequence[Mapping[str, str | int]], screen: Screen = PLAIN) -> str:
    """Return the list of datasets as text."""
    columns = [
        *(Column("dataset"), Column("title", optional=True), Column("classes", "number"), Column("labels", "number")),
        *(Column("scenes", "number"), Column("pixels", "number"), Column("bands", "number", optional=True)),
        *(Column("licence", optional=True), Column("edition"), Column("present")),
    ]
    rows: list[list[str | Cell]] = []
    for dataset in datasets:
        *words, presence = map(str, dataset.values())
        rows.append([*words, _presence(words[0], presence)])
    return text_table(columns, rows, screen)


def _presence(name: str, text: str) -> Cell:
    """Return where a dataset is, or that it is not there, in a style; why it is incomplete takes more than a cell."""
    if text.startswith("incomplete"):
        return Cell(f"incomplete; see datasets verify {name}", "bad")
    folder = short_path(text) if Path(text).is_absolute() else text
    return Cell(folder, "faint" if text == "no" else "good")


@app.command("show")
def show_dataset(name: str) -> None:
    """Show a dataset's card: classes, pixels, source, licence, citation, known faults.

    \b
    rsir-bench datasets show ucm
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.scenes.inspect.listing import dataset_card

    print(dataset_card(name))


@app.command("download")
def download_dataset(
    name: str,
    data_root: options.DataRoot = Request.data_root,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence without being asked.")
    ] = False,
) -> None:
    """Download a dataset from its pinned source, check and unpack it; an interrupted download is resumed.

    \b
    rsir-bench datasets download ucm --data-root data
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.scenes.acquire.download import download
    from rsir_bench.scenes.labelling.find_labels import find_labels
    from rsir_bench.scenes.readers.given_cards import find_card

    card, confirm = find_card(name), partial(confirm_licence, accepted=accept_licence)
    folder = download(card, data_root, confirm_licence=confirm, log=log)
    print(folder)
    if card.labels:
        try:
            find_labels(card.name, card.labels, folder, data_root)
        except UserError as error:  # its labels come by hand
            log(str(error))


def confirm_licence(card: DatasetCard, *, accepted: bool) -> None:
    """Show the licence on standard error, and ask at the terminal unless it is accepted.

    Raises:
        UserError: The licence is not accepted, or nobody can be asked.
    """
    licence = f"{card.title}: licence {card.licence}; source {card.source}"
    if not accepted and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(f"{licence}; add --accept-licence to accept this licence and download it")
    log(licence)
    if not accepted and not typer.confirm(f"Accept this licence and download {card.name}?", err=True):
        raise UserError(f"{card.name}: not downloaded, the licence was not accepted")


@app.command("verify")
def verify_datasets(
    names: Annotated[list[str], typer.Argument(help="Datasets; folder:, parquet: or tar:PATH; all: those present.")],
    data_root: options.DataRoot = Request.data_root,
    card: options.Cards = None,
    as_json: options.AsJson = False,
) -> None:
    """Read every scene, compare with card and manifest; exit with 1 if scenes are missing or unreadable.

    \b
    rsir-bench datasets verify ucm,aid --data-root data
    rsir-bench datasets verify folder:photos
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.scenes.inspect.verify import Verdict, present_datasets, verify
    from rsir_bench.scenes.readers.given_cards import read_cards

    given = read_cards(card or [])
    wanted = [name for words in names for name in comma_list("datasets verify", words)]
    reports = []
    for name in present_datasets(wanted, data_root, given):
        reports.append(verify(name, data_root, given))
        if not as_json:  # each as soon as it is known: a dataset takes minutes
            print(screen_of(sys.stdout).folded(verification_in_words(reports[-1])))
    if as_json:
        print(json.dumps([_verification_as_json(report) for report in reports], indent=1))
    if any(report.verdict is Verdict.INCOMPLETE for report in reports):
        raise typer.Exit(1)


@app.command("audit")
def audit_datasets(
    source: Annotated[str, typer.Argument(help="A dataset, or folder:, parquet: or tar:PATH.")],
    targets: Annotated[list[str] | None, typer.Argument(help="Datasets to compare with it.")] = None,
    data_root: options.DataRoot = Request.data_root,
    out: Annotated[Path | None, typer.Option(help="Folder for audit.html, with images, and audit.json.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="Pairs to print for each comparison.")] = 10,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are duplicates.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Find duplicate scenes within each dataset and between the source and each target.

    \b
    rsir-bench datasets audit ucm aid --data-root data --out audit
    """  # noqa: D301 - keeps the lines of the examples apart
    from rsir_bench.scenes.inspect.duplicate_report import audit, reports_as_json

    reports = audit([source, *(targets or [])], data_root, out)
    in_words = duplicates_in_words(reports, examples, screen_of(sys.stdout))
    print(json.dumps(reports_as_json(reports), indent=1) if as_json else in_words)
    if out is not None and not as_json:
        print(f"written: {out / 'audit.html'} (side by side), {out / 'audit.json'} (all pairs)")
    if strict and any(report.pairs for report in reports):
        raise typer.Exit(1)


def duplicates_in_words(reports: Sequence[DuplicateReport], examples: int, screen: Screen = PLAIN) -> str:
    """Return a table of all reports, then up to ``examples`` pairs of each."""
    from rsir_bench.scenes.inspect.duplicates import DuplicateKind

    numbers = [*(f"{kind} (pairs)" for kind in DuplicateKind), "of other classes", "scenes with a twin", "share"]
    rows = [
        [
            *(report.title, *(str(report.count(kind)) for kind in DuplicateKind), str(report.conflicts)),
            *(f"{report.twins:,} of {len(report.target):,}", f"{report.share:.2%}"),
        ]
        for report in reports
    ]
    columns = [Column("duplicates"), *(Column(number, "number") for number in numbers)]
    lines = [text_table(columns, rows, screen)]
    for report in reports:
        shown = report.pairs[:examples]
        if shown:
            lines += ["", f"{report.title} ({len(shown)} of {len(report.pairs)}):"]
            lines += [f"  {' = '.join(report.files(pair))}: {report.describe(pair)}" for pair in shown]
    return "\n".join(lines)


def verification_in_words(report: Verification) -> str:
    """Return the verdict, then one line for each check."""
    lines = {
        "folder": str(report.folder),
        "classes": _classes_in_words(report),
        "labels": report.labels,
        "LABELS": report.label_problem,
        "unexpected folders": _named(report.unexpected),
        "unreadable": _named([f"{path} ({why})" for path, why in report.unreadable.items()]),
        "other bands": _named([f"{path} ({which})" for path, which in report.other_bands.items()]),
        "sizes": _sizes_in_words(report),
        "types": ", ".join(f"{count:,} {kind}" for kind, count in report.survey.kinds.items()),
        "values": _values_in_words(report),
        "repeated within a class": _named([" = ".join(paths) for paths in report.repeated]),
        "REPEATED ACROSS CLASSES": _named([" = ".join(paths) for paths in report.repeated_across]),
        **_manifest_in_words(report),
        "edition": _edition_in_words(report),
        "content fingerprint": report.fingerprint or "none: not every file can be opened",
    }
    head = f"{report.name}: {report.verdict_in_words}"
    remarks = [f"  note: {note}" for note in report.notes] + [f"  WARNING: {warning}" for warning in report.warnings]
    return "\n".join([head, *(f"  {key}: {line}" for key, line in lines.items() if line), *remarks])


def _edition_in_words(report: Verification) -> str:
    """Return the name of the edition, as on boards, and the known editions; empty without a card or fingerprint."""
    if report.card is None or report.fingerprint is None:
        return ""
    known = ", ".join(report.card.editions)
    if report.card.edition(report.fingerprint):
        return f"{report.edition} (known editions: {known})"
    return f"{report.edition}, not on the card (known editions: {known or 'none'})"


def _values_in_words(report: Verification) -> str:
    """Return the values of scenes that are not 8-bit, and how they are scaled; empty if all are 8-bit."""
    if report.survey.limits is None or report.value_range is None:
        return ""
    (lowest, highest), (low, high) = report.survey.limits, report.value_range
    return f"{lowest:g}..{highest:g} where not 8-bit; {low:g}..{high:g} become 0..255 ({report.range_origin})"


def _classes_in_words(report: Verification) -> str:
    total = f"{sum(report.found.values()):,} scenes"
    if report.card is None or not report.card.classes:
        return f"{total}; {', '.join(f'{name} {count}' for name, count in report.found.items())}"
    wrong = [f"{name} has {found} scenes, not {expected}" for name, (expected, found) in report.wrong_counts.items()]
    missing = [f"{name} is missing" for name in report.missing_classes]
    if wrong or missing:
        return f"{total}, not {sum(report.expected.values()):,}; {'; '.join([*missing, *wrong])}"
    return f"{total} in {len(report.found)} classes; every count matches the card"


def _sizes_in_words(report: Verification) -> str:
    counts = Counter(report.sizes.values()).most_common()
    listed = first_few([f"{count:,} of {width} x {height}" for (width, height), count in counts], 5)
    if report.other_sizes:
        side = report.card.pixels if report.card else 0
        return f"{listed}; not {side} x {side}: {_named(report.other_sizes)}"
    return listed


def _manifest_in_words(report: Verification) -> dict[str, str]:
    """Return how the scenes compare with the manifest: how many are original, and which differ in what way."""
    comparison = report.comparison
    if comparison is None:
        return {"manifest": "none" if report.card else ""}
    return {
        "manifest": f"{comparison.original:,} of {sum(report.expected.values()):,} original files",
        "other bytes": _named(comparison.differing),
        "not in the manifest": _named(comparison.unlisted),
        "missing": _named(comparison.missing),
    }


def _named(items: Sequence[str]) -> str:
    """Return the number of items and up to five of them; empty for none."""
    return f"{len(items):,}: {first_few(items, 5)}" if items else ""


def _verification_as_json(report: Verification) -> dict[str, Any]:
    """Return the report for programs: everything by name, nothing left out."""
    return {
        "dataset": report.name,
        "folder": str(report.folder),
        "verdict": report.verdict.value,
        "in_words": report.verdict_in_words,
        "classes": {
            name: {"expected": report.expected[name] if report.card and report.card.classes else None, "found": count}
            for name, count in report.found.items()
        },
        "labels": report.labels,
        "label_problem": report.label_problem,
        "unexpected_folders": report.unexpected,
        "unreadable": report.unreadable,
        "other_bands": report.other_bands,
        "sizes": {f"{width}x{height}": count for (width, height), count in Counter(report.sizes.values()).items()},
        "other_sizes": report.other_sizes,
        "repeated": report.repeated,
        "repeated_across_classes": report.repeated_across,
        "manifest": None if report.comparison is None else vars(report.comparison),
        "edition": report.edition,
        "fingerprint": report.fingerprint,
        "types": report.survey.kinds,
        "values": report.survey.limits,
        "value_range": report.value_range,
        "value_range_origin": report.range_origin,
        "notes": report.notes,
        "warnings": report.warnings,
    }
