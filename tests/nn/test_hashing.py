from __future__ import annotations

import math

import pytest
import torch

from rsir_bench.nn.hashing import balance_loss, pairwise_loss, push_loss, quantisation_loss

LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


def some_codes(count=6, bits=4, seed=0):
    return torch.rand(count, bits, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_pairwise_loss_pair_by_pair():
    codes = some_codes()
    same, other = [], []
    for i in range(6):
        for j in range(i + 1, 6):
            half = sum(float(a * b) for a, b in zip(codes[i], codes[j], strict=True)) / 2
            if LABELS[i] == LABELS[j]:
                same.append(math.log(1 + math.exp(half)) - half)
            else:
                other.append(math.log(1 + math.exp(half)))
    expected = sum(same) / len(same) + sum(other) / len(other)
    assert pairwise_loss(codes, LABELS).item() == pytest.approx(expected)


def test_pairwise_loss_prefers_equal_codes_within_and_opposite_codes_between_classes():
    right = torch.tensor([[1.0, 1], [1, 1], [-1, -1]])
    wrong = torch.tensor([[1.0, 1], [-1, -1], [1, 1]])
    labels = torch.tensor([0, 0, 1])
    assert pairwise_loss(right, labels) < pairwise_loss(wrong, labels)


def test_pairwise_loss_with_one_kind_of_pair_or_none():
    codes = some_codes(3)
    assert pairwise_loss(codes, torch.zeros(3)).isfinite()
    assert pairwise_loss(codes, torch.arange(3)).isfinite()
    assert pairwise_loss(codes[:1], torch.zeros(1)) == 0


def test_pairwise_loss_of_long_codes_is_exact_and_finite():
    codes = torch.tensor([[1.0], [-1.0]]).expand(2, 1000)
    torch.testing.assert_close(pairwise_loss(codes, torch.tensor([0, 0])), torch.tensor(500.0))
    assert pairwise_loss(codes, torch.tensor([0, 1])) == 0


def test_quantisation_loss_value_by_value():
    codes = some_codes()
    expected = sum(math.log(math.cosh(abs(float(value)) - 1)) for value in codes.flatten()) / codes.numel()
    assert quantisation_loss(codes).item() == pytest.approx(expected)
    assert quantisation_loss(torch.tensor([[1.0, -1.0]])).abs() < 1e-7
    assert quantisation_loss(torch.tensor([[1e4]])).item() == pytest.approx(1e4 - 1 - math.log(2))


def test_push_and_balance_scene_by_scene():
    shares = (some_codes() + 1) / 2
    push = balance = 0.0
    for row in shares.tolist():
        push -= sum((value - 0.5) ** 2 for value in row) / len(row) / len(shares)
        balance += (sum(row) / len(row) - 0.5) ** 2 / len(shares)
    assert push_loss(shares).item() == pytest.approx(push)
    assert balance_loss(shares).item() == pytest.approx(balance)


def test_balance_is_within_a_scene_and_not_over_scenes():
    assert balance_loss(torch.tensor([[1.0, 0.0], [1.0, 0.0]])) == 0
    assert balance_loss(torch.tensor([[1.0, 1.0], [0.0, 0.0]])) == 0.25


@pytest.mark.parametrize(
    "loss", [lambda codes: pairwise_loss(codes, LABELS), quantisation_loss, push_loss, balance_loss]
)
def test_gradients(loss):
    assert torch.autograd.gradcheck(loss, some_codes().requires_grad_())


def test_products_are_not_in_bf16():
    codes = some_codes().float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = pairwise_loss(codes, LABELS)
    assert torch.equal(inside, pairwise_loss(codes, LABELS))
