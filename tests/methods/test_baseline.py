from __future__ import annotations

import pytest
import torch
from tiny import CLASSES, some_batch, some_scenes, tiny_method, tiny_setup
from torch.nn import functional


def test_rows_of_the_papers_plain_network():
    method = tiny_method("baseline", tiny_setup())
    card = method.card
    assert (card.rows["FC"].descriptor, card.rows["FC"].kind) == ("FC", "real")
    assert (card.rows["PCA"].descriptor, card.rows["PCA"].kind) == ("FC1", "pca")
    assert card.rows["FC"].paper == ("ResNet34", "baseline")
    assert card.rows["PCA"].paper == ("ResNet34", "")


@pytest.mark.parametrize("bands", [3, 13])
def test_one_value_per_class_and_fc1(bands):
    method = tiny_method("baseline", tiny_setup("head.fc1=24", "trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands))
    shapes = {name: tuple(values.shape) for name, values in method.describe(some_scenes(3, bands)).items()}
    assert shapes == {"FC": (3, CLASSES), "FC1": (3, 24)}


def test_descriptors_by_hand():
    method = tiny_method("baseline", tiny_setup()).eval()
    scenes = some_scenes()
    pooled = method.trunk.backbone.forward_features((scenes - method.trunk.mean) / method.trunk.std).mean((2, 3))
    fc1 = pooled @ method.head.fc1.weight.T + method.head.fc1.bias
    rows = method.describe(scenes)
    torch.testing.assert_close(rows["FC1"], fc1)
    torch.testing.assert_close(rows["FC"], fc1.relu() @ method.head.fc2.weight.T + method.head.fc2.bias)


def test_loss_is_cross_entropy_of_the_classes():
    method = tiny_method("baseline", tiny_setup()).eval()
    batch = some_batch()
    logits = method.describe(batch.scenes)["FC"]
    expected = -logits.log_softmax(1)[torch.arange(8), batch.labels].mean()
    torch.testing.assert_close(method.loss(batch), expected)


def test_frozen_parts_get_no_gradient_and_all_others_do():
    method = tiny_method(
        "baseline", tiny_setup("trunk.frozen=['conv1', 'layer1']", "trunk.arguments.zero_init_last=false")
    )
    method.loss(some_batch()).backward()
    without = {name for name, parameter in method.named_parameters() if parameter.grad is None}
    frozen = ("trunk.backbone.conv1.", "trunk.backbone.layer1.")
    assert without == {name for name, _ in method.named_parameters() if name.startswith(frozen)}


def test_it_learns():
    torch.manual_seed(0)
    method = tiny_method("baseline", tiny_setup()).train()
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    batch = some_batch()
    losses = []
    for _ in range(12):
        losses.append(method.loss(batch))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    assert functional.cross_entropy(method.describe(batch.scenes)["FC"], batch.labels) < losses[0]


def test_the_same_seed_builds_the_same_network():
    first, again, other = (tiny_method("baseline", tiny_setup(), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())
