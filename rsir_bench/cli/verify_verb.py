"""What `rsir-bench datasets verify` prints: the reports on datasets in words, or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rsir_bench.scenes.inspect.verify import Verdict, Verification, present_datasets, verify


def run_verify_verb(names: Sequence[str], data_root: Path, as_json: bool, tell: Callable[[str], object]) -> bool:
    """Verifies the datasets and tells each report as soon as it is there (JSON: one list at the end).

    Returns:
        Whether none is incomplete.

    Raises:
        UserError: A dataset is unknown or not there; nothing was verified then.
    """
    reports: list[Verification] = []
    for name in present_datasets(names, data_root):
        reports.append(verify(name, data_root))
        if not as_json:
            tell(report_in_words(reports[-1]))
    if as_json:
        tell(json.dumps([_report_as_json(report) for report in reports], indent=1))
    return all(report.verdict is not Verdict.INCOMPLETE for report in reports)


def report_in_words(report: Verification) -> str:
    """The report for people: the verdict, then one line for each thing that was looked at."""
    lines = {
        "folder": str(report.folder),
        "classes": _classes_in_words(report),
        "unexpected folders": _named(report.unexpected),
        "unreadable": _named([f"{path} ({why})" for path, why in report.unreadable.items()]),
        "other bands": _named([f"{path} ({which})" for path, which in report.other_bands.items()]),
        "sizes": _sizes_in_words(report),
        "repeated within a class": _named([" = ".join(paths) for paths in report.repeated]),
        "REPEATED ACROSS CLASSES": _named([" = ".join(paths) for paths in report.repeated_across]),
        "manifest": _comparison_in_words(report),
        "content fingerprint": report.fingerprint or "none: not every file can be opened",
    }
    return "\n".join(
        [f"{report.name}: {report.verdict_in_words}", *(f"  {key}: {lines[key]}" for key in lines if lines[key])]
    )


def _classes_in_words(report: Verification) -> str:
    total = f"{sum(report.found.values()):,} scenes"
    if report.card is None:
        return f"{total}; {', '.join(f'{name} {count}' for name, count in report.found.items())}"
    wrong = [f"{name} has {found} scenes, not {expected}" for name, (expected, found) in report.wrong_counts.items()]
    missing = [f"{name} is missing" for name in report.missing_classes]
    if wrong or missing:
        return f"{total}, not {sum(report.expected.values()):,}; {'; '.join([*missing, *wrong])}"
    return f"{total} in {len(report.found)} classes, as many in each as the card says"


def _sizes_in_words(report: Verification) -> str:
    counts = Counter(report.sizes.values()).most_common()
    listed = _named([f"{count:,} of {width} x {height}" for (width, height), count in counts], "sizes")
    if report.other_sizes:
        side = report.card.pixels if report.card else 0
        return f"{listed}; not {side} x {side}: {_named(report.other_sizes)}"
    return listed


def _comparison_in_words(report: Verification) -> str:
    """What the manifest says; names are given where some, not all, of the files are meant."""
    comparison = report.comparison
    if comparison is None:
        return "none" if report.card else ""
    parts = [f"{comparison.original:,} of {sum(report.expected.values()):,} original files"]
    groups = {"other bytes": comparison.differing, "not listed": comparison.unlisted, "missing": comparison.missing}
    return "; ".join([*parts, *(f"{what}: {_named(paths)}" for what, paths in groups.items() if paths)])


def _named(items: Sequence[str], what: str = "") -> str:
    """Counts the items and names up to five; empty for none."""
    rest = f" and {len(items) - 5:,} more" if len(items) > 5 else ""
    count = "" if what or not items else f"{len(items):,}: "
    return f"{count}{', '.join(items[:5])}{rest}"


def _report_as_json(report: Verification) -> dict[str, Any]:
    """The report for programs: everything by name, nothing left out."""
    comparison = report.comparison
    return {
        "dataset": report.name,
        "folder": str(report.folder),
        "verdict": report.verdict.value,
        "in_words": report.verdict_in_words,
        "classes": {
            name: {"expected": report.expected[name] if report.card else None, "found": count}
            for name, count in report.found.items()
        },
        "unexpected_folders": report.unexpected,
        "unreadable": report.unreadable,
        "other_bands": report.other_bands,
        "sizes": {f"{width}x{height}": count for (width, height), count in Counter(report.sizes.values()).items()},
        "other_sizes": report.other_sizes,
        "repeated": report.repeated,
        "repeated_across_classes": report.repeated_across,
        "manifest": None if comparison is None else vars(comparison),
        "fingerprint": report.fingerprint,
    }
