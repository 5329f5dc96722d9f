"""Base class of methods that learn a unit-length embedding and differ only in their loss."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method.contract import Method, Row, Settings, Setup
from rsir_bench.nn.collectives import all_gather_with_grad
from rsir_bench.scenes.batches import Batch, balanced_of_size


class EmbeddingSettings(Settings):
    """Settings of every embedding method.

    Attributes:
        dimensions: Length of the embedding.
    """

    dimensions: int = Field(512, ge=1)


class PairSettings(EmbeddingSettings):
    """Settings of every embedding method whose loss compares scenes with each other.

    Attributes:
        per_class: Scenes of each class in a batch.
    """

    per_class: int = Field(4, ge=2)


EmbeddingSettingsT = TypeVar("EmbeddingSettingsT", bound=EmbeddingSettings)
PairSettingsT = TypeVar("PairSettingsT", bound=PairSettings)


class EmbeddingMethod(Method[EmbeddingSettingsT]):
    """Pooled features of the protocol's trunk, one linear layer to an embedding of unit length, and a loss on it.

    Subclasses set ``card`` with ``rows = EmbeddingMethod.ROWS``, and write ``embedding_loss``.

    Args:
        setup: What the network is built for.
        settings: An instance of the class's ``Settings``, which include those of ``EmbeddingSettings``.
    """

    ROWS: ClassVar[dict[str, Row]] = {
        "PCA": Row(descriptor="embedding", kind="pca"),
        "Embedding": Row(descriptor="embedding"),
    }
    distributed_loss = "gathered"

    def __init__(self, setup: Setup, settings: EmbeddingSettingsT) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        self.embed = nn.Linear(self.trunk.features, settings.dimensions)

    @abstractmethod
    def embedding_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar float, of embeddings (N, D) float32 of unit length with labels (N,) int64."""

    def loss(self, batch: Batch) -> Tensor:
        """Return ``embedding_loss`` of the whole batch, a scalar float, for ``scenes`` (N, B, H, W) in [0, 1]."""
        embeddings, labels = all_gather_with_grad(self.describe(batch.scenes)["embedding"], batch.labels)
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.embedding_loss(embeddings, labels)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return ``embedding``, (N, dimensions) float32 of unit length."""
        return {"embedding": functional.normalize(self.embed(self.trunk(scenes)).float())}


class PairMethod(EmbeddingMethod[PairSettingsT]):
    """An embedding method whose loss needs several scenes of a class in each batch."""

    def batches(self, labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
        """Return batches of P >= 2 classes with K scenes each, (P K,) int64 indices, for ``labels`` (N,) int64."""
        return balanced_of_size(labels, size, self.settings.per_class, generator)
