"""Decode a scene file to uint8 pixels of the wanted size and bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
import tifffile
from PIL import Image, UnidentifiedImageError, features

from rsir_bench.base.errors import SceneError, one_line

TIF_SUFFIXES = (".tif", ".tiff")
SCENE_SUFFIXES = (*TIF_SUFFIXES, ".jpg", ".jpeg", ".png", ".bmp", ".webp")

DECODING_VERSION = 1
"""Raised when ``read_scene`` gives other pixels for the same file; the pixel cache is then built again."""

Pixels = npt.NDArray[np.uint8]
ValueRange = tuple[float, float] | None


@dataclass(frozen=True)
class Resize:
    """A direct resize to a square, without a crop.

    Attributes:
        size: Side in pixels.
        filter: Pillow's.
        antialias: Whether the filter widens where it shrinks, as Pillow's resize does; without, a pixel is read off at
            its place, as by OpenCV's resize or by torch's interpolation: fine detail aliases.
    """

    size: int
    filter: Image.Resampling
    antialias: bool = True

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the resized image."""
        square = (self.size, self.size)
        if self.antialias:
            return image.resize(square, self.filter)
        whole = (0, 0, *image.size)
        return image.transform(square, Image.Transform.EXTENT, whole, self.filter)


class OtherBandsError(ValueError):
    """A scene has other bands than its dataset."""


def read_scene(
    path: Path,
    resize: Resize,
    total_bands: int,
    bands: Sequence[int],
    value_range: ValueRange,
) -> Pixels:
    """Return one scene, resized directly to a square.

    Three-band scenes of 8 bits give the pixels of torchvision's ``ImageFolder`` and ``Resize((size, size))``: Pillow's
    ``convert("RGB")`` and ``resize``. Other pixels are resized band by band as floats, then mapped to 0..255.

    Args:
        path: A file of any kind that Pillow or tifffile reads.
        resize: To which square, and how.
        total_bands: Bands the file must hold (a grey file serves for three).
        bands: Bands to keep, in this order; three-band 8-bit scenes are always red, green, blue.
        value_range: The values that become 0 and 255; None: all of the integer type. Unused for 8-bit RGB.

    Returns:
        (size, size, len(bands)) uint8.

    Raises:
        OSError: The file cannot be read, for example because it is cut off.
        OtherBandsError: It has other bands than ``total_bands``.
        ValueError: It holds floats and there is no value range.
    """
    is_tif = path.suffix.lower() in TIF_SUFFIXES
    if is_tif and not (total_bands == 3 and _is_8_bit_picture(path)):
        return _resize_bands(_read_tif(path, total_bands)[..., list(bands)], resize, value_range)
    with Image.open(path) as image:
        if total_bands != 3:
            raise OtherBandsError(f"holds {len(image.getbands())} bands, not {total_bands}")
        if not is_tif and image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:  # Pillow takes the first
            raise OtherBandsError("is a tif of several pages under another name; call it .tif")
        if image.mode.startswith("I"):  # grey of 16 bits, which convert("RGB") would clip at 255
            grey = np.asarray(image).astype(np.uint16)[..., None]
            return _resize_bands(np.repeat(grey, 3, axis=2), resize, value_range)
        return np.asarray(resize(image.convert("RGB")))


def why_unreadable(error: Exception) -> str:
    """Return in one line why ``read_scene`` failed."""
    return "not a picture" if isinstance(error, UnidentifiedImageError) else one_line(error)


def scene_size(path: Path) -> tuple[int, int]:
    """Return width and height in pixels, as the head of the file states them."""
    if path.suffix.lower() in TIF_SUFFIXES:
        with tifffile.TiffFile(path) as tif:
            height, width = _height_and_width(tif.series[0])
            return width, height
    with Image.open(path) as image:
        return image.size


def scene_bands(path: Path) -> int:
    """Return the number of bands of a file: 3 for whatever Pillow turns into RGB, else the bands of the tif.

    Raises:
        SceneError: The tif cannot be read.
    """
    if path.suffix.lower() not in TIF_SUFFIXES:
        return 3
    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            height, width = _height_and_width(series)
            bands = series.size // (height * width)
            is_picture = bands in (1, 3) or (bands == 4 and _has_alpha_or_ink(tif.pages.first))
    except Exception as error:  # tifffile raises nearly anything on damaged files
        raise SceneError(f"cannot read {path} ({one_line(error)}); restore it") from error
    return 3 if is_picture else bands


def _height_and_width(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    """Return height and width, found by the letters of the axes: tifffile 2026.5 renamed the keys of ``sizes``."""
    lengths = dict(zip(series.axes, series.shape, strict=True))
    return lengths["Y"], lengths["X"]


def _has_alpha_or_ink(page: tifffile.TiffPage) -> bool:
    """Return whether four bands are colours with alpha or printing inks, not four spectral bands."""
    alpha = {tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA}
    return page.photometric == tifffile.PHOTOMETRIC.SEPARATED or bool(alpha & set(page.extrasamples))


def _is_8_bit_picture(path: Path) -> bool:
    """Return whether the first page alone is the scene, as in Pillow: further pages of another size are thumbnails."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        return int(page.bitspersample) <= 8 and tif.series[0].size == page.size


def _read_tif(path: Path, total_bands: int) -> npt.NDArray[np.generic]:
    """Return a tif of any layout and depth as (height, width, total_bands)."""
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        _refuse_bomb(series)
        values = np.moveaxis(series.asarray(), [series.axes.index("Y"), series.axes.index("X")], [0, 1])
    values = values.reshape(*values.shape[:2], -1)
    found = values.shape[2]
    if total_bands == 3 and found == 1:
        return np.repeat(values, 3, axis=2)
    if found != total_bands and not (total_bands == 3 and found == 4):
        raise OtherBandsError(f"holds {found} bands, not {total_bands}")
    return values


def _refuse_bomb(series: tifffile.TiffPageSeries) -> None:
    """Apply Pillow's limit on pixels to a tif that Pillow does not read."""
    height, width = _height_and_width(series)
    pixels = height * width
    if Image.MAX_IMAGE_PIXELS is not None and pixels > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{pixels:,} pixels, more than any scene has")


def _resize_bands(values: npt.NDArray[np.generic], resize: Resize, value_range: ValueRange) -> Pixels:
    """Return (height, width, bands) of any number type as uint8 of the wanted size."""
    if value_range is None:
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"pixels of type {values.dtype} need a value_range in the dataset card")
        limits = np.iinfo(str(values.dtype))
        value_range = (limits.min, limits.max)
    low, high = value_range
    floats = values.astype(np.float32)
    resized = [
        np.asarray(resize(Image.fromarray(np.ascontiguousarray(floats[..., band])))) for band in range(floats.shape[2])
    ]
    scaled = (np.stack(resized, axis=2) - low) * (255.0 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def decoder_versions() -> dict[str, str]:
    """Return the versions of what turns files into pixels; another one may give other values for the same file."""
    known = {
        "pillow": PIL.__version__,
        "jpeg": features.version("jpg"),
        "libjpeg-turbo": features.version("libjpeg_turbo"),
        "libtiff": features.version("libtiff"),
        "tifffile": tifffile.__version__,
    }
    return {name: version for name, version in known.items() if version is not None}
