"""The fully connected head of the JSST paper's retrieval network (Fig. 2)."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Module):
    """FC1, ReLU, FC2.

    Args:
        features: Length of the pooled feature.
        fc1: Units of FC1 (4096 in the paper).
        classes: Classes of the source.
    """

    def __init__(self, features: int, fc1: int, classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, fc1)
        self.fc2 = nn.Linear(fc1, classes)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return ``FC1`` (N, fc1) before the ReLU, and FC2's output ``FC`` (N, classes), float, of (N, features)."""
        before = self.fc1(features)
        return {"FC1": before, "FC": self.fc2(before.relu())}
