"""Draw each class of synthetic scenes as seen from above, one function per class.

The classes share their materials, so that colour alone does not separate them. Objects keep their usual size, shadows
fall to one side, and streets, shores and furrows run roughly along the image axes: from undistorted scenes a model can
learn what upright, unzoomed and untinted looks like.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .synthetic_canvas import MARGIN, SHADOW, Array, Canvas
from .synthetic_objects import (
    ASPHALT,
    CARS,
    CONCRETE,
    CROPS,
    DARK,
    GRASS,
    ROOFS,
    SAND,
    SOIL,
    TREE,
    WATER,
    WHITE,
    YELLOW,
    dashes,
    draw_boats,
    draw_cars,
    draw_houses,
    draw_trees,
    heading,
    lattice,
    pick,
    place,
    stripes,
    tone,
    wave,
)


def fields(canvas: Canvas) -> None:
    """Draw parcels of crops and bare soil with row textures, parted by tracks and hedges."""
    rng = canvas.rng
    u, v = canvas.along(heading(rng))
    edges = np.cumsum(rng.uniform(0.55, 1.2, 14)) - 4.5
    column = np.clip(np.searchsorted(edges, u), 0, len(edges) - 1)
    height = rng.uniform(0.5, 1.5, len(edges))[column]
    row_position = (v + rng.uniform(0, 2, len(edges))[column]) / height + 8
    row = row_position.astype(np.int64)
    parcel = column * 24 + row
    count = 24 * len(edges)
    colour = pick(rng, CROPS, count, 0.1)[parcel]
    furrows = stripes(np.where(rng.random(count)[parcel] < 0.6, u, v), rng.uniform(0.09, 0.2, count)[parcel])
    contrast = rng.uniform(0.0, 0.16, count)[parcel]
    canvas.image[:] = np.moveaxis(colour, -1, 0)
    canvas.image *= 1 + furrows * contrast + 0.09 * canvas.noise(0.6, 4)
    to_side = np.abs(u[..., None] - edges).min(-1)
    to_end = np.minimum(row_position - row, 1 - (row_position - row)) * height
    track = tone(rng, *TREE, *SOIL, *SAND)
    canvas.paint(np.minimum(to_side, to_end) - rng.uniform(0.015, 0.03), track, 0.8)


def river(canvas: Canvas) -> None:
    """Draw a meandering band of water between banks, in meadow or bare land with trees."""
    rng = canvas.rng
    canvas.fill(tone(rng, *GRASS, *SOIL), 0.16)
    u, v = canvas.along(heading(rng, 25), rng.uniform(-0.25, 0.25, 2))
    middle = wave(rng, u, rng.uniform(0.12, 0.4), rng.uniform(2.0, 3.5))
    slope = np.gradient(middle[canvas.size // 2]).std() * canvas.pixels_per_unit
    width = rng.uniform(0.22, 0.5) + 0.05 * canvas.noise(0.6)
    distance = np.abs(v - middle) / np.sqrt(1 + slope**2) - width
    trees = lattice(rng, (0.3, 0.3), 0.5)
    trees = trees[(canvas.at(canvas.noise(0.8), trees) > 0.15) & (canvas.at(distance, trees) > 0.14)]
    canvas.paint(distance - 0.07 - 0.05 * canvas.noise(0.4), tone(rng, *SAND, *SOIL), 0.8)
    shallow = 0.25 * np.clip(1 + distance * 8, 0, 1)
    canvas.paint(distance, tone(rng, *WATER), brightness=1 + shallow + 0.06 * canvas.noise(0.3, 3))
    draw_trees(canvas, trees)


def forest(canvas: Canvas) -> None:
    """Draw a closed cover of crowns of different heights, at times with a clearing or a track."""
    rng = canvas.rng
    canvas.fill(tone(rng, *GRASS, *SOIL) * 0.85, 0.2)
    step = rng.uniform(0.17, 0.23)
    points = lattice(rng, (step, step), 0.45, 2.2)
    gap = canvas.noise(1.2) - rng.uniform(0.35, 1.0)
    if rng.random() < 0.4:
        u, v = canvas.along(heading(rng, 40), rng.uniform(-0.6, 0.6, 2))
        gap = np.maximum(gap, 0.12 - np.abs(v - wave(rng, u, 0.15, 4)))
    points = points[canvas.at(gap, points) < 0]
    draw_trees(canvas, rng.permutation(points), 0.45 * step, 0.8 * step)


def runway(canvas: Canvas) -> None:
    """Draw a wide strip with lines, threshold bars and tyre marks, beside it a taxiway, on mown grass."""
    rng = canvas.rng
    canvas.fill(tone(rng, *GRASS, *SOIL), 0.1)
    angle, origin = heading(rng, 25), rng.uniform(-0.35, 0.35, 2)
    u, v = canvas.along(angle, origin)
    canvas.image *= 1 + 0.04 * stripes(v, rng.uniform(0.2, 0.4))
    half = rng.uniform(0.3, 0.42)
    pavement, patches = tone(rng, *ASPHALT, *CONCRETE), 1 + 0.05 * canvas.noise(0.3, 3)
    beside = (half + rng.uniform(0.55, 0.8)) * rng.choice([-1, 1])
    link = u - rng.uniform(-1, 1) + 0.5 * v * rng.choice([-1, 0, 1])
    between = np.maximum(np.abs(link) - 0.12, np.abs(v - beside / 2) - abs(beside) / 2)
    taxiway = np.minimum(np.abs(v - beside) - 0.13, between)
    canvas.paint(taxiway, pavement, brightness=1.05 * patches)
    canvas.paint(np.minimum(np.abs(v - beside), np.maximum(np.abs(link), between)) - 0.012, YELLOW, 0.7)
    canvas.paint(np.abs(v) - half, pavement, brightness=patches)
    wear = np.clip(1 - (v / (0.6 * half)) ** 2, 0, 1) * np.clip(0.5 + canvas.noise(0.8), 0, 1)
    canvas.image -= 0.1 * wear * canvas.coverage(np.abs(v) - half)
    paint = tone(rng, *WHITE)
    canvas.paint(np.abs(np.abs(v) - 0.92 * half) - 0.014, paint, 0.9)
    threshold = rng.uniform(-0.9, 0.9)
    bars = np.maximum(np.abs(u - threshold) - 0.2, np.abs(np.abs(v) % 0.1 - 0.05) - 0.025)
    canvas.paint(np.maximum(bars, np.abs(v) - 0.8 * half), paint, 0.95)
    centre = np.maximum(dashes(u, v, 0.045, 0.5), 0.35 - np.abs(u - threshold))
    canvas.paint(centre, paint, 0.95)


def harbour(canvas: Canvas) -> None:
    """Draw a quay with sheds, piers on both sides of which boats lie, and open water."""
    rng = canvas.rng
    angle = float(heading(rng) + np.pi * rng.integers(2))
    origin = place(np.array([[0.0, rng.uniform(-0.9, -0.45)]]), angle)[0]
    _, v = canvas.along(angle, origin)
    canvas.fill(tone(rng, *WATER), 0.06, 0.25)
    land = tone(rng, *CONCRETE, *ASPHALT, *SOIL)
    canvas.paint(v, land, brightness=1 + 0.07 * canvas.noise(0.3, 3))
    canvas.paint(np.abs(v) - 0.03, tone(rng, *CONCRETE) * 1.1)
    sheds = np.stack([np.arange(-3.2, 3.2, 0.75), np.full(9, -0.45)], axis=1) + rng.uniform(-0.1, 0.1, (9, 2))
    sheds = sheds[rng.random(9) < 0.7]
    size = rng.uniform((0.35, 0.25), (0.6, 0.4), (len(sheds), 2))
    draw_houses(canvas, place(sheds, angle, origin), size, angle)
    length, spacing, slot = rng.uniform(0.8, 1.4), rng.uniform(0.62, 0.85), rng.uniform(0.15, 0.19)
    piers = np.arange(-2.6, 2.6, spacing) + rng.uniform(0, spacing)
    middles = place(np.stack([piers, np.full_like(piers, length / 2)], axis=1), angle, origin)
    canvas.boxes(middles + 0.03 * SHADOW, (0.09, length), angle, DARK, 0.5)
    canvas.boxes(middles, (0.08, length), angle, tone(rng, *CONCRETE))
    berths = np.stack(np.meshgrid(piers, np.arange(0.18, length, slot)), axis=-1).reshape(-1, 2)
    boats = np.concatenate([berths - np.array([0.17, 0]), berths + np.array([0.17, 0])])
    boats = boats[rng.random(len(boats)) < rng.uniform(0.5, 0.9)]
    boats += rng.uniform(-0.02, 0.02, boats.shape) * (1, 0.5)
    draw_boats(canvas, place(boats, angle, origin), angle)
    under_way = place(rng.uniform((-1.5, length + 0.3), (1.5, length + 1.5), (3, 2)), angle, origin)
    draw_boats(canvas, under_way, rng.uniform(0, np.pi, 3), 1.6)


def storage_tanks(canvas: Canvas) -> None:
    """Draw round tanks in rows with long shadows inside bunds, joined by pipes."""
    rng = canvas.rng
    canvas.fill(tone(rng, *CONCRETE, *SOIL, *GRASS), 0.1)
    angle, radius = heading(rng), rng.uniform(0.22, 0.42)
    step = 2 * radius + rng.uniform(0.25, 0.45)
    local = lattice(rng, (step, step), 0.04)
    points = place(local, angle)
    bund = tone(rng, *ASPHALT, *CONCRETE, *SOIL)
    u, v = canvas.along(angle)
    for coordinate, at in ((u, local[0, 0]), (v, local[0, 1])):
        canvas.paint(np.abs((coordinate - at) % step - step / 2) - 0.045, bund, 0.9)
        canvas.paint(np.abs((coordinate - at + 0.06) % (2 * step) - step) - 0.02, WHITE[0], 0.5)
    points = points[rng.random(len(points)) < 0.85]
    radii = radius * rng.uniform(0.75, 1.0, len(points))
    colour = pick(rng, (*WHITE, *WHITE, *CONCRETE, *ROOFS), len(points), 0.06)
    for shift in (0.06, 0.12, 0.18):
        canvas.discs(points + shift * SHADOW, radii, DARK, 0.4)
    canvas.discs(points, radii, colour * 0.8)
    canvas.discs(points, radii - 0.03, colour)
    lowered = np.where(rng.random(len(points)) < 0.5, 0.05, 0.01)[:, None]
    canvas.discs(points, radii - 0.045, colour * 0.62)
    canvas.discs(points + lowered * SHADOW, radii - 0.05 - lowered[:, 0], colour * 0.96)
    canvas.discs(points, 0.03, colour * 0.6)


def parking(canvas: Canvas) -> None:
    """Draw rows of cars between painted lines on asphalt, parted by lanes or strips with trees."""
    rng = canvas.rng
    canvas.fill(tone(rng, *ASPHALT, *CONCRETE), 0.08, 0.3)
    angle = heading(rng)
    u, v = canvas.along(angle)
    slot, pitch = rng.uniform(0.125, 0.145), rng.uniform(0.8, 0.95)
    phase = rng.uniform(0, pitch)
    offset = (v - phase) % pitch - pitch / 2
    lines = np.maximum(np.abs(u % slot - slot / 2) - 0.008, np.abs(offset) - 0.24)
    canvas.paint(np.minimum(lines, np.abs(offset) - 0.008), tone(rng, *WHITE), 0.75)
    along, parked = np.arange(-18, 18) * slot, []
    for row in np.arange(-3, 3) * pitch + phase + pitch / 2:
        if rng.random() < 0.25:
            canvas.paint(np.abs(v - row) - 0.2, tone(rng, *GRASS), brightness=1 + 0.1 * canvas.noise(0.2))
            spots = np.stack([np.arange(-2.8, 2.8, 0.4), np.full(14, row)], axis=1)
            draw_trees(canvas, place(spots, angle) + rng.uniform(-0.05, 0.05, (14, 2)), 0.08, 0.14)
            continue
        parked += [np.stack([along, np.full_like(along, row + side)], axis=1) for side in (-0.125, 0.125)]
    spots = np.concatenate([np.empty((0, 2)), *parked])
    spots = spots[rng.random(len(spots)) < rng.uniform(0.45, 0.95)]
    turned = np.pi * rng.integers(2, size=len(spots)) + np.pi / 2
    draw_cars(canvas, place(spots + rng.uniform(-0.012, 0.012, spots.shape), angle), angle + turned)
    moving = np.stack([rng.uniform(-2, 2, 6), phase + pitch * rng.integers(-2, 3, 6)], axis=1)
    draw_cars(canvas, place(moving, angle), angle + np.pi * rng.integers(2, size=6))


def dense_housing(canvas: Canvas) -> None:
    """Draw blocks of small houses side by side along a grid of streets, with gardens and parked cars."""
    rng = canvas.rng
    canvas.fill(tone(rng, *GRASS, *SOIL), 0.15, 0.3)
    angle = heading(rng)
    u, v = canvas.along(angle)
    step, block = rng.uniform(0.27, 0.34), int(rng.integers(4, 7))
    long, short = step * block + 0.2, rng.uniform(0.86, 1.0)
    origin = rng.uniform(0, 1, 2) * (long, short)
    street = tone(rng, *ASPHALT, *CONCRETE)
    to_cross_street = long / 2 - np.abs((u - origin[0]) % long - long / 2)
    to_street = np.minimum(to_cross_street, short / 2 - np.abs((v - origin[1]) % short - short / 2))
    canvas.paint(to_street - 0.12, tone(rng, *CONCRETE))
    canvas.paint(to_street - 0.085, street)
    along = (np.arange(-4, 4)[:, None] * long + 0.1 + (np.arange(block) + 0.5) * step).ravel()
    across = (np.arange(-4, 4)[:, None] + [0.31, 0.69]).ravel() * short
    points = np.stack(np.meshgrid(along, across), axis=-1).reshape(-1, 2) + origin
    points = points[(np.abs(place(points, angle)) < MARGIN + 0.2).all(1) & (rng.random(len(points)) < 0.95)]
    points += rng.uniform(-0.02, 0.02, points.shape)
    size = rng.uniform((0.19, 0.2), (0.24, 0.28), (len(points), 2)) * step / 0.3
    trees = points + rng.uniform(-0.2, 0.2, points.shape)
    draw_trees(canvas, place(trees[rng.random(len(trees)) < 0.3], angle), 0.04, 0.075)
    draw_houses(canvas, place(points, angle), size, angle + np.pi / 2 * (rng.random(len(points)) < 0.3))
    lanes = origin[1] + short * rng.integers(-4, 4, 24) + rng.choice([-0.05, 0.05], 24)
    draw_cars(canvas, place(np.stack([rng.uniform(-3, 3, 24), lanes], axis=1), angle), angle)


def sparse_housing(canvas: Canvas) -> None:
    """Draw a few large houses far apart in gardens and trees, with drives to a lane."""
    rng = canvas.rng
    canvas.fill(tone(rng, *GRASS), 0.16)
    angle = heading(rng, 20)
    across = np.array([-np.sin(angle), np.cos(angle)])
    home = rng.uniform(-0.35, 0.35, 2)
    u, v = canvas.along(angle, home + across * rng.choice([-1, 1]) * rng.uniform(0.5, 0.75))
    lane = v - wave(rng, u, 0.1, 4)
    paving = tone(rng, *ASPHALT, *CONCRETE, *SAND)
    canvas.paint(np.abs(lane) - 0.07, paving)
    points = lattice(rng, (rng.uniform(0.95, 1.3), rng.uniform(0.95, 1.3)), 0.22)
    points += home - points[np.hypot(*points.T).argmin()]
    points = points[(np.abs(points) < MARGIN + 0.2).all(1) & (np.abs(canvas.at(lane, points)) > 0.3)]
    trees = lattice(rng, (0.28, 0.28), 0.5)
    free = np.hypot(*(trees[:, None] - points).transpose(2, 0, 1)).min(1) > 0.36
    wooded = canvas.at(canvas.noise(0.9), trees) > rng.uniform(-0.1, 0.3)
    trees = trees[free & wooded & (np.abs(canvas.at(lane, trees)) > 0.16)]
    way = canvas.at(lane, points)[:, None] * across
    canvas.boxes(points - way / 2, np.stack([np.full(len(points), 0.06), np.hypot(*way.T)], axis=1), angle, paving)
    size = rng.uniform((0.34, 0.24), (0.48, 0.32), (len(points), 2))
    turned = angle + np.deg2rad(12) * rng.uniform(-1, 1, len(points)) + np.pi / 2 * rng.integers(2, size=len(points))
    draw_houses(canvas, points, size, turned)
    cos, sin = np.cos(turned), np.sin(turned)
    wings = points + np.stack([0.1 * cos - 0.13 * sin, 0.1 * sin + 0.13 * cos], axis=1)
    draw_houses(canvas, wings, size * (0.5, 0.8), turned + np.pi / 2)
    draw_trees(canvas, trees, 0.07, 0.14)


def intersection(canvas: Canvas) -> None:
    """Draw two roads with lane markings and cars that cross, the corners built up or green."""
    rng = canvas.rng
    canvas.fill(tone(rng, *GRASS, *CONCRETE, *SOIL), 0.12)
    origin, first = rng.uniform(-0.3, 0.3, 2), np.deg2rad(15) * rng.uniform(-1, 1)
    second = first + np.pi / 2 + np.deg2rad(15) * rng.uniform(-1, 1)
    roads = [(angle, rng.uniform(0.22, 0.42), *canvas.along(angle, origin)) for angle in (first, second)]
    open_ground = np.minimum(*(np.abs(v) - half for _, half, _, v in roads))
    spots = lattice(rng, (0.62, 0.62), 0.15)
    spots = spots[canvas.at(open_ground, spots) > 0.32]
    built = rng.random(len(spots)) < rng.uniform(0.0, 0.6)
    draw_trees(canvas, spots[~built] + rng.uniform(-0.1, 0.1, (int((~built).sum()), 2)), 0.08, 0.15)
    draw_houses(canvas, spots[built], rng.uniform(0.28, 0.46, (int(built.sum()), 2)), first)
    kerb, asphalt, white = tone(rng, *CONCRETE), tone(rng, *ASPHALT), tone(rng, *WHITE)
    canvas.paint(open_ground - 0.07, kerb)
    canvas.paint(open_ground, asphalt, brightness=1 + 0.05 * canvas.noise(0.3, 3))
    crossing = np.maximum(*(np.abs(v) - half for _, half, _, v in roads))
    outside = 0.1 - crossing
    for (angle, half, u, v), (_, other_half, _, _) in zip(roads, reversed(roads), strict=True):
        canvas.paint(np.maximum(np.abs(np.abs(v) - 0.02) - 0.008, outside), YELLOW, 0.9)
        canvas.paint(np.maximum(dashes(u, np.abs(v) - half / 2, 0.018, 0.2), outside), white, 0.9)
        zebra = np.maximum(np.abs(np.abs(u) - other_half - 0.07) - 0.035, np.abs(v % 0.07 - 0.035) - 0.017)
        canvas.paint(np.maximum(zebra, np.abs(v) - half), white, 0.9)
        places = np.stack([rng.uniform(-2.2, 2.2, 16), rng.choice([-0.75, -0.25, 0.25, 0.75], 16) * half], axis=1)
        places = places[np.abs(places[:, 0]) > other_half + 0.2]
        draw_cars(canvas, place(places, angle, origin), angle + np.where(places[:, 1] > 0, 0, np.pi))


def beach(canvas: Canvas) -> None:
    """Draw land, a band of sand with people's parasols, surf lines and open water."""
    rng = canvas.rng
    angle = float(heading(rng, 20) + np.pi * rng.integers(2))
    u, v = canvas.along(angle, rng.uniform(-0.3, 0.3, 2))
    shore = v - wave(rng, u, rng.uniform(0.05, 0.2), rng.uniform(3, 5)) - 0.03 * canvas.noise(0.3)
    canvas.fill(tone(rng, *SAND), 0.07, 0.4)
    width = rng.uniform(0.45, 0.95)
    canvas.paint(shore + width + 0.15 * canvas.noise(0.5, 2), tone(rng, *GRASS, *SOIL))
    bushes = lattice(rng, (0.28, 0.28), 0.5)
    draw_trees(canvas, bushes[canvas.at(shore, bushes) < -width - rng.uniform(0.1, 0.5)])
    canvas.paint(-shore - 0.06, tone(rng, *SAND) * 0.8)
    deep = np.clip(shore / rng.uniform(0.6, 1.2), 0, 1)
    canvas.paint(-shore, tone(rng, *WATER), brightness=1.35 - 0.4 * deep + 0.07 * canvas.noise(0.25, 3))
    for at in np.cumsum(rng.uniform(0.1, 0.3, int(rng.integers(2, 5)))) - 0.12:
        foam = np.abs(shore - at - 0.05 * canvas.noise(0.5)) - 0.035 * (1 + canvas.noise(0.25))
        canvas.paint(foam, WHITE[0], 0.85)
    people = lattice(rng, (0.24, 0.24), 0.5)
    distance = canvas.at(shore, people)
    people = people[(distance > -0.75 * width) & (distance < -0.12) & (rng.random(len(people)) < rng.uniform(0, 0.6))]
    canvas.discs(people + 0.03 * SHADOW, 0.035, DARK, 0.4)
    canvas.discs(people, 0.035, pick(rng, CARS, len(people)))


def baseball_diamond(canvas: Canvas) -> None:
    """Draw a diamond of bare soil around a grass infield, foul lines, mown outfield and the warning track."""
    rng = canvas.rng
    canvas.fill(tone(rng, *GRASS), 0.12)
    trees = lattice(rng, (0.4, 0.4), 0.5)
    middle = np.pi / 2 * rng.integers(4) + np.deg2rad(15) * rng.uniform(-1, 1)
    toward = np.array([np.cos(middle), np.sin(middle)])
    home = -0.55 * toward + rng.uniform(-0.15, 0.15, 2)
    u, v = canvas.along(middle - np.pi / 4, home)
    radius, soil, reach = np.hypot(u, v), tone(rng, *SOIL, *SAND), rng.uniform(1.35, 1.7)
    wedge = np.maximum(-np.minimum(u, v) - 0.15, radius - reach)
    draw_trees(canvas, trees[(canvas.at(wedge, trees) > 0.25) & (rng.random(len(trees)) < 0.6)])
    canvas.paint(wedge, soil)
    grass, mown = tone(rng, *GRASS), 1 + 0.06 * np.sign(stripes(u + v, 0.4)) + 0.08 * canvas.noise(0.3, 3)
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
    canvas.boxes(place(bases, middle - np.pi / 4, home), (0.05, 0.05), middle, WHITE[0])
    stand = home - toward * 0.3
    canvas.boxes(
        [stand + 0.06 * SHADOW, stand], (0.5, 0.13), middle + np.pi / 2, np.stack([DARK, tone(rng, *CONCRETE)])
    )


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
    """Draw one undistorted scene, with enough around the field of view for every distortion.

    Args:
        class_name: A key of ``CLASSES``.
        rng: Random numbers; the same state gives the same scene.
        pixels: Side of the field of view.

    Returns:
        (S, S, 3) float64 in [0, 1] with S = pixels + 2 * border_pixels(pixels); the field of view is its centre.
    """
    canvas = Canvas(pixels, rng)
    CLASSES[class_name](canvas)
    canvas.image += 0.012 * rng.standard_normal(canvas.image.shape[1:])
    return np.clip(np.moveaxis(canvas.image, 0, -1), 0.0, 1.0)
