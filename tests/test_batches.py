from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import message

from rsir_bench.base.errors import UserError
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.batches import (
    COPIED_AT_ONCE,
    Batch,
    ResidentScenes,
    Scenes,
    balanced,
    balanced_of_size,
    batch_source,
    shuffled,
    unit_range,
)

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cache(count: int, seed: int, shape: tuple[int, int, int] = (6, 5, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


class TestScenes:
    def test_of_one_cache(self):
        pixels = cache(4, 0)
        scenes = Scenes.of(pixels, np.array([2, 0, 1, 1]))
        assert len(scenes) == 4
        assert scenes.labels.tolist() == [2, 0, 1, 1]
        assert scenes.labels.dtype == torch.int64
        np.testing.assert_array_equal(scenes.pixels(np.array([3, 0])).permute(0, 2, 3, 1).numpy(), pixels[[3, 0]])

    def test_many_caches_equal_naive_indexing(self):
        arrays = [cache(count, seed) for seed, count in enumerate((4, 1, 7))]
        parts = [Scenes.of(array, np.full(len(array), number)) for number, array in enumerate(arrays)]
        whole = parts[0] + (parts[1] + parts[2])
        naive = np.concatenate(arrays)
        index = np.array([11, 0, 4, 4, 3, 7])
        np.testing.assert_array_equal(whole.pixels(index).permute(0, 2, 3, 1).numpy(), naive[index])
        assert whole.labels.tolist() == [0] * 4 + [1] + [2] * 7

    def test_take_and_add_in_any_order(self):
        first, second = cache(5, 0), cache(6, 1)
        pool = Scenes.of(second, np.full(6, -1)).take(np.array([5, 2, 2]), torch.tensor([7, 8, 9]))
        joined = (Scenes.of(first, np.arange(5)).take(np.array([4, 1])) + pool).take(np.array([4, 2, 0]))
        naive = np.stack([second[2], second[5], first[4]])
        np.testing.assert_array_equal(joined.pixels(np.arange(3)).permute(0, 2, 3, 1).numpy(), naive)
        assert joined.labels.tolist() == [9, 7, 4]

    def test_nothing_taken(self):
        scenes = Scenes.of(cache(3, 0), np.arange(3))
        nothing = scenes.take(np.array([], np.int64))
        assert len(nothing) == 0
        assert len(scenes + nothing) == 3

    def test_caches_are_not_copied(self, tmp_path):
        np.save(tmp_path / "cache.npy", cache(4, 0))
        pixels = np.load(tmp_path / "cache.npy", mmap_mode="r")
        scenes = Scenes.of(pixels, np.arange(4)).take(np.array([1, 2])) + Scenes.of(pixels, np.arange(4))
        assert all(held is pixels for held in scenes.caches)

    def test_reading_a_read_only_cache_gives_writable_scenes(self, tmp_path):
        np.save(tmp_path / "cache.npy", cache(4, 0))
        pixels = np.load(tmp_path / "cache.npy", mmap_mode="r")
        scenes = Scenes.of(pixels, np.arange(4)).pixels(np.array([0, 1]))
        scenes.zero_()
        assert pixels[0].any()

    @pytest.mark.parametrize("parts", [1, 2])
    def test_batch(self, parts):
        arrays = [cache(4, seed) for seed in range(parts)]
        scenes = Scenes.of(arrays[0], np.array([5, 6, 7, 8]))
        for array in arrays[1:]:
            scenes = scenes + Scenes.of(array, np.array([1, 2, 3, 4]))
        index = torch.tensor([3, 1])
        batch = scenes.batch(index, CPU)
        assert batch.scenes.shape == (2, 3, 6, 5)
        assert batch.scenes.dtype == torch.float32
        assert batch.scenes.is_contiguous(memory_format=torch.channels_last)
        naive = torch.from_numpy(arrays[0][[3, 1]]).permute(0, 3, 1, 2) / 255
        torch.testing.assert_close(batch.scenes, naive, rtol=0, atol=1e-7)
        assert batch.labels.tolist() == [8, 6]
        assert batch.index.tolist() == [3, 1]

    def test_all_bands(self):
        pixels = cache(3, 0, (4, 4, 13))
        batch = Scenes.of(pixels, np.arange(3)).batch(torch.tensor([2]), CPU)
        assert batch.scenes.shape == (1, 13, 4, 4)
        assert batch.scenes[0, 12, 1, 2].item() == pytest.approx(pixels[2, 1, 2, 12] / 255)


class TestResidentScenes:
    @pytest.mark.parametrize("parts", [1, 2])
    def test_batches_are_those_that_are_read(self, parts):
        count = 2 * COPIED_AT_ONCE + 3
        scenes = Scenes.of(cache(count, 0), np.arange(count))
        if parts == 2:
            both = scenes + Scenes.of(cache(5, 1), np.arange(5))
            scenes = both.take(np.random.default_rng(2).permutation(len(both)))
        resident = ResidentScenes.of(scenes, CPU)
        assert resident.pixels.dtype == torch.uint8
        index = torch.tensor([3, 1, 1, *range(0, len(scenes), 100), len(scenes) - 1])
        read, held = scenes.batch(index, CPU), resident.batch(index)
        assert torch.equal(read.scenes, held.scenes)
        assert held.scenes.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(read.labels, held.labels)
        assert torch.equal(read.index, held.index)

    @pytest.mark.parametrize(("free", "resident"), [(720, True), (719, False)])
    def test_on_a_gpu_they_take_a_stated_share_of_its_free_memory_or_stay(self, monkeypatch, free, resident):
        scenes = Scenes.of(cache(4, 0), np.arange(4))  # 4 x 6 x 5 x 3 bytes
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**6))
        monkeypatch.setattr(ResidentScenes, "of", lambda scenes, _: ResidentScenes(torch.empty(0), scenes.labels))
        source = batch_source(scenes, torch.device("cuda"))
        assert isinstance(getattr(source, "__self__", None), ResidentScenes) == resident

    def test_on_a_cpu_they_are_read(self):
        scenes = Scenes.of(cache(4, 0), np.arange(4))
        assert batch_source(scenes, CPU)(torch.tensor([2])).labels.tolist() == [2]
        assert not hasattr(batch_source(scenes, CPU), "__self__")


def test_unit_range():
    values = unit_range(torch.arange(256, dtype=torch.uint8))
    assert values.dtype == torch.float32
    assert (values[0], values[255]) == (0, 1)
    assert torch.equal((values * 255).round().to(torch.uint8), torch.arange(256, dtype=torch.uint8))


class TestShuffled:
    @pytest.mark.parametrize(("count", "size"), [(1, 8), (8, 8), (9, 8), (64, 8), (65, 64), (1000, 64), (7, 2)])
    def test_every_scene_once_in_even_batches(self, count, size):
        batches = shuffled(count, size, generator())
        assert torch.cat(batches).sort().values.tolist() == list(range(count))
        sizes = [len(batch) for batch in batches]
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-count // size)

    def test_the_generator_decides(self):
        first, again, other = (torch.cat(shuffled(50, 8, generator(seed))).tolist() for seed in (1, 1, 2))
        assert first == again != other

    def test_global_chance_is_not_touched(self):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        shuffled(50, 8, generator())
        balanced(torch.arange(50) % 5, 3, 2, generator())
        assert torch.equal(torch.get_rng_state(), before)


class TestBalanced:
    LABELS = torch.tensor([0] * 10 + [1] * 10 + [2] * 3 + [5] * 17)

    def test_classes_times_scenes(self):
        for batch in balanced(self.LABELS, 3, 4, generator()):
            classes, counts = self.LABELS[batch].unique(return_counts=True)
            assert len(classes) == 3
            assert counts.tolist() == [4, 4, 4]

    def test_about_one_epoch(self):
        assert len(balanced(self.LABELS, 3, 4, generator())) == 4  # 40 scenes in batches of 12

    def test_scenes_repeat_only_where_a_class_is_too_small(self):
        for batch in balanced(self.LABELS, 4, 5, generator()):
            for label in (0, 1, 5):
                members = batch[self.LABELS[batch] == label]
                assert len(members.unique()) == len(members) == 5
            assert (self.LABELS[batch] == 2).sum() == 5

    def test_more_classes_than_there_are(self):
        batches = balanced(self.LABELS, 100, 2, generator())
        assert all(len(batch) == 8 for batch in batches)
        assert len(batches) == 5

    def test_every_class_and_every_scene_gets_its_turn(self):
        drawn = torch.cat([torch.cat(balanced(self.LABELS, 2, 4, generator(seed))) for seed in range(30)])
        assert len(drawn.unique()) == len(self.LABELS)

    def test_the_generator_decides(self):
        first, again, other = (torch.cat(balanced(self.LABELS, 2, 4, generator(seed))).tolist() for seed in (1, 1, 2))
        assert first == again != other

    @pytest.mark.parametrize(("size", "counts"), [(4, [2, 2]), (5, [2, 2]), (6, [3, 3]), (8, [4, 4]), (13, [4, 4, 4])])
    def test_of_a_size_two_scenes_or_more_of_two_classes_or_more(self, size, counts):
        for batch in balanced_of_size(self.LABELS, size, 4, generator()):
            assert self.LABELS[batch].unique(return_counts=True)[1].tolist() == counts

    @pytest.mark.parametrize("size", [2, 3])
    def test_a_size_without_a_positive_pair_is_refused(self, size):
        text = message(lambda: balanced_of_size(self.LABELS, size, 4, generator()))
        assert text == f"train.batch={size}: too small for two scenes of each of two classes; set 4 or more"

    @pytest.mark.parametrize("name", ["dhn", "milan", "t-nlnn"])
    def test_a_training_with_such_a_size_says_so(self, tiny, name):
        """Before anything starts."""
        with pytest.raises(UserError, match=r"train\.batch=3: too small for two scenes"):
            campaign(tiny.request(name, overrides=["train.batch=3"]), lambda _: None)
        assert not (tiny.folder / "runs").exists()


def test_with_scenes_leaves_the_batch():
    batch = Batch(torch.zeros(2, 3, 4, 4), torch.tensor([1, 2]), torch.tensor([5, 6]))
    other = batch.with_scenes(torch.ones(2, 3, 4, 4))
    assert batch.scenes.sum() == 0
    assert other.scenes.mean() == 1
    assert (other.labels.tolist(), other.index.tolist()) == ([1, 2], [5, 6])
