"""Read tifs of any layout through tifffile: the values that are stored, as rasterio gives them."""

from __future__ import annotations

import io
import logging
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError
from tifffile import COMPRESSION, TiffPage

from rsir_bench.scenes.reading import tif_codecs
from rsir_bench.scenes.reading.content import check_size
from rsir_bench.scenes.reading.picture import ORIENTATION, ROTATION_NOTE
from rsir_bench.scenes.reading.stored import Facts, Values, to_8_bit
from rsir_bench.scenes.reading.tif_pages import (
    JPEGS,
    Colours,
    colours_of,
    has_alpha,
    is_inverted,
    layout_in_words,
    scene_pages,
)
from rsir_bench.scenes.reading.unreadable import DamagedError, OtherBandsError, RefusedError, decoding, needs_codecs

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it says of odd tags is told by whoever asks

NODATA_TAG = 42113
"""GDAL's tag of the missing value."""

BILEVEL = (2, 3, 4)
"""Compressions of fax machines."""


class Tif:
    """A tif; its pixels are decoded when they are asked for.

    Raises:
        DamagedError: The head makes no sense.
        RefusedError: Its values or colours cannot be read exactly, or it is larger than any scene.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        with decoding("its header cannot be read"):
            self._tif = tifffile.TiffFile(io.BytesIO(content))
            everything = [page for page in self._tif.pages if isinstance(page, TiffPage)]
        self._pages, self._left_out = scene_pages(everything)
        self._page = self._pages[0]
        with decoding("its header cannot be read"):
            self._colours = colours_of(self._page)
        self._dtype = self._checked_type()
        self._numbers = [everything.index(page) for page in self._pages]

    def _checked_type(self) -> np.dtype[Any]:
        page, count = self._page, len(self._pages)
        if page.dtype is None or page.dtype.kind not in "buif":
            raise RefusedError(f"values of type {page.dtype or 'unknown'}; save real numbers of one type")
        if page.imagedepth != 1:
            raise RefusedError("a volume; save its planes as bands")
        if self._colours is Colours.PALETTE and count > 1:
            raise RefusedError("several pages of palettes; save the scene as RGB")
        check_size(page.imagelength, page.imagewidth, page.samplesperpixel * count, page.dtype.itemsize)
        if page.is_tiled:
            check_size(page.tilelength, page.tilewidth, page.samplesperpixel, page.dtype.itemsize)
        if self._tif.is_imagej and self._tif.imagej_metadata is not None:
            planes = int(self._tif.imagej_metadata.get("images", 1))
            if count == 1 and planes > 1:
                raise RefusedError(f"an ImageJ stack of {planes} planes behind one page; save a page for each")
        return page.dtype.newbyteorder("=")

    @cached_property
    def facts(self) -> Facts:
        """What the head says."""
        page, bits = self._page, self._page.bitspersample
        total = page.samplesperpixel * len(self._pages)
        alpha = has_alpha(page, self._colours) and len(self._pages) == 1
        small = self._dtype.kind in "bu" and bits <= 8
        colours = self._colours is Colours.PALETTE
        is_picture = total == 1 or alpha or colours or (self._colours is Colours.INKS and small and total == 4)
        notes = list(self._left_out)
        if len(self._pages) > 1:
            notes.append(f"its {len(self._pages)} pages are taken for bands")
        if small and bits < 8 and not colours:
            notes.append(f"values of {bits} bits are stretched to 0..255")
        if is_inverted(page):
            notes.append("0 is white by its tag; values are taken as stored")
        if (tag := page.tags.get(ORIENTATION)) is not None and tag.value not in (0, 1):
            notes.append(ROTATION_NOTE)
        return Facts(
            height=int(page.imagelength),
            width=int(page.imagewidth),
            bands=total,
            natural=3 if is_picture else total,
            type="uint8" if small or colours else str(self._dtype),
            layout=layout_in_words(page, len(self._pages), self._colours),
            nodata=self._nodata(),
            alpha=total if alpha else 0,
            notes=tuple(notes),
        )

    def _nodata(self) -> float | None:
        tag = self._page.tags.get(NODATA_TAG)
        try:
            return None if tag is None else float(str(tag.value).strip("\0 "))
        except ValueError:
            return None

    def values(self, bands: int) -> Values:
        """Return the scene as (height, width, ``bands``), or (height, width, 1) where a grey scene serves for three.

        Raises:
            DamagedError: The file is cut off, or its bytes make no sense.
            OtherBandsError: It has other bands.
            RefusedError: It is compressed in a way that nothing installed undoes.
        """
        facts = self.facts
        if bands != facts.natural and bands != facts.bands:
            raise OtherBandsError(f"holds {facts.natural} bands, not {bands}")
        if self._colours is Colours.PALETTE:
            if bands != 3:
                raise OtherBandsError(f"holds 3 bands, not {bands}")
            return self._looked_up(self._decoded_page(self._page, self._numbers[0]))
        decoded = self._decoded()
        if bands == facts.bands:
            return decoded
        if self._colours is Colours.INKS:
            return _printed(decoded)
        return decoded[..., : 1 if facts.bands < 3 else 3]

    def _decoded(self) -> Values:
        """Return all bands of all pages, those of the first page first."""
        planes = [self._decoded_page(page, number) for page, number in zip(self._pages, self._numbers, strict=True)]
        values = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)
        bits = self._page.bitspersample
        if values.dtype == bool:
            return to_8_bit(values.astype(np.uint8), 1)
        return to_8_bit(values, bits) if bits < 8 else values

    def _decoded_page(self, page: TiffPage, number: int) -> Values:
        """Return one page as (height, width, samples)."""
        self._check_whole(page)
        if not isinstance(page.compression, COMPRESSION):
            raise DamagedError(f"compression {page.compression}, which does not exist")
        if page.compression in (*JPEGS, *BILEVEL) or page.bitspersample in (2, 4):
            if (values := self._by_pillow(page, number)) is not None:
                return values
            if page.compression in JPEGS and page.planarconfig == 2:  # which imagecodecs takes for colours of its own
                raise RefusedError(
                    "JPEG of bands apart in a tif that Pillow does not open; save it without compression"
                )
        elif page.bitspersample % 8 == 0 or page.bitspersample == 1:
            missing = find_spec("imagecodecs") is None
            if tif_codecs.has_idle_predictor(page) or (missing and tif_codecs.needs_unpacking(page)):
                return _by_tifffile(tif_codecs.unpacked(self._content, [number]), number)
            if page.compression in tif_codecs.BY_TIFFFILE:
                return _by_tifffile(self._content, number)
        if find_spec("imagecodecs") is None:
            raise needs_codecs(_packing(page))
        return _by_tifffile(self._content, number)

    def _check_whole(self, page: TiffPage) -> None:
        ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if any(end > len(self._content) for end in ends):
            raise DamagedError(f"cut off: {len(self._content):,} bytes of {max(ends):,}")
        if not ends:
            raise DamagedError("a page without data")

    def _by_pillow(self, page: TiffPage, number: int) -> Values | None:
        """Return a page of up to 8 bits that libtiff decodes, (height, width, samples); None if it is another."""
        bits, samples = page.bitspersample, page.samplesperpixel
        if bits > 8 or (samples > 1 and bits < 8):
            return None
        if samples == 1:
            values = _by_libtiff(self._content, page, number)
        elif page.planarconfig == 2:
            planes = [tif_codecs.single_plane(self._content, number, plane) for plane in range(samples)]
            parts = [_by_libtiff(plane, page, number) for plane in planes]
            values = None if any(part is None for part in parts) else np.concatenate(parts, axis=2)  # type: ignore[arg-type]
        else:
            values = _by_libtiff(self._content, page, number) if self._is_rgb(page) else None
        if values is None or self._colours is Colours.PALETTE:
            return values
        if is_inverted(page) and samples == 1:
            values = 255 - values
        return values if bits == 8 else (values.astype(np.uint16) * (2**bits - 1) // 255).astype(np.uint8)

    def _is_rgb(self, page: TiffPage) -> bool:
        return self._colours is Colours.RGB and page.samplesperpixel == 3

    def _looked_up(self, indices: Values) -> Values:
        """Return the colours of a palette, as Pillow and libtiff scale them from 16 bits."""
        table = np.asarray(self._page.colormap)
        eight_bits = table if table.max() < 256 else table // 256
        with decoding("a colour that its palette does not have"):
            return np.ascontiguousarray(eight_bits.astype(np.uint8)[:, indices[..., 0].astype(int)].transpose(1, 2, 0))


def _by_libtiff(content: bytes, page: TiffPage, number: int) -> Values | None:
    """Return a page as Pillow's libtiff decodes it, (height, width, samples); None if it knows no such layout."""
    if ORIENTATION in page.tags:
        content = _upright(content, number)
    try:
        image = Image.open(io.BytesIO(content), formats=["TIFF"])
    except UnidentifiedImageError:
        return None
    with decoding("cannot be decoded"), image:
        image.seek(number)
        mode = {"1": "L", "YCbCr": "RGB"}.get(image.mode, image.mode)
        values = np.asarray(image.convert(mode))
    return values[..., None] if values.ndim == 2 else values


def _by_tifffile(content: bytes, number: int) -> Values:
    with decoding("cannot be decoded"):
        page = tifffile.TiffFile(io.BytesIO(content)).pages[number]
        assert isinstance(page, TiffPage)
        values = page.asarray()
        planes = page.samplesperpixel > 1 and page.planarconfig == 2
        shape = (page.samplesperpixel, page.imagelength, page.imagewidth)
        if planes:
            return np.ascontiguousarray(values.reshape(shape).transpose(1, 2, 0))
        return np.asarray(values.reshape(*shape[1:], shape[0]))


def _upright(content: bytes, number: int) -> bytes:
    """Return a copy without rotation, which Pillow would apply."""
    stream = io.BytesIO(content)
    with decoding("its header cannot be read"), tifffile.TiffFile(stream) as tif:
        page = tif.pages[number]
        assert isinstance(page, TiffPage)
        page.tags[ORIENTATION].overwrite(1)
    return stream.getvalue()


def _printed(inks: Values) -> Values:
    """Return cyan, magenta, yellow and black of 8 bits as red, green and blue, by Pillow."""
    height, width, _ = inks.shape
    return np.asarray(Image.frombytes("CMYK", (width, height), np.ascontiguousarray(inks).tobytes()).convert("RGB"))


def _packing(page: TiffPage) -> str:
    if page.bitspersample % 8:
        return f"values of {page.bitspersample} bits"
    return f"compression {COMPRESSION(page.compression).name}"
