"""Draw the scenes and train the networks of the exact stage: ``python -m rsir_bench.runs.golden.make`` in a checkout.

Only needed where the stage's protocol or the parts of a network change; then ``rsir-bench drift --exact --accept
"REASON"`` makes the expected values.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from safetensors.torch import load_file, save_file

from rsir_bench.base.progress import log
from rsir_bench.runs.golden.golden import FOLDER, request
from rsir_bench.runs.runners.campaign import campaign

WIDTH, HEIGHT = 52, 40  # neither square nor of the protocol's size: the resize must matter
METHODS = ("baseline", "dhn")
CLASSES = 6
# Chosen so that rounding cannot swap a positive and a negative of any query.
SEED = 3


def main() -> None:
    """Write ``scenes/`` and ``checkpoints/``."""
    for name in ("scenes", "checkpoints"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    rng = np.random.default_rng(SEED)
    for name, each in (("source", 4), ("target", 4)):
        for class_index in range(CLASSES):
            for scene in range(each):
                _write(
                    FOLDER / "scenes" / name / f"class{class_index}" / f"scene{scene}", _draw(class_index, rng), scene
                )
    for class_index in range(2):
        stem = FOLDER / "scenes" / "lossy" / f"class{class_index}" / "scene0"
        stem.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_bytes(_draw(class_index, rng))).save(stem.with_suffix(".jpg"), quality=85)
        stem = FOLDER / "scenes" / "bands" / f"class{class_index}" / "scene0"
        stem.parent.mkdir(parents=True, exist_ok=True)
        bands = np.concatenate([_draw(class_index, rng), _draw(class_index + 1, rng)], axis=2)[..., :5]
        tifffile.imwrite(stem.with_suffix(".tif"), _words(bands), photometric="minisblack", planarconfig="contig")
    for name in ("source", "target", "bands"):  # their 16-bit scenes use the whole type
        (FOLDER / "scenes" / name / "dataset.toml").write_text("value_range = [0, 65535]\n")
    _train()


def _draw(class_index: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a scene, (H, W, 3) float64 in [0, 1]: stripes in the direction of its class, of any colour, in a shadow."""
    across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    angle = np.pi * (class_index + rng.normal(0, 0.25)) / CLASSES
    stripes = np.sin((across * np.cos(angle) + down * np.sin(angle)) * rng.uniform(0.5, 1.6) + rng.uniform(0, 6))
    centre, radius = rng.uniform(0, [WIDTH, HEIGHT]), rng.uniform(6, 16)
    shadow = (across - centre[0]) ** 2 + (down - centre[1]) ** 2 < radius**2
    values = (0.5 + 0.35 * stripes)[..., None] * rng.uniform(0.4, 1, 3)
    values[shadow] *= rng.uniform(0.3, 0.9)
    levels: npt.NDArray[np.float64] = np.round(np.clip(values, 0, 1) * 31) / 31  # few levels make small files
    return levels


def _write(stem: Path, values: npt.NDArray[np.float64], scene: int) -> None:
    """Write most scenes as png; one of each class as 16-bit tif, one as grey 16-bit png, one as 8-bit tif."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    if scene == 0:
        tifffile.imwrite(stem.with_suffix(".tif"), _words(values), photometric="rgb")
    elif scene == 1:
        Image.fromarray(_words(values[..., 0])).save(stem.with_suffix(".png"))
    elif scene == 2:
        Image.fromarray(_bytes(values)).save(stem.with_suffix(".tif"), compression="tiff_lzw")
    else:
        Image.fromarray(_bytes(values)).save(stem.with_suffix(".png"), optimize=True)


def _bytes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    return np.rint(values * 255).astype(np.uint8)


def _words(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    return np.rint(values * 65535).astype(np.uint16)


def _train() -> None:
    """Train each method and store its weights in half precision, which a network computes with exactly."""
    for method in METHODS:
        target = FOLDER / "checkpoints" / f"{method}.safetensors"
        target.parent.mkdir(exist_ok=True)
        target.touch()  # the stage runs every method that has one
    with tempfile.TemporaryDirectory() as name:
        outcome = campaign(request(Path(name)), log)
        for run in outcome.plan.runs:
            state = load_file(run.note(1).with_name("weights.safetensors"))
            halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
            save_file(halves, FOLDER / "checkpoints" / f"{run.method.name}.safetensors")


if __name__ == "__main__":
    main()
