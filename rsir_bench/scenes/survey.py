"""What the scenes of a dataset hold: their types, bands and values, and what is done to them."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from rsir_bench.base.errors import SceneError
from rsir_bench.base.files import digest, write_text
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import kept_at, worker_count, written_at
from rsir_bench.scenes.decode import DECODING_VERSION, UNREADABLE, ValueRange, missing_values, scaled_to
from rsir_bench.scenes.fingerprint import content_digest, content_fingerprint
from rsir_bench.scenes.reading.picture import alpha_note
from rsir_bench.scenes.reading.scene_file import SceneFile, open_scene
from rsir_bench.scenes.reading.store import SceneStore
from rsir_bench.scenes.reading.stored import Values

Limits = tuple[float, float]

PERCENTILES = (2, 98)

SAMPLED = 1_000_000
"""Values of a scene, evenly spaced, of which the percentiles are taken."""

LEAST_SHARE = 0.1
"""A scene looks flat where the values between the percentiles fill less of the value range."""

MOST_FLAT = 0.1
"""Warn where as many of the scenes that are not 8-bit look flat."""

SURVEY_VERSION = 2
"""Raised when a kept survey holds something else."""

EIGHT_BIT_NOTE = "8-bit, so taken as stored; the value range is for the others"


@dataclass(frozen=True)
class Look:
    """What one scene holds.

    Attributes:
        kind: Type and bands in words.
        is_8_bit: Whether its values are 0..255 already.
        limits: Lowest and highest value that is not missing; None if that was not looked for or there is none.
        inner: The values at ``PERCENTILES``, likewise.
        notes: What is done to it or left out of it, in words.
    """

    kind: str
    is_8_bit: bool
    limits: Limits | None
    inner: Limits | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """What the readable scenes of a dataset hold.

    Attributes:
        kinds: Number of scenes by type and bands.
        notes: Number of scenes by what is done to them.
        all_8_bit: Whether every scene has values of 0..255 already.
        limits: Lowest and highest value of the others, over all of them; None if there are none.
        by_type: The same of each type of them.
        inner: The values at ``PERCENTILES`` of each of them.
    """

    kinds: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    all_8_bit: bool = True
    limits: Limits | None = None
    by_type: dict[str, Limits] = field(default_factory=dict)
    inner: tuple[Limits, ...] = ()

    @property
    def measured_range(self) -> ValueRange:
        """The value range from the lowest to the highest value; None if all scenes are 8-bit."""
        if self.limits is None:
            return None
        low, high = self.limits
        if low < high:
            return low, high
        above = max(low + 1.0, math.nextafter(low, math.inf))
        return (low, above) if math.isfinite(above) else (math.nextafter(low, 0.0), low)

    def warnings(self, value_range: ValueRange, *, measured: bool) -> list[str]:
        """Return what most likely is wrong with a value range; each is to be followed by where to set another.

        Args:
            value_range: That scenes which are not 8-bit are scaled by.
            measured: Whether it is the measured one, and not given.
        """
        found = []
        if measured and not self.all_8_bit and self.limits is None:
            found.append("no range can be measured: all values are missing (NaN, infinite or nodata)")
        if measured and len(self.by_type) > 1:
            types = ", ".join(f"{kind} {low:g}..{high:g}" for kind, (low, high) in self.by_type.items())
            found.append(f"scenes of different types are scaled by one measured range: {types}")
        if value_range is not None and self.inner:
            flat = self._flat(value_range)
            if flat and flat >= MOST_FLAT * len(self.inner):
                low, high = value_range
                looks = f"{flat:,} of {len(self.inner):,} scenes look{'s' if flat == 1 else ''} flat"
                found.append(f"{looks}: they use less than {LEAST_SHARE:.0%} of the range {low:g}..{high:g}")
        return found

    def _flat(self, value_range: Limits) -> int:
        """Return how many scenes use little of a value range."""
        ends = np.clip(scaled_to(1.0, np.array(self.inner), value_range), 0, 1)
        return int((ends[:, 1] - ends[:, 0] < LEAST_SHARE).sum())


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
            low, high = np.percentile(some.astype(np.float64), PERCENTILES, method="nearest")  # no sum overflows
            inner = (float(low), float(high))
    return Look(f"{facts.type} {facts.layout}", facts.is_8_bit, limits, inner, tuple(notes))


def survey(looks: Iterable[Look]) -> Survey:
    """Return what all scenes hold together."""
    looks = list(looks)
    deep = [entry for entry in looks if not entry.is_8_bit]
    notes = Counter(note for entry in looks for note in entry.notes)
    if deep and len(deep) < len(looks):
        notes[EIGHT_BIT_NOTE] = len(looks) - len(deep)
    by_type: dict[str, list[Limits]] = defaultdict(list)
    for entry in deep:
        if entry.limits is not None:
            by_type[entry.kind.split()[0]].append(entry.limits)
    return Survey(
        kinds=dict(Counter(entry.kind for entry in looks).most_common()),
        notes=dict(notes.most_common()),
        all_8_bit=not deep,
        limits=_hull([limits for found in by_type.values() for limits in found]) if by_type else None,
        by_type={kind: _hull(by_type[kind]) for kind in sorted(by_type)},
        inner=tuple(entry.inner for entry in deep if entry.inner is not None),
    )


def _hull(ranges: Sequence[Limits]) -> Limits:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def kept_survey(
    store: SceneStore, paths: Sequence[str], class_names: Sequence[str], fingerprint: str, bands: int, name: str
) -> Survey:
    """Return the survey of the scenes of a fingerprint; the scenes are read on the first call only.

    Scenes that cannot be read are passed over here, since decoding reports them; the survey of the others is not kept.

    Args:
        store: The dataset's.
        paths: Its scenes.
        class_names: The class of each.
        fingerprint: Of the scenes' content.
        bands: Those that are taken of each.
        name: The dataset's, for the progress bar.

    Raises:
        SceneError: The bytes that were read are not those of the fingerprint.
    """
    place = ("values", f"{digest([fingerprint, bands, DECODING_VERSION, SURVEY_VERSION])[:32]}.json")
    for path in kept_at(*place):
        if (kept := _load(path)) is not None:
            return kept

    def read(path: str) -> tuple[str, Look | None]:
        sha256 = ""
        try:
            content = store.read(path)
            sha256 = content_digest(content)
            scene = open_scene(content)
            return sha256, look(scene, bands, None if scene.facts.is_8_bit else scene.values(bands))
        except UNREADABLE:
            return sha256, None

    order = store.reading_order(paths)
    with ThreadPoolExecutor(worker_count()) as pool:
        reading = pool.map(read, (paths[position] for position in order))
        hashes, looks = zip(*track(reading, f"looking at the scenes of {name}", len(paths)), strict=True)
    class_names, paths = [class_names[position] for position in order], [paths[position] for position in order]
    if all(hashes) and content_fingerprint(class_names, paths, hashes) != fingerprint:
        raise SceneError(f"{name}: scenes in {store.root} changed while they were read; run the command again")
    found = survey(entry for entry in looks if entry is not None)
    if all(hashes) and None not in looks:
        write_text(written_at(*place), json.dumps(asdict(found)))
    return found


def _load(path: Path) -> Survey | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Survey(
            kinds=stored["kinds"],
            notes=stored["notes"],
            all_8_bit=stored["all_8_bit"],
            limits=None if stored["limits"] is None else _pair(stored["limits"]),
            by_type={kind: _pair(limits) for kind, limits in stored["by_type"].items()},
            inner=tuple(map(_pair, stored["inner"])),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # derived: a damaged file is made again
        return None


def _pair(limits: Sequence[float]) -> Limits:
    low, high = map(float, limits)
    return low, high


def notes_in_words(counts: Mapping[str, int], total: int) -> list[str]:
    """Return notes on scenes, each with the number of scenes it is about."""
    return [f"{_scenes(count, total)}: {note}" for note, count in counts.items()]


def _scenes(count: int, total: int) -> str:
    if count == total:
        return "every scene"
    return "1 scene" if count == 1 else f"{count:,} scenes"
