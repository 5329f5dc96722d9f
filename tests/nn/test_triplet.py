from __future__ import annotations

import pytest
import torch
from conftest import NO_ORACLES
from torch.nn import functional

from rsir_bench.nn.metric_losses import dual_anchor_loss, hard_triplets, random_triplets, triplet_loss

LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 1])


def some_embeddings(count=7, seed=0):
    values = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(values)


def distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True))


def some_triplets():
    return torch.tensor([0, 1, 4]), torch.tensor([2, 6, 1]), torch.tensor([1, 3, 5])


def test_losses_triplet_by_triplet():
    embeddings = some_embeddings()
    single = dual = 0.0
    for a, p, n in zip(*(embeddings[index] for index in some_triplets()), strict=True):
        one = max(0.0, distance(a, p) - distance(a, n) + 0.3)
        single += one / 3
        dual += (one + max(0.0, distance(p, a) - distance(p, n) + 0.3)) / 3
    assert triplet_loss(embeddings, some_triplets(), 0.3).item() == pytest.approx(single)
    assert dual_anchor_loss(embeddings, some_triplets(), 0.3).item() == pytest.approx(dual)
    assert single != dual / 2


def test_loss_as_in_pytorch_metric_learning():
    distances = pytest.importorskip("pytorch_metric_learning.distances", reason=NO_ORACLES)
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason=NO_ORACLES)
    embeddings = some_embeddings()
    theirs = losses.TripletMarginLoss(0.3, distance=distances.LpDistance(normalize_embeddings=False, power=2))
    total = theirs.compute_loss(embeddings, LABELS, some_triplets(), embeddings, LABELS)["loss"]["losses"]
    torch.testing.assert_close(triplet_loss(embeddings, some_triplets(), 0.3), total.mean())


def test_hard_triplets_as_in_pytorch_metric_learning():
    distances = pytest.importorskip("pytorch_metric_learning.distances", reason=NO_ORACLES)
    miners = pytest.importorskip("pytorch_metric_learning.miners", reason=NO_ORACLES)
    embeddings = some_embeddings()
    ours = hard_triplets(embeddings, LABELS)
    theirs = miners.BatchHardMiner(distance=distances.LpDistance(normalize_embeddings=False))(embeddings, LABELS)
    assert [part.tolist() for part in ours] == [part.tolist() for part in theirs]


def test_random_triplets_are_triplets_and_reach_all():
    torch.manual_seed(0)
    seen = set()
    for _ in range(200):
        anchors, positives, negatives = random_triplets(LABELS)
        assert anchors.tolist() == [0, 1, 2, 4, 5, 6]  # class 2 has one scene
        assert (LABELS[anchors] == LABELS[positives]).all()
        assert (anchors != positives).all()
        assert (LABELS[anchors] != LABELS[negatives]).all()
        seen |= set(zip(anchors.tolist(), positives.tolist(), negatives.tolist(), strict=True))
    assert len(seen) == 3 * 2 * 4 + 3 * 2 * 4


def test_random_triplets_follow_the_global_seed():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(torch.stack(random_triplets(LABELS)).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_no_triplets_no_loss(labels):
    embeddings = some_embeddings(3).requires_grad_()
    triplets = hard_triplets(embeddings, torch.tensor(labels))
    loss = dual_anchor_loss(embeddings, triplets, 0.3)
    loss.backward()
    assert loss == 0
    assert (embeddings.grad == 0).all()


def test_gradients():
    embeddings = some_embeddings().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: dual_anchor_loss(values, some_triplets(), 0.5), embeddings)
