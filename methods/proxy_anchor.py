"""Proxy-Anchor: one learned proxy per class, which all scenes of the batch pull and push together."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Card, EmbeddingMethod, EmbeddingSettings, ParameterGroup, Setup
from rsir_bench.nn.metric_losses import proxy_anchor_loss


class ProxyAnchorSettings(EmbeddingSettings):
    """Changed by ``--set methods.proxy-anchor.margin=0.2``.

    Attributes:
        alpha: Sharpness.
        margin: Of the cosines.
        rate: Factor on the learning rate of the proxies.
    """

    alpha: float = Field(32, gt=0)
    margin: float = Field(0.1, ge=0)
    rate: float = Field(100, gt=0, allow_inf_nan=False)


class Proxies(nn.Module):
    """One vector per class; only its direction counts.

    Args:
        classes: Number of classes.
        dimensions: Length of an embedding.
    """

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(classes, dimensions), mode="fan_out"))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return cosines (N, classes) float of embeddings (N, dimensions) of unit length."""
        return functional.linear(embeddings, functional.normalize(self.weight))


class ProxyAnchor(EmbeddingMethod[ProxyAnchorSettings]):
    """Kim, Kim, Cho, Kwak: section 3.2, on the protocol's trunk."""

    card = Card(
        name="proxy-anchor",
        title="Proxy-Anchor",
        paper="Kim, Kim, Cho, Kwak: Proxy anchor loss for deep metric learning, CVPR 2020",
        year=2020,
        rows=EmbeddingMethod.ROWS,
        stated=[
            "alpha 32, margin 0.1; embeddings of unit length, 512 values; the proxies learn at 100 times the rate",
            "official code: proxies start from He's normal distribution (fan out); batches are shuffled",
        ],
        choices=[
            "use the protocol's trunk, schedule and rate for everything (original: AdamW at 1e-4, one epoch with a "
            "frozen trunk first, average plus maximum pooling)",
            "give the proxies no weight decay: only their direction counts",
            "fit PCA on the embedding, so that its length is that of the other rows",
        ],
    )
    Settings = ProxyAnchorSettings

    def __init__(self, setup: Setup, settings: ProxyAnchorSettings) -> None:
        super().__init__(setup, settings)
        self.proxies = Proxies(setup.classes, settings.dimensions)

    def embedding_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the proxy-anchor loss, a scalar float, of embeddings (N, D) with labels (N,)."""
        return proxy_anchor_loss(self.proxies(embeddings), labels, self.settings.alpha, self.settings.margin)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return two groups: the proxies learn faster, without weight decay."""
        rest, proxies = self.split_parameter_group(self.proxies, self.settings.rate)
        return [rest, ParameterGroup(proxies.parameters, proxies.rate, weight_decay=0.0)]
