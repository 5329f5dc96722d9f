from __future__ import annotations

import pytest
import torch
from tiny import CLASSES, some_batch, some_scenes, tiny_method, tiny_setup
from torch.nn import functional

from rsir_bench.methods.dfla import Dfla

NO_ZEROS = "trunk.arguments.zero_init_last=false"


def test_published_row():
    assert (Dfla.card.rows["PCA"].descriptor, Dfla.card.rows["PCA"].kind) == ("FC1", "pca")
    assert Dfla.card.rows["PCA"].paper == ("DFLA", "")
    assert "-style" in Dfla.card.title


@pytest.mark.parametrize(("bands", "size"), [(3, 32), (13, 32), (3, 96)])
def test_shapes(bands, size):
    setup = tiny_setup(f"data.size={size}", "trunk.mean=[0.5]", "trunk.std=[0.5]", bands=bands)
    method = tiny_method("dfla", setup).eval()
    shapes = {name: tuple(values.shape) for name, values in method.describe(some_scenes(3, bands, size)).items()}
    assert shapes == {"FC": (3, CLASSES), "FC1": (3, 16)}


def test_descriptors_and_loss_by_hand():
    method = tiny_method("dfla", tiny_setup(), dfla={"centre": 0.1}).eval()
    method.centre.centres.normal_()
    batch = some_batch()
    pooled = method.attention(method.trunk.maps(batch.scenes)).mean((2, 3))
    fc1 = pooled @ method.head.fc1.weight.T + method.head.fc1.bias
    logits = fc1.relu() @ method.head.fc2.weight.T + method.head.fc2.bias
    rows, terms = method.describe(batch.scenes), method.loss(batch)
    torch.testing.assert_close(rows["FC1"], fc1)
    torch.testing.assert_close(rows["FC"], logits)
    torch.testing.assert_close(terms["class"], functional.cross_entropy(logits, batch.labels))
    away = pooled - method.centre.centres[batch.labels]
    torch.testing.assert_close(terms["centre"], 0.1 * 0.5 * away.norm(dim=1).square().mean())


def test_settings_change_the_training():
    def trained(**settings: float) -> torch.Tensor:
        method = tiny_method("dfla", tiny_setup(NO_ZEROS), dfla=settings).train()
        optimizer = torch.optim.SGD(method.parameters(), 0.05)
        for _ in range(2):
            optimizer.zero_grad()
            sum(method.loss(some_batch()).values()).backward()
            optimizer.step()
        return method.eval().describe(some_scenes())["FC1"]

    usual = trained()
    assert torch.equal(usual, trained(centre=0.003, alpha=0.5))
    assert not torch.equal(usual, trained(centre=0.3))
    assert not torch.equal(usual, trained(alpha=0.1))


def test_every_tensor_has_a_gradient_in_the_first_step():
    method = tiny_method("dfla", tiny_setup(NO_ZEROS)).train()
    sum(method.loss(some_batch()).values()).backward()
    assert [name for name, p in method.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_it_learns_without_collapse():
    method = tiny_method("dfla", tiny_setup()).train()
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    batch = some_batch(32)
    losses = []
    for _ in range(60):
        terms = method.loss(batch)
        losses.append(terms["class"].item())
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    # Centres of different classes are farther apart than features are from their centres.
    away = method.features(batch.scenes) - method.centre.centres[batch.labels]
    assert away.norm(dim=1).mean() < torch.pdist(method.centre.centres).mean()


def test_mixed_precision_is_finite():
    method = tiny_method("dfla", tiny_setup()).train()
    with torch.autocast("cpu", torch.bfloat16):
        terms = method.loss(some_batch())
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(p.grad.isfinite().all() for p in method.parameters())


def test_centres_survive_a_resume_and_describing_leaves_them():
    method, other = (tiny_method("dfla", tiny_setup(), seed).train() for seed in (0, 1))
    method.loss(some_batch())
    other.load_state_dict(method.state_dict())
    assert method.centre.centres.any()
    assert torch.equal(other.centre.centres, method.centre.centres)
    before = method.centre.centres.clone()
    with torch.inference_mode():
        method.eval().describe(some_scenes())
    assert torch.equal(before, method.centre.centres)
