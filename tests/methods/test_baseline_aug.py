from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import Tiny
from tiny import CLASSES, message, some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.method.registry import discover, resolve
from rsir_bench.methods.baseline_aug import BaselineAug, BaselineAugSettings, affine_map
from rsir_bench.nn.warp import affine
from rsir_bench.runs.plan import make_plan
from rsir_bench.runs.runners.campaign import campaign
from rsir_bench.scenes.batches import Batch
from rsir_bench.training.device import make_fabric
from rsir_bench.training.loop import loss_terms

NAME = "baseline-aug"
STILL = {"rotation": 0, "scale": 1, "shear": 0, "shift": 0, "gain": 0, "bias": 0, "gamma": 1}


def build(bands: int = 3, **settings: float) -> BaselineAug:
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    return tiny_method(NAME, setup, **{NAME: settings})


def view(scenes: torch.Tensor, seed: int = 0, **settings: float) -> torch.Tensor:
    count = len(scenes)
    batch = Batch(scenes, torch.zeros(count, dtype=torch.int64), torch.arange(count))
    chance = torch.Generator().manual_seed(seed)
    return build(scenes.shape[1], **settings).augment(batch, chance).scenes


# --- the map ---


def test_the_map_is_the_product_of_its_parts():
    chance = np.random.default_rng(0)
    angle, shear = chance.uniform(-3, 3, 5), chance.uniform(-0.5, 0.5, 5)
    scales, shift = chance.uniform(0.5, 2, (5, 2)), chance.uniform(-0.3, 0.3, (5, 2))
    theta = affine_map(*(torch.from_numpy(part) for part in (angle, scales, shear, shift))).numpy()
    for n in range(5):
        turn = np.array([[np.cos(angle[n]), -np.sin(angle[n])], [np.sin(angle[n]), np.cos(angle[n])]])
        tilt = np.array([[1, np.tan(shear[n])], [0, 1]])
        expected = np.column_stack([turn @ tilt @ np.diag(scales[n]), 2 * shift[n]])
        np.testing.assert_allclose(theta[n].reshape(2, 3), expected, atol=1e-12)


def test_a_quarter_turn_and_a_shift_against_torch():
    scenes, zero, one = some_scenes(1), torch.zeros(1), torch.ones(1, 2)
    turned = affine(scenes, affine_map(torch.tensor([math.pi / 2]), one, zero, torch.zeros(1, 2)))
    torch.testing.assert_close(turned, torch.rot90(scenes, 1, (2, 3)), atol=1e-4, rtol=0)
    shifted = affine(scenes, affine_map(zero, one, zero, torch.tensor([[0.25, 0.0]])))
    torch.testing.assert_close(shifted[..., :24], scenes[..., 8:], atol=1e-4, rtol=0)  # a quarter of 32 px
    torch.testing.assert_close(shifted[..., 24:], scenes[..., -1:].expand(-1, -1, -1, 8), atol=1e-4, rtol=0)


# --- views ---


def test_without_ranges_nothing_changes():
    scenes = some_scenes(4, 13).clamp(0.001, 1)
    torch.testing.assert_close(view(scenes, **STILL), scenes, atol=1e-5, rtol=0)


@pytest.mark.parametrize("setting", list(STILL))
def test_each_range_changes_each_scene_differently(setting):
    scenes = some_scenes(1).expand(6, -1, -1, -1)
    usual = BaselineAugSettings().model_dump()[setting]
    views = view(scenes, **{**STILL, setting: usual})
    assert 0 <= views.min() < views.max() <= 1
    for number in range(6):
        assert not torch.allclose(views[number], scenes[number], atol=1e-3)
        assert not torch.allclose(views[number], views[number - 1], atol=1e-3)


@pytest.mark.parametrize("bands", [3, 13])
def test_gains_per_band_and_a_shared_bias_within_their_ranges(bands):
    scenes = torch.linspace(0.3, 0.6, 64).view(1, 1, 8, 8).expand(200, bands, 8, 8)
    views = view(scenes, **{**STILL, "gain": 0.2, "bias": 0.1}).double()
    low, high = views[..., 0, 0], views[..., -1, -1]
    gains = (high - low) / 0.3
    bias = low - 0.3 * gains
    assert 0.8 - 1e-4 <= gains.min() < 0.82 < 1.18 < gains.max() <= 1.2 + 1e-4
    assert -0.1 - 1e-4 <= bias.min() < -0.09 < 0.09 < bias.max() <= 0.1 + 1e-4
    assert (bias.std(1) < 1e-5).all()
    assert (gains.std(1) > 1e-3).all()


def test_one_gamma_for_all_bands_of_a_scene():
    scenes = torch.full((300, 3, 4, 4), 0.5)
    powers = view(scenes, **{**STILL, "gamma": 1.5}).double().log() / math.log(0.5)
    assert (powers.flatten(1).std(1) < 1e-5).all()
    logarithms = powers.mean((1, 2, 3)).log() / math.log(1.5)
    assert -1 - 1e-4 <= logarithms.min() < -0.95 < 0.95 < logarithms.max() <= 1 + 1e-4
    assert abs(logarithms.mean()) < 0.12


def test_chance_comes_from_the_generator_alone():
    scenes = some_scenes(4)
    first = view(scenes, seed=3)
    torch.manual_seed(99)
    assert torch.equal(view(scenes, seed=3), first)
    assert not torch.equal(view(scenes, seed=4), first)
    method = build()
    before = torch.random.get_rng_state()
    method.augment(some_batch(), torch.Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_the_scenes_change():
    batch = some_batch()
    scenes = batch.scenes.clone()
    changed = build().augment(batch, torch.Generator().manual_seed(0))
    assert torch.equal(batch.scenes, scenes)
    assert torch.equal(changed.labels, batch.labels)
    assert torch.equal(changed.index, batch.index)


# --- the network ---


def test_it_is_the_plain_network():
    ours, plain = tiny_method(NAME, tiny_setup()).eval(), tiny_method("baseline", tiny_setup()).eval()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in ours.state_dict().items())
    batch = some_batch()
    assert torch.equal(ours.loss(batch), plain.loss(batch))
    rows = ours.describe(batch.scenes)
    assert all(torch.equal(rows[name], values) for name, values in plain.describe(batch.scenes).items())
    assert {row.paper for row in ours.card.rows.values()} == {None}


def test_it_overfits_under_augmentation_and_every_tensor_learns():
    method = build(rotation=5, scale=1.05, shear=2, shift=0.02).train()
    batch, chance = some_batch(32), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    losses = []
    for _ in range(60):
        terms, loss = loss_terms(method, method.augment(batch, chance), make_fabric("cpu", "32"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert set(terms) == {"loss"}
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_shapes_and_settings():
    shapes = {name: tuple(rows.shape) for name, rows in build(13).eval().describe(some_scenes(3, 13)).items()}
    assert shapes == {"FC": (3, CLASSES), "FC1": (3, 16)}
    for settings in ({"scale": 0.9}, {"rotation": 200}, {"shear": 90}, {"gain": -0.1}):
        assert NAME in message(lambda settings=settings: resolve(NAME, discover(), {NAME: settings}, {}))


def test_training_uses_the_views(tiny: Tiny):
    descriptors = {}
    still = [f"methods.{NAME}.{key}={value}" for key, value in STILL.items()]
    for label, methods, overrides in (("plain", "baseline", []), ("aug", NAME, []), ("still", NAME, still)):
        request = tiny.request(methods, out=label, overrides=overrides)
        cell = next(cell for cell in make_plan(request).runs[0].cells if cell.row_name == "FC")
        assert campaign(request, lambda _: None).failures == {}
        descriptors[label] = np.load(cell.descriptors)
    distance = {label: np.abs(rows - descriptors["plain"]).max() for label, rows in descriptors.items()}
    assert distance["still"] < 0.2 * distance["aug"]
