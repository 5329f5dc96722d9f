"""A stage that trains in seconds: scenes, and the request that trains on them.

``python tests/mutations/stage.py`` makes the baseline again, three seeds for each start in ``results``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from rsir_bench.runs.request import Request

HERE = Path(__file__).parent
RESULTS = HERE / "results"
STARTS = {
    "scratch": ["trunk.weights=none", "trunk.frozen=[]", "train.rate=0.05"],
    "shifted": ["trunk.weights=shifted.safetensors"],
}
SEEDS = range(3)
CLASSES, PIXELS = 8, 32


def request(seeds: Sequence[int], start: str) -> Request:
    """Write the scenes into the working directory, and return what to run.

    The protocol names its source by a relative path, since another path would make another board.

    Args:
        seeds: One training each.
        start: ``scratch``: everything is learned, so that the effect of the schedule shows. ``shifted``: the weights of
            a trained network whose frozen layers have running means 0.75 standard deviations higher, as if from other
            scenes: a network that keeps them learns little, one that lets them go learns well, and the difference is
            large.
    """
    folder = Path()
    _write(folder / "source", 12, seed=1, tint=(1.0, 0.9, 0.8))
    _write(folder / "target", 8, seed=2, tint=(0.7, 0.9, 1.0))
    (folder / "weights").mkdir(exist_ok=True)
    shutil.copy(HERE / "shifted.safetensors", folder / "weights")
    return Request(
        methods=["baseline"],
        targets=["folder:target"],
        protocol=str(HERE / "trained.toml"),
        seeds=seeds,
        data_root=folder,
        out=folder / "runs",
        overrides=STARTS[start],
    )


def _write(folder: Path, each: int, seed: int, tint: tuple[float, float, float]) -> None:
    """Write stripes of any width under noise, whose direction tells the class; bmp, whose bytes no encoder changes."""
    chance = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(PIXELS), np.arange(PIXELS))
    for number in range(CLASSES):
        place = folder / f"class{number}"
        place.mkdir(parents=True, exist_ok=True)
        for scene in range(each):
            angle = np.pi * (number + chance.uniform(-0.3, 0.3)) / CLASSES
            waves = (across * np.cos(angle) + down * np.sin(angle)) * chance.uniform(0.5, 1.3) + chance.uniform(0, 6)
            values = (0.5 + 0.3 * np.sin(waves))[..., None] * np.array(tint) * chance.uniform(0.6, 1)
            values = values + chance.uniform(-0.25, 0.25, (PIXELS, PIXELS, 3))
            Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8)).save(place / f"scene{scene:02}.bmp")


def main() -> None:
    """Make the baseline."""
    from rsir_bench.base.progress import log
    from rsir_bench.publishing.publish import publish
    from rsir_bench.runs.runners.campaign import campaign

    shutil.rmtree(RESULTS, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        os.environ["RSIR_BENCH_CACHE"] = str(Path(name) / "cache")
        for start in STARTS:
            campaign(request(SEEDS, start), log)
        for path in publish([Path("runs")], RESULTS):
            log(str(path))


if __name__ == "__main__":
    main()
