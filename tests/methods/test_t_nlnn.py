from __future__ import annotations

import pytest
import torch
from tiny import some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.nn.metric_losses import dual_anchor_loss, hard_triplets
from rsir_bench.records.paper import PAPER_TABLES, published


def test_the_published_row():
    row = tiny_method("t-nlnn", tiny_setup()).card.rows["PCA"]
    assert (row.descriptor, row.kind) == ("FC1", "pca")
    assert (*row.paper, "PCA") in {(p.row.method, p.row.variant, p.row.pooling) for p in published(PAPER_TABLES[0])}


@pytest.mark.parametrize(("bands", "size"), [(3, 32), (13, 64)])
def test_fc1_by_hand(bands, size):
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    method = tiny_method("t-nlnn", setup).eval()
    scenes = some_scenes(3, bands, size)
    pooled = method.block(method.trunk.maps(scenes)).flatten(2).mean(2)
    fc1 = pooled @ method.fc1.weight.T + method.fc1.bias
    described = method.describe(scenes)["FC1"]
    assert described.shape == (3, 16)
    torch.testing.assert_close(described, fc1 / fc1.norm(dim=1, keepdim=True))


def test_hard_mining_and_margin():
    method = tiny_method("t-nlnn", tiny_setup(), **{"t-nlnn": {"mining": "hard", "margin": 0.5}}).eval()
    batch = some_batch()
    embeddings = method.describe(batch.scenes)["FC1"]
    expected = dual_anchor_loss(embeddings, hard_triplets(embeddings, batch.labels), 0.5)
    torch.testing.assert_close(method.loss(batch), expected)


def test_random_mining_is_another_loss_for_another_seed():
    method = tiny_method("t-nlnn", tiny_setup()).eval()
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(method.loss(some_batch(16)))
    assert losses[0] == losses[1] != losses[2]


def test_gradients_reach_all_layers_of_the_block():
    torch.manual_seed(0)
    method = tiny_method("t-nlnn", tiny_setup("data.size=96", "trunk.arguments.zero_init_last=false"))
    batch = some_batch().with_scenes(some_scenes(8, size=96))  # maps of 3 x 3
    method.loss(batch).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in method.parameters())


def test_batches_hold_four_of_each_class():
    labels = torch.arange(40) % 5
    batches = tiny_method("t-nlnn", tiny_setup()).batches(labels, 16, torch.Generator().manual_seed(0))
    assert [labels[batch].unique(return_counts=True)[1].tolist() for batch in batches] == [[4] * 4] * 3


@pytest.mark.parametrize("mining", ["random", "hard"])
def test_it_learns(mining):
    method = tiny_method("t-nlnn", tiny_setup(), **{"t-nlnn": {"mining": mining}}).train()
    optimizer = torch.optim.SGD(method.parameters(), 0.03, momentum=0.9)
    batch = some_batch(16)
    losses = []
    for _ in range(40):
        losses.append(method.loss(batch))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5])
