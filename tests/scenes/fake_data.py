"""Small trees in the layouts of the real archives: the same folder and file names, a few tiny scenes of noise."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from rsir_bench.scenes.card import DatasetCard, SceneClass, load_cards

RSSCN7_FOLDERS = {
    "grass": "aGrass",
    "field": "bField",
    "industry": "cIndustry",
    "rivers-lakes": "dRiverLake",
    "forest": "eForest",
    "resident": "fResident",
    "parking": "gParking",
}
RS19_FOLDERS = {"football field": "footballField", "railway station": "railwayStation"}
EUROSAT_FOLDERS = {
    "industrial buildings": "Industrial",
    "residential buildings": "Residential",
    "sea and lake": "SeaLake",
}


def archive_path(dataset: str, class_name: str, number: int) -> str:
    """Return the path of a scene in the original archive, relative to the data root; numbers start at 1."""
    lower = class_name.lower()
    camel = "".join(word.capitalize() for word in lower.split())
    if dataset == "patternnet":
        return f"PatternNet/images/{lower.replace(' ', '_')}/{lower.replace(' ', '')}{number:03d}.jpg"
    if dataset == "rs19":
        folder = RS19_FOLDERS.get(class_name, camel)
        return f"WHU-RS19/{folder}/{folder[0].lower()}{folder[1:]}_{number:02d}.jpg"
    if dataset == "ucm":
        folder = lower.replace(" ", "")
        return f"UCMerced_LandUse/Images/{folder}/{folder}{number - 1:02d}.tif"
    if dataset == "rsscn7":
        folder = RSSCN7_FOLDERS[class_name]
        return f"RSSCN7/{folder}/{folder[0]}{number:03d}.jpg"
    if dataset == "aid":
        return f"AID/{camel}/{camel.lower()}_{number}.jpg"
    if dataset == "nwpu":
        folder = lower.replace(" ", "_")
        return f"NWPU-RESISC45/{folder}/{folder}_{number:03d}.jpg"
    if dataset == "eurosat":
        folder = EUROSAT_FOLDERS.get(class_name, camel)
        return f"EuroSATallBands/ds/images/remote_sensing/otherDatasets/sentinel_2/tif/{folder}/{folder}_{number}.tif"
    raise ValueError(dataset)


def small_card(dataset: str, scenes: int = 2, classes: int | None = None) -> DatasetCard:
    """Return the dataset's card with a few scenes per class, and with only the first ``classes`` if they are given."""
    card = load_cards()[dataset]
    kept = card.classes[:classes]
    return card.model_copy(
        update={"classes": tuple(SceneClass(name=c.name, scenes=scenes, folders=c.folders) for c in kept)}
    )


def write_scene(path: Path, bands: int = 3, size: int = 20, seed: int = 0) -> None:
    """Write noise: 8-bit RGB, or 16-bit bands in 0..3999 as from Sentinel-2."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    if bands == 3:
        Image.fromarray(random.integers(0, 256, (size, size, 3), np.uint8)).save(path)
    else:
        values = random.integers(0, 4000, (size, size, bands), np.uint16)
        tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")


def write_dataset(card: DatasetCard, data_root: Path, size: int = 20) -> Path:
    """Write all scenes of a (small) card in the layout of its archive; return the data root."""
    seed = 0
    for scene_class in card.classes:
        for number in range(1, scene_class.scenes + 1):
            seed += 1
            write_scene(data_root / archive_path(card.name, scene_class.name, number), card.bands, size, seed)
    return data_root


def write_archive(card: DatasetCard, archive: Path, scratch: Path) -> Path:
    """Write a zip file with the dataset's tree as in the original archive."""
    write_dataset(card, scratch)
    with zipfile.ZipFile(archive, "w") as content:
        for path in sorted(scratch.rglob("*")):
            content.write(path, path.relative_to(scratch).as_posix())
    return archive
