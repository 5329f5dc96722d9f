"""ArcFace: cross-entropy over cosines, with a margin on the angle to the scene's own class."""

from __future__ import annotations

import math

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Card, EmbeddingMethod, EmbeddingSettings, Setup
from rsir_bench.nn.metric_losses import arcface_logits


class ArcFaceSettings(EmbeddingSettings):
    """Changed by ``--set methods.arcface.margin=0.3``.

    Attributes:
        margin: Radians that are added to the angle to the own class.
        scale: Factor on the cosines.
    """

    margin: float = Field(0.5, ge=0, le=math.pi / 2)
    scale: float = Field(64, gt=0)


class ArcFace(EmbeddingMethod[ArcFaceSettings]):
    """Deng, Guo, Xue, Zafeiriou: section 2.1, on the protocol's trunk."""

    card = Card(
        name="arcface",
        title="ArcFace",
        paper="Deng, Guo, Xue, Zafeiriou: ArcFace: additive angular margin loss for deep face recognition, CVPR 2019",
        year=2019,
        rows=EmbeddingMethod.ROWS,
        stated=[
            "a margin of 0.5 rad on the angle to the own class, all cosines times 64; embeddings of 512 values",
            "official code: where angle plus margin exceed pi, the cosine is lowered by a constant instead",
        ],
        choices=[
            "use the protocol's trunk, schedule and rate for everything (original: ResNet50 or 100 with batch norm "
            "around the embedding, which is left out)",
            "keep margin and scale, chosen for tens of thousands of identities, for tens of classes",
            "fit PCA on the embedding, so that its length is that of the other rows",
        ],
    )
    Settings = ArcFaceSettings

    def __init__(self, setup: Setup, settings: ArcFaceSettings) -> None:
        super().__init__(setup, settings)
        self.classes = nn.Linear(settings.dimensions, setup.classes, bias=False)

    def embedding_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy with the margin, a scalar float, of embeddings (N, D) with labels (N,)."""
        cosines = functional.linear(embeddings, functional.normalize(self.classes.weight))
        logits = arcface_logits(cosines, labels, self.settings.margin, self.settings.scale)
        return functional.cross_entropy(logits, labels)
