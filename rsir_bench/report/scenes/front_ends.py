"""Scenes before and after conversion by a front end (the paper's Fig. 5), with the parameters of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rsir_bench.base.errors import UserError, one_line
from rsir_bench.base.files import page_name, write_atomically
from rsir_bench.method.composition import Composed
from rsir_bench.nn.transformation import JointTransformation
from rsir_bench.report.scenes.targets import Log, RetrievalRun, Target
from rsir_bench.report.scenes.thumbnails import PERCENTILES, stretched
from rsir_bench.scenes.batches import unit_range
from rsir_bench.scenes.decode import Pixels, decode_scene
from rsir_bench.scenes.pixel_cache import Transform

LISTED = 24  # parameters that are printed one by one


@dataclass(frozen=True)
class Conversion:
    """One scene before and after conversion.

    Attributes:
        path: The scene's file in its dataset.
        class_name: Its class, or its labels.
        before: The picture before, relative to the report's folder.
        after: The picture after, likewise.
        outline: Corners of the converted scene in the original one, "x,y x,y ..." in percent of the side; empty if
            there is no affine map.
        parameters: (name, value as printed).
        words: The effect of the parameters, in one line.
    """

    path: str
    class_name: str
    before: str
    after: str
    outline: str
    parameters: list[tuple[str, str]]
    words: str


@dataclass(frozen=True)
class Converted:
    """The conversions of one method; ``side`` is the width of the pictures in pixels."""

    method: RetrievalRun
    side: int
    note: str
    conversions: list[Conversion]


def convert(out: Path, target: Target, queries: Sequence[int], log: Log) -> list[Converted]:
    """Convert scenes with every method that has a front end.

    Args:
        out: The report's folder, for the pictures.
        target: The scenes and the methods.
        queries: The scenes, as positions in ``target.kept``.
        log: Called with one line for every network that is missing.

    Raises:
        UserError: A picture cannot be written.
    """
    found = []
    for shown in target.methods:
        if not issubclass(shown.recorded.run.method.method_class, Composed):
            continue
        try:
            found.append(_converted(out, target, shown, queries))
        except UserError as error:
            log(f"{shown.record.method.label} on {target.label}: no converted scenes: {one_line(error)}")
    return found


def _converted(out: Path, target: Target, shown: RetrievalRun, queries: Sequence[int]) -> Converted:
    network = _network(shown)
    transform = shown.recorded.run.transform
    paths = [target.index.paths[target.kept[query]] for query in queries]
    scenes = _scenes(target, paths, transform)
    with torch.inference_mode():
        after = network.front(scenes)
        joint = next((part for part in network.front.modules() if isinstance(part, JointTransformation)), None)
        theta = joint(scenes)[1] if joint is not None else None
    limits, note = _limits(target, transform, scenes)
    kept = transform.kept_bands(target.index)
    visible = [kept.index(band) for band in target.index.rgb]
    folder, own = f"scenes/{target.name}/before", f"scenes/{target.name}/after-{page_name(shown.record.method.label)}"
    conversions = []
    for number, (query, path) in enumerate(zip(queries, paths, strict=True)):
        names = []
        for place, values in ((folder, scenes), (own, after)):
            name = f"{place}/{number}.png"
            picture = stretched(values[number, visible].permute(1, 2, 0).double().numpy(), limits)
            _save(out / name, picture)
            names.append(name)
        class_name = target.words(query)
        printed = ("", [], "") if joint is None or theta is None else _printed(joint, theta[number].tolist())
        conversions.append(Conversion(path, class_name, names[0], names[1], *printed))
    return Converted(shown, transform.size, note, conversions)


def _network(shown: RetrievalRun) -> Composed:
    """Return the trained network of the last round, in evaluation mode.

    Raises:
        UserError: It was not kept, or does not fit the installed method.
    """
    from rsir_bench.runs.artifacts.chain import RunArtifacts

    run, kind = shown.recorded.run, shown.recorded.run.method.method_class
    if kind.card.trained and not run.is_trained(kind.rounds):
        raise UserError(f"{run.folder}: no network; run it again")
    network = RunArtifacts(shown.recorded.plan, run).network().load().eval()
    if not isinstance(network, Composed):
        raise TypeError(f"{run.title}: built as {type(network).__name__}")
    return network


def _scenes(target: Target, paths: Sequence[str], transform: Transform) -> torch.Tensor:
    """Return scenes as the network's input: (n, B, H, W) float32 in [0, 1]."""
    index = target.index
    bands = transform.kept_bands(index)
    pixels = []
    for path in paths:
        content = index.store.read(path)
        pixels.append(decode_scene(content, transform.resizing, index.bands, bands, index.value_range))
    return unit_range(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))


def _limits(target: Target, transform: Transform, scenes: torch.Tensor) -> tuple[tuple[tuple[float, float], ...], str]:
    """Return the values shown as black and full in each visible band, before and after alike, and a note on them."""
    index = target.index
    if index.bands == 3 and index.value_range is None:
        return ((0.0, 1.0),) * 3, "Values that leave [0, 1] are clipped in the pictures, not for the network."
    kept = transform.kept_bands(index)
    visible = scenes[:, [kept.index(band) for band in index.rgb]].permute(0, 2, 3, 1).reshape(-1, len(index.rgb))
    low, high = np.percentile(visible.numpy(), PERCENTILES, axis=0)
    bands = ", ".join(str(band + 1) for band in index.rgb)
    return (
        tuple((float(a), float(max(b, a + 1 / 255))) for a, b in zip(low, high, strict=True)),
        f"False colour: bands {bands} as red, green, blue, stretched from percentile {PERCENTILES[0]} to "
        f"{PERCENTILES[1]} of these scenes before conversion, alike before and after.",
    )


def _printed(joint: JointTransformation, theta: list[float]) -> tuple[str, list[tuple[str, str]], str]:
    """Return the outline, the parameters by name, and their effect in words."""
    spatial, colour = theta[: joint.split], theta[joint.split :]
    outline, words = "", []
    if joint.spatial.kind == "affine":
        outline = affine_outline(spatial)
        a, b, _, c, d, _ = spatial
        words.append(f"samples {abs(a * d - b * c):.2f} of the scene's area")
    elif spatial:
        moved = max(abs(now - then) for now, then in zip(spatial, joint.identity.tolist(), strict=False))
        words.append(f"{joint.spatial.kind}: at most {moved:.4f} off the identity")
    if joint.colour.kind == "linear":
        words.append(f"gains {', '.join(f'{gain:.3f}' for gain in colour[:-1])}; bias {colour[-1]:+.4f}")
    elif joint.colour.kind == "gamma":
        powers = np.exp(colour)
        words.append(f"powers {powers.min():.3f} to {powers.max():.3f}")
    names = [f"s{number + 1}" for number in range(len(spatial))] + [f"r{number + 1}" for number in range(len(colour))]
    printed = [(name, f"{value:.4f}") for name, value in zip(names, theta, strict=True)]
    return outline, printed[:LISTED], "; ".join(words)


def affine_outline(theta: Sequence[float]) -> str:
    """Return the corners of the converted scene in the original one, in percent of its side.

    Args:
        theta: The six parameters of the affine map from output to input coordinates, both in [-1, 1].

    >>> affine_outline([1, 0, 0, 0, 1, 0])
    '0.0,0.0 100.0,0.0 100.0,100.0 0.0,100.0'
    """
    matrix = np.array(theta).reshape(2, 3)
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]).T
    points = (matrix @ corners + 1) * 50
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points.T)


def _save(path: Path, picture: Pixels) -> None:
    write_atomically(path, lambda temporary: Image.fromarray(picture).save(temporary))
