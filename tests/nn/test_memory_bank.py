from __future__ import annotations

import math

import pytest
import torch
from tiny import message
from torch.nn import functional

from rsir_bench.nn.memory_bank import MemoryBank

LABELS = torch.tensor([0, 1, 0, 1, 2])  # of the scenes in the bank


def unit(*shape, seed=0):
    values = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(values, dim=-1)


def full_bank(seed=3):
    """Five scenes with three views each; one entry has never been seen."""
    bank = MemoryBank(5, 3, 4, 0.5).double()
    for view in range(3):
        bank.update(unit(5, 4, seed=seed + view), LABELS, torch.arange(5), torch.full((5,), view))
    bank.seen[2, 1] = False
    return bank


def some_queries():
    index, view = torch.tensor([0, 2, 4]), torch.tensor([1, 0, 2])
    return unit(3, 4, seed=9), LABELS[index], index, view


def test_losses_entry_by_entry():
    bank = full_bank()
    features, labels, index, view = some_queries()
    of_class = of_scene = 0.0
    for n in range(3):
        weights = {
            (scene, turn): math.exp(float(features[n] @ bank.features[scene, turn]) / 0.5)
            for scene in range(5)
            for turn in range(3)
            if (scene, turn) not in [(index[n], view[n]), (2, 1)]
        }
        total = sum(weights.values())
        of_class -= math.log(sum(w for (scene, _), w in weights.items() if LABELS[scene] == labels[n]) / total) / 3
        of_scene -= math.log(sum(w for (scene, _), w in weights.items() if scene == index[n]) / total) / 3
    result = bank(features, labels, index, view, 0.5)
    assert [term.item() for term in result] == pytest.approx([of_class, of_scene])


def test_an_empty_bank_costs_nothing_and_has_finite_gradients():
    features, labels, index, view = some_queries()
    features.requires_grad_()
    of_class, of_scene = MemoryBank(5, 3, 4, 0.5).double()(features, labels, index, view, 0.05)
    (of_class + of_scene).backward()
    assert of_class == of_scene == 0
    assert (features.grad == 0).all()


def test_scenes_without_a_match_cost_nothing():
    bank = MemoryBank(5, 3, 4, 0.5).double()
    features, labels, index, view = some_queries()  # classes 0, 0, 2, one view each
    bank.update(features, labels, index, view)
    of_class, of_scene = bank(features.requires_grad_(), labels, index, view, 0.05)
    of_class.backward()
    assert of_scene == 0
    assert of_class > 0
    assert features.grad.isfinite().all()
    assert (features.grad[2] == 0).all()


def test_stable_at_a_low_temperature():
    bank = MemoryBank(3, 1, 2, 0.5)
    features = torch.tensor([[1.0, 0], [-1, 0], [1, 0]])
    labels, index, view = torch.tensor([0, 0, 1]), torch.arange(3), torch.zeros(3, dtype=torch.int64)
    bank.update(features, labels, index, view)
    with torch.autocast("cpu", torch.bfloat16):
        of_class, _ = bank(features, labels, index, view, 1e-3)
    # Scenes 0 and 1 are each other's class: 0 has 2 nearer by 2 / T; for 1 both others are as near; 2 is alone.
    assert of_class.item() == pytest.approx((2000 + math.log(2)) / 3)


def test_update_by_hand():
    bank = MemoryBank(3, 2, 2, 0.75)
    first, second = torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 1]])
    label, index, view = torch.tensor([7]), torch.tensor([1]), torch.tensor([1])
    bank.update(first, label, index, view)
    assert bank.features[1, 1].tolist() == [1, 0]
    bank.update(second, label, index, view)
    torch.testing.assert_close(bank.features[1, 1], torch.tensor([3.0, 1]) / math.sqrt(10))
    assert bank.seen.tolist() == [[False, False], [False, True], [False, False]]
    assert bank.labels.tolist() == [-1, 7, -1]
    assert bank.features.abs().sum((1, 2)).tolist()[::2] == [0, 0]


def test_gradients():
    bank = full_bank()
    features, *rest = some_queries()
    assert torch.autograd.gradcheck(lambda values: bank(values, *rest, 0.5), features.requires_grad_())


def test_the_bank_is_in_the_state():
    bank = full_bank()
    again = MemoryBank(5, 3, 4, 0.5).double()
    again.load_state_dict(bank.state_dict())
    assert [term.item() for term in again(*some_queries(), 0.5)] == [term.item() for term in bank(*some_queries(), 0.5)]


def test_a_scene_beyond_the_bank():
    bank = MemoryBank(3, 2, 2, 0.5)
    row = torch.tensor([3])
    text = message(lambda: bank.update(torch.ones(1, 2), row, row, torch.zeros_like(row)))
    assert "scene 3 in a bank of 3 rows" in text
