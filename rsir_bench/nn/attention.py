"""Attention over the channels and positions of feature maps, and non-local blocks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.base.errors import UserError


def add_squeeze_excitation(backbone: nn.Module, reduction: int, gate: float) -> int:
    """Add squeeze-and-excitation to every residual block, on the residual branch after its last batch norm.

    Hu, Shen, Sun: Squeeze-and-excitation networks, CVPR 2018 (Fig. 3). timm's blocks call their attribute ``se``
    there. timm's own ``seresnet34`` rounds 64 / 16 units up to 8; here a block of C channels gets C // reduction.

    Args:
        backbone: A timm ResNet; changed in place. The added modules are trainable, also in frozen parts.
        reduction: r of the paper.
        gate: Approximate initial value of every gate, in (0, 1). It is set by the bias, to which random weights add. At
            0.5, as with random biases, each block of a pretrained trunk would lose half of its branch.

    Returns:
        The number of blocks.

    Raises:
        UserError: The backbone has no residual blocks of timm's ResNet.
    """
    from timm.layers.squeeze_excite import SEModule  # timm takes seconds to load
    from timm.models.resnet import BasicBlock, Bottleneck

    blocks = [block for block in backbone.modules() if isinstance(block, (BasicBlock, Bottleneck))]
    if not blocks:
        raise UserError(f"squeeze-and-excitation: no residual blocks in {type(backbone).__name__}; name a timm resnet")
    for block in blocks:
        last = block.conv2 if isinstance(block, BasicBlock) else block.conv3
        channels: int = last.out_channels
        module: Any = SEModule(channels, rd_channels=max(1, channels // reduction))
        # 64 channels have four units, on means that hardly differ between scenes: none of them may start dead.
        nn.init.constant_(module.fc1.bias, 0.5)
        nn.init.constant_(module.fc2.bias, math.log(gate / (1 - gate)))
        block.se = module
    return len(blocks)


def channel_and_spatial(channels: int) -> nn.Module:
    """Build attention over channels, then over positions, on feature maps (N, C, h, w) of unchanged shape.

    Woo, Park, Lee, Kweon: CBAM, ECCV 2018 (equations 2 and 3): average and maximum under one shared perceptron of C /
        16 units, then average and maximum over the channels under a 7 x 7 convolution with batch norm. This is timm's
        implementation, whose perceptron has no biases.
    """
    from timm.layers.cbam import CbamModule

    module: nn.Module = CbamModule(channels, rd_ratio=1 / 16, spatial_kernel_size=7)
    return module


class NonLocal(nn.Module):
    """Embedded Gaussian: ``x + BN(W softmax(theta(x)^T phi(x)) g(x))``, with phi and g on maps of half the side.

    timm's block has neither the sub-sampling nor the small initial weights. The convolutions have no bias: the bias of
    phi cancels in the softmax, and the biases of g and W in the batch norm; the bias of theta would not cancel, but is
    left out too.

    Args:
        channels: Channels of the maps; the embeddings have half as many.
        gain: Initial weight of the batch norm. With zero, the block starts as an identity, and only the batch norm has
            a gradient in the first step.
    """

    def __init__(self, channels: int, gain: float = 0.0) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.theta = nn.Conv2d(channels, inner, 1, bias=False)
        self.phi = nn.Conv2d(channels, inner, 1, bias=False)
        self.g = nn.Conv2d(channels, inner, 1, bias=False)
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        for convolution in (self.theta, self.phi, self.g, self.out):
            # The products are not scaled: with larger weights the softmax would start as a hard choice.
            nn.init.normal_(convolution.weight, std=0.01)
        nn.init.constant_(self.norm.weight, gain)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, h, w) float, as given; phi and g are sub-sampled if h and w are at least four.

        With smaller maps, only one position would remain, over which a softmax is constant.
        """
        queries, keys, values = self.theta(maps), self.phi(maps), self.g(maps)
        if min(maps.shape[2:]) >= 4:
            keys, values = functional.max_pool2d(keys, 2), functional.max_pool2d(values, 2)
        precise = torch.promote_types(maps.dtype, torch.float32)  # bf16 would blur the unscaled products
        queries, keys, values = (part.to(precise).flatten(2) for part in (queries, keys, values))
        with torch.autocast(maps.device.type, enabled=False):
            seen = values @ (queries.mT @ keys).softmax(2).mT
        refined: Tensor = self.norm(self.out(seen.unflatten(2, maps.shape[2:])))
        return maps + refined
