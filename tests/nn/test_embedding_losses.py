"""Losses of embedding methods: against pytorch-metric-learning, and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import NO_ORACLES
from torch import Tensor
from torch.nn import functional

from rsir_bench.nn.metric_losses import (
    arcface_logits,
    multi_similarity_loss,
    proxy_anchor_loss,
    supervised_contrastive_loss,
)

LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3])  # scene 5 is alone


def some_embeddings(seed: int, spread: float = 1.0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 6, generator=chance, dtype=torch.float64)
    own = torch.randn(len(LABELS), 6, generator=chance, dtype=torch.float64)
    return (centres[LABELS] + spread * own).requires_grad_()


def same(ours: Tensor, theirs: Tensor, raw: Tensor) -> None:
    """The library normalises once more: the gradients of what is normalised are equal."""
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    (mine,), (other,) = (torch.autograd.grad(loss, raw, retain_graph=True) for loss in (ours, theirs))
    torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)
    assert mine.abs().max() > 1e-4


@pytest.fixture(scope="module")
def losses():
    pytest.importorskip("pytorch_metric_learning", reason=NO_ORACLES)
    from pytorch_metric_learning import losses, miners

    return losses, miners


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_against_the_library(losses, seed: int, spread: float) -> None:
    library, miners = losses
    raw = some_embeddings(seed, spread)
    embeddings = functional.normalize(raw)
    mined = miners.MultiSimilarityMiner(epsilon=0.1)(embeddings, LABELS)
    theirs = library.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)(embeddings, LABELS, mined)
    same(multi_similarity_loss(embeddings, LABELS, 2, 50, 0.5, 0.1), theirs, raw)
    theirs = library.SupConLoss(temperature=0.1)(embeddings, LABELS)
    same(supervised_contrastive_loss(embeddings, LABELS, 0.1), theirs, raw)
    proxies = library.ProxyAnchorLoss(5, 6, margin=0.1, alpha=32).double()
    cosines = functional.linear(embeddings, functional.normalize(proxies.proxies))
    same(proxy_anchor_loss(cosines, LABELS, 32, 0.1), proxies(embeddings, LABELS), raw)
    arcface = library.ArcFaceLoss(5, 6, margin=math.degrees(0.5), scale=64).double()
    cosines = functional.linear(embeddings, functional.normalize(arcface.W.T))
    ours = functional.cross_entropy(arcface_logits(cosines, LABELS, 0.5, 64), LABELS)
    same(ours, arcface(embeddings, LABELS), raw)


def test_multi_similarity_by_hand() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1])
    # Scene 1 has a negative (0.8) that is nearer than its positive (0.6); scene 0 has none, and scene 2 is alone.
    pull = math.log(1 + math.exp(-2 * (0.6 - 0.5))) / 2
    push = math.log(1 + math.exp(50 * (0.8 - 0.5))) / 50
    loss = multi_similarity_loss(embeddings, labels, 2, 50, 0.5, 0.1)
    assert loss.item() == pytest.approx((pull + push) / 3, rel=1e-5)


def test_proxy_anchor_by_hand() -> None:
    cosines = torch.tensor([[0.9, 0.1], [0.2, 0.3]])
    pull = sum(math.log(1 + math.exp(-32 * (own - 0.1))) for own in (0.9, 0.3)) / 2
    push = sum(math.log(1 + math.exp(32 * (other + 0.1))) for other in (0.2, 0.1)) / 2
    assert proxy_anchor_loss(cosines, torch.tensor([0, 1]), 32, 0.1).item() == pytest.approx(pull + push, rel=1e-5)


def test_arcface_by_hand() -> None:
    cosines = torch.tensor([[0.5, 0.1], [0.3, -0.999]])
    logits = arcface_logits(cosines, torch.tensor([0, 1]), 0.5, 64)
    assert logits[0].tolist() == pytest.approx([64 * math.cos(math.acos(0.5) + 0.5), 6.4], rel=1e-5)
    assert logits[1, 1].item() == pytest.approx(64 * (-0.999 - 0.5 * math.sin(0.5)), rel=1e-5)  # beyond pi


def test_without_positives_nothing_is_pulled() -> None:
    embeddings = torch.eye(3, requires_grad=True)
    alone = torch.arange(3)
    assert supervised_contrastive_loss(embeddings, alone, 0.1) == 0
    loss = multi_similarity_loss(embeddings, alone, 2, 50, 0.5, 0.1)
    loss.backward()
    assert torch.isfinite(embeddings.grad).all()
