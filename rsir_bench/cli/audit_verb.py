"""What `rsir-bench datasets audit` shows: the duplicates in words, as JSON, and side by side on a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tabulate import tabulate

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import write_text
from rsir_bench.base.output_folder import replaced_folder
from rsir_bench.scenes.card import folder_key
from rsir_bench.scenes.data_uri import as_address
from rsir_bench.scenes.decode import read_scene
from rsir_bench.scenes.index import SceneIndex, resolve_dataset
from rsir_bench.scenes.inspect import duplicates
from rsir_bench.scenes.inspect.duplicates import Kind, Pair, find_pairs
from rsir_bench.scenes.pixel_cache import Transform

PICTURE = Transform(192)
"""How scenes are shown on the page."""

MAX_PICTURED = 200
"""Pairs of one comparison that are shown on the page; the JSON file holds all."""


@dataclass(frozen=True)
class Comparison:
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
        """The comparison in words."""
        return f"within {self.source.name}" if self.within else f"{self.source.name} in {self.target.name}"

    def count(self, *kinds: Kind) -> int:
        """The number of pairs of these kinds."""
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

    def classes(self, pair: Pair) -> tuple[str, str]:
        """The class names of both scenes."""
        return (
            self.source.classes[self.source.labels[pair.first]],
            self.target.classes[self.target.labels[pair.second]],
        )

    def agrees(self, pair: Pair) -> bool:
        """Whether both classes have the same name, but for case, spaces and dashes."""
        first, second = self.classes(pair)
        return folder_key(first) == folder_key(second)

    @property
    def conflicts(self) -> int:
        """The number of pairs whose classes have other names."""
        return sum(not self.agrees(pair) for pair in self.pairs)


def run_audit_verb(
    names: Sequence[str], data_root: Path, out: Path | None, examples: int, as_json: bool, tell: Callable[[str], object]
) -> bool:
    """Looks for duplicates within each dataset and between the first and each other, and tells what was found.

    Args:
        names: The source, then the targets.
        data_root: The folder that holds the datasets.
        out: Folder for ``duplicates.html`` and ``duplicates.json``; None: no files.
        examples: Pairs in words for each comparison.
        as_json: JSON instead of words.
        tell: Takes the text.

    Returns:
        Whether there are duplicates.

    Raises:
        UserError: A dataset is unknown or named twice; or the files cannot be written.
        SceneError: A dataset is missing or a scene cannot be read.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{', '.join(repeated)}: named twice; name each dataset once, alone to look for its own twins")
    with nullcontext() if out is None else replaced_folder(out) as staging:
        comparisons = _compare(names, data_root)
        report = json.dumps(report_as_json(comparisons), indent=1)
        if staging is not None:
            write_text(staging / "duplicates.json", report + "\n")
            write_text(staging / "duplicates.html", report_as_html(comparisons))
    tell(report if as_json else report_in_words(comparisons, examples))
    if out is not None and not as_json:
        tell(f"written: {out / 'duplicates.html'} (side by side), {out / 'duplicates.json'} (all pairs)")
    return any(comparison.pairs for comparison in comparisons)


def _compare(names: Sequence[str], data_root: Path) -> list[Comparison]:
    source, *targets = (resolve_dataset(name, data_root) for name in names)
    within = [Comparison(index, index, find_pairs(index)) for index in (source, *targets)]
    return within + [Comparison(source, target, find_pairs(source, target)) for target in targets]


def report_in_words(comparisons: Sequence[Comparison], examples: int) -> str:
    """A table of all comparisons, then up to ``examples`` pairs of each."""
    rows = [
        {
            "duplicates": comparison.title,
            **{f"{kind} (pairs)": comparison.count(kind) for kind in Kind},
            "of other classes": comparison.conflicts,
            "scenes with a twin": f"{comparison.twins:,} of {len(comparison.target):,}",
            "share": f"{comparison.share:.2%}",
        }
        for comparison in comparisons
    ]
    lines = [tabulate(rows, headers="keys")]
    for comparison in comparisons:
        shown = comparison.pairs[:examples]
        if shown:
            lines += ["", f"{comparison.title} ({len(shown)} of {len(comparison.pairs)}):"]
            lines += [f"  {_in_words(comparison, pair)}" for pair in shown]
    return "\n".join(lines)


def _in_words(comparison: Comparison, pair: Pair) -> str:
    scenes = f"{comparison.source.paths[pair.first]} = {comparison.target.paths[pair.second]}"
    return f"{scenes}: {_figures(pair)}{_conflict(comparison, pair)}"


def _figures(pair: Pair) -> str:
    return f"{pair.kind}, distance {pair.distance}, correlation {pair.correlation:.2f}"


def _conflict(comparison: Comparison, pair: Pair) -> str:
    """Empty where the classes agree. Within a dataset one label must be wrong; two datasets may just name otherwise."""
    if comparison.agrees(pair):
        return ""
    what = "LABEL CONFLICT" if comparison.within else "other class"
    return f", {what} ({' / '.join(comparison.classes(pair))})"


def report_as_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Everything for programs: the thresholds, and every pair of every comparison."""
    return {
        "version": duplicates.AUDIT_VERSION,
        "max_distance": duplicates.MAX_DISTANCE,
        "min_correlation": duplicates.MIN_CORRELATION,
        "comparisons": [
            {
                "source": comparison.source.name,
                "target": comparison.target.name,
                "fingerprints": [comparison.source.fingerprint, comparison.target.fingerprint],
                "within": comparison.within,
                "pairs_by_kind": {kind.value: comparison.count(kind) for kind in Kind},
                "pairs_of_other_classes": comparison.conflicts,
                "scenes_with_twin": comparison.twins,
                "scenes": len(comparison.target),
                "share": comparison.share,
                "pairs": [_pair_as_json(comparison, pair) for pair in comparison.pairs],
            }
            for comparison in comparisons
        ],
    }


def _pair_as_json(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    return {
        "kind": pair.kind.value,
        "distance": pair.distance,
        "correlation": round(pair.correlation, 4),
        "files": [comparison.source.paths[pair.first], comparison.target.paths[pair.second]],
        "classes": list(comparison.classes(pair)),
        "classes_agree": comparison.agrees(pair),
    }


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Duplicates</title><style>
body {{ font: 14px sans-serif; margin: 2em }}
main {{ display: flex; flex-wrap: wrap; gap: 1.2em }}
figure {{ margin: 0; width: 388px }}
figcaption {{ overflow-wrap: anywhere }}
.conflict {{ color: #b00020 }}
</style></head><body>
<h1>Duplicates</h1>
{sections}
</body></html>
"""


def report_as_html(comparisons: Sequence[Comparison]) -> str:
    """One page that needs no other file: the pairs of every comparison side by side.

    Raises:
        OSError: A scene cannot be read any more.
    """
    return PAGE.format(sections="\n".join(map(_section, comparisons)))


def _section(comparison: Comparison) -> str:
    shown = comparison.pairs[:MAX_PICTURED]
    exact = comparison.count(Kind.SAME_BYTES, Kind.SAME_PIXELS)
    counts = (
        f"{exact} exact and {comparison.count(Kind.NEAR)} near pairs, {comparison.conflicts} of other classes; "
        f"{comparison.twins:,} of {len(comparison.target):,} scenes ({comparison.share:.2%}) have a twin"
    )
    if len(shown) < len(comparison.pairs):
        counts += f"; the first {len(shown)} pairs are shown, duplicates.json holds all"
    figures = "\n".join(_figure(comparison, pair) for pair in shown)
    return f"<h2>{escape(comparison.title)}</h2>\n<p>{escape(counts)}</p>\n<main>{figures}</main>"


def _figure(comparison: Comparison, pair: Pair) -> str:
    scenes = [(comparison.source, pair.first), (comparison.target, pair.second)]
    pictures = "".join(f'<img src="{_picture(index, row)}" alt="{escape(index.paths[row])}">' for index, row in scenes)
    names = " = ".join(escape(f"{index.name}/{index.paths[row]}") for index, row in scenes)
    conflict = f'<span class="conflict">{escape(_conflict(comparison, pair))}</span>'
    return f"<figure>{pictures}<figcaption>{names}<br>{escape(_figures(pair))}{conflict}</figcaption></figure>"


def _picture(index: SceneIndex, row: int) -> str:
    """A scene as the address of an image that holds its bytes."""
    bands = PICTURE.kept_bands(index)
    path = index.root / index.paths[row]
    return as_address(read_scene(path, PICTURE.resizing, index.bands, bands, index.value_range))
