"""template-method: one line on what this method does."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsir_bench.method import Batch, Card, Method, Row, Settings, Setup


class TemplateMethodSettings(Settings):
    """Changed by ``--set methods.template-method.dimensions=64``; the record of a result holds every setting.

    Attributes:
        dimensions: Length of the descriptor.
        temperature: Divides the cosines before the softmax.
    """

    dimensions: int = Field(128, ge=1)
    temperature: float = Field(0.1, gt=0)


class TemplateMethod(Method[TemplateMethodSettings]):
    """Normalised embeddings under a cosine classifier: replace this with yours."""

    card = Card(
        name="template-method",  # as in --methods
        title="TemplateMethod",  # as in the tables
        paper="Author, Author: Title, venue year",
        year=2026,
        # The rows of the tables: kind="pca" shows principal components, kind="code" the signs as bits.
        rows={"Embedding": Row(descriptor="embedding"), "Hashing": Row(descriptor="embedding", kind="code")},
        stated=["what the paper says: losses, layers, rates, with the section or equation"],
        choices=["what it leaves open, and what is done here"],
        version=1,  # raise it when results change: finished runs are computed again
    )
    Settings = TemplateMethodSettings

    def __init__(self, setup: Setup, settings: TemplateMethodSettings) -> None:
        super().__init__(setup, settings)
        self.trunk = setup.trunk()  # the protocol's: pooled features (N, C), or .maps(scenes) (N, C, h, w)
        self.embed = nn.Linear(self.trunk.features, settings.dimensions)
        self.classes = nn.Linear(settings.dimensions, setup.classes, bias=False)

    def describe(self, scenes: Tensor) -> dict[str, Tensor]:
        """Return named descriptors, (N, D) float, of scenes (N, B, H, W) in [0, 1], each independent of its batch."""
        return {"embedding": functional.normalize(self.embed(self.trunk(scenes)))}

    def loss(self, batch: Batch) -> Tensor:
        """Return a scalar float, or named terms ``{"class": ..., "pair": ...}``: summed, and logged separately."""
        embedding = self.describe(batch.scenes)["embedding"]
        # Training may run in bf16: compute in 32 bit what needs more digits.
        with torch.autocast(batch.scenes.device.type, enabled=False):
            cosines = embedding.float() @ functional.normalize(self.classes.weight).T
            return functional.cross_entropy(cosines / self.settings.temperature, batch.labels)

    # A method may also override recipe, parameter_groups, batches, augment, epoch_metrics, rounds and training_set;
    # rsir_bench.method.contract.Method documents them. If only the features are new: HeadMethod has head and loss.
    # If only the scenes are changed before any method: FrontEnd has forward, and displacement where pixels are moved.
