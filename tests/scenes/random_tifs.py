"""Random valid tifs, written by tifffile, Pillow and, where it is installed, rasterio; with what they hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from rsir_bench.scenes.reading.tif_codecs import ZSTANDARD, libtiff_undoes

KINDS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]


@dataclass(frozen=True)
class RandomTif:
    """A tif and what it holds.

    Attributes:
        path: The file.
        stored: (H, W, B), the scene's values as they are stored; colours for a palette; 0..255 for less than 8 bits.
        pages: The numbers, from 0, of the pages that hold the scene.
        raw: Whether ``stored`` is what rasterio gives; not for palettes and less than 8 bits.
        lossy: Whether the compression changes values.
        words: How it was written.
    """

    path: Path
    stored: np.ndarray
    pages: tuple[int, ...]
    raw: bool
    lossy: bool
    words: str


def random_tif(folder: Path, number: int) -> RandomTif:
    """Returns tif ``number`` of the sequence; the writers take turns."""
    writers = [by_tifffile, by_pillow, *([by_rasterio] if find_spec("rasterio") else [])]
    chance = np.random.default_rng(number)
    return writers[number % len(writers)](folder / f"{number}.tif", chance)


def some(chance: np.random.Generator, *options: Any) -> Any:
    """Returns one of the options."""
    return options[int(chance.integers(len(options)))]


def values_of(chance: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns random values over the whole type; smooth or noisy; 12 bits in 16 now and then."""
    if kind == "bool":
        return chance.random(shape) < 0.5
    if kind.startswith("float"):
        values = chance.normal(0, 100, shape).astype(kind)
        if chance.random() < 0.2:
            values[0, 0] = np.nan
        return values
    limits = np.iinfo(kind)
    high = 4095 if kind == "uint16" and chance.random() < 0.4 else limits.max
    return chance.integers(max(limits.min, -(2**62)), high, shape, kind, endpoint=True)


def by_tifffile(path: Path, chance: np.random.Generator) -> RandomTif:
    """Writes with tifffile: pages, previews, masks, byte orders, tiles, predictors."""
    kind = some(chance, *KINDS)
    bands, options = _meaning(chance, kind)
    height, width = (int(side) for side in chance.integers(5, 60, 2))
    pages = 1 if bands > 1 else some(chance, 1, 1, 2, 5)
    planes = [values_of(chance, kind, (height, width, bands)) for _ in range(pages)]
    if chance.random() < 0.4:
        options["tile"] = some(chance, (16, 16), (32, 16), (64, 64))
    elif chance.random() < 0.5:
        options["rowsperstrip"] = int(chance.integers(1, 9))
    options |= _packing(chance, kind)
    order, big = some(chance, "<", ">"), bool(chance.random() < 0.3)
    reduced, mask = chance.random() < 0.25, chance.random() < 0.2
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=big) as tif:
        if reduced:
            tif.write(np.zeros((3, 4), np.uint8), subfiletype=1, photometric="minisblack", metadata=None)
        for plane in planes:
            tif.write(_arranged(plane, options), metadata=None, **options)
        if mask:
            tif.write(np.ones((height, width), bool), subfiletype=4, photometric="mask", metadata=None)
    stored = np.concatenate(planes, axis=2)
    raw = True
    if options["photometric"] == "palette":
        colours = options["colormap"]
        stored, raw = np.moveaxis(colours[:, stored[..., 0]] // 256, 0, 2).astype(np.uint8), False
    if kind == "bool":
        stored, raw = stored.astype(np.uint8) * 255, False
    if options["photometric"] == "separated":  # rasterio turns inks into red, green and blue
        raw = False
    words = (
        f"tifffile {kind} x{bands} {pages} pages {order}{' big' if big else ''} {reduced=} {mask=} {_plain(options)}"
    )
    first = int(reduced)
    return RandomTif(path, stored, tuple(range(first, first + pages)), raw, False, words)


def _meaning(chance: np.random.Generator, kind: str) -> tuple[int, dict[str, Any]]:
    """Returns the bands and what they mean."""
    options: dict[str, Any] = {}
    photometric = some(chance, "minisblack", "minisblack", "miniswhite", "rgb", "rgb", "palette", "separated")
    if kind == "bool":
        photometric, bands = some(chance, "minisblack", "miniswhite"), 1
    elif photometric == "palette":
        if kind != "uint8":
            return _meaning(chance, kind)
        bands, options["colormap"] = 1, chance.integers(0, 65_536, (3, 256)).astype(np.uint16)
    elif photometric == "rgb":
        bands = some(chance, 3, 3, 4, 4, 5, 8)
        if bands > 3:
            extra = some(chance, "unspecified", "unassalpha", "assocalpha")
            options["extrasamples"] = [*["unspecified"] * (bands - 4), extra]
    elif photometric == "separated":
        if kind not in ("uint8", "uint16"):
            return _meaning(chance, kind)
        bands = 4
    else:
        bands = some(chance, 1, 1, 2, 3, 4, 6, 13)
    options["photometric"] = photometric
    if bands > 1:
        options["planarconfig"] = some(chance, "contig", "separate")
    return bands, options


def _packing(chance: np.random.Generator, kind: str) -> dict[str, Any]:
    """Returns a compression that the installed tifffile can write, and a predictor that fits the type."""
    if kind == "bool" or chance.random() < 0.35:
        return {}
    if not find_spec("imagecodecs"):
        return {"compression": some(chance, "zlib", "lzma")}
    packed = some(chance, "zlib", "lzw", "zstd", "packbits", "lzma")
    if packed in ("zlib", "lzw", "zstd") and chance.random() < 0.6:
        return {"compression": packed, "predictor": 3 if kind.startswith("float") else 2}
    return {"compression": packed}


def _arranged(plane: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    if plane.shape[2] == 1:
        return plane[..., 0]
    return np.moveaxis(plane, 2, 0) if options["planarconfig"] == "separate" else plane


def by_pillow(path: Path, chance: np.random.Generator) -> RandomTif:
    """Writes with Pillow: its modes and the compressions of its libtiff."""
    mode = some(chance, "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
    height, width = (int(side) for side in chance.integers(5, 60, 2))
    kind, bands = {"I;16": ("uint16", 1), "I": ("int32", 1), "F": ("float32", 1)}.get(mode, ("uint8", len(mode)))
    if mode in ("1", "P"):
        bands = 3 if mode == "P" else 1
    stored = values_of(chance, kind, (height, width, bands))
    if mode == "P":
        image = Image.fromarray(stored).quantize(int(chance.integers(2, 200)))
        stored = np.asarray(image.convert("RGB"))
    elif mode == "1":
        image = Image.fromarray(stored[..., 0] > 127)
        stored = np.where(stored > 127, 255, 0).astype(np.uint8)
    else:
        image = Image.frombytes(mode, (width, height), stored.tobytes())
    packings = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma"]
    packings += ["zstd"] if libtiff_undoes(ZSTANDARD) else []
    if mode == "1":
        packings = [None, "group4", "group3", "tiff_lzw", "packbits"]
    packed = some(chance, *packings, *(["jpeg"] if mode in ("L", "RGB") else []))
    options: dict[str, Any] = {"compression": packed} if packed else {}
    if chance.random() < 0.3:
        options["big_tiff"] = True
    if chance.random() < 0.15:
        options["tiffinfo"] = {274: int(chance.integers(1, 9))}
    image.save(path, **options)
    raw = mode not in ("1", "P", "CMYK")  # rasterio turns inks into red, green and blue
    return RandomTif(path, stored, (0,), raw, packed == "jpeg", f"Pillow {mode} {_plain(options)}")


def by_rasterio(path: Path, chance: np.random.Generator) -> RandomTif:
    """Writes with rasterio: GDAL's compressions, interleaving, predictors and numbers of bits."""
    import rasterio
    from rasterio.enums import ColorInterp

    kind = some(chance, "uint8", "uint8", "uint16", "uint16", "int8", "int16", "uint32", "int32", "float32", "float64")
    bands = some(chance, 1, 1, 2, 3, 3, 4, 4, 5, 13)
    packed = some(chance, None, "lzw", "lzw", "deflate", "zstd", "packbits", "lzma", "lerc", "jpeg")
    if packed == "jpeg":
        kind, bands = "uint8", some(chance, 1, 3)
    elif packed == "lerc" and kind == "int8":
        packed = "lzw"
    height, width = (int(side) for side in chance.integers(5, 60, 2))
    stored = values_of(chance, kind, (height, width, bands))
    if packed == "lerc":
        stored = np.nan_to_num(stored)  # GDAL writes something else for NaN, and where the order of bytes is big
    options = _of_gdal(chance, kind, bands, packed)
    if options.get("nbits"):
        stored = stored & 4095
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape = {"height": height, "width": width, "count": bands, "dtype": kind}
        with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
            file.write(np.moveaxis(stored, 2, 0))
            if bands == 4 and chance.random() < 0.3:
                file.colorinterp = [*file.colorinterp[:3], ColorInterp.alpha]
    raw = options.get("photometric") != "YCBCR"  # GDAL widens the colours in another way than Pillow and tifffile
    return RandomTif(path, stored, (0,), raw, packed == "jpeg", f"rasterio {kind} x{bands} {_plain(options)}")


def _of_gdal(chance: np.random.Generator, kind: str, bands: int, packed: str | None) -> dict[str, Any]:
    """Returns GDAL's options for a layout."""
    options: dict[str, Any] = {"interleave": some(chance, "pixel", "band"), "BIGTIFF": some(chance, "YES", "NO")}
    options["ENDIANNESS"] = "LITTLE" if packed == "lerc" else some(chance, "LITTLE", "BIG")
    if packed:
        options["compress"] = packed
    if chance.random() < 0.4:
        options |= {"tiled": True, "blockxsize": some(chance, 16, 32), "blockysize": some(chance, 16, 48)}
    if bands >= 3 and packed != "jpeg" and kind in ("uint8", "uint16"):
        options["photometric"] = some(chance, "MINISBLACK", "RGB")
    if packed == "jpeg" and bands == 3 and options["interleave"] == "pixel" and chance.random() < 0.5:
        options["photometric"] = "YCBCR"
    if kind == "uint16" and chance.random() < 0.15 and packed in (None, "lzw", "deflate"):
        options["nbits"] = 12
    elif packed in ("lzw", "deflate", "zstd") and chance.random() < 0.6:
        options["predictor"] = 3 if kind.startswith("float") else 2
    if chance.random() < 0.2 and kind != "int8":
        options["nodata"] = 0
    return options


def _plain(options: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items() if name != "colormap")


def of_rasterio(tif: RandomTif) -> np.ndarray:
    """Returns the scene as rasterio reads it, (H, W, B)."""
    import rasterio

    planes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for page in tif.pages:
            with rasterio.open(f"GTIFF_DIR:{page + 1}:{tif.path}") as file:
                planes.append(np.moveaxis(file.read(), 0, 2))
    return np.concatenate(planes, axis=2)


Writer = Callable[[Path, np.random.Generator], RandomTif]
