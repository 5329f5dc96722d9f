"""An epoch from the pixel cache against torchvision's ImageFolder and DataLoader: the same pixels, much sooner."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, PILToTensor, Resize

from rsir_bench.scenes.index import SceneIndex, resolve_dataset
from rsir_bench.scenes.pixel_cache import Transform, open_pixels

SIZE = 96
BATCH = 64


@pytest.fixture(scope="module")
def aid(shared: Path) -> SceneIndex:
    return resolve_dataset("aid", shared / "data")


def cached_epoch(pixels: np.ndarray, seed: int) -> int:
    order = np.random.default_rng(seed).permutation(len(pixels))
    seen = 0
    for start in range(0, len(order), BATCH):
        batch = torch.from_numpy(pixels[order[start : start + BATCH]])
        seen += len(batch)
    return seen


def folder_loader(index: SceneIndex) -> torch.utils.data.DataLoader:
    folder = ImageFolder(str(index.root), Compose([Resize((SIZE, SIZE)), PILToTensor()]))
    return torch.utils.data.DataLoader(folder, BATCH, shuffle=True, num_workers=2, persistent_workers=True)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.benchmark(group="epoch of AID at 96 px")
def test_cached_epoch_is_ten_times_as_fast_as_image_folder(benchmark, aid: SceneIndex) -> None:
    loader = folder_loader(aid)
    folder_seconds = []
    for _ in range(2):  # the first epoch starts the workers and fills the page cache
        start = perf_counter()
        assert sum(len(images) for images, _ in loader) == len(aid)
        folder_seconds.append(perf_counter() - start)

    pixels = open_pixels(aid, Transform(SIZE))
    assert cached_epoch(pixels, seed=0) == len(aid)
    benchmark.pedantic(cached_epoch, args=(pixels, 1), rounds=5, iterations=1)

    ratio = folder_seconds[1] / benchmark.stats["median"]
    benchmark.extra_info.update(image_folder_seconds=folder_seconds[1], ratio=ratio)
    print(f"\nImageFolder {folder_seconds[1]:.2f} s, cache {benchmark.stats['median']:.3f} s, ratio {ratio:.0f}")
    assert ratio >= 10


@pytest.mark.real
@pytest.mark.parametrize("dataset", ["ucm", pytest.param("aid", marks=pytest.mark.nightly)])
def test_all_cached_pixels_are_those_of_image_folder(dataset: str, shared: Path) -> None:
    index = resolve_dataset(dataset, shared / "data")
    pixels = open_pixels(index, Transform(SIZE))
    row = {str(index.root / path): position for position, path in enumerate(index.paths)}
    loader = folder_loader(index)
    order = [row[path] for path, _ in loader.dataset.samples]
    in_order = torch.utils.data.DataLoader(loader.dataset, BATCH, num_workers=2)

    start = 0
    for images, _ in in_order:
        expected = images.permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(pixels[order[start : start + len(images)]], expected)
        start += len(images)
    assert start == len(index)
