from __future__ import annotations

import pytest
import torch
from tiny import some_batch, some_scenes, tiny_method, tiny_setup

from rsir_bench.nn.hashing import pairwise_loss, quantisation_loss
from rsir_bench.records.paper import PAPER_TABLES, published


def test_the_published_row():
    row = tiny_method("dhn", tiny_setup()).card.rows["Hashing"]
    assert (row.descriptor, row.kind) == ("bits", "code")
    assert (*row.paper, "Hashing") in {(p.row.method, p.row.variant, p.row.pooling) for p in published(PAPER_TABLES[0])}


@pytest.mark.parametrize("bands", [3, 13])
def test_bits_by_hand(bands):
    setup = tiny_setup("trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    method = tiny_method("dhn", setup, dhn={"bits": 24}).eval()
    scenes = some_scenes(3, bands)
    fc1 = method.trunk(scenes) @ method.fc1.weight.T + method.fc1.bias
    bits = method.describe(scenes)["bits"]
    assert bits.shape == (3, 24)
    torch.testing.assert_close(bits, torch.tanh(fc1.clamp_min(0) @ method.hash.weight.T + method.hash.bias))


def test_loss_is_pairs_and_weighted_quantisation():
    method = tiny_method("dhn", tiny_setup(), dhn={"quantisation": 0.3}).eval()
    batch = some_batch()
    bits = method.describe(batch.scenes)["bits"]
    terms = method.loss(batch)
    torch.testing.assert_close(terms["pairs"], pairwise_loss(bits, batch.labels))
    torch.testing.assert_close(terms["quantisation"], 0.3 * quantisation_loss(bits))


@pytest.mark.parametrize("protocol", [0.001, 0.08])
def test_the_hash_layer_has_ten_times_the_papers_rate_under_every_protocol(protocol):
    method = tiny_method("dhn", tiny_setup(f"train.rate={protocol}"))
    rest, last = method.parameter_groups()
    assert (rest.rate, rest.absolute_rate) == (1, None)
    assert last.absolute_rate == 0.01
    assert {id(p) for p in last.parameters} == {id(p) for p in method.hash.parameters()}
    assert len(rest.parameters) + len(last.parameters) == len(list(method.parameters()))


def test_batches_hold_four_of_each_class():
    labels = torch.arange(40) % 5
    batches = tiny_method("dhn", tiny_setup()).batches(labels, 16, torch.Generator().manual_seed(0))
    assert [labels[batch].unique(return_counts=True)[1].tolist() for batch in batches] == [[4] * 4] * 3


def test_describing_in_bf16_keeps_tanh_exact():
    method = tiny_method("dhn", tiny_setup()).eval()
    with torch.autocast("cpu", torch.bfloat16):
        bits = method.describe(some_scenes())["bits"]
    assert bits.dtype == torch.float32


@pytest.mark.parametrize("width", [256, 4096])
def test_it_learns(width):
    method = tiny_method("dhn", tiny_setup(f"head.fc1={width}", "train.rate=0.03")).train()
    optimizer = torch.optim.SGD(
        [{"params": g.parameters, "lr": 0.03 * g.rate} for g in method.parameter_groups()], momentum=0.9
    )
    batch = some_batch(16)
    losses = []
    for _ in range(40):
        losses.append(sum(method.loss(batch).values()))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
