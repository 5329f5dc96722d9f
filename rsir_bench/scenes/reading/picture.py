"""Read JPEG, PNG, GIF, BMP, WebP, JPEG 2000 and PPM files through Pillow, where Pillow keeps every bit."""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec

import numpy as np
from PIL import Image, UnidentifiedImageError

from rsir_bench.base.errors import one_line
from rsir_bench.scenes.reading.content import Kind, check_size, limit_in_words
from rsir_bench.scenes.reading.deep_png import read_deep_png
from rsir_bench.scenes.reading.stored import Facts, Values
from rsir_bench.scenes.reading.unreadable import DamagedError, OtherBandsError, RefusedError, decoding, needs_codecs

ORIENTATION = 274
"""The EXIF tag of the rotation that a camera noted."""

_LAYOUTS = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey and alpha",
    "P": "palette",
    "PA": "palette and alpha",
    "RGB": "RGB",
    "RGBA": "RGB and alpha",
    "RGBX": "RGB",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
}
_DEEP_LAYOUTS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}


class Picture:
    """A file that Pillow identifies; its pixels are decoded when they are asked for.

    Raises:
        DamagedError: The head makes no sense.
        RefusedError: It is an animation, of more bits than can be read exactly, or larger than any scene.
    """

    def __init__(self, content: bytes, kind: Kind) -> None:
        self._content = content
        formats = ["JPEG", "MPO"] if kind is Kind.JPEG else [kind.value]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # check_size has its own limit
                self._image = Image.open(io.BytesIO(content), formats=formats)
        except UnidentifiedImageError as error:
            raise DamagedError("not an image") from error
        except Image.DecompressionBombError as error:
            raise RefusedError(f"{one_line(error)}; {limit_in_words()}") from error
        except Exception as error:
            with decoding("its header cannot be read"):
                raise error
        self._depth, self._channels = _depth(content, kind, self._image)
        check_size(self._image.height, self._image.width, self._channels, 2 if self._depth > 8 else 1)
        if kind is not Kind.JPEG and getattr(
            self._image, "is_animated", False
        ):  # a JPEG's further pictures are previews
            raise RefusedError("contains several images; save the scene as a separate image")

    @property
    def facts(self) -> Facts:
        """What the head says."""
        deep = self._depth > 8
        layout = _DEEP_LAYOUTS.get(self._channels, f"{self._channels} bands") if deep else _LAYOUTS[self._image.mode]
        natural = 3 if self._channels <= 4 else self._channels
        return Facts(
            height=self._image.height,
            width=self._image.width,
            bands=self._channels,
            natural=natural,
            type="uint16" if deep else "uint8",
            layout=layout,
            alpha=self._channels if layout in ("RGB and alpha", "grey and alpha") else 0,
            notes=self._rotation_note(),
        )

    def _rotation_note(self) -> tuple[str, ...]:
        try:
            rotation = self._image.getexif().get(ORIENTATION, 1)
        except Exception:  # noqa: BLE001 - whatever damaged EXIF data raise, they hold no rotation
            rotation = 1
        return () if rotation in (0, 1) else (ROTATION_NOTE,)

    def values(self, bands: int) -> Values:
        """Return the scene as (height, width, ``bands``), or (height, width, 1) where a grey scene serves for three.

        Raises:
            DamagedError: The file is cut off, or its bytes make no sense.
            OtherBandsError: It has other bands.
            RefusedError: It cannot be decoded exactly with what is installed.
        """
        if self._depth > 8:
            return self._deep(bands)
        if bands == 3:
            mode = "RGB"
        elif bands == self._channels and self._image.mode in ("L", "LA", "RGBA", "CMYK"):
            mode = self._image.mode
        else:
            raise OtherBandsError(f"holds {self.facts.natural} bands, not {bands}")
        with decoding("cannot be decoded"):
            values = np.asarray(self._image.convert(mode))
        return values[..., None] if values.ndim == 2 else values

    def _deep(self, bands: int) -> Values:
        found = self._channels
        if bands != found and not (bands == 3 and found <= 4):
            raise OtherBandsError(f"holds {self.facts.natural} bands, not {bands}")
        values = self._decoded()
        return values if bands == found else values[..., : 1 if found < 3 else 3]

    def _decoded(self) -> Values:
        """Return all bands of more than 8 bits, (height, width, channels) uint16."""
        if self._image.format == "PNG" and self._channels > 1:
            return read_deep_png(self._content)
        if self._image.format == "JPEG2000" and self._channels > 1:
            return _jpeg_2000(self._content)
        with decoding("cannot be decoded"):
            values = np.asarray(self._image).astype(np.uint16)[..., None]
        if self._image.format == "JPEG2000":
            return values >> (16 - self._depth)  # Pillow shifts them to the top of 16 bits
        return values


ROTATION_NOTE = "has a rotation tag, which is not applied (as in torchvision)"


def alpha_note(channels: int) -> str:
    """Return what is said of a file whose last band is tagged alpha."""
    return f"band {channels} is taken for alpha and left out; bands = {channels} in dataset.toml keeps it"


def _depth(content: bytes, kind: Kind, image: Image.Image) -> tuple[int, int]:
    """Return the bits of a value, 8 or the true number above, and the bands; Pillow's modes hide some of them.

    Raises:
        RefusedError: Pillow would lose bits, and nothing else can read the file.
    """
    if kind is Kind.PNG and len(content) > 25 and content[24] == 16:
        return 16, {0: 1, 2: 3, 4: 2, 6: 4}.get(content[25], len(image.getbands()))
    if kind is Kind.JPEG2000:
        return _depth_of_jpeg_2000(content, image)
    if kind is Kind.PPM:
        return _depth_of_ppm(content, image)
    if image.mode not in _LAYOUTS:
        raise RefusedError(f"pixels of Pillow's mode {image.mode}; save the scene as tif")
    return 8, len(image.getbands())


def _depth_of_ppm(content: bytes, image: Image.Image) -> tuple[int, int]:
    words = [word for line in content[:1000].split(b"\n") for word in line.partition(b"#")[0].split()]
    channels = len(image.getbands())
    if words[0] in (b"P1", b"P4") or len(words) < 4 or not words[3].isdigit() or int(words[3]) <= 255:
        return 8, channels
    if channels == 1 and int(words[3]) == 65_535:
        return 16, 1
    raise RefusedError(f"a PPM of values up to {int(words[3]):,}, which Pillow scales; save the scene as tif or PNG")


def _depth_of_jpeg_2000(content: bytes, image: Image.Image) -> tuple[int, int]:
    """Read the sizes of the components, which follow the start of the codestream."""
    at = content.find(b"\xff\x4f\xff\x51")
    count = int.from_bytes(content[at + 40 : at + 42], "big")
    sizes = content[at + 42 : at + 42 + 3 * count : 3]
    if at < 0 or len(sizes) < count or not count:
        raise DamagedError("a JPEG 2000 file without a header")
    depth, signed = max(size & 0x7F for size in sizes) + 1, any(size & 0x80 for size in sizes)
    if signed or depth > 16:
        raise RefusedError(f"JPEG 2000 of {'signed values' if signed else f'{depth} bits'}; save the scene as tif")
    if depth <= 8:
        if image.mode not in _LAYOUTS:
            raise RefusedError(f"JPEG 2000 of {count} bands; save the scene as tif")
        return 8, len(image.getbands())
    return depth, count


def _jpeg_2000(content: bytes) -> Values:
    """Read several bands of more than 8 bits, of which Pillow keeps 8."""
    if find_spec("imagecodecs") is None:
        raise needs_codecs("JPEG 2000 of more than 8 bits and several bands")
    import imagecodecs  # type: ignore[import-not-found, unused-ignore]

    with decoding("cannot be decoded"):
        return np.asarray(imagecodecs.jpeg2k_decode(content))
