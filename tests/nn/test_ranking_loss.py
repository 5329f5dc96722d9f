from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from rsir_bench.nn.metric_losses import ranking_hinge


def slowly(scores: torch.Tensor, losses: torch.Tensor) -> float:
    total = 0.0
    for s, loss in zip(scores.tolist(), losses.tolist(), strict=True):
        for i in range(len(s)):
            for j in range(len(s)):
                if loss[j] > loss[i]:
                    total += max(0.0, 1 - s[i] + s[j])
    return total / len(scores)


@pytest.mark.parametrize("shape", [(1, 2), (3, 6), (7, 4)])
def test_against_a_loop(shape):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(shape, dtype=torch.float64, generator=generator)
    losses = torch.randint(4, shape, generator=generator).double()  # with equal ones
    assert ranking_hinge(scores, losses).item() == pytest.approx(slowly(scores, losses))


def test_the_smaller_loss_should_lead_by_the_margin():
    losses = torch.tensor([[0.1, 0.5, 2.0]])
    assert ranking_hinge(torch.tensor([[2.0, 1.0, 0.0]]), losses) == 0
    assert ranking_hinge(torch.tensor([[0.0, 1.0, 2.0]]), losses) == 2 + 2 + 3
    assert ranking_hinge(torch.tensor([[2.0, 1.0, 0.0]]), losses, margin=1.5) == 0.5 + 0.5


def test_equal_losses_make_no_pair():
    assert ranking_hinge(torch.randn(2, 5), torch.ones(2, 5)) == 0


def test_gradients_flow_to_the_scores_alone():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(3, 4, dtype=torch.float64, generator=generator).requires_grad_()
    losses = torch.randn(3, 4, dtype=torch.float64, generator=generator).requires_grad_()
    assert gradcheck(lambda values: ranking_hinge(values, losses), (scores,))
    ranking_hinge(scores, losses).backward()
    assert losses.grad is None
    assert scores.grad.abs().sum() > 0


def test_low_precision_scores_are_summed_in_32_bit():
    scores = torch.randn(64, 6, generator=torch.Generator().manual_seed(2)).bfloat16()
    losses = torch.rand(64, 6, generator=torch.Generator().manual_seed(3))
    loss = ranking_hinge(scores, losses)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(slowly(scores.float(), losses), rel=1e-5)
