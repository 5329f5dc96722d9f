"""What each synthetic scene class looks like from above: one drawing function per class.

The classes share their materials (grass, soil, sand, asphalt, concrete, water, trees, roofs, cars), so that colour alone
does not tell them apart. Objects keep their usual size, shadows fall to one side and streets run roughly along the image
axes: in an undistorted scene a model can learn what upright, unzoomed and untinted looks like.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from rsir_bench.datasets.synthetic_canvas import MARGIN, SHADOW, Array, Canvas

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
CARS: Colours = (
    *WHITE,
    (0.56, 0.57, 0.58),
    (0.22, 0.23, 0.25),
    (0.56, 0.25, 0.22),
    (0.26, 0.34, 0.52),
    (0.45, 0.44, 0.4),
)
CROPS: Colours = (*GRASS, *SOIL, (0.30, 0.39, 0.23), (0.56, 0.50, 0.33), (0.54, 0.45, 0.36))
YELLOW = (0.66, 0.58, 0.27)
DARK = (0.16, 0.17, 0.19)


def _tone(rng: np.random.Generator, *colours: tuple[float, float, float]) -> Array:
    """One scene's shade (3,) of one of the colours."""
    return np.asarray(colours[rng.integers(len(colours))]) * (1 + rng.uniform(-0.2, 0.2) + rng.uniform(-0.06, 0.06, 3))


def _pick(rng: np.random.Generator, colours: ArrayLike, count: int, spread: float = 0.12) -> Array:
    """(count, 3) of the colours, each a little lighter or darker, all a little tinted."""
    table = np.asarray(colours)
    chosen = table[rng.integers(len(table), size=count)]
    return chosen * (1 + spread * rng.uniform(-1, 1, (count, 1)) + rng.uniform(-0.06, 0.06, 3))


def _heading(rng: np.random.Generator, spread_degrees: float = 12.0) -> float:
    """A direction near one of the image axes, in radians."""
    return float(np.pi / 2 * rng.integers(2) + np.deg2rad(spread_degrees) * rng.uniform(-1, 1))


def _place(points: Array, angle: float, origin: ArrayLike = (0.0, 0.0)) -> Array:
    """Points (N, 2) given along and across `angle` as x and y on the canvas; the inverse of `Canvas.along`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(origin)


def _lattice(rng: np.random.Generator, step: tuple[float, float], jitter: float, reach: float = 2.9) -> Array:
    """Points (N, 2) of a grid over the canvas, each moved by at most `jitter` of a step and the whole by any phase."""
    along, across = (np.arange(-reach, reach, s) + rng.uniform(0, s) for s in step)
    points = np.stack(np.meshgrid(along, across), axis=-1).reshape(-1, 2)
    return points + jitter * np.asarray(step) * rng.uniform(-1, 1, points.shape)


def _value(field: Array, canvas: Canvas, points: Array) -> Array:
    """Values of a field (S, S) at points (N, 2) of the canvas."""
    pixel = np.floor((points + canvas.edge) * canvas.pixels_per_unit).astype(np.int64)
    column, row = np.clip(pixel, 0, canvas.size - 1).T
    return field[row, column]


def _wave(rng: np.random.Generator, u: Array, height: float, length: float) -> Array:
    """A smooth random curve over u: three sines, the first of about `length` units and `height`."""
    total = np.zeros_like(u)
    for harmonic in (1, 2, 3.3):
        total += height / harmonic**1.3 * np.sin(2 * np.pi * harmonic * u / length + rng.uniform(0, 2 * np.pi))
    return total


def _trees(canvas: Canvas, points: Array, low: float = 0.06, high: float = 0.13) -> None:
    """Round crowns with shadows, lit from the side away from the shadow."""
    rng = canvas.rng
    radius = rng.uniform(low, high, len(points))[:, None]
    colour = _pick(rng, [_tone(rng, *TREE)], len(points), 0.2)
    canvas.discs(points + radius * SHADOW * 0.8, radius[:, 0], DARK, 0.45)
    canvas.discs(points, radius[:, 0], colour * 0.85)
    canvas.discs(points - radius * SHADOW * 0.25, radius[:, 0] * 0.6, colour * 1.3)


def _houses(canvas: Canvas, points: Array, sizes: Array, angles: ArrayLike) -> None:
    """Gabled roofs with shadows; the side of the roof that faces away from the sun is darker."""
    rng = canvas.rng
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (len(points),))
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    across = np.where(across @ SHADOW > 0, 1.0, -1.0)[:, None] * across
    colour = _pick(rng, ROOFS, len(points))
    canvas.boxes(points + 0.07 * SHADOW, sizes, angle, DARK, 0.55)
    canvas.boxes(points, sizes, angle, colour * 1.08)
    canvas.boxes(points + across * sizes[:, 1:] / 4, sizes * [1, 0.5], angle, colour * 0.78)


def _cars(canvas: Canvas, points: Array, angles: ArrayLike) -> None:
    """Cars of one usual size with windscreen and shadow."""
    rng = canvas.rng
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (len(points),))
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    canvas.boxes(points + 0.025 * SHADOW, (0.2, 0.095), angle, DARK, 0.6)
    canvas.boxes(points, (0.2, 0.095), angle, _pick(rng, CARS, len(points)))
    canvas.boxes(points + 0.03 * ahead, (0.035, 0.08), angle, DARK, 0.8)


def _rows(coordinate: Array, period: ArrayLike) -> Array:
    """Parallel lines in [-1, 1] across a coordinate."""
    return np.sin(2 * np.pi * coordinate / np.asarray(period))


def _dashes(u: Array, v: Array, width: float, period: float) -> Array:
    """Signed distance of a dashed line along u: dashes fill half of each period."""
    return np.maximum(np.abs(v) - width / 2, np.abs((u % period) - period / 2) - period / 4)


def fields(canvas: Canvas) -> None:
    """Parcels of crops and bare soil with row textures, parted by tracks and hedges."""
    rng = canvas.rng
    u, v = canvas.along(_heading(rng))
    edges = np.cumsum(rng.uniform(0.55, 1.2, 14)) - 4.5
    column = np.clip(np.searchsorted(edges, u), 0, len(edges) - 1)
    height = rng.uniform(0.5, 1.5, len(edges))[column]
    row_position = (v + rng.uniform(0, 2, len(edges))[column]) / height + 8
    row = row_position.astype(np.int64)
    parcel = column * 24 + row
    count = 24 * len(edges)
    colour = _pick(rng, CROPS, count, 0.1)[parcel]
    rows = _rows(np.where(rng.random(count)[parcel] < 0.6, u, v), rng.uniform(0.09, 0.2, count)[parcel])
    contrast = rng.uniform(0.0, 0.16, count)[parcel]
    canvas.image[:] = np.moveaxis(colour, -1, 0)
    canvas.image *= 1 + rows * contrast + 0.09 * canvas.noise(0.6, 4)
    to_side = np.abs(u[..., None] - edges).min(-1)
    to_end = np.minimum(row_position - row, 1 - (row_position - row)) * height
    track = _tone(rng, *TREE, *SOIL, *SAND)
    canvas.paint(np.minimum(to_side, to_end) - rng.uniform(0.015, 0.03), track, 0.8)


def river(canvas: Canvas) -> None:
    """A meandering band of water between banks, in meadow or bare land with trees."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *GRASS, *SOIL), 0.16)
    u, v = canvas.along(_heading(rng, 25), rng.uniform(-0.25, 0.25, 2))
    middle = _wave(rng, u, rng.uniform(0.12, 0.4), rng.uniform(2.0, 3.5))
    slope = np.gradient(middle[canvas.size // 2]).std() * canvas.pixels_per_unit
    width = rng.uniform(0.22, 0.5) + 0.05 * canvas.noise(0.6)
    distance = np.abs(v - middle) / np.sqrt(1 + slope**2) - width
    trees = _lattice(rng, (0.3, 0.3), 0.5)
    trees = trees[(_value(canvas.noise(0.8), canvas, trees) > 0.15) & (_value(distance, canvas, trees) > 0.14)]
    canvas.paint(distance - 0.07 - 0.05 * canvas.noise(0.4), _tone(rng, *SAND, *SOIL), 0.8)
    shallow = 0.25 * np.clip(1 + distance * 8, 0, 1)
    canvas.paint(distance, _tone(rng, *WATER), brightness=1 + shallow + 0.06 * canvas.noise(0.3, 3))
    _trees(canvas, trees)


def forest(canvas: Canvas) -> None:
    """A closed cover of crowns of different heights, at times with a clearing or a track."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *GRASS, *SOIL) * 0.85, 0.2)
    step = rng.uniform(0.17, 0.23)
    points = _lattice(rng, (step, step), 0.45, 2.2)
    gap = canvas.noise(1.2) - rng.uniform(0.35, 1.0)
    if rng.random() < 0.4:
        u, v = canvas.along(_heading(rng, 40), rng.uniform(-0.6, 0.6, 2))
        gap = np.maximum(gap, 0.12 - np.abs(v - _wave(rng, u, 0.15, 4)))
    points = points[_value(gap, canvas, points) < 0]
    _trees(canvas, rng.permutation(points), 0.45 * step, 0.8 * step)


def runway(canvas: Canvas) -> None:
    """A wide strip with edge and centre lines, threshold bars and tyre marks, beside it a taxiway, on mown grass."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *GRASS, *SOIL), 0.1)
    angle, origin = _heading(rng, 25), rng.uniform(-0.35, 0.35, 2)
    u, v = canvas.along(angle, origin)
    canvas.image *= 1 + 0.04 * _rows(v, rng.uniform(0.2, 0.4))
    half = rng.uniform(0.3, 0.42)
    pavement, patches = _tone(rng, *ASPHALT, *CONCRETE), 1 + 0.05 * canvas.noise(0.3, 3)
    beside = (half + rng.uniform(0.55, 0.8)) * rng.choice([-1, 1])
    link = u - rng.uniform(-1, 1) + 0.5 * v * rng.choice([-1, 0, 1])
    between = np.maximum(np.abs(link) - 0.12, np.abs(v - beside / 2) - abs(beside) / 2)
    taxiway = np.minimum(np.abs(v - beside) - 0.13, between)
    canvas.paint(taxiway, pavement, brightness=1.05 * patches)
    canvas.paint(np.minimum(np.abs(v - beside), np.maximum(np.abs(link), between)) - 0.012, YELLOW, 0.7)
    canvas.paint(np.abs(v) - half, pavement, brightness=patches)
    wear = np.clip(1 - (v / (0.6 * half)) ** 2, 0, 1) * np.clip(0.5 + canvas.noise(0.8), 0, 1)
    canvas.image -= 0.1 * wear * canvas.coverage(np.abs(v) - half)
    paint = _tone(rng, *WHITE)
    canvas.paint(np.abs(np.abs(v) - 0.92 * half) - 0.014, paint, 0.9)
    threshold = rng.uniform(-0.9, 0.9)
    bars = np.maximum(np.abs(u - threshold) - 0.2, np.abs(np.abs(v) % 0.1 - 0.05) - 0.025)
    canvas.paint(np.maximum(bars, np.abs(v) - 0.8 * half), paint, 0.95)
    centre = np.maximum(_dashes(u, v, 0.045, 0.5), 0.35 - np.abs(u - threshold))
    canvas.paint(centre, paint, 0.95)


def harbour(canvas: Canvas) -> None:
    """A quay with sheds, piers on both sides of which boats lie, and open water."""
    rng = canvas.rng
    angle = float(_heading(rng) + np.pi * rng.integers(2))
    origin = _place(np.array([[0.0, rng.uniform(-0.9, -0.45)]]), angle)[0]
    u, v = canvas.along(angle, origin)
    canvas.fill(_tone(rng, *WATER), 0.06, 0.25)
    land = _tone(rng, *CONCRETE, *ASPHALT, *SOIL)
    canvas.paint(v, land, brightness=1 + 0.07 * canvas.noise(0.3, 3))
    canvas.paint(np.abs(v) - 0.03, _tone(rng, *CONCRETE) * 1.1)
    sheds = np.stack([np.arange(-3.2, 3.2, 0.75), np.full(9, -0.45)], axis=1) + rng.uniform(-0.1, 0.1, (9, 2))
    sheds = sheds[rng.random(9) < 0.7]
    size = rng.uniform((0.35, 0.25), (0.6, 0.4), (len(sheds), 2))
    _houses(canvas, _place(sheds, angle, origin), size, angle)
    length, spacing, slot = rng.uniform(0.8, 1.4), rng.uniform(0.62, 0.85), rng.uniform(0.15, 0.19)
    piers = np.arange(-2.6, 2.6, spacing) + rng.uniform(0, spacing)
    middles = _place(np.stack([piers, np.full_like(piers, length / 2)], axis=1), angle, origin)
    canvas.boxes(middles + 0.03 * SHADOW, (0.09, length), angle, DARK, 0.5)
    canvas.boxes(middles, (0.08, length), angle, _tone(rng, *CONCRETE))
    berths = np.stack(np.meshgrid(piers, np.arange(0.18, length, slot)), axis=-1).reshape(-1, 2)
    boats = np.concatenate([berths - (0.17, 0), berths + (0.17, 0)])
    boats = boats[rng.random(len(boats)) < rng.uniform(0.5, 0.9)]
    boats += rng.uniform(-0.02, 0.02, boats.shape) * (1, 0.5)
    _boats(canvas, _place(boats, angle, origin), angle)
    under_way = _place(rng.uniform((-1.5, length + 0.3), (1.5, length + 1.5), (3, 2)), angle, origin)
    _boats(canvas, under_way, rng.uniform(0, np.pi, 3), 1.6)


def _boats(canvas: Canvas, points: Array, angles: ArrayLike, scale: float = 1.0) -> None:
    """Pointed hulls with a cabin."""
    angle = np.broadcast_to(np.asarray(angles, dtype=np.float64), (len(points),))
    size = scale * canvas.rng.uniform((0.2, 0.075), (0.26, 0.1), (len(points), 2))
    canvas.ellipses(points + 0.02 * SHADOW, size, angle, DARK, 0.5)
    canvas.ellipses(points, size, angle, _pick(canvas.rng, (*WHITE, *WHITE, *CONCRETE, *ROOFS), len(points)))
    canvas.boxes(points, size * (0.4, 0.45), angle, _pick(canvas.rng, (DARK, *ASPHALT, *WATER), len(points)))


def storage_tanks(canvas: Canvas) -> None:
    """Round tanks in rows with long shadows inside bunds, joined by pipes."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *CONCRETE, *SOIL, *GRASS), 0.1)
    angle, radius = _heading(rng), rng.uniform(0.22, 0.42)
    step = 2 * radius + rng.uniform(0.25, 0.45)
    local = _lattice(rng, (step, step), 0.04)
    points = _place(local, angle)
    bund = _tone(rng, *ASPHALT, *CONCRETE, *SOIL)
    u, v = canvas.along(angle)
    for coordinate, at in ((u, local[0, 0]), (v, local[0, 1])):
        canvas.paint(np.abs((coordinate - at) % step - step / 2) - 0.045, bund, 0.9)
        canvas.paint(np.abs((coordinate - at + 0.06) % (2 * step) - step) - 0.02, WHITE[0], 0.5)
    points = points[rng.random(len(points)) < 0.85]
    radii = radius * rng.uniform(0.75, 1.0, len(points))
    colour = _pick(rng, (*WHITE, *WHITE, *CONCRETE, *ROOFS), len(points), 0.06)
    for shift in (0.06, 0.12, 0.18):
        canvas.discs(points + shift * SHADOW, radii, DARK, 0.4)
    canvas.discs(points, radii, colour * 0.8)
    canvas.discs(points, radii - 0.03, colour)
    lowered = np.where(rng.random(len(points)) < 0.5, 0.05, 0.01)[:, None]
    canvas.discs(points, radii - 0.045, colour * 0.62)
    canvas.discs(points + lowered * SHADOW, radii - 0.05 - lowered[:, 0], colour * 0.96)
    canvas.discs(points, 0.03, colour * 0.6)


def parking(canvas: Canvas) -> None:
    """Rows of cars between painted lines on asphalt, parted by lanes or strips with trees."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *ASPHALT, *CONCRETE), 0.08, 0.3)
    angle = _heading(rng)
    u, v = canvas.along(angle)
    slot, pitch = rng.uniform(0.125, 0.145), rng.uniform(0.8, 0.95)
    phase = rng.uniform(0, pitch)
    offset = (v - phase) % pitch - pitch / 2
    lines = np.maximum(np.abs(u % slot - slot / 2) - 0.008, np.abs(offset) - 0.24)
    canvas.paint(np.minimum(lines, np.abs(offset) - 0.008), _tone(rng, *WHITE), 0.75)
    along, parked = np.arange(-18, 18) * slot, []
    for row in np.arange(-3, 3) * pitch + phase + pitch / 2:
        if rng.random() < 0.25:
            canvas.paint(np.abs(v - row) - 0.2, _tone(rng, *GRASS), brightness=1 + 0.1 * canvas.noise(0.2))
            spots = np.stack([np.arange(-2.8, 2.8, 0.4), np.full(14, row)], axis=1)
            _trees(canvas, _place(spots, angle) + rng.uniform(-0.05, 0.05, (14, 2)), 0.08, 0.14)
            continue
        parked += [np.stack([along, np.full_like(along, row + side)], axis=1) for side in (-0.125, 0.125)]
    spots = np.concatenate([np.empty((0, 2)), *parked])
    spots = spots[rng.random(len(spots)) < rng.uniform(0.45, 0.95)]
    turned = np.pi * rng.integers(2, size=len(spots)) + np.pi / 2
    _cars(canvas, _place(spots + rng.uniform(-0.012, 0.012, spots.shape), angle), angle + turned)
    lane = rng.uniform((-2, 0), (2, 0), (6, 2)) + np.array([0, phase]) + pitch * rng.integers(-2, 3, (6, 1)) * [0, 1]
    _cars(canvas, _place(lane, angle), angle + np.pi * rng.integers(2, size=6))


def dense_housing(canvas: Canvas) -> None:
    """Blocks of small houses side by side along a grid of streets, with gardens and parked cars."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *GRASS, *SOIL), 0.15, 0.3)
    angle = _heading(rng)
    u, v = canvas.along(angle)
    step, block = rng.uniform(0.27, 0.34), int(rng.integers(4, 7))
    long, short = step * block + 0.2, rng.uniform(0.86, 1.0)
    origin = rng.uniform(0, 1, 2) * (long, short)
    street = _tone(rng, *ASPHALT, *CONCRETE)
    to_street = np.minimum(
        *(p / 2 - np.abs((c - o) % p - p / 2) for c, o, p in ((u, origin[0], long), (v, origin[1], short)))
    )
    canvas.paint(to_street - 0.12, _tone(rng, *CONCRETE))
    canvas.paint(to_street - 0.085, street)
    houses = [
        (i * long + 0.1 + (k + 0.5) * step, j * short + side * short)
        for i in range(-4, 4)
        for j in range(-4, 4)
        for k in range(block)
        for side in (0.31, 0.69)
    ]
    points = np.array(houses) + origin + rng.uniform(-0.02, 0.02, (len(houses), 2))
    near = (np.abs(_place(points, angle)) < MARGIN + 0.2).all(1) & (rng.random(len(points)) < 0.95)
    points = points[near]
    size = rng.uniform((0.19, 0.2), (0.24, 0.28), (len(points), 2)) * step / 0.3
    trees = points + rng.uniform(-0.2, 0.2, points.shape)
    _trees(canvas, _place(trees[rng.random(len(trees)) < 0.3], angle), 0.04, 0.075)
    _houses(canvas, _place(points, angle), size, angle + np.pi / 2 * (rng.random(len(points)) < 0.3))
    cars = np.stack([rng.uniform(-3, 3, 24), rng.integers(-4, 4, 24) * short + rng.choice([-0.05, 0.05], 24)], axis=1)
    _cars(canvas, _place(cars + [0, origin[1]], angle), angle)


def sparse_housing(canvas: Canvas) -> None:
    """A few large houses far apart in gardens and trees, with drives to a lane."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *GRASS), 0.16)
    angle = _heading(rng, 20)
    u, v = canvas.along(angle, rng.uniform(-0.6, 0.6, 2))
    lane = v - _wave(rng, u, 0.1, 4)
    paving = _tone(rng, *ASPHALT, *CONCRETE, *SAND)
    canvas.paint(np.abs(lane) - 0.07, paving)
    points = _lattice(rng, (rng.uniform(0.95, 1.3), rng.uniform(0.95, 1.3)), 0.22)
    points = points[(np.abs(points) < MARGIN + 0.2).all(1) & (np.abs(_value(lane, canvas, points)) > 0.35)]
    trees = _lattice(rng, (0.28, 0.28), 0.5)
    free = np.hypot(*(trees[:, None] - points).transpose(2, 0, 1)).min(1) > 0.36
    wooded = _value(canvas.noise(0.9), canvas, trees) > rng.uniform(-0.1, 0.3)
    trees = trees[free & wooded & (np.abs(_value(lane, canvas, trees)) > 0.16)]
    way = _value(lane, canvas, points)[:, None] * np.array([-np.sin(angle), np.cos(angle)])
    canvas.boxes(points - way / 2, np.stack([np.full(len(points), 0.06), np.hypot(*way.T)], axis=1), angle, paving)
    size = rng.uniform((0.34, 0.24), (0.48, 0.32), (len(points), 2))
    turned = angle + np.deg2rad(12) * rng.uniform(-1, 1, len(points)) + np.pi / 2 * rng.integers(2, size=len(points))
    _houses(canvas, points, size, turned)
    wing = (
        np.stack([-np.sin(turned), np.cos(turned)], axis=1) * 0.13
        + np.stack([np.cos(turned), np.sin(turned)], axis=1) * 0.1
    )
    _houses(canvas, points + wing, size * (0.5, 0.8), turned + np.pi / 2)
    _trees(canvas, trees, 0.07, 0.14)


def intersection(canvas: Canvas) -> None:
    """Two roads with lane markings and cars that cross, the corners built up or green."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *GRASS, *CONCRETE, *SOIL), 0.12)
    origin, first = rng.uniform(-0.3, 0.3, 2), np.deg2rad(15) * rng.uniform(-1, 1)
    second = first + np.pi / 2 + np.deg2rad(15) * rng.uniform(-1, 1)
    roads = [(angle, rng.uniform(0.22, 0.42), *canvas.along(angle, origin)) for angle in (first, second)]
    open_ground = np.minimum(*(np.abs(v) - half for _, half, _, v in roads))
    spots = _lattice(rng, (0.62, 0.62), 0.15)
    spots = spots[_value(open_ground, canvas, spots) > 0.32]
    built = rng.random(len(spots)) < rng.uniform(0.0, 0.6)
    _trees(canvas, spots[~built] + rng.uniform(-0.1, 0.1, (int((~built).sum()), 2)), 0.08, 0.15)
    _houses(canvas, spots[built], rng.uniform(0.28, 0.46, (int(built.sum()), 2)), first)
    kerb, asphalt, white = _tone(rng, *CONCRETE), _tone(rng, *ASPHALT), _tone(rng, *WHITE)
    canvas.paint(open_ground - 0.07, kerb)
    canvas.paint(open_ground, asphalt, brightness=1 + 0.05 * canvas.noise(0.3, 3))
    crossing = np.maximum(*(np.abs(v) - half for _, half, _, v in roads))
    outside = 0.1 - crossing
    for (angle, half, u, v), (_, other_half, _, _) in zip(roads, reversed(roads), strict=True):
        canvas.paint(np.maximum(np.abs(np.abs(v) - 0.02) - 0.008, outside), YELLOW, 0.9)
        canvas.paint(np.maximum(_dashes(u, np.abs(v) - half / 2, 0.018, 0.2), outside), white, 0.9)
        stripes = np.maximum(np.abs(np.abs(u) - other_half - 0.07) - 0.035, np.abs(v % 0.07 - 0.035) - 0.017)
        canvas.paint(np.maximum(stripes, np.abs(v) - half), white, 0.9)
        count = 16
        places = np.stack([rng.uniform(-2.2, 2.2, count), rng.choice([-0.75, -0.25, 0.25, 0.75], count) * half], axis=1)
        places = places[np.abs(places[:, 0]) > other_half + 0.2]
        _cars(canvas, _place(places, angle, origin), angle + np.where(places[:, 1] > 0, 0, np.pi))


def beach(canvas: Canvas) -> None:
    """Land, a band of sand with people's parasols, surf lines and open water."""
    rng = canvas.rng
    angle = float(_heading(rng, 20) + np.pi * rng.integers(2))
    u, v = canvas.along(angle, rng.uniform(-0.3, 0.3, 2))
    shore = v - _wave(rng, u, rng.uniform(0.05, 0.2), rng.uniform(3, 5)) - 0.03 * canvas.noise(0.3)
    canvas.fill(_tone(rng, *SAND), 0.07, 0.4)
    width = rng.uniform(0.45, 0.95)
    canvas.paint(shore + width + 0.15 * canvas.noise(0.5, 2), _tone(rng, *GRASS, *SOIL))
    bushes = _lattice(rng, (0.28, 0.28), 0.5)
    _trees(canvas, bushes[_value(shore, canvas, bushes) < -width - rng.uniform(0.1, 0.5)])
    canvas.paint(-shore - 0.06, _tone(rng, *SAND) * 0.8)
    deep = np.clip(shore / rng.uniform(0.6, 1.2), 0, 1)
    canvas.paint(-shore, _tone(rng, *WATER), brightness=1.35 - 0.4 * deep + 0.07 * canvas.noise(0.25, 3))
    for at in np.cumsum(rng.uniform(0.1, 0.3, int(rng.integers(2, 5)))) - 0.12:
        foam = np.abs(shore - at - 0.05 * canvas.noise(0.5)) - 0.035 * (1 + canvas.noise(0.25))
        canvas.paint(foam, WHITE[0], 0.85)
    people = _lattice(rng, (0.24, 0.24), 0.5)
    distance = _value(shore, canvas, people)
    people = people[(distance > -0.75 * width) & (distance < -0.12) & (rng.random(len(people)) < rng.uniform(0, 0.6))]
    canvas.discs(people + 0.03 * SHADOW, 0.035, DARK, 0.4)
    canvas.discs(people, 0.035, _pick(rng, CARS, len(people)))


def baseball_diamond(canvas: Canvas) -> None:
    """A diamond of bare soil around a grass infield, foul lines, mown outfield and the warning track."""
    rng = canvas.rng
    canvas.fill(_tone(rng, *GRASS), 0.12)
    trees = _lattice(rng, (0.4, 0.4), 0.5)
    middle = np.pi / 2 * rng.integers(4) + np.deg2rad(15) * rng.uniform(-1, 1)
    toward = np.array([np.cos(middle), np.sin(middle)])
    home = -0.55 * toward + rng.uniform(-0.15, 0.15, 2)
    u, v = canvas.along(middle - np.pi / 4, home)
    radius, soil, reach = np.hypot(u, v), _tone(rng, *SOIL, *SAND), rng.uniform(1.35, 1.7)
    wedge = np.maximum(-np.minimum(u, v) - 0.15, radius - reach)
    _trees(canvas, trees[(_value(wedge, canvas, trees) > 0.25) & (rng.random(len(trees)) < 0.6)])
    canvas.paint(wedge, soil)
    grass, mown = _tone(rng, *GRASS), 1 + 0.06 * np.sign(_rows(u + v, 0.4)) + 0.08 * canvas.noise(0.3, 3)
    canvas.paint(np.maximum(wedge + 0.1, -np.minimum(u, v)), grass, brightness=mown)
    base = rng.uniform(0.55, 0.7)
    infield = np.hypot(u - 0.55 * base, v - 0.55 * base) - 0.95 * base
    canvas.paint(np.maximum(infield, -np.minimum(u, v) - 0.1), soil, brightness=1 + 0.06 * canvas.noise(0.3, 3))
    square = np.maximum(np.abs(u - base / 2), np.abs(v - base / 2)) - base / 2 + 0.05
    canvas.paint(square, grass, brightness=mown)
    canvas.paint(np.hypot(u - base / 2, v - base / 2) - 0.08, soil)
    canvas.paint(radius - 0.15, soil)
    lines = np.minimum(np.maximum(np.abs(u), -v), np.maximum(np.abs(v), -u))
    canvas.paint(np.maximum(lines - 0.012, radius - reach), WHITE[0], 0.9)
    bases = np.array([[0.0, 0.0], [base, 0.0], [0.0, base], [base, base]])
    canvas.boxes(_place(bases, middle - np.pi / 4, home), (0.05, 0.05), middle, WHITE[0])
    stand = home - toward * 0.3
    canvas.boxes([stand + 0.06 * SHADOW, stand], (0.5, 0.13), middle + np.pi / 2, [DARK, _tone(rng, *CONCRETE)])


CLASSES: dict[str, Callable[[Canvas], None]] = {
    drawer.__name__: drawer
    for drawer in (
        baseball_diamond,
        beach,
        dense_housing,
        fields,
        forest,
        harbour,
        intersection,
        parking,
        river,
        runway,
        sparse_housing,
        storage_tanks,
    )
}
"""The scene classes and how each is drawn."""


def draw_scene(class_name: str, rng: np.random.Generator, pixels: int) -> Array:
    """Draws one undistorted scene, with more of it around the field of view than any distortion looks at.

    Args:
        class_name: a key of `CLASSES`.
        rng: random numbers; the same state gives the same scene.
        pixels: side of the field of view.

    Returns:
        (S, S, 3) in [0, 1] with S = pixels + 2 * border_pixels(pixels); the field of view is its centre.
    """
    canvas = Canvas(pixels, rng)
    CLASSES[class_name](canvas)
    canvas.image += 0.012 * rng.standard_normal(canvas.image.shape[1:])
    return np.clip(np.moveaxis(canvas.image, 0, -1), 0.0, 1.0)
