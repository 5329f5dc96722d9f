"""Synthetic scene datasets whose view geometry and spectral response are distorted by known amounts.

A distorted scene is U'(p) = g * U(A p) + o: p runs over the pixels of the stored scene, A is an affine map from its
coordinates to those of the undistorted scene U, g holds one gain per band and o is an offset that the bands share. This
is the family of transformations that JSST estimates, so that its parameters can be compared with the truth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from PIL import Image
from scipy import ndimage

from rsir_bench.base.progress import track

from .synthetic_canvas import MARGIN, Array, border_pixels
from .synthetic_scenes import CLASSES, draw_scene

DISTORTIONS_FILE = "distortions.csv"
AFFINE_COLUMNS = ("a11", "a12", "a13", "a21", "a22", "a23")
GAIN_COLUMNS = ("g_r", "g_g", "g_b")
OFFSET_COLUMN = "o"

ROTATION = 35.0  # degrees either way
SCALE = (0.75, 1.35)  # above 1 the stored scene shows more ground, smaller
SHEAR = 0.15  # either way
SHIFT = 0.12  # either way, in half fields of view
BRIGHTNESS = 0.3  # the gain of all bands together is 1 +- this
TINT = 0.12  # and that of each band on its own again 1 +- this
OFFSET = 0.08  # either way, on values in [0, 1]


def scene_generators(seed: int, class_index: int, scene_index: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Return the random numbers of one scene, those of its content and those of its distortion.

    They depend on nothing but the arguments: a scene stays the same whatever else is written, distorted or not.
    """
    content, distortion = np.random.SeedSequence(seed, spawn_key=(class_index, scene_index)).spawn(2)
    return np.random.default_rng(content), np.random.default_rng(distortion)


def draw_affine(rng: np.random.Generator) -> Array:
    """Return a random view: rotation, scale, shear and shift within the module's ranges.

    Views that would look beyond the drawn canvas (about one in ten: far out and far round) are drawn again.

    Returns:
        (2, 3) float64, from coordinates of the distorted scene to those of the undistorted one; see ``distort``.
    """
    while True:
        scale = np.exp(rng.uniform(*np.log(SCALE)))
        angle = np.deg2rad(ROTATION) * rng.uniform(-1, 1)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = scale * rotation @ np.array([[1.0, SHEAR * rng.uniform(-1, 1)], [0.0, 1.0]])
        shift = SHIFT * rng.uniform(-1, 1, 2)
        if (np.abs(linear).sum(1) + np.abs(shift)).max() <= MARGIN:
            return np.column_stack([linear, shift])


def draw_spectral(rng: np.random.Generator) -> tuple[Array, float]:
    """Return a random spectral response for values in [0, 1].

    Most of the gain is common to the bands, as with light and exposure; the small rest of each band shifts the hues.

    Returns:
        Gains of the bands, (3,) float64 of about 0.6 to 1.5, and their common offset.
    """
    gains = (1 + BRIGHTNESS * rng.uniform(-1, 1)) * (1 + TINT * rng.uniform(-1, 1, 3))
    return gains, float(OFFSET * rng.uniform(-1, 1))


def distort(scene: Array, pixels: int, affine: ArrayLike, gains: ArrayLike, offset: float) -> Array:
    """View a drawn scene through an affine map (bilinear) and a linear spectral response.

    Args:
        scene: (S, S, 3) float64 in [0, 1] with its surroundings, as ``draw_scene`` returns it.
        pixels: Side of the field of view; S = pixels + 2 * border_pixels(pixels).
        affine: (2, 3) float, as ``theta`` of ``torch.nn.functional.affine_grid``, align_corners=False (x right, y
            down, [-1, 1] over the field of view from outer edge to outer edge): a pixel at (x, y) of the distorted
            scene shows the undistorted scene at affine @ (x, y, 1).
        gains: (3,) float, the factors of the bands.
        offset: Added to all bands.

    Returns:
        (pixels, pixels, 3) float64, clipped to [0, 1].
    """
    axis = (np.arange(pixels) + 0.5) * 2 / pixels - 1
    x, y = np.meshgrid(axis, axis)
    seen = np.asarray(affine) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    column, row = ((seen + 1) * pixels / 2 - 0.5 + border_pixels(pixels)).reshape(2, pixels, pixels)
    place = np.stack([row, column])
    bands = [ndimage.map_coordinates(band, place, order=1, mode="nearest") for band in np.moveaxis(scene, -1, 0)]
    distorted: Array = np.stack(bands, axis=-1) * np.asarray(gains) + offset
    return np.clip(distorted, 0.0, 1.0)


def write_dataset(folder: Path, *, scenes_per_class: int, pixels: int, seed: int, view: bool, spectral: bool) -> None:
    """Write ``<folder>/<class>/<class>_NNN.png`` for all classes and, last, ``<folder>/distortions.csv``.

    Args:
        folder: Made if it does not exist.
        scenes_per_class: Scenes of each class of ``synthetic_scenes.CLASSES``.
        pixels: Side of a stored scene (RGB, uint8).
        seed: Two seeds share no scene; one seed gives the same scenes with and without distortion.
        view: Whether scenes are seen through a random affine map each; the identity otherwise.
        spectral: Whether scenes have random gains and offset each; 1 and 0 otherwise.
    """
    folder = Path(folder)
    scenes = [(index, name, number) for index, name in enumerate(CLASSES) for number in range(scenes_per_class)]
    rows = []
    for class_index, name, number in track(scenes, "drawing synthetic scenes"):
        content, distortion = scene_generators(seed, class_index, number)
        affine, gains, offset = np.eye(2, 3), np.ones(3), 0.0
        if view:
            affine = draw_affine(distortion)
        if spectral:
            gains, offset = draw_spectral(distortion)
        scene = distort(draw_scene(name, content, pixels), pixels, affine, gains, offset)
        path = Path(name) / f"{name}_{number:03d}.png"
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(255 * scene).astype(np.uint8)).save(folder / path, compress_level=1)
        rows.append((path.as_posix(), *affine.ravel(), *gains, offset))
    table = pd.DataFrame(rows, columns=["path", *AFFINE_COLUMNS, *GAIN_COLUMNS, OFFSET_COLUMN])
    table.to_csv(folder / DISTORTIONS_FILE, index=False, lineterminator="\n")


def read_distortions(folder: Path) -> pd.DataFrame:
    """Return the true distortions of a dataset that ``write_dataset`` wrote.

    Returns:
        One row per scene, indexed by its path below ``folder``: the affine matrix in AFFINE_COLUMNS (row by row, in
        the direction that ``distort`` states), the gains in GAIN_COLUMNS and the offset in OFFSET_COLUMN.
    """
    return pd.read_csv(Path(folder) / DISTORTIONS_FILE, index_col="path")
