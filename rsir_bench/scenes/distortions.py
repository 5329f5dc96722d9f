"""Distort the scenes of a target by known types and strengths before they are described.

Views and spectral responses differ from scene to scene: each scene draws its own change, at most as strong as the
severity says. Losses of quality (noise, blur, JPEG, resolution) are as strong for every scene. A scene draws the same
numbers at every severity, so that a curve over severities shows the strength and not the luck. Everything happens on
the square scenes that a method sees, so that severities mean the same for every dataset.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rsir_bench.base.errors import UserError
from rsir_bench.scenes.decode import Pixels

DISTORTION_VERSION = 1
"""Raise when a distortion changes a pixel."""

SEVERITIES = (1, 2, 3, 4, 5)
SEED = 20210
AIRLIGHT = 0.9
"""Brightness, on [0, 1], of the haze that scenes fade into."""

Change = Callable[[Tensor, float, np.random.Generator], Tensor]


@dataclass(frozen=True)
class DistortionType:
    """One kind of distortion.

    Attributes:
        strengths: The strength at each of the five severities.
        meaning: What a strength is.
        change: Returns the changed scene, (B, H, W) uint8, of a scene of that shape, a strength and a generator.
    """

    strengths: tuple[float, float, float, float, float]
    meaning: str
    change: Change


@dataclass(frozen=True, order=True)
class Distortion:
    """A kind at a severity from 1 to 5."""

    name: str
    severity: int

    def __str__(self) -> str:
        """Return it as ``--distort`` takes it: ``haze:3``."""
        return f"{self.name}:{self.severity}"


@dataclass(frozen=True)
class Distorted:
    """The scenes of a pixel cache, distorted as they are read.

    Attributes:
        pixels: (N, H, W, B) uint8.
        distortion: Type and severity; the row of a scene seeds its generator.
    """

    pixels: Pixels
    distortion: Distortion

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, B)."""
        return self.pixels.shape

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray) -> Pixels:
        """Return the distorted scenes of the given rows, (n, H, W, B) uint8."""
        return np.stack([distort(self.pixels[row], self.distortion, int(row)) for row in rows])


def distort(scene: Pixels, distortion: Distortion, row: int) -> Pixels:
    """Distort one scene.

    Args:
        scene: (H, W, B) uint8.
        distortion: Type and severity.
        row: The scene's row in its dataset, which seeds its generator.

    Returns:
        (H, W, B) uint8.
    """
    kind = KINDS[distortion.name]
    rng = np.random.default_rng([SEED, zlib.crc32(distortion.name.encode()), row])
    bands_first = torch.from_numpy(np.ascontiguousarray(scene.transpose(2, 0, 1)))
    changed = kind.change(bands_first, kind.strengths[distortion.severity - 1], rng)
    return changed.numpy().transpose(1, 2, 0)


def parse_distortions(words: list[str]) -> list[Distortion]:
    """Return the distortions of a list such as ``haze:3``, ``haze`` (all five severities), ``all`` or ``all:3``.

    Raises:
        UserError: A word names no distortion or severity.
    """
    found: dict[Distortion, None] = {}
    for word in words:
        name, colon, severity = word.partition(":")
        if name not in (*KINDS, "all") or (colon and severity not in map(str, SEVERITIES)):
            known = ", ".join(KINDS)
            raise UserError(f"--distort {word}: write NAME:SEVERITY, NAME or all; severities 1 to 5; names: {known}")
        names = list(KINDS) if name == "all" else [name]
        severities = (int(severity),) if colon else SEVERITIES
        found |= dict.fromkeys(Distortion(one, strength) for one in names for strength in severities)
    return list(found)


def _torchvision() -> Any:
    """Return torchvision's operations on pictures; they take seconds to load, and only distortions need them."""
    from torchvision.transforms.v2 import functional

    return functional


# --- views ---


def _rotation(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    return _affine(scene, angle=rng.uniform(-1, 1) * most)


def _scale(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    return _affine(scene, scale=most ** rng.uniform(-1, 1))


def _shear(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    return _affine(scene, shear=math.degrees(math.atan(rng.uniform(-1, 1) * most)))


def _affine(scene: Tensor, angle: float = 0.0, scale: float = 1.0, shear: float = 0.0) -> Tensor:
    from torchvision.transforms import InterpolationMode

    wide = _surrounded(scene)
    moved = _torchvision().affine(wide, angle, [0, 0], scale, [shear, 0.0], InterpolationMode.BILINEAR)
    return _centre(moved, scene)


def _perspective(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    """Move each corner by at most ``most`` of the side, along both axes."""
    side = scene.shape[2]
    low, high = side // 2, side // 2 + side - 1  # of the scene within its surroundings
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    moved = np.rint(corners + rng.uniform(-1, 1, (4, 2)) * most * side).astype(int)
    wide = _torchvision().perspective(_surrounded(scene), corners.tolist(), moved.tolist())
    return _centre(wide, scene)


def _surrounded(scene: Tensor) -> Tensor:
    """Return the scene padded by half its side, mirrored at its edges: what a view finds beyond them."""
    wide: Tensor = _torchvision().pad(scene, [scene.shape[2] // 2], padding_mode="reflect")
    return wide


def _centre(wide: Tensor, scene: Tensor) -> Tensor:
    centre: Tensor = _torchvision().center_crop(wide, list(scene.shape[1:]))
    return centre


def _flip(scene: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    across, down = rng.random(2) < share
    dimensions = [dimension for dimension, wanted in ((2, across), (1, down)) if wanted]
    flipped: Tensor = scene.flip(dimensions)
    return flipped


# --- spectral responses and atmosphere, on [0, 1] ---


def _on_unit_range(change: Change) -> Change:
    def changed(scene: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
        values = change(scene.to(torch.float32) / 255, strength, rng)
        return (values.clamp(0, 1) * 255).round().to(torch.uint8)

    return changed


def _gain(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    return scene * float(most ** rng.uniform(-1, 1))


def _offset(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    return scene + rng.uniform(-1, 1) * most


def _colour_cast(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    gains = most ** rng.uniform(-1, 1, len(scene))
    return scene * torch.as_tensor(gains, dtype=torch.float32)[:, None, None]


def _gamma(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    exponent: float = most ** rng.uniform(-1, 1)
    return scene**exponent


def _haze(scene: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    return scene + float(rng.uniform(0, 1)) * most * (AIRLIGHT - scene)


def _noise(scene: Tensor, deviation: float, rng: np.random.Generator) -> Tensor:
    return scene + deviation * torch.as_tensor(rng.standard_normal(scene.shape), dtype=torch.float32)


# --- quality ---


def _blur(scene: Tensor, percent: float, _: np.random.Generator) -> Tensor:
    deviation = percent / 100 * scene.shape[2]
    blurred: Tensor = _torchvision().gaussian_blur(scene, [2 * math.ceil(3 * deviation) + 1] * 2, [deviation] * 2)
    return blurred


def _jpeg(scene: Tensor, quality: float, _: np.random.Generator) -> Tensor:
    bands_last = scene.permute(1, 2, 0).numpy()
    if bands_last.shape[2] == 3:
        return torch.from_numpy(_compressed(bands_last, quality)).permute(2, 0, 1)
    return torch.stack([torch.from_numpy(_compressed(band.numpy(), quality)) for band in scene])  # it knows grey


def _compressed(picture: Pixels, quality: float) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=int(quality))
    with Image.open(stream) as image:
        return np.array(image)


def _resolution(scene: Tensor, factor: float, _: np.random.Generator) -> Tensor:
    side = scene.shape[2]
    coarse = _torchvision().resize(scene, [round(side / factor)] * 2, antialias=True)
    fine: Tensor = _torchvision().resize(coarse, [side] * 2, antialias=True)
    return fine


KINDS = {
    "rotation": DistortionType((10, 20, 45, 90, 180), "degrees either way, at most", _rotation),
    "scale": DistortionType((1.1, 1.2, 1.4, 1.7, 2.0), "times larger or smaller, at most", _scale),
    "shear": DistortionType((0.05, 0.1, 0.2, 0.3, 0.4), "tangent of the angle either way, at most", _shear),
    "perspective": DistortionType(
        (0.03, 0.06, 0.1, 0.15, 0.2), "of the side that a corner moves, at most", _perspective
    ),
    "flip": DistortionType((0.1, 0.2, 0.3, 0.4, 0.5), "probability, across and down", _flip),
    "gain": DistortionType((1.1, 1.25, 1.5, 1.75, 2.0), "times brighter or darker, at most", _on_unit_range(_gain)),
    "offset": DistortionType(
        (0.05, 0.1, 0.15, 0.2, 0.3), "of the range added or taken away, at most", _on_unit_range(_offset)
    ),
    "colour-cast": DistortionType(
        (1.05, 1.1, 1.2, 1.35, 1.5), "gain or its inverse of each band, at most", _on_unit_range(_colour_cast)
    ),
    "gamma": DistortionType((1.2, 1.4, 1.7, 2.1, 2.6), "exponent or its inverse, at most", _on_unit_range(_gamma)),
    "haze": DistortionType((0.1, 0.2, 0.35, 0.5, 0.65), "share of haze, at most", _on_unit_range(_haze)),
    "noise": DistortionType((0.02, 0.04, 0.07, 0.1, 0.15), "standard deviation, of the range", _on_unit_range(_noise)),
    "blur": DistortionType((0.4, 0.8, 1.2, 1.7, 2.4), "standard deviation, in percent of the side", _blur),
    "jpeg": DistortionType((60, 40, 25, 15, 8), "quality", _jpeg),
    "resolution": DistortionType((1.3, 1.6, 2, 3, 4), "times fewer pixels along each side", _resolution),
}
"""By the name that ``--distort`` takes."""

GROUPS = {
    "views": ("rotation", "scale", "shear", "perspective", "flip"),
    "spectra": ("gain", "offset", "colour-cast", "gamma", "haze"),
    "detail": ("noise", "blur", "jpeg", "resolution"),
}
"""What kinds of distortions have in common: where things are, which values they have, and how fine they are seen."""
