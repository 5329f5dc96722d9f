from __future__ import annotations

import pytest
import torch

from rsir_bench.nn.metric_losses import CentreLoss

LABELS = torch.tensor([0, 2, 2, 0, 2])


def test_loss_and_centres_against_a_slow_loop():
    torch.manual_seed(0)
    module = CentreLoss(3, 4, alpha=0.5).train()
    centres = torch.zeros(4, 3)
    for _ in range(4):
        features = torch.randn(5, 3)
        expected = sum(0.5 * ((features[n] - centres[LABELS[n]]) ** 2).sum() for n in range(5)) / 5
        torch.testing.assert_close(module(features, LABELS), expected)
        moves = torch.zeros(4, 3)
        for label in range(4):
            number = 1.0
            for n in range(5):
                if LABELS[n] == label:
                    moves[label] += centres[label] - features[n]
                    number += 1
            moves[label] /= number
        centres = centres - 0.5 * moves
        torch.testing.assert_close(module.centres, centres)
    assert not module.centres[[1, 3]].any()  # classes without a scene stay


def test_centres_reach_the_means_of_features_that_stay():
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    module = CentreLoss(3, 4, alpha=0.5)
    for _ in range(60):
        module(features, LABELS)
    torch.testing.assert_close(module.centres[2], features[LABELS == 2].mean(0))


@pytest.mark.parametrize("training", [True, False])
def test_gradient(training):
    features = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    module = CentreLoss(3, 4, alpha=0.0).double().train(training)
    module.centres += torch.randn(4, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: module(x, LABELS), features)
    module.alpha = 0.5
    before = module.centres.clone()
    module(features, LABELS).backward()
    torch.testing.assert_close(features.grad, (features.detach() - before[LABELS]) / 5)


def test_only_training_moves_the_centres():
    module = CentreLoss(3, 4, alpha=0.5).eval()
    module(torch.ones(5, 3), LABELS)
    assert not module.centres.any()


def test_centres_are_part_of_the_state():
    module, other = CentreLoss(3, 4, alpha=0.5), CentreLoss(3, 4, alpha=0.5)
    module(torch.ones(5, 3), LABELS)
    other.load_state_dict(module.state_dict())
    assert torch.equal(module.centres, other.centres)
    assert not list(module.parameters())


def test_mixed_precision():
    features = torch.randn(5, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    mixed, plain = CentreLoss(64, 4, alpha=0.5), CentreLoss(64, 4, alpha=0.5)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            loss = mixed(features, LABELS)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, plain(features.float(), LABELS))
