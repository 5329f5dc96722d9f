"""Which pages of a tif are the scene, and what their bands mean."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from tifffile import PHOTOMETRIC, TiffPage

from rsir_bench.scenes.reading.unreadable import DamagedError, RefusedError

MOST_PAGES = 10_000


class Colours(StrEnum):
    """What the bands of a page mean."""

    GREY = "grey"
    RGB = "RGB"
    PALETTE = "palette"
    INKS = "CMYK"


_ALPHA = (1, 2)
"""Values of the tag ExtraSamples that mean alpha, multiplied in or not."""


def scene_pages(pages: Sequence[TiffPage]) -> tuple[list[TiffPage], tuple[str, ...]]:
    """Return the pages that hold the scene, one above the other, and notes on those left out.

    Reduced images and masks are left out by their tags, wherever they stand; after the first page of the scene come
    its further bands, on pages of the same size and type. Smaller pages after it are previews.

    Raises:
        DamagedError: There is no page.
        RefusedError: A later page is larger: which is the scene cannot be known.
    """
    if not pages:
        raise DamagedError("a tif without a page")
    if len(pages) > MOST_PAGES:
        raise RefusedError(f"a tif of {len(pages):,} pages; save the scene alone")
    for page in pages:
        _check_numbers(page)
    kept = [page for page in pages if not _is_aside(page)] or list(pages[:1])
    first = kept[0]
    alike = [page for page in kept if _shape(page) == _shape(first)]
    larger = next((page for page in kept if _area(page) > _area(first)), None)
    if larger is not None:
        sizes = f"{first.imagewidth} x {first.imagelength}, a later one {larger.imagewidth} x {larger.imagelength}"
        raise RefusedError(f"its first page is {sizes}; mark the smaller as reduced, or save the scene alone")
    left_out = len(pages) - len(alike)
    pages_in_words = "1 further page (preview or mask) is" if left_out == 1 else f"{left_out} further pages are"
    return alike, (f"{pages_in_words} left out",) if left_out else ()


def _check_numbers(page: TiffPage) -> None:
    """Refuse tags that are no single numbers where the format has one: tifffile takes them as they come."""
    for name in _NUMBERS:
        if not isinstance(getattr(page, name), int):
            raise DamagedError(f"its tag for {name} is not a number")
    if not all(isinstance(place, int) for place in (*page.dataoffsets, *page.databytecounts)):
        raise DamagedError("its places of strips or tiles are not numbers")


_NUMBERS = (
    *("imagewidth", "imagelength", "imagedepth", "tilewidth", "tilelength", "rowsperstrip"),
    *("samplesperpixel", "bitspersample", "planarconfig", "predictor", "fillorder"),
)


def _is_aside(page: TiffPage) -> bool:
    return bool(page.is_reduced or page.is_mask or page.photometric == PHOTOMETRIC.MASK)


def _shape(page: TiffPage) -> tuple[object, ...]:
    meaning = Colours.GREY if page.samplesperpixel == 1 and page.photometric in (0, 1) else page.photometric
    return page.imagewidth, page.imagelength, page.samplesperpixel, page.bitspersample, page.dtype, meaning


def _area(page: TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def colours_of(page: TiffPage) -> Colours:
    """Return what the bands of a page mean.

    Raises:
        RefusedError: Colours that cannot be taken for red, green and blue.
    """
    photometric, samples = page.photometric, page.samplesperpixel
    if photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MASK):
        return Colours.GREY
    if photometric == PHOTOMETRIC.RGB or (photometric == PHOTOMETRIC.YCBCR and page.compression in JPEGS):
        return Colours.RGB
    if photometric == PHOTOMETRIC.PALETTE and samples == 1 and page.colormap is not None:
        return Colours.PALETTE
    if photometric == PHOTOMETRIC.SEPARATED and samples >= 4:
        return Colours.INKS
    name = getattr(photometric, "name", str(photometric))
    raise RefusedError(f"{name} colours of {samples} bands; save the scene as RGB")


JPEGS = (6, 7, 33007, 34892)
"""Values of the tag Compression that mean JPEG."""


def has_alpha(page: TiffPage, colours: Colours) -> bool:
    """Return whether the only band beyond grey or colours is tagged alpha."""
    base = {Colours.GREY: 1, Colours.RGB: 3}.get(colours)
    tagged = [int(extra) for extra in page.extrasamples]
    return base is not None and page.samplesperpixel == base + 1 and len(tagged) == 1 and tagged[0] in _ALPHA


def layout_in_words(page: TiffPage, count: int, colours: Colours) -> str:
    """Return the bands of ``count`` pages in words."""
    samples = page.samplesperpixel
    if has_alpha(page, colours):
        words = f"{colours} and alpha"
    elif samples == {Colours.RGB: 3, Colours.INKS: 4}.get(colours, 1):
        words = colours.value
    else:
        words = f"{samples} bands"
    return words if count == 1 else f"{count} pages of {words}"


def is_inverted(page: TiffPage) -> bool:
    """Return whether 0 is white by the file's tag; values are taken as they are stored all the same."""
    return page.photometric == PHOTOMETRIC.MINISWHITE
