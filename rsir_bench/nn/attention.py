"""Attention blocks from timm, put where the papers have them."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from rsir_bench.errors import UserError


def add_squeeze_excitation(backbone: nn.Module, reduction: int, gate: float) -> int:
    """Puts squeeze-and-excitation into every residual block, on the residual branch after its last batch norm.

    Hu, Shen, Sun: Squeeze-and-excitation networks, CVPR 2018 (Fig. 3). timm's blocks call what stands in their ``se``
    just there. timm's own ``seresnet34`` rounds 64 / 16 units up to 8; here a block of C channels gets C // reduction.

    Args:
        backbone: A timm ResNet; changed in place. What is added can be trained, in frozen parts as well.
        reduction: r of the paper.
        gate: About where every gate starts, in (0, 1): its bias, to which random weights add. At 0.5, as with random
            biases, each block of a pretrained trunk would lose half of its branch.

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
    """Attention over channels, then over positions, on feature maps (N, C, h, w) of unchanged shape.

    Woo, Park, Lee, Kweon: CBAM, ECCV 2018 (equations 2 and 3): average and maximum under one shared perceptron of
    C / 16 units, then average and maximum over the channels under a 7 x 7 convolution with batch norm. timm's, whose
    perceptron has no biases.
    """
    from timm.layers.cbam import CbamModule

    module: nn.Module = CbamModule(channels, rd_ratio=1 / 16, spatial_kernel_size=7)
    return module
