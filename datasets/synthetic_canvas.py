"""The drawing surface of the synthetic scenes: ground textures and antialiased shapes in numpy.

Shapes are given by signed distances (negative inside), so that an edge is antialiased by the share of the pixel that it
covers, without supersampling and without a drawing library whose versions differ. Everything is computed in float64:
platforms differ in the last digits of sines at most, which the rounding to uint8 hides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

MARGIN = 1.75
"""Half the width of the canvas in units of half the field of view: it reaches to about 1.75, the view to 1."""

SHADOW = np.array([0.8, 0.6])
"""Direction of all shadows (x right, y down): one sun for all scenes, as in images of one overpass."""


def border_pixels(pixels: int) -> int:
    """Return how many pixels the canvas has on each side of a field of view of ``pixels`` pixels."""
    return int(np.ceil((MARGIN - 1.0) * pixels / 2))


class Canvas:
    """A square RGB image on which a scene is drawn.

    Coordinates are those of ``torch.nn.functional.affine_grid``, align_corners=False: x to the right, y down, and the
    field of view is [-1, 1] from the outer edge of its first pixel to the outer edge of its last.

    Attributes:
        rng: The scene's random numbers.
        image: (3, S, S) float64, planes of red, green and blue in about [0, 1]; S = pixels + 2 * border_pixels(pixels).
        x: (1, S) float64, coordinates of the columns.
        y: (S, 1) float64, coordinates of the rows.
    """

    def __init__(self, pixels: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pixels_per_unit = pixels / 2
        self.size = pixels + 2 * border_pixels(pixels)
        self.edge = self.size / pixels
        axis = (np.arange(self.size) + 0.5) / self.pixels_per_unit - self.edge
        self.x = axis[None, :]
        self.y = axis[:, None]
        self.image: Array = np.zeros((3, self.size, self.size))

    def along(self, angle: float, origin: ArrayLike = (0.0, 0.0)) -> tuple[Array, Array]:
        """Return coordinates along and across a direction.

        Args:
            angle: The direction in radians, from x to y.
            origin: (2,) x and y, where both coordinates are 0.

        Returns:
            Two (S, S) float64, in units.
        """
        x0, y0 = np.asarray(origin, dtype=np.float64)
        cos, sin = np.cos(angle), np.sin(angle)
        return (self.x - x0) * cos + (self.y - y0) * sin, (self.y - y0) * cos - (self.x - x0) * sin

    def noise(self, cell: float, octaves: int = 1) -> Array:
        """Return smooth value noise, (S, S) float64 in [-1, 1], with features of ``cell`` units; octaves halve both."""
        total = np.zeros((self.size, self.size))
        for octave in range(octaves):
            position = (np.arange(self.size) + 0.5) / (self.pixels_per_unit * cell / 2**octave)
            lower = position.astype(np.int64)
            fraction = position - lower
            step = fraction**2 * (3 - 2 * fraction)
            knots = self.rng.uniform(-1, 1, (int(lower[-1]) + 2,) * 2)
            columns = knots[:, lower] * (1 - step) + knots[:, lower + 1] * step
            total += (columns[lower] * (1 - step)[:, None] + columns[lower + 1] * step[:, None]) / 2**octave
        return total / (2 - 2.0 ** (1 - octaves))

    def at(self, field: Array, points: Array) -> Array:
        """Return the values of a field at points; off the canvas, those of its nearest pixel.

        Args:
            field: (S, S) float64.
            points: (N, 2) float64, x and y.

        Returns:
            (N,) float64.
        """
        pixel = np.floor((points + self.edge) * self.pixels_per_unit).astype(np.int64)
        column, row = np.clip(pixel, 0, self.size - 1).T
        values: Array = field[row, column]
        return values

    def coverage(self, distance: Array) -> Array:
        """Return the share of each pixel that is inside a shape, (...) float64 in [0, 1].

        Args:
            distance: (...) float64, the signed distance in units, negative inside.
        """
        return np.clip(0.5 - distance * self.pixels_per_unit, 0.0, 1.0)

    def fill(self, colour: ArrayLike, mottle: float = 0.06, cell: float = 0.5) -> None:
        """Cover the whole canvas with one material, its brightness varied by noise.

        Args:
            colour: (3,) float in [0, 1].
            mottle: Relative height of the noise.
            cell: Size of its features in units.
        """
        self.image[:] = np.asarray(colour)[:, None, None]
        self.image *= 1 + mottle * self.noise(cell, 4)

    def paint(self, distance: Array, colour: ArrayLike, opacity: float = 1.0, brightness: Array | float = 1.0) -> None:
        """Paint a shape in one colour.

        Args:
            distance: (S, S) float64, the signed distance in units, negative inside.
            colour: (3,) float in [0, 1].
            opacity: 1 hides what is below.
            brightness: Factor of the colour, one or (S, S) float64.
        """
        share = self.coverage(distance) * opacity
        # One plane at a time: temporaries of all three leave the processor's cache, which costs ten times as much.
        for plane, value in zip(self.image, np.asarray(colour), strict=True):
            plane += share * (value * brightness - plane)

    def boxes(
        self, centres: ArrayLike, sizes: ArrayLike, angles: ArrayLike, colours: ArrayLike, opacity: float = 1.0
    ) -> None:
        """Paint N filled rectangles, one over the other.

        Args:
            centres: (N, 2) float, x and y in units.
            sizes: (2,) or (N, 2) float, length and width in units.
            angles: () or (N,) float, direction of the length in radians.
            colours: (3,) or (N, 3) float in [0, 1].
            opacity: 1 hides what is below.
        """
        half = np.asarray(sizes, dtype=np.float64) / 2

        def distance(u: Array, v: Array, half: Array) -> Array:
            return np.maximum(np.abs(u) - half[:, :1, None], np.abs(v) - half[:, 1:, None])

        self._stamp(centres, half, angles, colours, opacity, distance, float(np.hypot(*half.T).max(initial=0)))

    def ellipses(
        self, centres: ArrayLike, sizes: ArrayLike, angles: ArrayLike, colours: ArrayLike, opacity: float = 1.0
    ) -> None:
        """Paint N filled ellipses; the arguments are those of ``boxes``, (N, ...) float."""
        half = np.asarray(sizes, dtype=np.float64) / 2

        def distance(u: Array, v: Array, half: Array) -> Array:
            radius = np.sqrt((u / half[:, :1, None]) ** 2 + (v / half[:, 1:, None]) ** 2)
            narrow: Array = half.min(1)[:, None, None]
            return (radius - 1) * narrow

        self._stamp(centres, half, angles, colours, opacity, distance, float(half.max(initial=0)))

    def discs(self, centres: ArrayLike, radii: ArrayLike, colours: ArrayLike, opacity: float = 1.0) -> None:
        """Paint N filled circles, one over the other.

        Args:
            centres: (N, 2) float, x and y in units.
            radii: () or (N,) float, in units.
            colours: (3,) or (N, 3) float in [0, 1].
            opacity: 1 hides what is below.
        """
        half = np.asarray(radii, dtype=np.float64)[..., None] * np.ones(2)

        def distance(u: Array, v: Array, half: Array) -> Array:
            return np.sqrt(u**2 + v**2) - half[:, :1, None]

        self._stamp(centres, half, 0.0, colours, opacity, distance, float(half.max(initial=0)))

    def _stamp(
        self,
        centres: ArrayLike,
        half: Array,
        angles: ArrayLike,
        colours: ArrayLike,
        opacity: float,
        distance: Callable[[Array, Array, Array], Array],
        reach: float,
    ) -> None:
        """Blend N small shapes in order, each on a patch that reaches ``reach`` units from its centre."""
        centre = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
        half = np.broadcast_to(half, centre.shape)
        colour = np.broadcast_to(np.asarray(colours, dtype=np.float64), (len(centre), 3))[..., None, None]
        angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), len(centre))[:, None, None]
        steps = int(np.ceil(reach * self.pixels_per_unit)) + 1
        corner = np.floor((centre + self.edge) * self.pixels_per_unit).astype(np.int64) - steps
        end = corner + 2 * steps + 1
        seen = np.flatnonzero(((end > 0) & (corner < self.size)).all(1))
        low, high = np.maximum(corner, 0), np.minimum(end, self.size)
        for first in range(0, len(seen), 64):  # few enough shapes at once for the processor's cache
            some = seen[first : first + 64]
            offset = (corner[some, :, None] + np.arange(2 * steps + 1) + 0.5) / self.pixels_per_unit - self.edge
            dx = (offset[:, 0] - centre[some, :1])[:, None, :]
            dy = (offset[:, 1] - centre[some, 1:])[:, :, None]
            cos, sin = np.cos(angle[some]), np.sin(angle[some])
            shares = self.coverage(distance(dx * cos + dy * sin, dy * cos - dx * sin, half[some])) * opacity
            places = np.hstack([corner, low, high])[some].tolist()
            for share, value, (x0, y0, left, top, right, bottom) in zip(shares, colour[some], places, strict=True):
                patch = self.image[:, top:bottom, left:right]
                patch += share[top - y0 : bottom - y0, left - x0 : right - x0] * (value - patch)
