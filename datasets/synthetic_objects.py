"""The parts of the synthetic scenes: materials, patterns and the small objects that several classes share.

Every material comes in several colours, and every scene shades them anew: grass may be dry, water
muddy, trees autumnal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .synthetic_canvas import SHADOW, Array, Canvas

Colours = tuple[tuple[float, float, float], ...]

GRASS: Colours = ((0.36, 0.43, 0.28), (0.46, 0.45, 0.31), (0.32, 0.40, 0.30), (0.42, 0.42, 0.34))
SOIL: Colours = ((0.47, 0.39, 0.31), (0.50, 0.37, 0.28), (0.45, 0.42, 0.37))
SAND: Colours = ((0.64, 0.58, 0.46), (0.61, 0.58, 0.53), (0.60, 0.51, 0.39))
ASPHALT: Colours = ((0.37, 0.37, 0.38), (0.42, 0.40, 0.38))
CONCRETE: Colours = ((0.56, 0.55, 0.52), (0.57, 0.52, 0.46))
WATER: Colours = ((0.24, 0.34, 0.38), (0.28, 0.37, 0.31), (0.40, 0.38, 0.31), (0.22, 0.30, 0.42))
TREE: Colours = ((0.24, 0.33, 0.21), (0.32, 0.34, 0.21), (0.38, 0.32, 0.21), (0.27, 0.31, 0.26))
WHITE: Colours = ((0.70, 0.70, 0.69),)
ROOFS: Colours = ((0.52, 0.35, 0.29), (0.47, 0.47, 0.49), (0.43, 0.37, 0.32), (0.60, 0.58, 0.54), (0.38, 0.40, 0.45))
PAINT: Colours = ((0.56, 0.57, 0.58), (0.22, 0.23, 0.25), (0.56, 0.25, 0.22), (0.26, 0.34, 0.52), (0.45, 0.44, 0.40))
CARS: Colours = (*WHITE, *PAINT)
CROPS: Colours = (*GRASS, *SOIL, (0.30, 0.39, 0.23), (0.56, 0.50, 0.33), (0.54, 0.45, 0.36))
YELLOW = (0.66, 0.58, 0.27)
DARK = (0.16, 0.17, 0.19)


def tone(rng: np.random.Generator, *colours: tuple[float, float, float]) -> Array:
    """Return one scene's shade of one of the colours, (3,) float64."""
    return np.asarray(colours[rng.integers(len(colours))]) * (1 + rng.uniform(-0.2, 0.2) + rng.uniform(-0.06, 0.06, 3))


def pick(rng: np.random.Generator, colours: ArrayLike, count: int, spread: float = 0.12) -> Array:
    """Return ``count`` of the colours, (C, 3) float, each a little lighter or darker, all a little tinted.

    Returns:
        (count, 3) float64.
    """
    table = np.asarray(colours)
    chosen = table[rng.integers(len(table), size=count)]
    return chosen * (1 + spread * rng.uniform(-1, 1, (count, 1)) + rng.uniform(-0.06, 0.06, 3))


def heading(rng: np.random.Generator, spread_degrees: float = 12.0) -> float:
    """Return a direction near one of the image axes, in radians."""
    return float(np.pi / 2 * rng.integers(2) + np.deg2rad(spread_degrees) * rng.uniform(-1, 1))


def place(points: Array, angle: float, origin: ArrayLike = (0.0, 0.0)) -> Array:
    """Return points given along and across a direction as x and y on the canvas; the inverse of ``Canvas.along``.

    Args:
        points: (N, 2) float64, in units.
        angle: The direction in radians, from x to y.
        origin: (2,) x and y of the point (0, 0).

    Returns:
        (N, 2) float64, x and y in units.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turned: Array = points @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(origin)
    return turned


def lattice(rng: np.random.Generator, step: tuple[float, float], jitter: float, reach: float = 2.9) -> Array:
    """Return the points of a grid of random phase over the canvas, each moved by at most ``jitter`` of a step.

    Returns:
        (N, 2) float64, in units.
    """
    along, across = (np.arange(-reach, reach, s) + rng.uniform(0, s) for s in step)
    points = np.stack(np.meshgrid(along, across), axis=-1).reshape(-1, 2)
    return points + jitter * np.asarray(step) * rng.uniform(-1, 1, points.shape)


def wave(rng: np.random.Generator, u: Array, height: float, length: float) -> Array:
    """Return a smooth random curve over u, (...) float64: three sines, the first of about ``length`` and ``height``."""
    total = np.zeros_like(u)
    for harmonic in (1, 2, 3.3):
        total += height / harmonic**1.3 * np.sin(2 * np.pi * harmonic * u / length + rng.uniform(0, 2 * np.pi))
    return total


def draw_trees(canvas: Canvas, points: Array, low: float = 0.06, high: float = 0.13) -> None:
    """Draw round crowns with shadows, lit from the side away from the shadow, at points (N, 2) in units."""
    rng = canvas.rng
    radius = rng.uniform(low, high, len(points))[:, None]
    colour = pick(rng, [tone(rng, *TREE)], len(points), 0.2)
    canvas.discs(points + radius * SHADOW * 0.8, radius[:, 0], DARK, 0.45)
    canvas.discs(points, radius[:, 0], colour * 0.85)
    canvas.discs(points - radius * SHADOW * 0.25, radius[:, 0] * 0.6, colour * 1.3)


def draw_houses(canvas: Canvas, points: Array, sizes: Array, angles: ArrayLike) -> None:
    """Draw gabled roofs with shadows; the side of the roof that faces away from the sun is darker.

    Args:
        canvas: The scene.
        points: (N, 2) float64, the centres in units.
        sizes: (N, 2) float64, length and width in units.
        angles: () or (N,) float, direction of the length in radians.
    """
    rng = canvas.rng
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (len(points),))
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    across = np.where(across @ SHADOW > 0, 1.0, -1.0)[:, None] * across
    colour = pick(rng, ROOFS, len(points))
    canvas.boxes(points + 0.07 * SHADOW, sizes, angle, DARK, 0.55)
    canvas.boxes(points, sizes, angle, colour * 1.08)
    canvas.boxes(points + across * sizes[:, 1:] / 4, sizes * [1, 0.5], angle, colour * 0.78)


def draw_cars(canvas: Canvas, points: Array, angles: ArrayLike) -> None:
    """Draw cars of the usual size with windscreen and shadow.

    Args:
        canvas: The scene.
        points: (N, 2) float64, the centres in units.
        angles: () or (N,) float, direction of travel in radians.
    """
    rng = canvas.rng
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (len(points),))
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    canvas.boxes(points + 0.025 * SHADOW, (0.2, 0.095), angle, DARK, 0.6)
    canvas.boxes(points, (0.2, 0.095), angle, pick(rng, CARS, len(points)))
    canvas.boxes(points + 0.03 * ahead, (0.035, 0.08), angle, DARK, 0.8)


def stripes(coordinate: Array, period: ArrayLike) -> Array:
    """Return parallel lines across a coordinate, (...) float64 in [-1, 1], ``period`` units apart."""
    wave: Array = np.sin(2 * np.pi * coordinate / np.asarray(period))
    return wave


def dashes(u: Array, v: Array, width: float, period: float) -> Array:
    """Return the signed distance, (S, S) float64, to a dashed line along u whose dashes fill half of each period."""
    return np.maximum(np.abs(v) - width / 2, np.abs((u % period) - period / 2) - period / 4)


def draw_boats(canvas: Canvas, points: Array, angles: ArrayLike, scale: float = 1.0) -> None:
    """Draw pointed hulls with a cabin.

    Args:
        canvas: The scene.
        points: (N, 2) float64, the centres in units.
        angles: () or (N,) float, direction of the bow in radians.
        scale: Factor of the usual size.
    """
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (len(points),))
    size = scale * canvas.rng.uniform((0.2, 0.075), (0.26, 0.1), (len(points), 2))
    canvas.ellipses(points + 0.02 * SHADOW, size, angle, DARK, 0.5)
    canvas.ellipses(points, size, angle, pick(canvas.rng, (*WHITE, *WHITE, *CONCRETE, *ROOFS), len(points)))
    canvas.boxes(points, size * (0.4, 0.45), angle, pick(canvas.rng, (DARK, *ASPHALT, *WATER), len(points)))
