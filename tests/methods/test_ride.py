from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from tiny import message, some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.methods.ride import RotatedBatch, rotated
from rsir_bench.records.paper import PAPER_TABLES, published


def test_the_published_row():
    rows = tiny_method("ride", tiny_setup()).card.rows
    assert (rows["PCA"].descriptor, rows["PCA"].kind) == ("embedding", "pca")
    assert (rows["Embedding"].descriptor, rows["Embedding"].kind) == ("embedding", "real")
    names = {(p.row.method, p.row.variant, p.row.pooling) for p in published(PAPER_TABLES[0])}
    assert (*rows["PCA"].paper, "PCA") in names


@pytest.mark.parametrize("bands", [3, 13])
def test_unit_embeddings_by_hand(bands):
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    method = tiny_method("ride", setup, ride={"dimensions": 24}).eval()
    scenes = some_scenes(3, bands)
    values = method.trunk(scenes) @ method.embed.weight.T + method.embed.bias
    embedding = method.describe(scenes)["embedding"]
    assert embedding.shape == (3, 24)
    torch.testing.assert_close(embedding, values / values.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(("rotations", "step"), [(4, 1), (8, 2)])
def test_quarter_turns_are_exact(rotations, step):
    scenes = some_scenes(8)
    rotation = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    expected = torch.stack([torch.rot90(scene, int(k), (1, 2)) for scene, k in zip(scenes, rotation, strict=True)])
    assert torch.equal(rotated(scenes, rotation * step, rotations), expected)


@pytest.mark.parametrize("eighth", [1, 3, 5, 7])
def test_a_spot_goes_counter_clockwise_around_the_middle(eighth):
    scenes = torch.zeros(1, 1, 41, 41)
    scenes[0, 0, 20, 32] = 1.0  # right of the middle by 12
    turned = rotated(scenes, torch.tensor([eighth]), 8)[0, 0]
    y, x = divmod(int(turned.argmax()), 41)
    angle = eighth * math.pi / 4
    assert x - 20 == pytest.approx(12 * math.cos(angle), abs=0.6)
    assert 20 - y == pytest.approx(12 * math.sin(angle), abs=0.6)


def test_corners_are_reflections_and_not_black():
    turned = rotated(torch.full((1, 3, 32, 32), 0.7), torch.tensor([1]), 8)
    torch.testing.assert_close(turned, torch.full_like(turned, 0.7))
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    corner = rotated(ramp, torch.tensor([1]), 8)[0, 0, 0, 0]  # looks over the upper edge, at the middle of a row
    assert corner == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rotations", [4, 8])
def test_views_are_drawn_by_the_generator_and_known_to_the_batch(rotations):
    method = tiny_method("ride", tiny_setup(), ride={"rotations": rotations})
    batch = some_batch(64)
    first, again, other = (method.augment(batch, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.scenes, again.scenes)
    assert not torch.equal(first.rotation, other.rotation)
    assert first.rotation.unique().tolist() == list(range(rotations))
    assert torch.equal(first.scenes, rotated(batch.scenes, first.rotation, rotations))
    assert torch.equal(first.with_scenes(batch.scenes).rotation, first.rotation)


def test_loss_against_the_bank():
    method = tiny_method("ride", tiny_setup(), ride={"scene": 0.3, "temperature": 0.2}).eval()
    batch = some_batch()
    zero, one = (RotatedBatch(batch.scenes, batch.labels, batch.index, torch.full((8,), turn)) for turn in (0, 1))
    method.loss(zero)
    terms = method.loss(one)
    f = method.describe(batch.scenes)["embedding"]
    similar = torch.exp(f @ f.T / 0.2)  # the bank holds each scene twice, as the same embedding
    own = similar.diagonal()
    total = 2 * similar.sum(1) - own
    same = batch.labels[:, None] == batch.labels
    torch.testing.assert_close(terms["class"], -((2 * (similar * same).sum(1) - own) / total).log().mean())
    torch.testing.assert_close(terms["scene"], -0.3 * (own / total).log().mean())
    assert method.epoch_metrics() == {"bank": pytest.approx(8 * 2 / (20 * 4))}


def test_the_bank_moves_with_the_network_and_is_in_the_checkpoint():
    method = tiny_method("ride", tiny_setup()).train()
    method.loss(some_batch())
    kept = method.state_dict()
    assert {"bank.features", "bank.seen", "bank.labels"} <= kept.keys()
    again = tiny_method("ride", tiny_setup(), seed=1).train()
    again.load_state_dict(kept)
    assert {k: v.item() for k, v in again.loss(some_batch()).items()} == {
        k: v.item() for k, v in method.loss(some_batch()).items()
    }


def test_describing_leaves_the_bank():
    method = tiny_method("ride", tiny_setup()).eval()
    method.loss(some_batch())
    before = method.bank.features.clone()
    with torch.inference_mode():
        method.describe(some_scenes(5, seed=3))
    assert torch.equal(method.bank.features, before)


def test_a_scene_the_network_was_not_built_for():
    method = tiny_method("ride", tiny_setup())
    batch = dataclasses.replace(some_batch(), index=torch.arange(8) + 13)
    assert "scene 20 in a bank of 20 rows" in message(lambda: method.loss(batch))


def test_rate_scales_the_protocols():
    setup = tiny_setup()
    assert tiny_method("ride", setup).recipe(setup.protocol.train) == setup.protocol.train
    scaled = tiny_method("ride", setup, ride={"rate": 100.0}).recipe(setup.protocol.train)
    assert scaled.rate == 100 * setup.protocol.train.rate


def test_finite_in_bf16():
    method = tiny_method("ride", tiny_setup())
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            terms = method.loss(some_batch())
        sum(terms.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters() if parameter.grad is not None)


def test_it_learns():
    method = tiny_method("ride", tiny_setup()).train()
    optimizer = torch.optim.SGD(method.parameters(), 0.03, momentum=0.9)
    batch, generator = some_batch(16), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(30):
        losses.append(sum(method.loss(method.augment(batch, generator)).values()))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]
