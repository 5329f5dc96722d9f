"""What the scenes of a dataset hold: their types, bands and values, and what is done to them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from rsir_bench.base.files import digest, write_text
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import kept_at, worker_count, written_at
from rsir_bench.scenes.decode import DECODING_VERSION, UNREADABLE, ValueRange, missing_values
from rsir_bench.scenes.reading.content import read_content
from rsir_bench.scenes.reading.picture import alpha_note
from rsir_bench.scenes.reading.scene_file import SceneFile, open_scene
from rsir_bench.scenes.reading.stored import Values

PERCENTILES = (2, 98)

SAMPLED = 1_000_000
"""Values of a scene, evenly spaced, of which the percentiles are taken."""

LEAST_SHARE = 0.1
"""Warn where the values between the percentiles fill less of the value range."""


@dataclass(frozen=True)
class Look:
    """What one scene holds.

    Attributes:
        kind: Type and bands in words.
        is_8_bit: Whether its values are 0..255 already.
        limits: Lowest and highest value that is not missing; None where that was not looked for or there is none.
        inner: The values at ``PERCENTILES``, likewise.
        notes: What is done to it or left out of it, in words.
    """

    kind: str
    is_8_bit: bool
    limits: tuple[float, float] | None
    inner: tuple[float, float] | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """What the readable scenes of a dataset hold.

    Attributes:
        kinds: Number of scenes by type and bands.
        notes: Number of scenes by what is done to them.
        all_8_bit: Whether every scene has values of 0..255 already.
        limits: Lowest and highest value of the others, over all of them; None where there are none.
        inner: The lowest and highest value at ``PERCENTILES`` of a scene, likewise.
    """

    kinds: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    all_8_bit: bool = True
    limits: tuple[float, float] | None = None
    inner: tuple[float, float] | None = None

    @property
    def measured_range(self) -> ValueRange:
        """The value range from the lowest to the highest value; None where all scenes are 8-bit."""
        if self.limits is None:
            return None
        low, high = self.limits
        return (low, high) if low < high else (low, low + 1.0)

    def warning(self, value_range: ValueRange) -> str | None:
        """Return a warning where the scenes use little of the range that they are scaled by."""
        if self.inner is None or value_range is None:
            return None
        low, high = value_range
        share = (min(self.inner[1], high) - max(self.inner[0], low)) / (high - low)
        if share >= LEAST_SHARE:
            return None
        inner = f"{self.inner[0]:g}..{self.inner[1]:g}"
        return f"nearly all values are in {inner}, {max(share, 0):.0%} of the range {low:g}..{high:g}: scenes look flat"


def look(scene: SceneFile, bands: int, values: Values | None) -> Look:
    """Return what a scene holds.

    Args:
        scene: The scene.
        bands: Those that are taken.
        values: The scene's, (H, W, B), to look at their range too; None: only the head is looked at.
    """
    facts = scene.facts
    notes = list(facts.notes)
    if facts.alpha and bands != facts.bands:
        notes.append(alpha_note(facts.bands))
    limits = inner = None
    if values is not None and not facts.is_8_bit:
        missing = missing_values(values, facts.nodata)
        if missing is not None:
            notes.append("has missing values (NaN, infinite or nodata), which become the low end of the range")
        valid = values if missing is None else values[~missing]
        if valid.size:
            limits = (float(valid.min()), float(valid.max()))
            some = valid.reshape(-1)[:: -(-valid.size // SAMPLED)]
            low, high = np.percentile(some.astype(np.float64), PERCENTILES)
            inner = (float(low), float(high))
    return Look(f"{facts.type} {facts.layout}", facts.is_8_bit, limits, inner, tuple(notes))


def survey(looks: Iterable[Look]) -> Survey:
    """Return what all scenes hold together."""
    looks = list(looks)
    deep = [entry for entry in looks if not entry.is_8_bit]
    return Survey(
        kinds=dict(Counter(entry.kind for entry in looks).most_common()),
        notes=dict(Counter(note for entry in looks for note in entry.notes).most_common()),
        all_8_bit=not deep,
        limits=_hull([entry.limits for entry in deep if entry.limits is not None]),
        inner=_hull([entry.inner for entry in deep if entry.inner is not None]),
    )


def _hull(ranges: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None


def kept_survey(root: Path, paths: Sequence[str], fingerprint: str, bands: int, name: str) -> Survey:
    """Return the survey of the scenes of a fingerprint; the scenes are read on the first call only.

    Scenes that cannot be read are passed over here: decoding reports them.

    Args:
        root: The folder of the dataset.
        paths: The scenes, relative to it.
        fingerprint: Of the scenes' content.
        bands: Those that are taken of each.
        name: The dataset's, for the progress bar.
    """
    place = ("values", f"{digest([fingerprint, bands, DECODING_VERSION])[:32]}.json")
    for path in kept_at(*place):
        if (kept := _load(path)) is not None:
            return kept

    def read(path: str) -> Look | None:
        try:
            scene = open_scene(read_content(root / path))
            return look(scene, bands, None if scene.facts.is_8_bit else scene.values(bands))
        except UNREADABLE:
            return None

    with ThreadPoolExecutor(worker_count()) as pool:
        looks = list(track(pool.map(read, paths), f"looking at the scenes of {name}", len(paths)))
    found = survey(entry for entry in looks if entry is not None)
    write_text(written_at(*place), json.dumps(asdict(found)))
    return found


def _load(path: Path) -> Survey | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        ranges = {name: None if stored[name] is None else tuple(map(float, stored[name])) for name in _RANGES}
        return Survey(**{**stored, **ranges})
    except (OSError, ValueError, TypeError, KeyError):  # derived: a damaged file is made again
        return None


_RANGES = ("limits", "inner")


def notes_in_words(counts: Mapping[str, int], total: int) -> list[str]:
    """Return notes on scenes, each with the number of scenes it is about."""
    return [f"{_scenes(count, total)}: {note}" for note, count in counts.items()]


def _scenes(count: int, total: int) -> str:
    if count == total:
        return "every scene"
    return "1 scene" if count == 1 else f"{count:,} scenes"
