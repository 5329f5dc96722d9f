"""The non-local block: every position of a map sees all others (Wang et al., CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class NonLocal(nn.Module):
    """Embedded Gaussian: ``x + BN(W softmax(theta(x)^T phi(x)) g(x))``, with phi and g on maps of half the side.

    timm's block has neither the sub-sampling nor its weights' small start. The convolutions are without bias: that of
    phi cancels in the softmax, those of g and W in the batch norm; that of theta would not cancel, and is left out.

    Args:
        channels: Channels of the maps; the embeddings have half as many.
        gain: Initial weight of the batch norm. Zero makes the block an identity at first; then only the batch norm
            has a gradient in the first step.
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
        """Maps (N, C, h, w) of the same shape; phi and g are sub-sampled where h and w are at least four.

        A softmax over the one position that smaller maps would leave has nothing to choose from.
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
