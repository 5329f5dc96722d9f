"""The centre loss: features are pulled towards the centre of their class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CentreLoss(nn.Module):
    """Half the squared distance to the class's centre, which follows its features.

    Wen, Zhang, Li, Qiao: A discriminative feature learning approach for deep face recognition, ECCV 2016 (equations 2
    and 4), as the mean over the batch. The centres start at zero, take no gradient, and belong to the module's state.

    Args:
        features: Length of a feature.
        classes: Number of classes.
        alpha: Rate of the centres, in [0, 1].
    """

    def __init__(self, features: int, classes: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("centres", torch.zeros(classes, features))
        self.centres: Tensor

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar, of features (N, D) with labels (N,); in training mode, the centres move afterwards."""
        with torch.autocast(features.device.type, enabled=False):
            away = features.to(torch.promote_types(features.dtype, torch.float32)) - self.centres[labels]
            if self.training:
                self._follow(away.detach(), labels)
            return 0.5 * away.square().sum(1).mean()

    def _follow(self, away: Tensor, labels: Tensor) -> None:
        """Moves each centre by alpha times the sum of its features' distances over one more than their number."""
        members = functional.one_hot(labels, len(self.centres)).to(away.dtype)
        self.centres += self.alpha * (members.T @ away) / (1 + members.sum(0)[:, None])
