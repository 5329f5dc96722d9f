"""Report duplicates within and between datasets: counts, a JSON file, and a page that shows them side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import write_text
from rsir_bench.base.html import html_environment
from rsir_bench.base.output_folder import replaced_folder
from rsir_bench.scenes.card import folder_key
from rsir_bench.scenes.data_uri import PICTURE, as_address
from rsir_bench.scenes.decode import decode_scene
from rsir_bench.scenes.index import SceneIndex, resolve_dataset
from rsir_bench.scenes.inspect import duplicates
from rsir_bench.scenes.inspect.duplicates import DuplicateKind, Pair, find_pairs

MAX_PICTURED = 200
"""Pairs of one report that the page shows; the JSON file holds all."""


@dataclass(frozen=True)
class DuplicateReport:
    """The duplicates of a source in a target, or within one dataset (then both are the same index)."""

    source: SceneIndex
    target: SceneIndex
    pairs: list[Pair]

    @property
    def within(self) -> bool:
        """Whether this is about one dataset."""
        return self.source is self.target

    @property
    def title(self) -> str:
        """The datasets in words."""
        return f"within {self.source.name}" if self.within else f"{self.source.name} in {self.target.name}"

    def count(self, *kinds: DuplicateKind) -> int:
        """Return the number of pairs of these kinds."""
        return sum(pair.kind in kinds for pair in self.pairs)

    @property
    def twins(self) -> int:
        """The number of scenes of the target that have a twin in the source."""
        scenes = {pair.second for pair in self.pairs}
        return len(scenes | {pair.first for pair in self.pairs} if self.within else scenes)

    @property
    def share(self) -> float:
        """The same as a share of the target, 0 to 1."""
        return self.twins / len(self.target)

    def files(self, pair: Pair) -> tuple[str, str]:
        """Return the paths of both scenes."""
        return self.source.paths[pair.first], self.target.paths[pair.second]

    def classes(self, pair: Pair) -> tuple[str, str]:
        """Return the class names of both scenes."""
        return (
            self.source.classes[self.source.labels[pair.first]],
            self.target.classes[self.target.labels[pair.second]],
        )

    def agrees(self, pair: Pair) -> bool:
        """Return whether both classes have the same name, but for case, spaces and dashes."""
        first, second = self.classes(pair)
        return folder_key(first) == folder_key(second)

    @property
    def conflicts(self) -> int:
        """The number of pairs whose classes have different names."""
        return sum(not self.agrees(pair) for pair in self.pairs)

    def describe(self, pair: Pair) -> str:
        """Return in words how alike both scenes are, and their classes where these differ."""
        return f"{_likeness(pair)}{self.conflict(pair)}"

    def conflict(self, pair: Pair) -> str:
        """Return both classes where they differ, else nothing.

        Within a dataset one of the labels must be wrong; two datasets may just use different names.
        """
        if self.agrees(pair):
            return ""
        what = "LABEL CONFLICT" if self.within else "other class"
        return f", {what} ({' / '.join(self.classes(pair))})"


def _likeness(pair: Pair) -> str:
    return f"{pair.kind}, distance {pair.distance}, correlation {pair.correlation:.2f}"


def audit(names: Sequence[str], data_root: Path, out: Path | None = None) -> list[DuplicateReport]:
    """Find the duplicates within each dataset, and of the first in each other.

    Args:
        names: The source, then the targets.
        data_root: The folder that holds the datasets.
        out: Folder to write ``audit.html`` and ``audit.json`` to; None: no files.

    Raises:
        UserError: A dataset is unknown or named twice, or the files cannot be written.
        SceneError: A dataset is missing or a scene cannot be read.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{', '.join(repeated)}: named twice; name it once to find duplicates within it")
    with nullcontext() if out is None else replaced_folder(out, "audit") as staging:
        source, *targets = (resolve_dataset(name, data_root) for name in names)
        reports = [DuplicateReport(index, index, find_pairs(index)) for index in (source, *targets)]
        reports += [DuplicateReport(source, target, find_pairs(source, target)) for target in targets]
        if staging is not None:
            write_text(staging / "audit.json", json.dumps(reports_as_json(reports), indent=1) + "\n")
            write_text(staging / "audit.html", reports_as_page(reports))
    return reports


def reports_as_json(reports: Sequence[DuplicateReport]) -> dict[str, Any]:
    """Return everything for programs: the thresholds, and every pair of every report."""
    return {
        "version": duplicates.AUDIT_VERSION,
        "max_distance": duplicates.MAX_DISTANCE,
        "min_correlation": duplicates.MIN_CORRELATION,
        "comparisons": [
            {
                "source": report.source.name,
                "target": report.target.name,
                "fingerprints": [report.source.fingerprint, report.target.fingerprint],
                "within": report.within,
                "pairs_by_kind": {kind.value: report.count(kind) for kind in DuplicateKind},
                "pairs_of_other_classes": report.conflicts,
                "scenes_with_twin": report.twins,
                "scenes": len(report.target),
                "share": report.share,
                "pairs": [_pair_as_json(report, pair) for pair in report.pairs],
            }
            for report in reports
        ],
    }


def _pair_as_json(report: DuplicateReport, pair: Pair) -> dict[str, Any]:
    return {
        "kind": pair.kind.value,
        "distance": pair.distance,
        "correlation": round(pair.correlation, 4),
        "files": list(report.files(pair)),
        "classes": list(report.classes(pair)),
        "classes_agree": report.agrees(pair),
    }


def reports_as_page(reports: Sequence[DuplicateReport]) -> str:
    """Return one self-contained HTML page that shows the pairs of every report side by side.

    Raises:
        OSError: A scene can no longer be read.
    """
    template = html_environment("rsir_bench.scenes.inspect", "").get_template("audit.html")
    return template.render(sections=[_section(report) for report in reports])


def _section(report: DuplicateReport) -> dict[str, Any]:
    """Return one report as the template reads it."""
    pairs = report.pairs[:MAX_PICTURED]
    exact = report.count(DuplicateKind.SAME_BYTES, DuplicateKind.SAME_PIXELS)
    summary = (
        f"{exact} exact and {report.count(DuplicateKind.NEAR)} near pairs, {report.conflicts} of other classes; "
        f"{report.twins:,} of {len(report.target):,} scenes ({report.share:.2%}) have a twin"
    )
    if len(pairs) < len(report.pairs):
        summary += f"; the first {len(pairs)} pairs are shown, audit.json holds all"
    return {
        "title": report.title,
        "summary": summary,
        "pairs": [
            {
                "scenes": [_scene(report.source, pair.first), _scene(report.target, pair.second)],
                "likeness": _likeness(pair),
                "conflict": report.conflict(pair),
            }
            for pair in pairs
        ],
    }


def _scene(index: SceneIndex, row: int) -> dict[str, str]:
    path = index.paths[row]
    bands = PICTURE.kept_bands(index)
    pixels = decode_scene(index.store.read(path), PICTURE.resizing, index.bands, bands, index.value_range)
    return {"path": path, "name": f"{index.name}/{path}", "picture": as_address(pixels)}
