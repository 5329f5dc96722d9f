from __future__ import annotations

import pytest
import torch
from tiny import some_batch, some_scenes, tiny_method, tiny_setup
from torch.nn import functional

from rsir_bench.records.paper import PAPER_TABLES, published


def test_the_published_row():
    row = tiny_method("milan", tiny_setup()).card.rows["Hashing"]
    assert (row.descriptor, row.kind) == ("bits", "code")
    assert (*row.paper, "Hashing") in {(p.row.method, p.row.variant, p.row.pooling) for p in published(PAPER_TABLES[0])}


@pytest.mark.parametrize("bands", [3, 13])
def test_bits_by_hand(bands):
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    method = tiny_method("milan", setup, milan={"bits": 24}).eval()
    scenes = some_scenes(3, bands)
    values = method.trunk(scenes)
    for layer in (method.layers[0], method.layers[2]):
        values = values @ layer.weight.T + layer.bias
        values = torch.where(values > 0, values, 0.2 * values)
    values = values @ method.hash.weight.T + method.hash.bias
    bits = method.describe(scenes)["bits"]
    assert bits.shape == (3, 24)
    torch.testing.assert_close(bits, 1 / (1 + torch.exp(-values)) - 0.5)


def test_loss_scene_by_scene():
    settings = {"bits": 8, "push": 0.5, "balance": 3.0, "margin": 0.4}
    method = tiny_method("milan", tiny_setup(), milan=settings).eval()
    batch = some_batch(3)
    batch.labels = torch.tensor([0, 0, 1])  # one triplet for each of the first two scenes
    shares = method.describe(batch.scenes)["bits"] + 0.5
    a, b, n = functional.normalize(shares)
    triplet = sum(max(0, ((x - y) ** 2).sum() - ((x - n) ** 2).sum() + 0.4) for x, y in ((a, b), (b, a))) / 2
    terms = method.loss(batch)
    torch.testing.assert_close(terms["triplet"], triplet)
    torch.testing.assert_close(terms["push"], -(0.5 / 8) * ((shares - 0.5) ** 2).sum(1).mean())
    torch.testing.assert_close(terms["balance"], 3 * ((shares.mean(1) - 0.5) ** 2).mean())


def test_adam_at_its_own_rate():
    setup = tiny_setup()
    train = setup.protocol.train.model_copy(update={"nesterov": True})
    recipe = tiny_method("milan", setup, milan={"rate": 0.002}).recipe(train)
    changed = {name for name, value in recipe if value != getattr(train, name)}
    assert changed == {"optimizer", "rate", "nesterov"}
    assert (recipe.optimizer, recipe.rate, recipe.nesterov) == ("adam", 0.002, False)


def test_batches_hold_four_of_each_class():
    labels = torch.arange(40) % 5
    batches = tiny_method("milan", tiny_setup()).batches(labels, 16, torch.Generator().manual_seed(0))
    assert [labels[batch].unique(return_counts=True)[1].tolist() for batch in batches] == [[4] * 4] * 3


def test_it_learns():
    method = tiny_method("milan", tiny_setup()).train()
    optimizer = torch.optim.Adam(method.parameters(), 5e-4)
    batch = some_batch(16)
    losses = []
    for _ in range(30):
        losses.append(sum(method.loss(batch).values()))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
