"""Decode a scene file to uint8 pixels of the wanted size and bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL
import tifffile
from PIL import Image, features

from rsir_bench.base.errors import SceneError, one_line
from rsir_bench.scenes.reading.scene_file import open_scene
from rsir_bench.scenes.reading.store import SceneStore
from rsir_bench.scenes.reading.stored import Values
from rsir_bench.scenes.reading.unreadable import DamagedError, NoRangeError, UnreadableError
from rsir_bench.scenes.reading.unreadable import OtherBandsError as OtherBandsError

SCENE_SUFFIXES = (
    *(".tif", ".tiff", ".jpg", ".jpeg", ".png", ".bmp", ".webp"),
    *(".gtiff", ".geotiff", ".btf", ".jpe", ".jfif", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"),
)
"""The endings of files that are taken for scenes; what they hold is known by their content."""

DECODING_VERSION = 3
"""Raised when ``decode_scene`` gives other pixels for the same file; the pixel cache is then built again."""

PADDING_VERSION = 2
"""The same for scenes that are padded to a square."""

UNREADABLE = (OSError, UnreadableError)
"""What reading and decoding a scene raise on a file that cannot be read; anything else is an error of the program."""

SPANS_OF_32_BITS = (1e-30, 1e30)
"""Value ranges of another width, or that reach further, are scaled by 64-bit floats: 32 bits would overflow."""

Fit = Literal["squash", "crop", "pad"]
"""How a scene of any shape becomes a square, see ``Resize``."""

Pixels = npt.NDArray[np.uint8]
ValueRange = tuple[float, float] | None


@dataclass(frozen=True)
class Resize:
    """A resize to a square: directly by default, or to other sides of which the centre is taken.

    Attributes:
        size: Side in pixels.
        filter: Pillow's.
        antialias: Whether the filter widens where it shrinks, as Pillow's resize does; without, a pixel is read off at
            its place, as by OpenCV's resize or by torch's interpolation: fine detail aliases.
        fit: ``"squash"``: both sides become ``scale``. ``"crop"``: the shorter one does, and the shape is kept.
            ``"pad"``: the longer one does.
        scale: Pixels, see ``fit``; None: ``size``. Of the result the centre is taken, with black around it where it is
            smaller than the square.
    """

    size: int
    filter: Image.Resampling
    antialias: bool = True
    fit: Fit = "squash"
    scale: int | None = None

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the resized image."""
        sides = self._sides(*image.size)
        if self.antialias:
            return _centre(image.resize(sides, self.filter), self.size)
        whole = (0, 0, *image.size)
        return _centre(image.transform(sides, Image.Transform.EXTENT, whole, self.filter), self.size)

    def _sides(self, width: int, height: int) -> tuple[int, int]:
        """Return the sides before the centre is taken, rounded down as torchvision does."""
        scale = self.scale or self.size
        if self.fit == "squash":
            return scale, scale
        whole = min(width, height) if self.fit == "crop" else max(width, height)
        return max(1, scale * width // whole), max(1, scale * height // whole)


def _centre(image: Image.Image, size: int) -> Image.Image:
    """Return the square in the middle of an image, rounded as torchvision does."""
    if image.size == (size, size):
        return image
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))


def decode_scene(
    content: bytes, resize: Resize, total_bands: int, bands: Sequence[int], value_range: ValueRange
) -> Pixels:
    """Return one scene, resized directly to a square.

    Three-band scenes of 8 bits give the pixels of torchvision's ``ImageFolder`` and ``Resize((size, size))``: Pillow's
    ``convert("RGB")`` and ``resize``. Other pixels are resized band by band as floats, then mapped to 0..255; values
    that are NaN, infinite or named as missing by the file become the low end of the range first. Rotation tags are not
    applied.

    Args:
        content: The bytes of the scene's file; they say how it is read, not its name.
        resize: To which square, and how.
        total_bands: Bands the file must hold. A grey file serves for three, and alpha beyond three is left out.
        bands: Bands to keep, in this order.
        value_range: The values that become 0 and 255; None: all of the integer type. Unused for scenes of 8 bits.

    Returns:
        (size, size, len(bands)) uint8.

    Raises:
        DamagedError: The file is cut off, or its bytes make no sense.
        OtherBandsError: It has other bands than ``total_bands``.
        RefusedError: It is of a kind that is not read, or larger than any scene.
        NoRangeError: It holds floats, and there is no value range.
    """
    scene = open_scene(content)
    values = scene.values(total_bands)
    if values.dtype == np.uint8 and total_bands == 3:
        image = Image.fromarray(np.ascontiguousarray(values[..., 0] if values.shape[2] == 1 else values))
        pixels = np.asarray(resize(image))
        return np.repeat(pixels[..., None], len(bands), axis=2) if pixels.ndim == 2 else _chosen(pixels, bands)
    is_8_bit = values.dtype == np.uint8
    limits = value_range if value_range and not is_8_bit else whole_type(values.dtype)
    if values.shape[2] < total_bands:  # grey, for all three bands
        return np.repeat(_resize_bands(values, resize, limits, scene.facts.nodata), len(bands), axis=2)
    return _resize_bands(values[..., list(bands)], resize, limits, scene.facts.nodata)


def whole_scene(content: bytes, total_bands: int) -> Values:
    """Return a scene as its file has it, neither resized nor scaled.

    Returns:
        (height, width, total_bands) of the type that is stored.

    Raises:
        UnreadableError: See ``decode_scene``.
    """
    values = open_scene(content).values(total_bands)
    return np.broadcast_to(values, (*values.shape[:2], total_bands))


def _chosen(pixels: Pixels, bands: Sequence[int]) -> Pixels:
    return pixels if tuple(bands) == (0, 1, 2) else np.ascontiguousarray(pixels[..., list(bands)])


def why_unreadable(error: Exception) -> str:
    """Return in one line why ``decode_scene`` failed."""
    return " ".join(str(error).split()) if isinstance(error, UnreadableError) else one_line(error)


def remedy(error: Exception, *, archived: bool = False, settings: str = "the dataset card or dataset.toml") -> str:
    """Return what to do about a scene that ``decode_scene`` cannot read.

    Args:
        error: What it raised.
        archived: Whether the scenes come from an archive.
        settings: The file that gives a value range.
    """
    if isinstance(error, NoRangeError):
        return f"set value_range in {settings}"
    if isinstance(error, (DamagedError, FileNotFoundError)):
        return "restore damaged files from the archive" if archived else "restore or remove damaged files"
    return "make the files readable" if isinstance(error, OSError) else "convert or remove files of other kinds"


def scene_bands(store: SceneStore, path: str, wanted: int | None = None) -> int:
    """Return the number of bands of a scene: 3 for grey, for colours and for these with alpha, else all that it stores.

    Args:
        store: The dataset's.
        path: The scene's there.
        wanted: Also returned where the file stores as many, alpha included.

    Raises:
        SceneError: The file cannot be read.
    """
    try:
        facts = open_scene(store.read(path)).facts
        return facts.bands if facts.bands == wanted else facts.natural
    except UNREADABLE as error:
        raise SceneError(f"cannot read {store.root / path} ({why_unreadable(error)}); {remedy(error)}") from error


def missing_values(values: Values, nodata: float | None) -> npt.NDArray[np.bool_] | None:
    """Return which values are NaN, infinite or named as missing: bool of the shape of ``values``; None for none."""
    if values.dtype == np.uint8:
        return None
    found = [~np.isfinite(values)] if values.dtype.kind == "f" else []
    if nodata is not None and np.isfinite(nodata):
        found.append(_nearly_equal(values, nodata) if values.dtype.kind == "f" else values == nodata)
    missing: npt.NDArray[np.bool_] | None = np.logical_or.reduce(found) if found else None
    return missing if missing is not None and missing.any() else None


def _nearly_equal(values: Values, nodata: float) -> npt.NDArray[np.bool_]:
    """Return which floats GDAL takes for the missing value, which files give as text, often with fewer digits.

    As there, both types have the tolerance of 32 bits, and a sum that overflows makes two values equal: -3.40282e+38
    stands for the lowest float32.
    """
    kind = np.float64 if values.dtype == np.float64 else np.float32
    floats: Values = values.astype(kind, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted: Values = np.array(nodata).astype(kind)
        near = np.abs(floats - wanted) < 2 * np.finfo(np.float32).eps * np.abs(floats + wanted)
        return np.asarray((floats == wanted) | near)


def whole_type(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the lowest and the highest value of an integer type.

    Raises:
        NoRangeError: It is a type of floats.
    """
    if not np.issubdtype(dtype, np.integer):
        raise NoRangeError(f"pixels of type {dtype} need a value_range")
    limits = np.iinfo(str(dtype.newbyteorder("=")))
    return float(limits.min), float(limits.max)


def scaled_to(top: float, values: Values, limits: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return values with the limits mapped to 0 and ``top``; limits of any finite size do not overflow."""
    exponent = int(np.frexp(max(map(abs, limits)))[1])
    unit = 2.0 ** -min(max(exponent, -1000), 1024)  # a power of two, which costs no digits
    low, high = (limit * unit for limit in limits)
    with np.errstate(over="ignore", invalid="ignore"):  # far outside the range, or NaN
        return np.asarray((values.astype(np.float64) * unit - low) * (top / (high - low)))


def _resize_bands(values: Values, resize: Resize, limits: tuple[float, float], nodata: float | None) -> Pixels:
    """Return (height, width, bands) of any number type as uint8 of the wanted size."""
    low, high = limits
    missing = missing_values(values, nodata)
    narrowest, widest = SPANS_OF_32_BITS
    is_moderate = narrowest < high - low < widest and max(abs(low), abs(high)) < widest
    if np.can_cast(values.dtype, np.float32) and is_moderate:
        floats, zero, gain = values.astype(np.float32), low, 255.0 / (high - low)
    else:  # float32 would lose digits of the values, but not of their place in the range
        scaled = scaled_to(255.0, values, limits)
        floats, zero, gain = np.clip(scaled, -1e9, 1e9).astype(np.float32), 0.0, 1.0
    if missing is not None:
        floats[missing] = zero
    if resize.fit == "pad":  # which surrounds scenes with 0: black only where that is the low end
        floats, zero = floats - np.float32(zero), 0.0
    resized = [
        np.asarray(resize(Image.fromarray(np.ascontiguousarray(floats[..., band])))) for band in range(floats.shape[2])
    ]
    return np.rint(np.clip((np.stack(resized, axis=2) - zero) * gain, 0, 255)).astype(np.uint8)


def decoder_versions() -> dict[str, str]:
    """Return the versions of what turns files into pixels; another one may give other values for the same file."""
    known = {
        "pillow": PIL.__version__,
        "jpeg": features.version("jpg"),
        "libjpeg-turbo": features.version("libjpeg_turbo"),
        "libtiff": features.version("libtiff"),
        "tifffile": tifffile.__version__,
    }
    return {name: found for name, found in known.items() if found is not None}
