"""Find duplicate scenes within a dataset or between two: same bytes, same pixels, or same ground.

A perceptual hash (imagehash's ``phash``, 64 bits) proposes pairs, and their pixels decide: by the normalised
cross-correlation of fine structure. Scenes are compared in grey at 64 x 64 px without their local mean, and the centre
of one is searched for in the other at shifts of up to an eighth of the side. Hashes alone take one runway or beach for
another. Without the local mean, textures and shores have less in common; the shifts find the same ground cropped a
little elsewhere, as in datasets that were collected by hand.

This finds copies that were re-encoded, resized, brightened or slightly shifted. It does not find copies that were
strongly cropped, turned or mirrored (14,900 scenes of three datasets have none, but runways and stadiums would be
taken for some). A scene without any structure has no near duplicates, only exact ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage, signal

from rsir_bench.base.files import digest, write_atomically
from rsir_bench.base.progress import track
from rsir_bench.scenes.cache_folder import kept_at, written_at
from rsir_bench.scenes.decode import DECODING_VERSION, Pixels, decoder_versions, whole_scene
from rsir_bench.scenes.fingerprint import hash_scenes
from rsir_bench.scenes.index import SceneIndex
from rsir_bench.scenes.pixel_cache import Transform, open_pixels

AUDIT_VERSION = 1
"""Raised when other pairs may be found in the same scenes."""

MAX_DISTANCE = 16
"""Bits of 64 in which the hashes of a proposed pair differ at most."""

MIN_CORRELATION = 0.8
"""From here on a proposed pair is a near duplicate."""

SIDE = 64
"""Side in pixels at which scenes are hashed and compared."""

MAX_SHIFT = SIDE // 8
"""Shift in pixels, along each side, at which a scene is still looked for in another."""

LOCAL = 9
"""Side of the window whose mean is taken off before scenes are compared; structure wider than this does not count."""

LEAST_VARIATION = 1e-3
"""Sum of squared grey values below which there is no structure, only rounding."""

BLOCK = 1024
"""Scenes whose distances to all others are held at once."""

FOUND = np.dtype([("first", "i8"), ("second", "i8"), ("kind", "U11"), ("distance", "i8"), ("correlation", "f8")])
"""The row of a pair in the cache."""


class DuplicateKind(StrEnum):
    """How alike two scenes are; the closest first."""

    SAME_BYTES = "same bytes"
    SAME_PIXELS = "same pixels"
    NEAR = "near"


@dataclass(frozen=True)
class Pair:
    """Two scenes that show the same.

    Attributes:
        first: Row in the first dataset.
        second: Row in the second dataset; in the same one it is greater than ``first``.
        kind: How alike they are.
        distance: Bits of 64 in which their perceptual hashes differ.
        correlation: Of their fine structure, at most 1; 1 by definition for exact duplicates.
    """

    first: int
    second: int
    kind: DuplicateKind
    distance: int
    correlation: float


def find_pairs(first: SceneIndex, second: SceneIndex | None = None) -> list[Pair]:
    """Return all duplicates between two datasets, or within one; they are searched for on the first call only.

    Args:
        first: A dataset.
        second: Another one; None: ``first`` itself, each pair once and no scene with itself.

    Returns:
        Exact duplicates first, then by falling correlation, then in the order of the scenes.

    Raises:
        SceneError: Scenes cannot be read.
    """
    datasets = [_identity(first), None if second is None else _identity(second)]
    settings = [datasets, MAX_DISTANCE, MIN_CORRELATION, MAX_SHIFT, LOCAL, imagehash.__version__]
    found = _cached("pairs", settings, lambda: _find(first, second))
    pairs = [Pair(int(a), int(b), DuplicateKind(kind), int(bits), float(alike)) for a, b, kind, bits, alike in found]
    order = list(DuplicateKind)
    return sorted(pairs, key=lambda pair: (order.index(pair.kind), -pair.correlation, pair.first, pair.second))


def duplicates_of_source(source: SceneIndex, target: SceneIndex) -> npt.NDArray[np.bool_]:
    """Find the scenes of the target that have an exact or near duplicate in the source.

    Returns:
        (N,) bool, in the order of the target's index.

    Raises:
        SceneError: Scenes cannot be read.
    """
    mask = np.zeros(len(target), np.bool_)
    mask[[pair.second for pair in find_pairs(source, target)]] = True
    return mask


def close_pairs(
    first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], max_distance: int, block: int = BLOCK
) -> list[tuple[int, int]]:
    """Return the rows of all pairs of hashes that differ in at most ``max_distance`` bits, in order.

    Args:
        first: (N, bits) bool, hashes.
        second: (M, bits) bool, hashes.
        max_distance: Largest Hamming distance, in bits.
        block: Rows of ``first`` whose distances are held at once.
    """
    # Bits as -1 and 1: the product of two hashes is bits - 2 x distance, exact in float32 and as fast as BLAS.
    signs, others = (np.where(bits, 1, -1).astype(np.float32) for bits in (first, second))
    least = first.shape[1] - 2 * max_distance
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(signs), block):
        rows, columns = np.nonzero(signs[start : start + block] @ others.T >= least)
        pairs += zip((rows + start).tolist(), columns.tolist(), strict=True)
    return pairs


def fine_structure(scene: Pixels) -> npt.NDArray[np.float32]:
    """Return an RGB scene, (H, W, 3) uint8, in grey without its local mean: (H, W) float32 in [-255, 255]."""
    grey = np.asarray(Image.fromarray(scene).convert("L"), np.float32)
    return np.asarray(grey - ndimage.uniform_filter(grey, LOCAL), np.float32)


def correlation(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], max_shift: int = MAX_SHIFT) -> float:
    """Return how well two square scenes agree, in [-1, 1], at the shift where they agree best.

    The centre of each is searched for in the other, and the smaller value counts, so that their order does not matter.
    A scene without structure agrees with nothing: 0.

    Args:
        first: (H, H) float32, the ``fine_structure`` of one scene.
        second: (H, H) float32, that of the other.
        max_shift: Largest shift along each axis, in pixels.
    """
    return min(_best_match(first, second, max_shift), _best_match(second, first, max_shift))


def _best_match(scene: npt.NDArray[np.float32], other: npt.NDArray[np.float32], max_shift: int) -> float:
    """Return the highest normalised cross-correlation of the centre of ``other`` with any place in ``scene``."""
    scene = scene.astype(np.float64)
    centre = other[max_shift : len(other) - max_shift, max_shift : len(other) - max_shift].astype(np.float64)
    centre -= centre.mean()
    window = np.ones_like(centre)
    sums = signal.correlate(scene, window, "valid", "fft")
    variations = signal.correlate(scene**2, window, "valid", "fft") - sums**2 / window.size
    products = signal.correlate(scene, centre, "valid", "fft")
    lengths = np.sqrt(np.maximum(variations, LEAST_VARIATION) * max(np.sum(centre**2), LEAST_VARIATION))
    return float(np.max(products / lengths))


def _find(first: SceneIndex, second: SceneIndex | None) -> npt.NDArray[Any]:
    """Return the pairs that the hashes or the bytes propose and the pixels confirm, as an array of ``FOUND``."""
    other = first if second is None else second
    hashes, other_hashes = _hashes(first), _hashes(other)
    proposed = {*close_pairs(hashes, other_hashes, MAX_DISTANCE), *_same_bytes(first, other)}
    if second is None:
        proposed = {(a, b) for a, b in proposed if a < b}
    compare = _Comparison(first, other)
    rows = []
    for a, b in track(sorted(proposed), f"comparing {first.name} with {other.name}"):
        kind, alike = compare(a, b)
        if alike >= MIN_CORRELATION:
            rows.append((a, b, kind, np.count_nonzero(hashes[a] != other_hashes[b]), alike))
    return np.array(rows, FOUND)


class _Comparison:
    """Compare a scene of one dataset with a scene of another."""

    def __init__(self, first: SceneIndex, second: SceneIndex) -> None:
        self.first, self.second = first, second
        self.first_pixels, self.second_pixels = _small(first), _small(second)
        self.first_bytes, self.second_bytes = _digests(first), _digests(second)

    def __call__(self, first: int, second: int) -> tuple[DuplicateKind, float]:
        """Return the kind of the pair, and its correlation, which decides whether a near one counts."""
        if self.first_bytes[first] == self.second_bytes[second]:
            return DuplicateKind.SAME_BYTES, 1.0
        scene, other = self.first_pixels[first], self.second_pixels[second]
        # Equal scenes are equal when they are small too: few files are read in full.
        if np.array_equal(scene, other) and np.array_equal(_whole(self.first, first), _whole(self.second, second)):
            return DuplicateKind.SAME_PIXELS, 1.0
        return DuplicateKind.NEAR, correlation(fine_structure(scene), fine_structure(other))


def _same_bytes(first: SceneIndex, second: SceneIndex) -> list[tuple[int, int]]:
    rows = defaultdict(list)
    for row, sha256 in enumerate(_digests(first)):
        rows[sha256].append(row)
    return [(a, b) for b, sha256 in enumerate(_digests(second)) for a in rows.get(sha256, ())]


def _digests(index: SceneIndex) -> list[str]:
    return hash_scenes(index.store, index.paths, f"hashing the scenes of {index.name}")


def _small(index: SceneIndex) -> Pixels:
    """Return all scenes in red, green, blue as (N, SIDE, SIDE, 3) uint8."""
    return open_pixels(index, Transform(SIDE))


def _whole(index: SceneIndex, row: int) -> npt.NDArray[Any]:
    """Return a scene as stored, (H, W, bands) of its own size and depth; grey as three equal bands."""
    return whole_scene(index.store.read(index.paths[row]), index.bands)


def _hashes(index: SceneIndex) -> npt.NDArray[np.bool_]:
    """Return the perceptual hash of every scene, (N, 64) bool."""

    def make() -> npt.NDArray[np.bool_]:
        scenes = track(_small(index), f"perceptual hashes of {index.name}", len(index))
        return np.stack([imagehash.phash(Image.fromarray(scene)).hash.ravel() for scene in scenes])

    return _cached("hashes", [_identity(index), imagehash.__version__], make)


def _identity(index: SceneIndex) -> list[Any]:
    """Return everything about a dataset that changes a pair or its rows."""
    read_as = [index.bands, index.rgb, index.value_range]
    return [index.fingerprint, digest(index.paths), index.classes, *read_as]


def _cached(what: str, settings: list[Any], make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the array made under these settings; make it first, and keep it in the cache, if it is missing."""
    key = digest([what, AUDIT_VERSION, SIDE, DECODING_VERSION, decoder_versions(), settings])
    place = ("audit", f"{key[:32]}.npy")
    for path in kept_at(*place):
        with suppress(FileNotFoundError, EOFError, ValueError):  # derived: a damaged file is made again
            return np.asarray(np.load(path))
    made = make()
    write_atomically(written_at(*place), lambda temporary: np.save(temporary, made))
    return made
