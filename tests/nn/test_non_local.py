from __future__ import annotations

import math

import pytest
import torch
from timm.layers import NonLocalAttn

from rsir_bench.nn.attention import NonLocal


def some_maps(side=4, channels=6):
    return torch.randn(2, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def some_block(channels=6, gain=1.0):
    torch.manual_seed(0)
    block = NonLocal(channels, gain).double().eval()
    for part in (block.theta, block.phi, block.g, block.out):
        torch.nn.init.normal_(part.weight)
    return block


def pooled(maps):
    """Maximum of every 2 x 2 window, as a list of columns; a single position stays."""
    side = maps.shape[1]
    step = 2 if side >= 4 else 1
    tops = range(0, side - step + 1, step)
    return [maps[:, y : y + step, x : x + step].amax((1, 2)) for y in tops for x in tops]


@pytest.mark.parametrize("side", [1, 3, 4, 5])
def test_position_by_position(side):
    block, maps = some_block().requires_grad_(False), some_maps(side)
    result = block(maps)
    for number, scene in enumerate(maps):
        theta, phi, g = (
            torch.einsum("oc,chw->ohw", layer.weight[:, :, 0, 0], scene) for layer in (block.theta, block.phi, block.g)
        )
        keys, values = pooled(phi), pooled(g)
        for y in range(side):
            for x in range(side):
                weights = [math.exp(float(theta[:, y, x] @ key)) for key in keys]
                seen = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
                added = block.out.weight[:, :, 0, 0] @ seen / math.sqrt(1 + block.norm.eps)
                torch.testing.assert_close(result[number, :, y, x], scene[:, y, x] + added)


def test_as_timms_block_where_that_has_the_same_maths():
    # One value per window: sub-sampling keeps all there is, and softmax over copies is softmax over one of each.
    coarse = some_maps(2)
    maps = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    ours, theirs = some_block(), NonLocalAttn(6, use_scale=False, rd_channels=3).double().eval()
    for mine, other in ((ours.theta, theirs.t), (ours.phi, theirs.p), (ours.g, theirs.g), (ours.out, theirs.z)):
        other.weight.data.copy_(mine.weight.data)
        torch.nn.init.zeros_(other.bias)
    torch.nn.init.ones_(theirs.norm.weight)
    torch.testing.assert_close(ours(maps), theirs(maps))


def test_it_starts_as_an_identity():
    maps = some_maps().float()
    assert torch.equal(NonLocal(6)(maps), maps)
    assert not torch.equal(NonLocal(6, gain=0.1)(maps), maps)


def test_every_weight_has_a_gradient_with_a_gain():
    torch.manual_seed(0)
    block = NonLocal(6, gain=0.1)
    (block(some_maps().float()) * some_maps().flip(0).float()).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in block.parameters())


def test_gradients():
    block = some_block().train()
    assert torch.autograd.gradcheck(block, some_maps().requires_grad_())


def test_products_are_not_in_bf16():
    block, maps = some_block().float(), some_maps().float() * 20
    with torch.autocast("cpu", torch.bfloat16):
        result = block(maps)
    assert result.dtype == torch.float32
    assert result.isfinite().all()
