"""Base class of methods that differ only in their features: FC1 and FC2 on top, trained with cross-entropy."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional

from rsir_bench.method.contract import Method, SettingsT, Setup
from rsir_bench.nn.head import Head
from rsir_bench.scenes.batches import Batch


class HeadMethod(Method[SettingsT]):
    """Features of a trunk under the fully connected head of the JSST paper's Fig. 2.

    Subclasses set ``card``, and override ``build_features`` and ``features`` if their features are not the pooled
    features of the protocol's trunk. Their rows can show the descriptors ``FC`` (the output of FC2) and ``FC1`` (before
    its ReLU).

    Args:
        setup: What the network is built for.
        settings: An instance of the class's ``Settings``.
    """

    distributed_loss: ClassVar[Literal["mean", "gathered"] | None] = "mean"

    def __init__(self, setup: Setup, settings: SettingsT) -> None:
        super().__init__(setup, settings)
        length = self.build_features(setup)
        self.head = Head(length, setup.protocol.head.fc1, setup.classes)

    def build_features(self, setup: Setup) -> int:
        """Build the layers under the head and return the length of their features."""
        self.trunk = setup.trunk()
        return self.trunk.features

    def features(self, scenes: Tensor) -> Tensor:
        """Return the features (N, D) float of scenes (N, B, H, W) in [0, 1]."""
        features: Tensor = self.trunk(scenes)
        return features

    def loss(self, batch: Batch) -> Tensor | dict[str, Tensor]:
        """Return the cross-entropy of FC2's output, a scalar float, for ``scenes`` (N, B, H, W) in [0, 1]."""
        return functional.cross_entropy(self.head(self.features(batch.scenes))["FC"], batch.labels)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return, as floats, ``FC`` (N, classes), the output of FC2, and ``FC1`` (N, fc1), FC1 before its ReLU."""
        descriptors: dict[str, Tensor] = self.head(self.features(scenes))
        return descriptors
