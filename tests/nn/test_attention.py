from __future__ import annotations

import pytest
import timm
import torch
from tiny import message
from torch import nn
from torch.nn import functional

from rsir_bench.nn.attention import add_squeeze_excitation, channel_and_spatial


def resnet34() -> nn.Module:
    return timm.create_model("resnet34", num_classes=0, zero_init_last=False)


def test_a_sixteenth_of_the_channels_in_every_block():
    backbone = resnet34()
    assert add_squeeze_excitation(backbone, 16, 0.9) == 16
    units = [[block.se.fc1.out_channels for block in getattr(backbone, f"layer{n}")] for n in range(1, 5)]
    assert units == [[4] * 3, [8] * 4, [16] * 6, [32] * 3]


def test_parameters_it_adds():
    backbone = resnet34()
    before = sum(parameter.numel() for parameter in backbone.parameters())
    add_squeeze_excitation(backbone, 16, 0.9)
    added = sum(parameter.numel() for parameter in backbone.parameters()) - before
    blocks = [(64, 3), (128, 4), (256, 6), (512, 3)]
    assert added == sum(number * (2 * c * (c // 16) + c + c // 16) for c, number in blocks)


@pytest.mark.parametrize("layer", ["layer1", "layer3", "layer4"])  # layer3 of test_resnet is a bottleneck
def test_gates_the_residual_branch_before_the_addition(layer):
    torch.manual_seed(0)
    backbone = timm.create_model("test_resnet", num_classes=0, zero_init_last=False)
    add_squeeze_excitation(backbone, 16, 0.3)
    block = getattr(backbone, layer)[0].eval()
    inputs = torch.rand(2, block.conv1.in_channels, 8, 8)
    branch = block.act1(block.bn1(block.conv1(inputs)))
    branch = block.bn2(block.conv2(branch))
    if hasattr(block, "bn3"):
        branch = block.bn3(block.conv3(block.act2(branch)))
    first, second = block.se.fc1, block.se.fc2
    hidden = (branch.mean((2, 3)) @ first.weight.flatten(1).T + first.bias).relu()
    gates = (hidden @ second.weight.flatten(1).T + second.bias).sigmoid()
    shortcut = inputs if block.downsample is None else block.downsample(inputs)
    expected = (branch * gates[:, :, None, None] + shortcut).relu()
    torch.testing.assert_close(block(inputs.clone()), expected)


def test_gates_start_where_they_are_told():
    backbone = resnet34().eval()
    add_squeeze_excitation(backbone, 16, 0.9)
    block = backbone.layer4[0]
    seen = []
    block.se.gate.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        block.se(torch.zeros(1, 512, 2, 2))
    hidden = block.se.fc1.bias.relu()
    shift = functional.linear(hidden, block.se.fc2.weight.flatten(1))
    torch.testing.assert_close(seen[0].flatten(), (torch.tensor(9.0).log() + shift).sigmoid())
    assert seen[0].mean().item() == pytest.approx(0.9, abs=0.02)


def test_no_blocks_to_put_it_in():
    backbone = timm.create_model("test_vit", num_classes=0)
    assert "no residual blocks" in message(lambda: add_squeeze_excitation(backbone, 16, 0.9))


def test_channel_then_spatial_attention_by_hand():
    torch.manual_seed(0)
    module = channel_and_spatial(32).eval()
    maps = torch.rand(2, 32, 5, 6)
    first, second = (layer.weight.flatten(1) for layer in (module.channel.fc1, module.channel.fc2))
    assert first.shape == (2, 32)
    pooled = [maps.mean((2, 3)), maps.flatten(2).max(2).values]
    maps_gated = maps * sum((p @ first.T).relu() @ second.T for p in pooled).sigmoid()[:, :, None, None]
    both = torch.stack([maps_gated.mean(1), maps_gated.max(1).values], 1)
    convolved = functional.conv2d(both, module.spatial.conv.conv.weight, padding=3) / (1 + 1e-5) ** 0.5
    assert module.spatial.conv.conv.weight.shape == (1, 2, 7, 7)
    torch.testing.assert_close(module(maps), maps_gated * convolved.sigmoid())
